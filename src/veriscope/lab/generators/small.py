"""Small autoencoders of our own, alike but for how their decoder enlarges: the trace that a detector should not be tied to.

Each generator leaves in the spectrum what its up-sampling leaves: repeated pixels smoothed by a convolution (nearest), a low
pass (bilinear), a checkerboard (transposed convolution), interleaved grids (pixel shuffle). Pictures passed through all four
teach a detector the kind and not the specimen. Under a million parameters each, so that minutes on a CPU train them; finer
detail than theirs needs the adapters.

Papers: Odena et al. 2016 (checkerboard artefacts); Shi et al. 2016 (pixel shuffle); Durall et al. 2020 (up-convolutions and the
spectrum); Rajan et al. 2025 (aligned reconstructions).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from veriscope.errors import ModelError
from veriscope.lab.generators import kept

KIND = "autoencoder"
UPSAMPLERS = ("nearest", "bilinear", "transposed", "shuffle")
FACTORS = (4, 8)
WIDTHS = (16, 32, 64, 80)  # maps at full size and at each halving
BOUND = 3.0  # latents are squashed smoothly to so far from 0


@dataclass(frozen=True)
class Shape:
    """What tells one of these autoencoders from another.

    Attributes:
        upsampler: one of ``UPSAMPLERS``.
        factor: pixels of the picture to one of the latent, a side; 4 or 8.
        latent: channels of the latent.
    """

    upsampler: str = "nearest"
    factor: int = 8
    latent: int = 16


class _Norm(nn.Module):
    """Each pixel's vector to unit mean square: unlike norms over the picture, the same for a crop as for the whole."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, width, 1, 1))
        self.shift = nn.Parameter(torch.zeros(1, width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-4) * self.scale + self.shift


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        last = nn.Conv2d(width, width, 3, padding=1)
        last.weight.data.mul_(0.3)  # near nothing at first, as residual branches like it
        self.body = nn.Sequential(_Norm(width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1), nn.SiLU(), last)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def _half(before: int, after: int) -> nn.Module:
    """A convolution of stride 2 that at first hands the pixels of each 2 x 2 cell on, in groups where they are too many."""
    made = nn.Conv2d(before, after, 4, 2, 1)
    many = max(1, 4 * before // after)
    with torch.no_grad():
        for place in range(min(4 * before, many * after)):
            channel, cell = divmod(place, 4)
            made.weight[place // many, channel, 1 + cell // 2, 1 + cell % 2] += 1 / many
    return made


def _twice(upsampler: str, before: int, after: int) -> nn.Module:
    """An up-sampling that at first hands its first channels on, each pixel to four."""
    same = torch.eye(after, before)
    with torch.no_grad():
        if upsampler == "transposed":
            turned = nn.ConvTranspose2d(before, after, 4, 2, 1)
            turned.weight[:, :, 1:3, 1:3] += same.T[:, :, None, None]
            return turned
        if upsampler == "shuffle":
            wide = nn.Conv2d(before, 4 * after, 3, padding=1)
            wide.weight[:, :, 1, 1] += same.repeat_interleave(4, 0)
            return nn.Sequential(wide, nn.PixelShuffle(2))
        smooth = nn.Conv2d(before, after, 3, padding=1)
        smooth.weight[:, :, 1, 1] += same
        return nn.Sequential(nn.Upsample(scale_factor=2, mode=upsampler), smooth)


class SmallAutoencoder(nn.Module):
    """Encoder and decoder; random until weights are loaded.

    Raises:
        ModelError: the shape names no upsampler or factor that there is.
    """

    def __init__(self, shape: Shape | None = None) -> None:
        super().__init__()
        self.shape = shape = shape or Shape()
        if shape.upsampler not in UPSAMPLERS or shape.factor not in FACTORS or shape.latent < 1:
            raise ModelError(
                f"no such autoencoder: {shape}; upsamplers are {', '.join(UPSAMPLERS)} and factors "
                f"{' and '.join(map(str, FACTORS))}"
            )
        widths = WIDTHS[: {4: 3, 8: 4}[shape.factor]]
        down: list[nn.Module] = []
        for before, after in zip((3, *widths[1:-1]), widths[1:], strict=True):
            down += [_half(before, after), _Block(after)]
        self.encoder = nn.Sequential(*down, nn.Conv2d(widths[-1], shape.latent, 3, padding=1))
        up: list[nn.Module] = [nn.Conv2d(shape.latent, widths[-1], 3, padding=1), _Block(widths[-1])]
        for before, after in zip(widths[:0:-1], widths[-2::-1], strict=True):
            up += [_Block(before), _twice(shape.upsampler, before, after)]
        self.decoder = nn.Sequential(*up, _Block(widths[0]), nn.Conv2d(widths[0], 3, 3, padding=1))

    @property
    def factor(self) -> int:
        """Pixels of the picture to one of the latent, a side."""
        return self.shape.factor

    @property
    def latent(self) -> int:
        """Channels of the latent."""
        return self.shape.latent

    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels ``(N, 3, H, W) in [0, 1]``, H and W multiples of ``factor``, to latents ``(N, latent, H/f, W/f)`` in +-3."""
        return BOUND * torch.tanh(self.encoder(2 * pixels - 1) / BOUND)

    def decode(self, latents: Tensor) -> Tensor:
        """Latents ``(N, latent, h, w)`` to pixels ``(N, 3, fh, fw) in [0, 1]``."""
        return self.raw(latents).clamp(0, 1)

    def raw(self, latents: Tensor) -> Tensor:
        """As ``decode``, but not clipped, for training."""
        return self.decoder(latents) / 2 + 0.5

    def forward(self, pixels: Tensor) -> Tensor:
        """``decode(encode(pixels))``."""
        return self.decode(self.encode(pixels))

    @torch.no_grad()
    def reconstruct(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A picture ``uint8 (H, W, 3) RGB`` of any size passed through the autoencoder, same shape."""
        return picture(self(pixels(rgb, self.factor, next(self.parameters()).device)), rgb)

    def save(self, folder: Path, **figures: float | str) -> None:
        """Write ``autoencoder.safetensors`` and ``autoencoder.json`` into ``folder``.

        Raises:
            VeriscopeError: they cannot be written.
        """
        kept.save(folder, KIND, self.state_dict(), {**asdict(self.shape), **figures})


def load_small(folder: Path, *, device: str = "cpu") -> SmallAutoencoder:
    """The autoencoder of a folder, frozen and in evaluation mode.

    Raises:
        ModelError: there is none, or it is damaged.
    """
    tensors, about = kept.load(folder, KIND)
    model = SmallAutoencoder(shape_of(about, folder))
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise ModelError(f"{folder}: the weights are not those that {KIND}.json describes") from error
    return model.to(device).eval().requires_grad_(False)


def shape_of(about: dict[str, object], folder: Path) -> Shape:
    """The shape in a description.

    Raises:
        ModelError: it lacks something.
    """
    try:
        return Shape(str(about["upsampler"]), int(str(about["factor"])), int(str(about["latent"])))
    except (KeyError, ValueError) as error:
        raise ModelError(f"{folder}: {KIND}.json is damaged ({error!r}); train it again or copy it again") from error


def pixels(rgb: NDArray[np.uint8], multiple: int, device: torch.device) -> Tensor:
    """``uint8 (H, W, 3) RGB`` mirrored at its lower right to multiples, as ``float32 (1, 3, H', W') in [0, 1]``."""
    height, width = rgb.shape[:2]
    padded = np.pad(rgb, ((0, -height % multiple), (0, -width % multiple), (0, 0)), mode="symmetric")
    return torch.from_numpy(np.ascontiguousarray(padded.transpose(2, 0, 1)[None]).astype(np.float32) / 255).to(device)


def picture(made: Tensor, like: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``(1, 3, H', W') in [0, 1]`` as ``uint8 (H, W, 3) RGB``, cut to the size of ``like``."""
    height, width = like.shape[:2]
    cut = made[0, :, :height, :width].permute(1, 2, 0)
    return np.asarray(cut.mul(255).round().to("cpu", torch.uint8).numpy(), np.uint8)
