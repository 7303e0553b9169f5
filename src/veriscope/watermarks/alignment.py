"""Where the canonical grid lies in a picture: scale, turn, mirroring, stretch and place, from the template alone and no key.

The template's harmonics stand out of the power spectrum of the whitened picture wherever it was cut out; a search over scales
and turns finds them, a least-squares fit to the single peaks gives the whole linear map. Their phases then give the place, and
a p-value: without a mark, phases are independent and even whatever the powers are, so their agreement is bounded (Hoeffding).
Fails where little of the picture is left (a tenth), or it was bent. Paper: Pereira and Pun 2000 (template matching).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.watermarks import tiling

FINER = 1.5  # times the canonical resolution: at which a picture is looked at
PADDED = 1152  # bins a side of the spectrum
BOX = 9  # canonical pixels, as in the extractor
WHITENING = 1.5  # power of the local activity that detail is divided by
LARGEST_STEP = 0.85  # bins between two hypotheses' predictions of the farthest peak, about
SCALES = (0.28, 1.7)  # of the frequencies beside a whole picture's: crops to a twelfth of the area, and frames
STRETCHES = (0.6, 1.67)  # ratio of the two axes' scales that is searched without a turn
LOCAL = 41  # bins: side of the square whose mean power a peak is compared with
EULER = 0.5772157  # by how much the mean logarithm of an exponential variable lies under that of its mean
CAP = 12.0  # times the local mean: what a single peak may count
KEPT = 6  # hypotheses of each family that are looked at closely
SHIFTS = 192  # places a side of the tile that are tried
REACHES = (3, 2)  # bins round a predicted peak in which it is looked for, first and second fit
MOST_TILES = (
    17,
    64,
)  # of a rectified picture, a side and in all: what the longest picture that is marked takes, and more


@dataclass(frozen=True, eq=False)
class Alignment:
    """A place of the canonical grid in a picture.

    Attributes:
        matrix: float64 (2, 3), canonical pixels (x, y) to those of the picture, both from the top left corner's edge.
        strength: agreement of the template's phases, in standard deviations.
        p_value: bound on the probability of so much agreement without a template, among all that was tried.
    """

    matrix: NDArray[np.float64]
    strength: float
    p_value: float

    @property
    def mirrored(self) -> bool:
        """Whether the picture was mirrored."""
        return float(np.linalg.det(self.matrix[:, :2])) < 0


def small(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture at ``FINER`` times the canonical resolution, or as it is when it is smaller."""
    height, width = rgb.shape[:2]
    scale = FINER * tiling.SIDE / math.sqrt(height * width)
    if scale >= 1:
        return rgb
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def detail(rgb: NDArray[np.uint8], pixel: float) -> NDArray[np.float32]:
    """Detail of luma and Cb, divided by the local activity, float32 (2, H, W).

    Args:
        rgb: uint8 (H, W, 3).
        pixel: how many of its pixels are a canonical one.
    """
    box = 2 * round(BOX * pixel / 2) + 1
    planes = cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb)[:, :, ::2].astype(np.float32)

    def mean(x: NDArray[np.float32]) -> NDArray[np.float32]:
        once = cv2.boxFilter(x, -1, (box, box), borderType=cv2.BORDER_REFLECT_101)
        return np.asarray(cv2.boxFilter(once, -1, (box, box), borderType=cv2.BORDER_REFLECT_101), np.float32)

    fine = planes - mean(planes)
    activity = np.sqrt(mean(fine * fine) + 1)
    return np.ascontiguousarray(np.moveaxis(fine / activity**WHITENING, 2, 0))


