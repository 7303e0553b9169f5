"""Keyed signs on rings of a latent's spectrum: one sign a ring, which says nothing of place and little of turn.

A ring is the coefficients of one channel at one distance from the constant. Its reading is the mean of their real parts: a
mark shifts it to the side that the key says and leaves all else of the ring as it was. What is read does not depend on the
key, so for a picture that was marked without it each sign agrees by a fair coin (``statistics.FAIR_COIN``).

Paper: Wen et al. 2023 (Tree-Ring: marks in the spectrum of initial noise, with values where ours have signs).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from veriscope.lab.watermarks import keys
from veriscope.watermarks.payload import binomial

INNER = 3  # periods across the latent: lower rings hold the picture's layout and few coefficients
OUTER_SHARE = 0.38  # of the latent's size: the outermost ring


@dataclass(frozen=True)
class Rings:
    """Which coefficients are marked.

    Attributes:
        size: of the latent, ``(channels, size, size)``.
        channels: those that are marked.
    """

    size: int
    channels: tuple[int, ...]

    @property
    def radii(self) -> range:
        """Of the rings, in periods across the latent."""
        return range(INNER, int(self.size * OUTER_SHARE) + 1)

    @property
    def count(self) -> int:
        """How many signs there are."""
        return len(self.channels) * len(self.radii)

    def signs(self, key: str, purpose: str) -> NDArray[np.int8]:
        """The keyed signs for a purpose, ``int8 (channels, radii)`` of -1 and 1."""
        drawn = keys.bits(key, purpose, self.count).reshape(len(self.channels), len(self.radii))
        return (2 * drawn.astype(np.int8) - 1).astype(np.int8)

    def ring_of(self) -> NDArray[np.int64]:
        """The radius of each coefficient, ``int64 (size, size)``, as ``fft2`` orders them."""
        across = np.fft.fftfreq(self.size, 1 / self.size)
        return np.rint(np.hypot(across[:, None], across[None])).astype(np.int64)

    def units(self) -> NDArray[np.float64]:
        """The standard deviation of each ring's reading in white noise, ``float64 (radii,)``."""
        sizes = np.bincount(self.ring_of().ravel(), minlength=self.radii.stop)[list(self.radii)]
        return np.asarray(self.size / np.sqrt(sizes), np.float64)  # coefficients come in pairs of one real part

    def means(self, latents: Tensor) -> Tensor:
        """The readings of latents ``(N, C, size, size)``, ``(N, channels, radii)`` in ``units``; differentiable."""
        real = torch.fft.fft2(latents[:, list(self.channels)]).real
        ring = torch.from_numpy(self.ring_of()).to(latents.device)
        found = [real[:, :, ring == radius].mean(-1) for radius in self.radii]
        return torch.stack(found, -1) / torch.from_numpy(self.units()).to(latents)

    def marked(self, latents: Tensor, signs: NDArray[np.int8], amplitude: float) -> Tensor:
        """Latents ``(N, C, size, size)`` whose rings read at least ``amplitude`` units towards the signs, same shape.

        Args:
            latents: of any spread.
            signs: as ``signs`` gives them.
            amplitude: in ``units``; rings that read more already are left alone.
        """
        read = self.means(latents)
        wanted = torch.from_numpy(signs.astype(np.float32)).to(latents)
        short = (amplitude - wanted * read).clamp(min=0) * wanted * torch.from_numpy(self.units()).to(latents)
        ring = torch.from_numpy(self.ring_of()).to(latents.device)
        spectrum = torch.fft.fft2(latents)
        added = torch.zeros_like(spectrum.real)
        for at, radius in enumerate(self.radii):
            added[:, list(self.channels)] += (ring == radius) * short[:, :, at, None, None]
        return torch.fft.ifft2(spectrum + added).real

    def removed(self, latents: NDArray[np.float32]) -> NDArray[np.float32]:
        """Latents ``float32 (C, size, size)`` without the coefficients on the rings."""
        spectrum = np.fft.fft2(latents)
        on = np.isin(self.ring_of(), list(self.radii))
        for channel in self.channels:
            spectrum[channel][on] = 0
        return np.fft.ifft2(spectrum).real.astype(np.float32)

    @property
    def free(self) -> int:
        """Coefficients of one marked channel that are on no ring."""
        return int((~np.isin(self.ring_of(), list(self.radii))).sum())

    def p_value(self, latents: Tensor, signs: NDArray[np.int8]) -> tuple[float, int]:
        """The p-value of ``statistics.FAIR_COIN`` for latents ``(1, C, size, size)``, and how many signs agree."""
        agree = int((np.sign(self.means(latents)[0].detach().cpu().numpy()) == signs).sum())
        return binomial(agree, self.count), agree
