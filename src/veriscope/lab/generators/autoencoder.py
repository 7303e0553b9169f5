"""A tiny autoencoder of a latent diffusion model: pictures laundered through it carry its decoder's traces.

A photograph that is encoded and decoded keeps its content and takes on what every picture of that generator has, so the
pair teaches the trace and not the subject. Weights are read by path and never shipped: two state dictionaries of 64
channel residual networks, 3xHxW in [0, 1] to 32xH/8xW/8 and back. Idea of the pairs: Rajan et al., "Aligned datasets
improve detection of latent diffusion-generated images", ICLR 2025; of the tiny autoencoder: O. B. Bohan, TAESD, 2023.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from veriscope.errors import ModelError

WIDTH = 64
LATENT = 32
SHRINK = 8  # pixels of the picture to one of the latent
_POOL = 256


class _Block(nn.Module):
    def __init__(self, pooled: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(3):
            layers += [nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.ReLU()]
        self.conv = nn.Sequential(*layers[:-1])
        narrow = nn.Conv2d(WIDTH, _POOL, 1, bias=False), nn.GroupNorm(4, _POOL), nn.ReLU()
        self.pool = nn.Sequential(*narrow, nn.Conv2d(_POOL, WIDTH, 1, bias=False)) if pooled else None

    def forward(self, x: Tensor) -> Tensor:
        if self.pool is not None:
            x = x + self.pool(x)
        return torch.relu(self.conv(x) + x)


class _Bounded(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 3 * torch.tanh(x / 3)


def _scale(stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(WIDTH, WIDTH, 3, stride=stride, padding=1, bias=False)


def _encoder() -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(3, WIDTH, 3, padding=1), _Block()]
    for level in range(3):
        layers += [_scale(stride=2), *(_Block(pooled=level == 2) for _ in range(3))]
    return nn.Sequential(*layers, nn.Conv2d(WIDTH, LATENT, 3, padding=1))


def _decoder() -> nn.Sequential:
    layers: list[nn.Module] = [_Bounded(), nn.Conv2d(LATENT, WIDTH, 3, padding=1), nn.ReLU()]
    for level in range(3):
        layers += [*(_Block(pooled=level == 0) for _ in range(3)), nn.Upsample(scale_factor=2), _scale()]
    return nn.Sequential(*layers, _Block(), nn.Conv2d(WIDTH, 3, 3, padding=1))


class Autoencoder(nn.Module):
    """Encoder and decoder; random until weights are loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = _encoder()
        self.decoder = _decoder()

    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels ``(N, 3, H, W) in [0, 1]``, H and W multiples of 8, to latents ``(N, 32, H/8, W/8)``."""
        latents: Tensor = self.encoder(pixels)
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        """Latents ``(N, 32, h, w)`` to pixels ``(N, 3, 8h, 8w) in [0, 1]``."""
        pixels: Tensor = self.decoder(latents)
        return pixels.clamp(0, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """``decode(encode(pixels))``, differentiable."""
        return self.decode(self.encode(pixels))

    @torch.no_grad()
    def reconstruct(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A picture ``uint8 (H, W, 3) RGB`` of any size passed through the autoencoder, same shape."""
        height, width = rgb.shape[:2]
        pad = (0, -height % SHRINK), (0, -width % SHRINK), (0, 0)
        padded = np.pad(rgb, pad, mode="symmetric").transpose(2, 0, 1)[None]
        device = next(self.parameters()).device
        pixels = torch.from_numpy(padded.astype(np.float32) / 255).to(device)
        made = self(pixels)[0, :, :height, :width].permute(1, 2, 0)
        return np.asarray(made.mul(255).round().to("cpu", torch.uint8).numpy(), np.uint8)


def load_autoencoder(encoder_path: str | Path, decoder_path: str | Path, *, device: str = "cpu") -> Autoencoder:
    """The autoencoder with the weights in two files, frozen and in evaluation mode.

    Raises:
        ModelError: a file is missing, is no dictionary of tensors, or is of another architecture.
    """
    model = Autoencoder()
    for part, path in ((model.encoder, Path(encoder_path)), (model.decoder, Path(decoder_path))):
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # unpickling refuses in many ways; each means that these are not weights
            raise ModelError(
                f"{path} cannot be read as weights ({error}). Name the file of the autoencoder."
            ) from error
        if not isinstance(state, Mapping):
            raise ModelError(f"{path} holds no dictionary of tensors.")
        try:
            part.load_state_dict(state)
        except RuntimeError as error:
            raise ModelError(f"{path} holds weights of another architecture than this autoencoder's.") from error
    return model.to(device).eval().requires_grad_(False)