def spectra(whitened: NDArray[np.float32]) -> NDArray[np.float32]:
    """Power of each channel over its local mean, float32 (2, PADDED, PADDED), the zero frequency in the middle.

    Of a picture more than four times as long as wide, the middle.
    """
    top, left = (max(0, (side - PADDED) // 2) for side in whitened.shape[1:])
    whitened = whitened[:, top : top + PADDED, left : left + PADDED]
    height, width = whitened.shape[1:]
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1]).astype(np.float32)
    found = np.empty((tiling.CHANNELS, PADDED, PADDED), np.float32)
    half = PADDED // 2
    for channel, plane in enumerate(whitened):
        padded = np.zeros((PADDED, PADDED), np.float32)
        padded[:height, :width] = plane * window
        transformed = cv2.dft(padded, flags=cv2.DFT_COMPLEX_OUTPUT, nonzeroRows=height)
        power = cv2.magnitude(transformed[..., 0], transformed[..., 1]) ** 2
        power = np.roll(power, (half, half), (0, 1))
        # The mean of the logarithm, which neither single peaks nor the slope towards low frequencies pull up.
        level = cv2.boxFilter(np.log(power + 1e-9), -1, (LOCAL, LOCAL))
        found[channel] = power * np.exp(-level - EULER)
    return found


@lru_cache(maxsize=1)
def _hypotheses() -> NDArray[np.float64]:
    """Linear maps of frequency (n, 2, 2), (down, across) canonical to (down, across) as seen, in units of the whole picture's.

    A family of scales and turns, and one of unequal scales without a turn; the mirrored ones come on top.
    """
    finest = 24.0 / tiling.TILE / FINER * PADDED  # bins: the farthest peak of a whole picture
    step = LARGEST_STEP * 2 / finest
    scales = np.exp(np.arange(math.log(SCALES[0]), math.log(SCALES[1]), 1.5 * step))
    maps = []
    for angle in np.arange(0, math.pi, step):
        turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        maps.append(turn[None] * scales[:, None, None])
    for stretch in np.exp(np.arange(math.log(STRETCHES[0]), math.log(STRETCHES[1]), 1.5 * step)):
        root = math.sqrt(stretch)
        maps.append(np.diag([root, 1 / root])[None] * scales[:, None, None])
    found = np.concatenate(maps)
    return np.concatenate([found, found @ np.diag([1.0, -1.0])])


@lru_cache(maxsize=8)
def _indices(pixel: float) -> NDArray[np.int32]:
    """Places of the template's peaks in a spectrum under each hypothesis, int32 (2 * PEAKS, n), luma's before chroma's."""
    maps = _hypotheses()
    peaks = tiling.template_peaks()[0].astype(np.float64)
    half = PADDED // 2
    rows = []
    for channel in range(tiling.CHANNELS):
        for peak in peaks[channel]:
            place = np.rint(maps @ peak * (PADDED / tiling.TILE / pixel)).astype(np.int64)
            inside = (np.abs(place) < half).all(1)
            flat = (place[:, 0] + half) * PADDED + place[:, 1] + half
            rows.append(np.where(inside, flat, 0) + channel * PADDED * PADDED)
    return np.array(rows, np.int32)


def candidates(power: NDArray[np.float32], pixel: float) -> list[NDArray[np.float64]]:
    """The likeliest linear maps of frequency (2, 2), refined to the peaks, the best first.

    Args:
        power: of ``spectra``.
        pixel: how many pixels are a canonical one, were the picture whole.
    """
    blunt = np.stack([cv2.dilate(np.minimum(plane, CAP), np.ones((3, 3), np.uint8)) for plane in power])
    blunt[:, 0, 0] = 1
    flat = blunt.reshape(-1)
    score = np.zeros(len(_hypotheses()), np.float32)
    for row in _indices(round(pixel, 3)):
        score += flat[row]
    found: list[tuple[float, NDArray[np.float64]]] = []
    maps = _hypotheses()
    for place in np.argsort(-score)[: 6 * KEPT]:
        refined = maps[place]
        for reach in REACHES:
            refined = _fitted(power, refined, pixel, reach)
        if not _plausible(refined):  # in a picture without detail peaks are wherever rounding put them
            continue
        if not any(np.abs(refined - other).max() < 0.01 for _, other in found):
            found.append((_height(power, refined, pixel), refined))
        if len(found) >= 2 * KEPT:
            break
    return [refined for _, refined in sorted(found, key=lambda item: -item[0])[:KEPT]]


def _plausible(linear: NDArray[np.float64]) -> bool:
    """Whether a linear map of frequency lies near those that are searched."""
    most, least = np.linalg.svd(linear, compute_uv=False)
    return bool(SCALES[0] / 2 < least and most < SCALES[1] * 2 and most < 3 * least)


