"""Marks that are the initial noise itself: each picture starts from a keyed noise of a list, and is known again by it.

The noises follow from key and number, so none is stored. Each belongs to a group, whose keyed signs lie on rings of half of
the channels; the others are left as they were drawn. To find a picture's noise it is inverted, the group is read off the
rings, and then only that group's noises are compared; where no group is sure, all are. A reader without the key sees noise.
What is marked is what a generator draws; nothing can be put into a picture that exists.

Paper: Arabi et al., "Hidden in the Noise: Two-Stage Robust Watermarking for Images" (WIND), ICLR 2025.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from veriscope.errors import VeriscopeError
from veriscope.lab.watermarks import keys
from veriscope.lab.watermarks.models import LatentModel, inverted, run, square
from veriscope.lab.watermarks.rings import Rings
from veriscope.lab.watermarks.statistics import INDEPENDENT_NOISE, cosine_p
from veriscope.synthetic import ddim
from veriscope.watermarks.payload import corrected_p

STEPS = 20  # of the denoiser, each way
AMPLITUDE = 4.0  # of a group's signs: standard deviations of a ring's reading in white noise
SURE = 1e-3  # p-value from which on a group is taken for found
FPR = 1e-6


@dataclass(frozen=True)
class Found:
    """What the two stages gave.

    Attributes:
        marked: whether the p-value is at most ``FPR``.
        noise: the number of the nearest noise; ``group`` is its group.
        group_p_value: of the first stage, for the best of all groups.
        p_value: of the second stage, for the best of the noises that were compared (``statistics.INDEPENDENT_NOISE``).
        cosine: of the picture's noise with the nearest one.
        compared: how many noises were.
        stages: 2, or 1 where no group was sure and all noises were compared.
    """

    marked: bool
    noise: int
    group: int
    group_p_value: float
    p_value: float
    cosine: float
    compared: int
    stages: int
    null: str = INDEPENDENT_NOISE

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Noises:
    """A keyed list of initial noises.

    Attributes:
        key: the secret.
        channels, size: of the latents, ``(channels, size, size)``.
        count: how many there are.
        groups: how many groups they are in.
    """

    key: str
    channels: int
    size: int
    count: int = 1024
    groups: int = 32

    def __post_init__(self) -> None:
        keys.checked(self.key)
        if not 1 <= self.groups <= self.count:
            raise VeriscopeError(f"--groups must be 1 to --noises ({self.count}), not {self.groups}")

    @property
    def rings(self) -> Rings:
        """Where the groups' signs lie: in half of the channels."""
        return Rings(self.size, tuple(range(max(1, self.channels // 2))))

    def drawn(self, number: int) -> NDArray[np.float32]:
        """A noise before its group's signs, ``float32 (channels, size, size)``, independent and of unit spread.

        Raises:
            VeriscopeError: there is none of that number.
        """
        if not 0 <= number < self.count:
            raise VeriscopeError(f"there is no noise {number}; there are 0 to {self.count - 1}")
        source = keys.generator(self.key, f"noise {number}")
        return source.standard_normal((self.channels, self.size, self.size), np.float32)

    def group_of(self, number: int) -> int:
        """The group of a noise."""
        return number % self.groups

    def start(self, number: int) -> NDArray[np.float32]:
        """What a picture is drawn from, ``float32 (channels, size, size)``: the noise with its group's signs."""
        signs = self.rings.signs(self.key, f"group {self.group_of(number)}")
        return np.asarray(
            self.rings.marked(torch.from_numpy(self.drawn(number))[None], signs, AMPLITUDE)[0].numpy(), np.float32
        )

    def find(self, latents: NDArray[np.float32]) -> Found:
        """The noise that latents ``float32 (channels, size, size)``, inverted from a picture, started from."""
        given = torch.from_numpy(latents)[None]
        values = [
            self.rings.p_value(given, self.rings.signs(self.key, f"group {group}"))[0] for group in range(self.groups)
        ]
        nearest = int(np.argmin(values))
        group_p = corrected_p(values[nearest], self.groups)
        sure = group_p <= SURE
        numbers = range(nearest, self.count, self.groups) if sure else range(self.count)
        seen = self.rings.removed(latents).ravel()
        seen = seen / (np.linalg.norm(seen) + 1e-12)
        cosines = []
        for number in numbers:
            noise = self.rings.removed(self.drawn(number)).ravel()
            cosines.append(float(seen @ noise / np.linalg.norm(noise)))
        best = int(np.argmax(cosines))
        marked_channels = len(self.rings.channels)
        size = (self.channels - marked_channels) * self.size**2 + marked_channels * self.rings.free
        p_value = corrected_p(cosine_p(cosines[best], size), len(cosines))
        if sure:  # both stages were tried, and either alone could have named the noise
            p_value = corrected_p(p_value, 2)
        return Found(
            p_value <= FPR,
            numbers[best],
            self.group_of(numbers[best]),
            group_p,
            p_value,
            round(cosines[best], 4),
            len(cosines),
            2 if sure else 1,
        )


@torch.no_grad()
def drawn(model: LatentModel, start: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The picture ``uint8 (side, side, 3) RGB`` that a model draws from a noise ``float32 (channels, size, size)``."""
    latents = run(model, torch.from_numpy(start)[None], model.most, ddim.LEAST, STEPS)
    pixels = model.decode(latents)[0].clamp(0, 1).permute(1, 2, 0)
    return np.asarray((pixels * 255).round().to(torch.uint8).numpy(), np.uint8)


def noise_of(model: LatentModel, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The noise ``float32 (channels, size, size)`` that a model would have drawn a picture ``uint8 (H, W, 3) RGB`` of."""
    return np.asarray(inverted(model, square(rgb, model.side), STEPS)[0].numpy(), np.float32)
