"""Zernike moments of every disc of a picture: a description of a patch that keeps its length when the patch is turned.

The complex moments of a disc are its projections on polynomials that form an orthonormal basis there; turning the disc
multiplies each by a phase, mirroring it conjugates them, so their magnitudes describe what was copied whatever its angle.
They change with scaling by more than a tenth, and a disc whose middle lies off by more than a pixel has other moments.
Khotanzad and Hong, "Invariant image recognition by Zernike moments", IEEE TPAMI 1990.
"""

from __future__ import annotations

from math import factorial

import cv2
import numpy as np
from numpy.typing import NDArray

ORDER = 5  # the highest order; noise takes over above it (Ryu, Lee and Lee, "Copy-rotate-move forgery detection", 2010)


def moments(order: int = ORDER) -> list[tuple[int, int]]:
    """Order and repetition of each moment that is not the conjugate of another.

    >>> moments(3)
    [(0, 0), (1, 1), (2, 0), (2, 2), (3, 1), (3, 3)]
    """
    return [(n, m) for n in range(order + 1) for m in range(n % 2, n + 1, 2)]


def radial(radius: NDArray[np.float64], n: int, m: int) -> NDArray[np.float64]:
    """The radial polynomial of order ``n`` and repetition ``m`` at ``radius`` in [0, 1].

    >>> radial(np.array([0.0, 0.5, 1.0]), 2, 0).tolist()
    [-1.0, -0.5, 1.0]
    """
    value = np.zeros_like(radius)
    for k in range((n - m) // 2 + 1):
        below = factorial(k) * factorial((n + m) // 2 - k) * factorial((n - m) // 2 - k)
        value += (-1) ** k * factorial(n - k) / below * radius ** (n - 2 * k)
    return value


def kernel(n: int, m: int, diameter: int) -> NDArray[np.complex128]:
    """A moment's basis function on a disc, complex (diameter, diameter), of unit energy; all but the first without a mean."""
    across = (np.arange(diameter) - (diameter - 1) / 2) / (diameter / 2)
    x, y = np.meshgrid(across, across)
    radius = np.hypot(x, y)
    inside = radius <= 1
    values = radial(radius, n, m) * np.exp(-1j * m * np.arctan2(y, x))
    if n > 0:  # on pixels the polynomials are not quite orthogonal, and the mean would leak into all others
        values -= values[inside].mean()
    values *= inside
    return np.asarray(values / np.sqrt((np.abs(values) ** 2).sum()))


def magnitudes(plane: NDArray[np.float32], diameter: int, order: int = ORDER) -> NDArray[np.float32]:
    """The magnitude of each moment of the disc around each pixel.

    Args:
        plane: float32 (H, W), in any unit; mirrored beyond its border.
        diameter: of the disc in pixels, odd.
        order: the highest order taken.
    Returns:
        float32 (H, W, len(moments(order))), in the plane's unit times the square root of the disc's area.
    """
    wanted = moments(order)
    found = np.empty((*plane.shape, len(wanted)), np.float32)
    for at, (n, m) in enumerate(wanted):
        basis = kernel(n, m, diameter)
        real = cv2.filter2D(plane, cv2.CV_32F, basis.real.astype(np.float32), borderType=cv2.BORDER_REFLECT)
        if m == 0:
            found[..., at] = np.abs(real)
        else:
            imaginary = cv2.filter2D(plane, cv2.CV_32F, basis.imag.astype(np.float32), borderType=cv2.BORDER_REFLECT)
            found[..., at] = cv2.magnitude(real, imaginary)
    return found
