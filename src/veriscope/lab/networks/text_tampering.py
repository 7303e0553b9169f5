"""The network of the detector ``text_tampering``: two streams, fused through gates, and compared with the page at large.

One stream sees the picture, the other its traces: high-pass residuals, and the DCT coefficients of its 8 x 8 blocks, where
saving leaves its steps. Gates choose between them in each place; prototypes of what is usual on the page say how far a place
lies from it. The loss asks for the mask, and that what was tampered with lies apart from what was not, in the same picture
and in its untouched twin.

Paper: Luo et al. 2024 (Toward Real Text Manipulation Detection). Its transformer streams and neighbourhood attention are
replaced by small convolutions, so that it trains and runs on a CPU.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from veriscope.lab.networks.residual import ResidualBlock, step, twice

WIDTHS = (24, 40, 72, 104)  # at a half, a quarter, an eighth, a sixteenth
EMBEDDED = 32  # numbers of a place's embedding, in which the contrast is asked for
PROTOTYPES = 4  # of what is usual on a page
LARGEST = 12 / 255  # a residual beyond it is an edge of a letter, and is cut off
STRONGEST = 4.0  # logarithm of a DCT coefficient in grey levels, that is brought to 1
LUMA = (0.299, 0.587, 0.114)
TEMPERATURE = 0.2  # of the contrast
DRAWN = 96  # places of each kind and picture that the contrast compares
RARE = 4.0  # weight of tampered places in the cross entropy
CONTRAST = 0.15  # weight of the contrast, against 1 for the cross entropy and 1 for Dice


def dct_filters() -> Tensor:
    """The basis of the 8 x 8 discrete cosine transform as filters, ``(64, 1, 8, 8)``, orthonormal."""
    place = torch.arange(8, dtype=torch.float64)
    basis = torch.cos((2 * place[None] + 1) * place[:, None] * math.pi / 16) * 0.5
    basis[0] /= math.sqrt(2)
    return torch.einsum("ux,vy->uvxy", basis, basis).reshape(64, 1, 8, 8).float()


def residual_filters() -> Tensor:
    """Second differences across, down and both ways, and the cross of neighbours: ``(4, 1, 3, 3)``."""
    line = torch.tensor([0.5, -1.0, 0.5])
    middle = torch.tensor([0.0, 1.0, 0.0])
    both = torch.outer(line, line)
    cross = torch.tensor([[0.0, 0.25, 0.0], [0.25, -1.0, 0.25], [0.0, 0.25, 0.0]])
    return torch.stack([torch.outer(middle, line), torch.outer(line, middle), both, cross])[:, None]


class Traces(nn.Module):
    """The second stream: pixels to maps at a quarter and an eighth of the size."""

    dct: Tensor
    high_pass: Tensor
    luma: Tensor

    def __init__(self, widths: tuple[int, int, int, int]) -> None:
        super().__init__()
        half, quarter, eighth, _ = widths
        self.register_buffer("dct", dct_filters(), persistent=False)
        self.register_buffer("high_pass", residual_filters(), persistent=False)
        self.register_buffer("luma", torch.tensor(LUMA)[None, :, None, None], persistent=False)
        self.first = step(len(self.high_pass), half, 2)
        self.quarter = ResidualBlock(half, quarter, 2)
        self.blocks = nn.Sequential(step(64, eighth, kernel=1), step(eighth, eighth))
        self.eighth = ResidualBlock(quarter, eighth, 2)
        self.mix = step(2 * eighth, eighth, kernel=1)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """``(N, 3, H, W)`` in [0, 1], the first block of a save at its upper left corner."""
        luma = (pixels * self.luma).sum(1, keepdim=True)
        residual = F.conv2d(F.pad(luma, (1, 1, 1, 1), mode="replicate"), self.high_pass)
        quarter = self.quarter(self.first(residual.clamp(-LARGEST, LARGEST) / LARGEST))
        coefficients = torch.log1p(F.conv2d(luma * 255, self.dct, stride=8).abs()) / STRONGEST
        eighth = self.mix(torch.cat([self.eighth(quarter), self.blocks(coefficients)], 1))
        return quarter, eighth


class GatedFusion(nn.Module):
    """Two maps ``(N, C, H, W)`` to one: a gate of both says, in each place and channel, how far either is heard."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate = nn.Conv2d(2 * width, width, 1)
        self.mix = step(width, width)

    def forward(self, seen: Tensor, traces: Tensor) -> Tensor:
        """The fused map."""
        gate = torch.sigmoid(self.gate(torch.cat([seen, traces], 1)))
        return self.mix(gate * seen + (1 - gate) * traces)


