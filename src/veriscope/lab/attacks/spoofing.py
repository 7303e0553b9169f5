"""Forging a mark with nothing but access to a service that marks: send it a picture of noise, and lay what it added on a real
one.

The service is a black box that marks whatever it is given, as an image editor in the cloud does. A picture of noise hides a
mark well, so the encoder puts much into it; the difference of what comes back and what was sent is laid on a real picture,
which then reads as marked. Several questions are averaged. There is nothing to evade here, so marked pictures are left as
they are.

Papers: Saberi et al. 2024 (spoofing by noise pictures); Kutter et al. 2000 (the copy attack).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.lab.attacks.attack import Attack, Change, Pixels

ASKED = 4  # questions to the service
LOUDNESS = (1.0, 2.0)  # times what it added
NOISE = 40.0  # levels: spread of the noise that is sent
SMOOTH = 0.7  # pixels: it is a little smooth, as pictures are


def asked(
    service: Callable[[Pixels], Pixels], height: int, width: int, seed: int = 0, times: int = ASKED
) -> NDArray[np.float32]:
    """What a service adds to noise, averaged, ``float32 (height, width, 3)`` in levels.

    Args:
        service: marks ``uint8 (H, W, 3)`` RGB, always alike.
        height, width: of the pictures that are sent.
        seed: of the noise.
        times: how many are sent.
    """
    generator = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float32)
    for _ in range(times):
        noise = cv2.GaussianBlur(generator.standard_normal((height, width, 3)).astype(np.float32), (0, 0), SMOOTH)
        sent = np.clip(np.rint(128 + NOISE * noise / noise.std()), 0, 255).astype(np.uint8)
        total += service(sent).astype(np.float32) - sent
    return np.asarray(total / times, np.float32)


def spoofing(service: Callable[[Pixels], Pixels], loudness: Sequence[float] = LOUDNESS) -> list[Attack]:
    """Attacks that lay what a service adds to noise onto real pictures; the service is asked anew for each size of picture."""
    known: dict[tuple[int, int], NDArray[np.float32]] = {}

    def change(times: float) -> Change:
        def forged(rgb: Pixels, _: np.random.Generator) -> Pixels:
            size = (rgb.shape[0], rgb.shape[1])
            if size not in known:
                known[size] = asked(service, *size)
            return np.clip(np.rint(rgb + np.float32(times) * known[size]), 0, 255).astype(np.uint8)

        return forged

    return [
        Attack(f"spoof by noise x{times:g}", "spoofing", lambda rgb, _: rgb, change(times), forges=True)
        for times in loudness
    ]
