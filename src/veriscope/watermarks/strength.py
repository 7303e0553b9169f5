"""How strongly a residual is put into a picture: as strongly as a PSNR allows, measured on the pixels that are written."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

PSNR = 42.0  # dB, the least by default
ROUNDS = 6  # tries to come near the PSNR from above
NEAR = 0.03  # dB over the wanted PSNR that is near enough
STRIP = 256  # rows at a time
LARGE = 1200  # rows of a picture from which the strength is first tried on a sample
SAMPLES, SAMPLED_ROWS = 24, 8  # strips of the sample, and rows in each
BLUE = (0.0, -0.344136, 1.772)  # of one step of Cb in red, green and blue


def psnr(before: NDArray[np.integer], after: NDArray[np.integer], most: int) -> float:
    """Peak signal-to-noise ratio in dB of two pictures of one shape; infinite when they are alike.

    >>> psnr(np.zeros((2, 2), np.uint8), np.full((2, 2), 255, np.uint8), 255)
    0.0
    """
    error = (
        float(cv2.norm(before.reshape(len(before), -1), after.reshape(len(after), -1), cv2.NORM_L2SQR)) / before.size
    )
    return math.inf if error == 0 else 10 * math.log10(most**2 / error)


def added(
    pixels: NDArray[np.integer], residual: NDArray[np.float32], strength: float, most: int
) -> NDArray[np.integer]:
    """Pixels with ``strength`` times a residual, rounded and kept in range.

    Args:
        pixels: uint8 or uint16, (H, W, 3) RGB or (H, W) grey.
        residual: float32 (h, w, 2), luma and Cb in steps of 1/255, at any scale of the picture's shape.
        strength: factor.
        most: the largest value, 255 or 65535.
    """
    wide = _wide(residual, pixels.shape[1])
    marked = np.empty_like(pixels)
    for top in range(0, len(pixels), STRIP):
        rows = slice(top, min(len(pixels), top + STRIP))
        marked[rows] = _strip(pixels, wide, rows, strength, most)
    return marked


def _strip(
    pixels: NDArray[np.integer], wide: NDArray[np.float32], rows: slice, strength: float, most: int
) -> NDArray[np.float32]:
    """Some rows of ``added``, before they are stored."""
    part = _rows(wide, rows.start, rows.stop, len(pixels)) * np.float32(strength * most / 255)
    strip = pixels[rows].astype(np.float32)
    if strip.ndim == 2:
        strip += part[..., 0]
    else:
        for channel, share in enumerate(BLUE):
            strip[..., channel] += part[..., 0] + np.float32(share) * part[..., 1] if share else part[..., 0]
    np.rint(strip, out=strip)
    return np.clip(strip, 0, most, out=strip)


def _wide(residual: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """A residual at the picture's width; its rows are enlarged strip by strip, by ``_rows``."""
    if residual.shape[1] == width:
        return residual
    return np.asarray(cv2.resize(residual, (width, len(residual)), interpolation=cv2.INTER_CUBIC), np.float32)


def _rows(wide: NDArray[np.float32], top: int, bottom: int, height: int) -> NDArray[np.float32]:
    """Rows ``top`` to ``bottom`` of ``wide`` enlarged to ``height`` rows, by the cubic that OpenCV uses."""
    if len(wide) == height:
        return wide[top:bottom]
    scale = len(wide) / height
    matrix = np.array([[1, 0, 0], [0, scale, (top + 0.5) * scale - 0.5]], np.float64)
    return np.asarray(
        cv2.warpAffine(
            wide,
            matrix,
            (wide.shape[1], bottom - top),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        ),
        np.float32,
    )


def strengthened(
    pixels: NDArray[np.integer], residual: NDArray[np.float32], wanted: float, most: int
) -> tuple[NDArray[np.integer], float]:
    """Pixels marked as strongly as the wanted PSNR allows, and the PSNR that came out, never less.

    Args:
        pixels, residual, most: as for ``added``.
        wanted: dB.
    """
    wide = _wide(residual, pixels.shape[1])
    strength = _guessed(pixels, wide, wanted, most)
    best: tuple[NDArray[np.integer], float] | None = None
    for _ in range(ROUNDS):
        marked = added(pixels, wide, strength, most)
        found = psnr(pixels, marked, most)
        if found >= wanted and (best is None or found < best[1]):
            best = marked, found
        if wanted <= found <= wanted + NEAR:
            break
        strength *= _correction(found, wanted)
    if best is None:
        marked = added(pixels, wide, strength * 0.9, most)
        best = marked, psnr(pixels, marked, most)
    return best


def _correction(found: float, wanted: float) -> float:
    return float(10 ** (min(found - wanted - NEAR / 2, 6) / 20))


def _guessed(pixels: NDArray[np.integer], wide: NDArray[np.float32], wanted: float, most: int) -> float:
    """The strength that reaches the wanted PSNR on some rows of a large picture, or by the residual's energy."""
    luma, chroma = (float((wide[..., at] ** 2).mean()) for at in range(2))
    cross = float((wide[..., 0] * wide[..., 1]).mean())
    shares = BLUE if pixels.ndim == 3 else (0.0,)
    energy = sum(luma + 2 * share * cross + share**2 * chroma for share in shares) / len(shares)
    strength = math.sqrt(255**2 * 10 ** (-wanted / 10) / max(energy, 1e-12))
    if len(pixels) < LARGE:
        return strength
    starts = np.linspace(0, len(pixels) - SAMPLED_ROWS, SAMPLES).astype(int)
    for _ in range(ROUNDS):
        error = 0.0
        for start in starts:
            rows = slice(int(start), int(start) + SAMPLED_ROWS)
            error += float(((_strip(pixels, wide, rows, strength, most) - pixels[rows]) ** 2).mean()) / SAMPLES
        factor = _correction(10 * math.log10(most**2 / max(error, 1e-9)), wanted)
        strength *= factor
        if abs(factor - 1) < 0.002:
            break
    return strength
