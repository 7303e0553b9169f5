"""A small latent diffusion model of our own: what generates most of today's pictures, in a size that a laptop trains.

It works on the latents of one of our autoencoders (``small.py``), so its pictures carry two traces: the decoder's, and the
denoiser's idea of what is likely. Re-generating a real picture from partial noise keeps the content and adds both; going up to
noise and back down without chance gives DIRE's reconstruction. The clock is ``synthetic/ddim.py``, which needs no torch, and
``export`` writes the three networks as ONNX, so a detector runs the same model without the laboratory.

Papers: Rombach et al. 2022 (latent diffusion); Salimans & Ho 2022 (velocity); Song et al. 2021 (DDIM); Meng et al. 2022
(SDEdit: partial-noise re-generation); Wang et al. 2023 (DIRE); Lim et al. 2024 (DistilDIRE: the noise of the first step).
"""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from veriscope.errors import ModelError
from veriscope.lab.generators import kept, small
from veriscope.lab.generators.small import SmallAutoencoder
from veriscope.lab.networks.denoiser import MULTIPLE, Denoiser
from veriscope.lab.recipes.export import OPSET
from veriscope.synthetic import ddim

KIND = "diffusion"
STEPS = 20  # of the denoiser, from noise to picture


class Diffusion(nn.Module):
    """An autoencoder, the spread of its latents, and a denoiser of them; latents here have mean 0 and spread 1 a channel.

    Args:
        autoencoder: makes and reads the latents; it is frozen.
        denoiser: of latents ``(N, C, h, w)`` at times ``(N,)``; C is the autoencoder's ``latent``.
        mean, spread: (C,) of the autoencoder's latents on the training pictures.
    """

    mean: Tensor
    spread: Tensor

    def __init__(
        self,
        autoencoder: SmallAutoencoder,
        denoiser: Denoiser,
        mean: Tensor | None = None,
        spread: Tensor | None = None,
    ) -> None:
        super().__init__()
        channels = autoencoder.latent
        self.autoencoder = autoencoder.eval().requires_grad_(False)
        self.denoiser = denoiser
        self.register_buffer("mean", torch.zeros(channels) if mean is None else mean)
        self.register_buffer("spread", torch.ones(channels) if spread is None else spread)

    @property
    def multiple(self) -> int:
        """Pixels that height and width must be multiples of; ``regenerate`` and the like pad to it themselves."""
        return self.autoencoder.factor * MULTIPLE

    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels ``float32 (N, 3, H, W) in [0, 1]`` to clean latents ``float32 (N, C, H/f, W/f)``, f the factor (8)."""
        return (self.autoencoder.encode(pixels) - self.mean[:, None, None]) / self.spread[:, None, None]

    def decode(self, latents: Tensor) -> Tensor:
        """Clean latents ``(N, C, h, w)`` to pixels ``(N, 3, fh, fw) in [0, 1]``."""
        return self.autoencoder.decode(latents * self.spread[:, None, None] + self.mean[:, None, None])

    def velocity(self, latents: Tensor, time: float) -> Tensor:
        """The denoiser's velocity ``(N, C, h, w)`` for latents of one time; ``ddim.noise`` makes epsilon of it."""
        return self.denoiser(latents, torch.full((len(latents),), time, device=latents.device))

    @torch.no_grad()
    def invert(self, latents: Tensor, steps: int = STEPS) -> Tensor:
        """Clean latents ``(N, C, h, w)`` to the noise that DDIM would have made them of, same shape."""
        return ddim.run(latents, self.velocity, ddim.LEAST, ddim.MOST, steps)

    @torch.no_grad()
    def sample(self, noise: Tensor, steps: int = STEPS, start: float = ddim.MOST) -> Tensor:
        """Noise, or latents noised up to ``start``, ``(N, C, h, w)`` to clean latents, same shape."""
        return ddim.run(noise, self.velocity, start, ddim.LEAST, steps)

    @torch.no_grad()
    def regenerate(
        self, rgb: NDArray[np.uint8], strength: float = 0.3, steps: int = STEPS, seed: int = 0
    ) -> NDArray[np.uint8]:
        """A picture ``uint8 (H, W, 3) RGB`` of any size re-generated from partial noise (SDEdit), same shape.

        Args:
            rgb: the picture.
            strength: the time in (0, 1] up to which noise is added; 0.2 redraws texture, 0.6 most of the content.
            steps: of the denoiser for the whole way; a part of it takes the same part of the steps.
            seed: of the noise.
        """
        latents = self.encode(self._pixels(rgb))
        generator = torch.Generator().manual_seed(seed)
        added = torch.randn(latents.shape, generator=generator).to(latents)
        time = ddim.LEAST + strength * (ddim.MOST - ddim.LEAST)
        made = self.sample(ddim.noised(latents, added, time), max(1, round(steps * strength)), time)
        return small.picture(self.decode(made), rgb)

    @torch.no_grad()
    def reconstruct(self, rgb: NDArray[np.uint8], steps: int = STEPS) -> NDArray[np.uint8]:
        """A picture ``uint8 (H, W, 3) RGB`` inverted to noise and sampled back, same shape: for DIRE."""
        latents = self.encode(self._pixels(rgb))
        return small.picture(self.decode(self.sample(self.invert(latents, steps), steps)), rgb)

    @torch.no_grad()
    def first_step_noise(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The noise that the denoiser sees in a clean picture, ``float32 (C, h, w)``: the first step of DIRE, for DistilDIRE.

        h and w are the picture's, padded to ``multiple``, over the factor.
        """
        latents = self.encode(self._pixels(rgb))
        seen = ddim.noise(latents, self.velocity(latents, ddim.LEAST), ddim.LEAST)
        return np.asarray(seen[0].cpu().numpy(), np.float32)

    def _pixels(self, rgb: NDArray[np.uint8]) -> Tensor:
        return small.pixels(rgb, self.multiple, self.mean.device)

    def save(self, folder: Path, **figures: float | str) -> None:
        """Write ``diffusion.safetensors``, the autoencoder's weights included, and ``diffusion.json`` into ``folder``.

        Raises:
            VeriscopeError: they cannot be written.
        """
        kept.save(folder, KIND, self.state_dict(), {**asdict(self.autoencoder.shape), **figures})

    def export(self, folder: Path) -> None:
        """Write the three networks as ONNX, for use without torch; the sampler is ``synthetic/ddim.py``.

        ``encoder.onnx``: pixels ``float32 (N, 3, H, W) in [0, 1]`` to latents ``(N, C, H/f, W/f)``, clean, spread 1.
        ``denoiser.onnx``: latents ``(N, C, h, w)`` and time ``float32 (N,)`` to velocity ``(N, C, h, w)``.
        ``decoder.onnx``: latents ``(N, C, h, w)`` to pixels ``(N, 3, fh, fw) in [0, 1]``.
        N, H and W may vary; H and W are multiples of ``multiple`` (32).
        """
        side = self.multiple
        latents = torch.zeros(
            2, self.autoencoder.latent, side // self.autoencoder.factor, side // self.autoencoder.factor
        )
        folder.mkdir(parents=True, exist_ok=True)
        _write(_Part(self, "encode"), {"pixels": torch.rand(2, 3, side, side)}, "latents", folder / "encoder.onnx")
        _write(self.denoiser, {"latents": latents, "time": torch.rand(2)}, "velocity", folder / "denoiser.onnx")
        _write(_Part(self, "decode"), {"latents": latents}, "pixels", folder / "decoder.onnx")


class _Part(nn.Module):
    def __init__(self, whole: Diffusion, name: str) -> None:
        super().__init__()
        self.whole, self.name = whole, name

    def forward(self, x: Tensor) -> Tensor:
        return getattr(self.whole, self.name)(x)


def _write(module: nn.Module, inputs: dict[str, Tensor], output: str, path: Path) -> None:
    partial = path.with_suffix(".partial.onnx")
    sizes = {name: {0: "n", 2: "h", 3: "w"} if value.ndim == 4 else {0: "n"} for name, value in inputs.items()}
    torch.onnx.export(
        module.eval().cpu(),
        tuple(inputs.values()),
        str(partial),
        input_names=list(inputs),
        output_names=[output],
        dynamic_axes={**sizes, output: {0: "n", 2: "H", 3: "W"}},
        opset_version=OPSET,
        dynamo=False,
    )
    os.replace(partial, path)


def load_diffusion(folder: Path, *, device: str = "cpu") -> Diffusion:
    """The model of a folder, frozen and in evaluation mode.

    Raises:
        ModelError: there is none, or it is damaged.
    """
    tensors, about = kept.load(folder, KIND)
    autoencoder = SmallAutoencoder(small.shape_of(about, folder))
    model = Diffusion(autoencoder, Denoiser(autoencoder.latent))
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise ModelError(f"{folder}: the weights are not those that {KIND}.json describes") from error
    return model.to(device).eval().requires_grad_(False)
