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
    height, width = pixels.shape[:2]
    marked = np.empty_like(pixels)
    unit = strength * most / 255
    rows, columns = residual.shape[:2]
    wide = (
        cv2.resize(residual * np.float32(unit), (width, rows), interpolation=cv2.INTER_CUBIC)
        if width != columns
        else (residual * np.float32(unit))
    )
    for top in range(0, height, STRIP):
        bottom = min(height, top + STRIP)
        part = _rows(wide, top, bottom, height)
        strip = pixels[top:bottom].astype(np.float32)
        if strip.ndim == 2:
            strip += part[..., 0]
        else:
            strip[..., 0] += part[..., 0]
            strip[..., 1] += part[..., 0] + np.float32(BLUE[1]) * part[..., 1]
            strip[..., 2] += part[..., 0] + np.float32(BLUE[2]) * part[..., 1]
        np.rint(strip, out=strip)
        np.clip(strip, 0, most, out=strip)
        marked[top:bottom] = strip
    return marked


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
    luma, chroma = (float((residual[..., at] ** 2).mean()) for at in range(2))
    cross = float((residual[..., 0] * residual[..., 1]).mean())
    shares = BLUE if pixels.ndim == 3 else (0.0,)
    energy = sum(luma + 2 * share * cross + share**2 * chroma for share in shares) / len(shares)
    target = 255**2 * 10 ** (-wanted / 10)
    strength = math.sqrt(target / max(energy, 1e-12))
    best: tuple[NDArray[np.integer], float] | None = None
    for _ in range(ROUNDS):
        marked = added(pixels, residual, strength, most)
        found = psnr(pixels, marked, most)
        if found >= wanted and (best is None or found < best[1]):
            best = marked, found
        if wanted <= found <= wanted + NEAR:
            break
        strength *= 10 ** (min(found - wanted - NEAR / 2, 6) / 20)
    if best is None:
        marked = added(pixels, residual, strength * 0.9, most)
        best = marked, psnr(pixels, marked, most)
    return best