class Consistency(nn.Module):
    """Each place beside how it differs from the page's prototypes: ``(N, C, H, W)`` to the same shape.

    A prototype is a mean over the page, weighted by where it is found; a place hears of it by their likeness, and of what it
    has that the best likeness does not explain.
    """

    def __init__(self, width: int, prototypes: int = PROTOTYPES) -> None:
        super().__init__()
        self.where = nn.Conv2d(width, prototypes, 1)
        self.mix = step(2 * width + prototypes, width, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        """The map, with what the comparison adds."""
        flat = x.flatten(2)
        usual = self.where(x).flatten(2).softmax(2) @ flat.transpose(1, 2)  # (N, P, C)
        likeness = F.normalize(usual, dim=2) @ F.normalize(flat, dim=1)  # (N, P, H W)
        expected = usual.transpose(1, 2) @ (likeness * 8).softmax(1)
        apart = torch.cat([(flat - expected).abs(), likeness], 1).unflatten(2, x.shape[2:])
        return x + self.mix(torch.cat([x, apart], 1))


class TextTamperingNetwork(nn.Module):
    """Pixels to where text was tampered with.

    Args:
        widths: of the stages at a half, a quarter, an eighth and a sixteenth of the size.
    """

    offset: Tensor

    def __init__(self, widths: tuple[int, int, int, int] = WIDTHS) -> None:
        super().__init__()
        half, quarter, eighth, sixteenth = widths
        self.first = step(3, half, 2)
        self.quarter = ResidualBlock(half, quarter, 2)
        self.eighth = ResidualBlock(quarter, eighth, 2)
        self.traces = Traces(widths)
        self.fused_quarter, self.fused_eighth = GatedFusion(quarter), GatedFusion(eighth)
        self.consistency = Consistency(eighth)
        self.sixteenth = nn.Sequential(ResidualBlock(eighth, sixteenth, 2), Consistency(sixteenth))
        self.up_eighth = step(sixteenth + eighth, eighth)
        self.up_quarter = step(eighth + quarter, EMBEDDED)
        self.mask = nn.Conv2d(EMBEDDED, 1, 1)
        self.register_buffer("offset", torch.zeros(1))

    def embeddings(self, pixels: Tensor) -> Tensor:
        """Pixels ``(N, 3, H, W)`` in [0, 1], H and W multiples of 16, to ``(N, EMBEDDED, H/4, W/4)``."""
        quarter = self.quarter(self.first(pixels - 0.5))
        eighth = self.eighth(quarter)
        traces_quarter, traces_eighth = self.traces(pixels)
        quarter = self.fused_quarter(quarter, traces_quarter)
        eighth = self.consistency(self.fused_eighth(eighth, traces_eighth))
        eighth = self.up_eighth(torch.cat([twice(self.sixteenth(eighth)), eighth], 1))
        return self.up_quarter(torch.cat([twice(eighth), quarter], 1))

    def odds(self, embeddings: Tensor) -> Tensor:
        """Log odds ``(N, 1, H/4, W/4)`` of embeddings, 0 where a place begins to be called tampered."""
        return self.mask(embeddings) - self.offset

    def forward(self, pixels: Tensor) -> Tensor:
        """Log odds ``(N, 1, H/4, W/4)``."""
        return self.odds(self.embeddings(pixels))


def tampering_loss(
    network: TextTamperingNetwork, pixels: Tensor, twins: Tensor, masks: Tensor
) -> tuple[Tensor, dict[str, float]]:
    """Cross entropy weighted for the rare class, Dice, and the contrast of tampered and authentic places.

    Args:
        network: in training.
        pixels: (N, 3, H, W) in [0, 1], some of them tampered with.
        twins: (N, 3, H, W), the same untouched.
        masks: (N, 1, H/4, W/4) share of each place that was tampered with, in ``pixels``.
    Returns:
        the loss, and its parts by name.
    """
    embeddings = network.embeddings(torch.cat([pixels, twins]))
    odds = network.odds(embeddings)
    truth = torch.cat([masks, torch.zeros_like(masks)])
    place = F.binary_cross_entropy_with_logits(odds, truth, pos_weight=torch.tensor(RARE, device=odds.device))
    chance, edited = torch.sigmoid(odds[: len(masks)]), (masks.amax((1, 2, 3)) > 0.5).float()
    overlap, total = (chance * masks).sum((1, 2, 3)), (chance.square() + masks.square()).sum((1, 2, 3))
    dice = ((1 - (2 * overlap + 1) / (total + 1)) * edited).sum() / edited.sum().clamp(min=1)
    touched, twin = embeddings.split(len(masks))
    contrast = tampered_authentic_contrast(touched, twin, masks)
    parts = {"place": place.item(), "dice": dice.item(), "contrast": contrast.item()}
    return place + dice + CONTRAST * contrast, parts


def tampered_authentic_contrast(
    touched: Tensor, twins: Tensor, masks: Tensor, temperature: float = TEMPERATURE, drawn: int = DRAWN
) -> Tensor:
    """How little the tampered places of a picture are alone near each other, against authentic ones of it and of its twin.

    Places are drawn from torch's chance; a third of the authentic ones lie in the twin where the picture was tampered with, a
    third elsewhere in the picture, a third anywhere in the twin. A picture without two tampered places says nothing.

    Args:
        touched, twins: embeddings (N, D, h, w) of pictures and of the same untouched.
        masks: (N, 1, h, w) share of each place that was tampered with.
        temperature: smaller looks at the nearest alone.
        drawn: places of each kind at most.
    Returns:
        the mean over pictures; 0 where none says anything.
    """
    found = []
    for one, twin, mask in zip(touched.flatten(2), twins.flatten(2), masks.flatten(1), strict=True):
        tampered, clear = (mask > 0.5).nonzero().squeeze(1), (mask == 0).nonzero().squeeze(1)
        if len(tampered) < 2 or len(clear) < 2:
            continue
        tampered, third = _some(tampered, drawn), max(1, drawn // 3)
        positive = F.normalize(one[:, tampered], dim=0)
        authentic = torch.cat([one[:, _some(clear, third)], twin[:, tampered[:third]], twin[:, _some(clear, third)]], 1)
        authentic = F.normalize(authentic, dim=0)
        own = positive.T @ positive / temperature
        other = torch.logsumexp(positive.T @ authentic / temperature, 1, keepdim=True)
        itself = torch.eye(len(tampered), dtype=torch.bool, device=own.device)
        alone = F.softplus(other - own)  # of each pair: minus the log share against all that is authentic
        found.append(alone.masked_fill(itself, 0).sum() / (~itself).sum())
    return torch.stack(found).mean() if found else touched.sum() * 0


def _some(places: Tensor, most: int) -> Tensor:
    return places[torch.randperm(len(places), device=places.device)[:most]]
