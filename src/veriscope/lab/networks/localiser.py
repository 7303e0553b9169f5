"""The main localiser: colour, noise fingerprint and the backbone's view of the scene fused into a map of edits.

Three looks at one picture. The fingerprint stream (frozen) tells parts of another origin; the colour stream sees seams,
blur and resampling; the backbone's tokens say what is an object and what does not belong. A coarse map at a sixteenth of the
resolution, where all three meet, is refined at a quarter; a second map says how far the first can be trusted in each place,
and a score of the whole picture's integrity reads both.

Paper: Guillaro et al. 2023 (TruFor: RGB and Noiseprint++ fused; anomaly map, confidence map, integrity score). Its
transformer is replaced by a small convolutional network and our frozen backbone, so that it trains and runs on a CPU.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from veriscope.lab.networks.fingerprint import CHANNELS, Fingerprint
from veriscope.lab.networks.residual import ResidualBlock, step, twice

WIDTHS = (24, 48, 80, 112)  # at a half, a quarter, an eighth, a sixteenth
TOKENS = 768  # numbers of a token of the backbone
GRID = 14  # tokens a side
SEEN = 64  # of the scene's channels that are kept


class Context(nn.Module):
    """Each place beside the mean of all places: what is unlike the rest of its own picture."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = step(3 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` to the same shape."""
        mean = x.mean((2, 3), keepdim=True)
        return x + self.mix(torch.cat([x, mean.expand_as(x), (x - mean).square()], 1))


class LocaliserNetwork(nn.Module):
    """Pixels and tokens to a map, a reliability map and a score.

    Args:
        widths: of the stages.
        seen: channels that the tokens are reduced to.
    """

    def __init__(self, widths: tuple[int, int, int, int] = WIDTHS, seen: int = SEEN) -> None:
        super().__init__()
        half, quarter, eighth, sixteenth = widths
        self.fingerprint = Fingerprint()
        self.colour = step(3, half, 2)
        self.quarter = nn.Sequential(step(half + CHANNELS, quarter, 2), ResidualBlock(quarter, quarter))
        self.eighth = nn.Sequential(ResidualBlock(quarter, eighth, 2), ResidualBlock(eighth, eighth))
        self.sixteenth = ResidualBlock(eighth, sixteenth, 2)
        self.scene = nn.Sequential(nn.LayerNorm(TOKENS), nn.Dropout(0.2), nn.Linear(TOKENS, seen), nn.ReLU())
        self.fuse = nn.Sequential(
            step(sixteenth + seen, sixteenth),
            Context(sixteenth),
            ResidualBlock(sixteenth, sixteenth),
            Context(sixteenth),
        )
        self.up_eighth = step(sixteenth + eighth, eighth)
        self.up_quarter = step(eighth + quarter, quarter)
        self.coarse = nn.Conv2d(sixteenth, 1, 1)
        self.map = nn.Conv2d(quarter, 1, 1)
        self.trust = nn.Sequential(nn.Conv2d(quarter, 16, 1), nn.ReLU(inplace=True), nn.Conv2d(16, 1, 1))
        self.integrity = nn.Sequential(nn.Linear(8 + sixteenth, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 1))

    def train(self, mode: bool = True) -> LocaliserNetwork:
        """As of every module, but the fingerprint stays as it was trained."""
        super().train(mode)
        self.fingerprint.eval()
        return self

    def forward(self, pixels: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log odds of an edit, of the map being right, and of the whole picture being edited.

        Args:
            pixels: (N, 3, H, W) in [0, 1], H and W multiples of 16.
            tokens: (N, 14, 14, 768) of the same picture squeezed to 224 px.
        Returns:
            ``(N, 1, H/4, W/4)``, the same again, and ``(N,)``.
        """
        with torch.no_grad():
            noise = self.fingerprint.features(pixels)
        quarter = self.quarter(torch.cat([self.colour(pixels - 0.5), noise], 1))
        eighth = self.eighth(quarter)
        deep = self.sixteenth(eighth)
        scene = self.scene(tokens).permute(0, 3, 1, 2)
        scene = F.interpolate(scene, size=deep.shape[2:], mode="bilinear", align_corners=False)
        deep = self.fuse(torch.cat([deep, scene], 1))
        eighth = self.up_eighth(torch.cat([twice(deep), eighth], 1))
        quarter = self.up_quarter(torch.cat([twice(eighth), quarter], 1))
        coarse = F.interpolate(self.coarse(deep), size=quarter.shape[2:], mode="bilinear", align_corners=False)
        edited, trust = coarse + self.map(quarter), self.trust(quarter.detach())
        return edited, trust, self.integrity(torch.cat([_summed_up(edited, trust), deep.mean((2, 3))], 1)).squeeze(1)


def _summed_up(edited: Tensor, trust: Tensor) -> Tensor:
    """Maximum, mean, mean square and trusted mean of both maps ``(N, 1, H, W)``, as ``(N, 8)``."""
    parts = []
    weight = torch.sigmoid(trust)
    for values in (edited, edited * weight):
        smooth = F.avg_pool2d(values, 5, 1, 2, count_include_pad=False).clamp(-12, 12)
        chance = torch.sigmoid(smooth)
        parts += [smooth.amax((2, 3)), smooth.mean((2, 3)), chance.mean((2, 3)), chance.square().mean((2, 3)).sqrt()]
    return torch.cat(parts, 1)


def localisation_loss(outputs: tuple[Tensor, Tensor, Tensor], masks: Tensor, edited: Tensor) -> Tensor:
    """Cross entropy weighted for the rare class and Dice for the map, cross entropy of its being right, and of the score.

    Args:
        outputs: of the network.
        masks: (N, 1, H/4, W/4) share of each place that is edited.
        edited: (N,) 1 where any part is.
    """
    found, trust, score = outputs
    place = F.binary_cross_entropy_with_logits(found, masks, pos_weight=torch.tensor(3.0, device=masks.device))
    chance = torch.sigmoid(found)
    overlap = (chance * masks).sum((1, 2, 3))
    dice = 1 - (2 * overlap + 1) / (chance.square().sum((1, 2, 3)) + masks.square().sum((1, 2, 3)) + 1)
    right = (chance * masks + (1 - chance) * (1 - masks)).detach()
    return (
        place
        + (dice * edited).sum() / edited.sum().clamp(min=1)
        + 0.3 * F.binary_cross_entropy_with_logits(trust, right)
        + 0.5 * F.binary_cross_entropy_with_logits(score, edited)
    )