@lru_cache(maxsize=1)
def _peaks() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The template's peaks one after the other: channel (n,), and harmonics (n, 2), down and across."""
    harmonics = tiling.template_peaks()[0]
    channels = np.repeat(np.arange(tiling.CHANNELS), tiling.PEAKS)
    return channels, harmonics.reshape(-1, 2).astype(np.float64)


def _near(linear: NDArray[np.float64], pixel: float, margin: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The bins nearest to the predicted peaks (n, 2), and which of them lie inside the spectrum by a margin."""
    bins = np.rint(_peaks()[1] @ linear.T * (PADDED / tiling.TILE / pixel)).astype(np.int64) + PADDED // 2
    return bins, np.asarray(((bins >= margin) & (bins < PADDED - margin)).all(1))


def _height(power: NDArray[np.float32], linear: NDArray[np.float64], pixel: float) -> float:
    bins, inside = _near(linear, pixel, 0)
    found = power[_peaks()[0][inside], bins[inside, 0], bins[inside, 1]]
    return float(np.minimum(found, CAP).sum())


def _fitted(power: NDArray[np.float32], linear: NDArray[np.float64], pixel: float, reach: int) -> NDArray[np.float64]:
    """The linear map that fits the local maxima of power near the predicted peaks best, each weighted by its height."""
    channels, known = _peaks()
    bins, inside = _near(linear, pixel, reach + 1)
    if inside.sum() < 6:
        return linear
    channels, known, bins = channels[inside], known[inside], bins[inside]
    around = np.arange(-reach, reach + 1)
    patches = power[
        channels[:, None, None], bins[:, :1, None] + around[None, :, None], bins[:, 1:, None] + around[None, None, :]
    ]
    tops = patches.reshape(len(patches), -1).argmax(1)
    y, x = bins[:, 0] + tops // len(around) - reach, bins[:, 1] + tops % len(around) - reach
    down = np.stack([power[channels, y + step, x] for step in (-1, 0, 1)], 1)
    across = np.stack([power[channels, y, x + step] for step in (-1, 0, 1)], 1)
    offsets = np.stack([_parabolas(down), _parabolas(across)], 1)
    seen = (np.stack([y, x], 1) - PADDED // 2 + offsets) / (PADDED / tiling.TILE / pixel)
    weights = np.minimum(down[:, 1], CAP).astype(np.float64)[:, None]
    solved = np.linalg.lstsq(known * weights, seen * weights, rcond=None)[0]
    return np.asarray(solved.T, np.float64)


def _parabolas(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Where between -1/2 and 1/2 the parabolas through three values each (n, 3) are highest."""
    before, middle, after = np.asarray(values, np.float64).T
    bend = before - 2 * middle + after
    bent = bend < 0
    return np.where(bent, np.clip(0.5 * (before - after) / np.where(bent, bend, -1), -0.5, 0.5), 0.0)


def _placed(
    whitened: NDArray[np.float32], linear: NDArray[np.float64], pixel: float
) -> tuple[NDArray[np.float64], float]:
    """The affine map (2, 3) from canonical (x, y) to pixels, and the agreement of the phases in standard deviations."""
    height, width = whitened.shape[1:]
    harmonics, phases = tiling.template_peaks()
    spectrum = np.zeros((SHIFTS, SHIFTS), np.complex128)
    energy = 0.0
    y, x = np.arange(height) + 0.5, np.arange(width) + 0.5
    for channel in range(tiling.CHANNELS):
        frequency = harmonics[channel] @ linear.T / (tiling.TILE * pixel)
        down = np.exp(-2j * np.pi * frequency[:, :1] * y).astype(np.complex64)
        across = np.exp(-2j * np.pi * frequency[:, 1:] * x).astype(np.complex64)
        plane = whitened[channel]
        summed = plane @ across.real.T + 1j * (plane @ across.imag.T)
        found = np.einsum("hk,kh->k", summed, down)
        level = math.sqrt(float((plane * plane).sum()))
        found = np.where(np.abs(frequency).max(1) < 0.5, found / max(level, 1e-9), 0)
        size = np.abs(found)
        found *= np.minimum(1, math.sqrt(CAP) / np.maximum(size, 1e-9))
        # The template's phases are those at the centre of the tile's first pixel, half a pixel from its edge.
        found = found * np.exp(-1j * (phases[channel] - np.pi * harmonics[channel].sum(1) / tiling.TILE))
        energy += float((np.abs(found) ** 2).sum())
        spectrum[harmonics[channel][:, 0] % SHIFTS, harmonics[channel][:, 1] % SHIFTS] += found
    agreement = np.fft.ifft2(spectrum).real * SHIFTS**2
    top = np.unravel_index(int(agreement.argmax()), agreement.shape)
    around = agreement[np.ix_([(top[0] + d) % SHIFTS for d in (-1, 0, 1)], [(top[1] + d) % SHIFTS for d in (-1, 0, 1)])]
    unit = tiling.TILE / SHIFTS
    place = (np.array(top) + _parabolas(np.stack([around[:, 1], around[1]]))) * unit
    spatial = np.linalg.inv(linear).T * pixel  # (down, across) canonical to pixels
    # A wave e^(2 pi i k c / T) at canonical c is seen at pixel S c + t: its coefficient turns by -k S^-1 t.
    origin = spatial @ place
    matrix = np.array([[spatial[1, 1], spatial[1, 0], origin[1]], [spatial[0, 1], spatial[0, 0], origin[0]]])
    return matrix, float(agreement.max()) / math.sqrt(max(energy, 1e-12))


def align(rgb: NDArray[np.uint8]) -> list[Alignment]:
    """Where the canonical grid may lie in a picture, the likeliest first; at least one, marked or not.

    Args:
        rgb: uint8 (H, W, 3), at ``FINER`` times the canonical resolution or less, of ``small``.
    """
    height, width = rgb.shape[:2]
    pixel = math.sqrt(height * width) / tiling.SIDE
    whitened = detail(rgb, pixel)
    maps = [np.eye(2), *candidates(spectra(whitened), pixel)]
    tries = 2 * len(maps) * SHIFTS**2
    found = []
    for linear in maps:
        for sense in (1, -1):
            matrix, strength = _placed(whitened, sense * linear, pixel)
            found.append(Alignment(matrix, strength, min(1.0, tries * math.exp(-(strength**2)))))
    return sorted(found, key=lambda item: -item.strength)


def rectified(rgb: NDArray[np.uint8], alignment: Alignment) -> NDArray[np.float32]:
    """The picture on the canonical grid, float32 (4, H, W): RGB in [0, 1] and validity; sides are multiples of the tile."""
    height, width = rgb.shape[:2]
    linear, origin = alignment.matrix[:, :2], alignment.matrix[:, 2]
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float64)
    canonical = np.linalg.solve(linear, (corners - origin).T).T
    tile = tiling.TILE
    first = np.floor(canonical.min(0) / tile + 0.02) * tile
    tiles = np.clip(np.ceil((canonical.max(0) - first) / tile - 0.02), 1, MOST_TILES[0]).astype(int)
    tiles = np.minimum(tiles, max(1, MOST_TILES[1] // int(tiles.min())))
    wide, high = (int(count) * tile for count in tiles)
    # Sampled finer than canonical and then averaged, so that nothing folds over; OpenCV counts from the centre of a pixel.
    step = 1 / FINER
    onto = np.column_stack([linear * step, origin + linear @ (first + step / 2) - 0.5])
    size = round(wide * FINER), round(high * FINER)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    seen = cv2.warpAffine(rgb, onto, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    valid = cv2.warpAffine(np.full(rgb.shape[:2], 255, np.uint8), onto, size, flags=flags)
    pixels = cv2.resize(seen.astype(np.float32) / 255, (wide, high), interpolation=cv2.INTER_AREA)
    there = (cv2.resize(valid, (wide, high), interpolation=cv2.INTER_AREA) > 250).astype(np.float32)
    pixels = pixels * there[..., None] + 0.5 * (1 - there[..., None])
    return np.ascontiguousarray(np.concatenate([np.moveaxis(pixels, 2, 0), there[None]]))
