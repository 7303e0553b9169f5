"""Twelve plain measures of how a picture looks, for the Visual AI Index.

Each is a pure function of pixels with its formula. The paper names what it measures (texture complexity, colour distribution,
object coherence, contextual relevance, smoothness, sharpness, contrast and so on); the definitions are our own, and those of
coherence and relevance are plain proxies for what the names promise.

Paper: Imanpour et al. 2024 (Visual Counter Turing Test, the Visual AI Index).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 512  # pixels, the longer side on which all is measured
BLOCKS = 8  # an axis, for the context
CONTOUR = 40  # pixels of a contour that holds together


def texture_complexity(luma: NDArray[np.float32]) -> float:
    """Entropy in bits of the local binary patterns, over the 256 signs of a pixel's eight neighbours less itself.

    Args:
        luma: float32 (H, W) in [0, 255]; so in all measures below.
    """
    middle = luma[1:-1, 1:-1]
    height, width = luma.shape
    code = np.zeros(middle.shape, np.int64)
    around = [(0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0)]
    for bit, (down, right) in enumerate(around):
        code |= (luma[down : height - 2 + down, right : width - 2 + right] > middle).astype(np.int64) << bit
    return _entropy(np.bincount(code.ravel(), minlength=256))


def colour_distribution(rgb: NDArray[np.uint8]) -> float:
    """Entropy in bits of the colours, over 8 x 8 x 8 bins of ``uint8 (H, W, 3)`` RGB."""
    bins = (rgb >> 5).astype(np.int64)
    return _entropy(np.bincount((bins[..., 0] * 64 + bins[..., 1] * 8 + bins[..., 2]).ravel(), minlength=512))


def object_coherence(edges: NDArray[np.uint8]) -> float:
    """The share of edge pixels, ``uint8 (H, W)``, that lie on connected contours of 40 pixels or more."""
    _, _, stats, _ = cv2.connectedComponentsWithStats((edges > 0).astype(np.uint8), connectivity=8)
    sizes = stats[1:, cv2.CC_STAT_AREA]
    return float(sizes[sizes >= CONTOUR].sum() / max(sizes.sum(), 1))


def contextual_relevance(rgb: NDArray[np.uint8]) -> float:
    """How much nearer in colour adjoining blocks are than any two: 1 - mean distance of neighbours / mean of all pairs."""
    colours = cv2.resize(rgb, (BLOCKS, BLOCKS), interpolation=cv2.INTER_AREA).astype(np.float64)
    down, across = np.diff(colours, axis=0), np.diff(colours, axis=1)
    near = np.r_[np.linalg.norm(down, axis=2).ravel(), np.linalg.norm(across, axis=2).ravel()].mean()
    flat = colours.reshape(-1, 3)
    far = np.linalg.norm(flat[:, None] - flat[None], axis=2)[np.triu_indices(len(flat), 1)].mean()
    return float(1 - near / far) if far > 1e-9 else 0.0


def smoothness(slope: NDArray[np.float32]) -> float:
    """The share of pixels whose slope, ``float32 (H, W)`` in grey levels a pixel, is under 2."""
    return float((slope < 2).mean())


def sharpness(luma: NDArray[np.float32]) -> float:
    """log10 of 1 + the variance of the Laplacian."""
    return float(np.log10(1 + cv2.Laplacian(luma, cv2.CV_32F).var()))


def contrast(luma: NDArray[np.float32]) -> float:
    """Standard deviation by mean (RMS contrast)."""
    return float(luma.std() / (luma.mean() + 1))


def noise(luma: NDArray[np.float32]) -> float:
    """log10 of 1 + the noise in grey levels: the median size of the diagonal Haar coefficients by 0.6745 (Donoho 1994)."""
    even = luma[: luma.shape[0] // 2 * 2, : luma.shape[1] // 2 * 2]
    diagonal = (even[::2, ::2] - even[1::2, ::2] - even[::2, 1::2] + even[1::2, 1::2]) / 2
    return float(np.log10(1 + np.median(np.abs(diagonal)) / 0.6745))


def edge_density(edges: NDArray[np.uint8]) -> float:
    """The share of pixels that are edges, ``uint8 (H, W)``."""
    return float((edges > 0).mean())


def saturation(rgb: NDArray[np.uint8]) -> float:
    """Mean of (max - min) / max over the three colours."""
    high, low = rgb.max(2).astype(np.float32), rgb.min(2).astype(np.float32)
    return float(((high - low) / np.maximum(high, 1)).mean())


def symmetry(luma: NDArray[np.float32]) -> float:
    """Correlation of a small copy with its mirror image; 0 for a flat picture."""
    small = cv2.resize(luma, (64, 64), interpolation=cv2.INTER_AREA).astype(np.float64)
    small = small - small.mean()
    energy = float((small * small).sum())
    return float((small * small[:, ::-1]).sum() / energy) if energy > 1 else 0.0


def frequency_slope(luma: NDArray[np.float32]) -> float:
    """Slope of log10 power against log10 frequency, over frequencies from 1/64 to 1/2 of a cycle a pixel."""
    window = np.outer(np.hanning(luma.shape[0]), np.hanning(luma.shape[1]))
    power = np.abs(np.fft.rfft2((luma - luma.mean()) * window)) ** 2
    frequency = np.hypot(np.fft.fftfreq(luma.shape[0])[:, None], np.fft.rfftfreq(luma.shape[1])[None])
    edges = np.geomspace(1 / 64, 1 / 2, 13)
    band = np.digitize(frequency, edges).ravel()
    sums, counts = np.bincount(band, power.ravel(), 14)[1:13], np.bincount(band, minlength=14)[1:13]
    there = counts > 0
    means = np.log10(sums[there] / counts[there] + 1e-3)
    return float(np.polyfit(np.log10(np.sqrt(edges[:-1] * edges[1:]))[there], means, 1)[0]) if there.sum() > 2 else 0.0


MEASURES = (
    "texture_complexity",
    "colour_distribution",
    "object_coherence",
    "contextual_relevance",
    "smoothness",
    "sharpness",
    "contrast",
    "noise",
    "edge_density",
    "saturation",
    "symmetry",
    "frequency_slope",
)


def measure(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The twelve measures ``float32 (12,)`` of ``uint8 (H, W, 3)`` RGB, brought to 512 pixels on its longer side."""
    scale = SIDE / max(rgb.shape[:2])
    size = max(16, round(rgb.shape[1] * scale)), max(16, round(rgb.shape[0] * scale))
    rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC), np.uint8)
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    luma = grey.astype(np.float32)
    slope = np.hypot(cv2.Sobel(luma, cv2.CV_32F, 1, 0) / 8, cv2.Sobel(luma, cv2.CV_32F, 0, 1) / 8)
    edges = cv2.Canny(grey, 80, 160)
    return np.array(
        [
            texture_complexity(luma),
            colour_distribution(rgb),
            object_coherence(np.asarray(edges, np.uint8)),
            contextual_relevance(rgb),
            smoothness(slope),
            sharpness(luma),
            contrast(luma),
            noise(luma),
            edge_density(np.asarray(edges, np.uint8)),
            saturation(rgb),
            symmetry(luma),
            frequency_slope(luma),
        ],
        np.float32,
    )


def _entropy(counts: NDArray[np.int64]) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())
