"""The noise residual of a picture: what is left when its scene is estimated and taken away, for sensor fingerprints.

Every pixel of a sensor answers light a little more or less than its neighbours, a pattern far weaker than the scene. A
Wiener filter in the wavelet domain explains coefficients that stand out among their neighbours as scene and leaves the
rest (Mihcak, Kozintsev and Ramchandran, ICASSP 1999; as used by Lukas, Fridrich and Goljan, TIFS 2006). What all cameras
of a model share (rows, columns, demosaicing, JPEG grid) is then removed: means of rows and columns in each of the four
Bayer positions, and peaks of the spectrum (Chen, Fridrich, Goljan and Lukas, TIFS 2008). Scene leaks through at edges.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

NOISE = 3.0  # grey levels: standard deviation assumed of the residual, as usual for 8-bit pictures
LEVELS = 4  # of the wavelet transform, as in the papers
WINDOWS = (3, 5, 7, 9)  # coefficients a side, over which the scene's local energy is looked for
TILE = 2048  # pixels a side, worked on at once; a multiple of 2 ** LEVELS
MARGIN = 128  # pixels around a tile that its filters may see; a multiple of 2 ** LEVELS
LOW = np.array(  # Daubechies' orthonormal low-pass with four vanishing moments ("Ten Lectures on Wavelets", table 6.1)
    [
        *(0.23037781330885523, 0.7148465705525415, 0.6308807679295904, -0.02798376941698385),
        *(-0.18703481171888114, 0.030841381835986965, 0.032883011666982945, -0.010597401784997278),
    ],
    np.float32,
)
HIGH = (LOW[::-1] * np.array([1, -1] * 4)).astype(np.float32)

_Plane = NDArray[np.float32]


def residual(luma: _Plane, noise: float = NOISE) -> _Plane:
    """The noise residual of one plane, tile by tile.

    Args:
        luma: float32 (H, W) in grey levels.
        noise: standard deviation of the noise to leave, in grey levels.
    Returns:
        float32 (H, W) in grey levels, about zero mean.
    """
    height, width = luma.shape
    found = np.empty((height, width), np.float32)
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            high, wide = min(TILE, height - top), min(TILE, width - left)
            part = _noise_of(_with_margin(luma, top, left, high, wide), noise)
            found[top : top + high, left : left + wide] = part[MARGIN : MARGIN + high, MARGIN : MARGIN + wide]
    return found


def _with_margin(luma: _Plane, top: int, left: int, high: int, wide: int) -> _Plane:
    """A tile with ``MARGIN`` pixels around it, of the picture where there are, mirrored where not; sides a multiple of 16."""
    step = 2**LEVELS
    ends = top + MARGIN + -(-high // step) * step, left + MARGIN + -(-wide // step) * step
    above, left_of = max(0, MARGIN - top), max(0, MARGIN - left)
    below, right_of = (max(0, end - side) for end, side in zip(ends, luma.shape, strict=True))
    part = luma[max(0, top - MARGIN) : ends[0], max(0, left - MARGIN) : ends[1]]
    return np.asarray(cv2.copyMakeBorder(part, above, below, left_of, right_of, cv2.BORDER_REFLECT), np.float32)


def _noise_of(plane: _Plane, noise: float, levels: int = LEVELS) -> _Plane:
    """Transform, keep of each detail coefficient the share that noise explains, drop the scene's average, transform back."""
    low, *details = analyse(plane)
    below = _noise_of(low, noise, levels - 1) if levels > 1 else np.zeros_like(low)
    return synthesise(below, *(band * noise_share(band * band, noise**2) for band in details))


def noise_share(energy: _Plane, variance: float) -> _Plane:
    """The share in (0, 1] of each coefficient that is noise: variance over itself plus the least local excess energy.

    Args:
        energy: float32 (h, w), squared coefficients.
        variance: of the noise, in the same unit.
    """
    local = [cv2.blur(energy, (side, side), borderType=cv2.BORDER_REFLECT) for side in WINDOWS]
    excess = np.maximum(np.minimum.reduce(local) - variance, 0)
    return np.asarray(variance / (excess + variance), np.float32)


def analyse(plane: _Plane) -> tuple[_Plane, _Plane, _Plane, _Plane]:
    """One level of the periodic wavelet transform: float32 (H, W), both even, to low-low, low-high, high-low, high-high."""
    wrapped = cv2.copyMakeBorder(plane, 0, 7, 0, 7, cv2.BORDER_WRAP)
    height, width = plane.shape

    def band(across: _Plane, down: _Plane) -> _Plane:
        filtered = cv2.sepFilter2D(wrapped, cv2.CV_32F, across, down, anchor=(0, 0))
        return np.ascontiguousarray(filtered[:height:2, :width:2])

    return band(LOW, LOW), band(LOW, HIGH), band(HIGH, LOW), band(HIGH, HIGH)


def synthesise(*bands: _Plane) -> _Plane:
    """The inverse of ``analyse``: four float32 (h, w) to float32 (2h, 2w)."""
    height, width = bands[0].shape
    found = np.zeros((2 * height, 2 * width), np.float32)
    for band, (across, down) in zip(bands, ((LOW, LOW), (LOW, HIGH), (HIGH, LOW), (HIGH, HIGH)), strict=True):
        spread = np.zeros_like(found)
        spread[::2, ::2] = band
        wrapped = cv2.copyMakeBorder(spread, 7, 0, 7, 0, cv2.BORDER_WRAP)
        found += cv2.sepFilter2D(wrapped, cv2.CV_32F, across[::-1].copy(), down[::-1].copy(), anchor=(7, 7))[7:, 7:]
    return found


def without_shared_traces(pattern: _Plane) -> _Plane:
    """A residual or fingerprint, float32 (H, W), without what other cameras of the model share; same shape and unit."""
    centred = pattern.copy()
    for top in (0, 1):
        for left in (0, 1):
            site = centred[top::2, left::2]
            site -= site.mean(axis=0, keepdims=True)
            site -= site.mean(axis=1, keepdims=True)
    variance = float(centred.var())
    if variance == 0:
        return centred
    spectrum = np.fft.rfft2(centred)
    spectrum *= noise_share(np.asarray(np.abs(spectrum) ** 2 / centred.size, np.float32), variance)
    return np.asarray(np.fft.irfft2(spectrum, s=pattern.shape), np.float32)
