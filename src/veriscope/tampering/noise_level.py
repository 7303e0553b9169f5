"""Noise level: which part is noisier, or smoother, than the picture's own other parts of like brightness and texture?

A camera's noise depends on the light and on the processing, both the same for the whole picture; a part from another
picture, a smoothed, repainted or generated one has its own. The noise of each block is the robust spread of its finest
diagonal detail; a curve of noise against brightness and texture is fitted to the picture itself, and regions that lie
off it and off their own surroundings are shown. Strong compression leaves no noise to measure; fine texture counts as
noise, and depth of field as a lack of it. After Mahdian and Saic, "Using noise inconsistencies for blind image forensics",
IVC 2009, and Lyu, Pan and Zhang, "Exposing region splicing forgeries with blind local noise estimation", IJCV 2014.
"""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.picture import Picture
from veriscope.tampering.localisation import Localisation, Localiser, robust_deviation

BLOCK = 8  # pixels a side
STRIP = 1024  # rows worked on at once; a multiple of BLOCK
NORMAL = 0.6745  # median absolute value of a normal distribution of unit deviation
SECOND = np.array([1, -2, 1], np.float32) / np.sqrt(6)  # across and down: Immerkaer's mask, blind to planes
ROUNDING = 0.3  # grey levels: noise that rounding to whole grey levels makes by itself, 1 / sqrt(12)
DARK, BRIGHT = 12.0, 243.0  # grey levels of a block's mean, outside which its noise is clipped
NOISE_STEP = 0.35  # mean step between means of 4x4 px per unit of noise: 0.28 where it is white, more after JPEG
TEXTURED = 12.0  # grey levels a 4 px step: texture from which a block's finest detail is no longer noise
MOST_NOISE = 25.0  # grey levels: more is texture, not a camera's noise
LEAST_BLOCKS = 160  # judged, from which a curve can be fitted
LEAST_SPREAD = 0.12  # of the log noise: the error of one block's estimate
ROUNDS = 8  # of reweighting
TUKEY = 4.685  # robust deviations, from which an outlier has no weight
NEIGHBOURHOOD = 5  # blocks a side, over which deviations are averaged
OFF_CURVE = 2.25  # robust deviations of a neighbourhood from the curve, from which it belongs to a candidate
LEAST_UNEVENNESS = 0.05  # of the log noise, between neighbourhoods of an even picture
OFF_SURROUNDINGS = 4.0  # times the picture's unevenness, from a candidate to its surroundings, at which it is called
LEAST_RATIO = 0.4  # natural log of noise between a candidate and its surroundings: half as much again
LEAST_RING = 16  # blocks judged around a candidate
LEAST_TEXTURE_STEP = 0.25  # of log texture in the noise's own direction, from which the scene explains a candidate
LEAST_SHARE, MOST_SHARE = 0.01, 0.45  # of the picture: an edit is neither a speck nor the rest
MOST_REGIONS = 40  # looked at, the largest first
QUIET = 0.3  # the most that a place outside called regions is given

_Plane = NDArray[np.float32]


def block_noise(luma: _Plane) -> tuple[_Plane, _Plane, _Plane]:
    """Noise, texture and brightness of each whole block.

    Args:
        luma: float32 (H, W) in grey levels, both sides at least 8.
    Returns:
        Three float32 (H // 8, W // 8) in grey levels: the standard deviation of the noise, the mean step between
        neighbouring means of 4x4 px beyond what noise makes, and the mean.
    """
    rows, columns = luma.shape[0] // BLOCK, luma.shape[1] // BLOCK
    noise, texture, brightness = (np.empty((rows, columns), np.float32) for _ in range(3))
    for top in range(0, rows * BLOCK, STRIP):
        strip = luma[top : min(top + STRIP, rows * BLOCK), : columns * BLOCK]
        high = strip.shape[0] // BLOCK
        to = slice(top // BLOCK, top // BLOCK + high)
        detail = np.abs(cv2.sepFilter2D(strip, cv2.CV_32F, SECOND, SECOND, borderType=cv2.BORDER_REFLECT_101))
        cells = detail.reshape(high, BLOCK, columns, BLOCK).swapaxes(1, 2).reshape(high, columns, -1)
        noise[to] = np.median(cells, axis=2) / NORMAL
        fours = cv2.resize(strip, (columns * BLOCK // 4, high * BLOCK // 4), interpolation=cv2.INTER_AREA)
        steps = np.abs(np.diff(fours, axis=1, append=fours[:, -1:])) + np.abs(np.diff(fours, axis=0, append=fours[-1:]))
        mean_steps = cv2.resize(steps / 2, (columns, high), interpolation=cv2.INTER_AREA)
        texture[to] = np.sqrt(np.maximum(np.square(mean_steps) - np.square(NOISE_STEP * noise[to]), 0))
        brightness[to] = cv2.resize(fours, (columns, high), interpolation=cv2.INTER_AREA)
    return noise, texture, brightness


def off_the_curve(noise: _Plane, texture: _Plane, brightness: _Plane, judged: _Plane) -> tuple[_Plane, _Plane]:
    """How far each block's noise lies off the picture's own curve of noise against brightness and texture.

    Args:
        noise, texture, brightness: as ``block_noise`` gives them.
        judged: float32 of the same shape, 0 for blocks to leave out; at least ``LEAST_BLOCKS`` are not.
    Returns:
        The natural log of noise over expected noise, and the same in robust standard deviations of blocks of like
        texture; both 0 where not judged.
    """
    seen = np.log(noise + ROUNDING).astype(np.float64)
    light, structure = brightness / 255, np.log1p(texture)
    terms = np.stack([np.ones_like(light), light, light**2, structure, structure**2], -1).astype(np.float64)
    heard = judged > 0
    values, chosen = seen[heard], terms[heard]
    weights = np.ones(len(values))
    for _ in range(ROUNDS):
        normal = (chosen * weights[:, None]).T @ chosen + 1e-6 * np.eye(chosen.shape[1])
        curve = np.linalg.solve(normal, chosen.T @ (weights * values))
        off = values - chosen @ curve
        scale = max(robust_deviation(off), LEAST_SPREAD)
        weights = np.square(np.maximum(1 - np.square(off / (TUKEY * scale)), 0))
    residual = np.where(heard, seen - terms @ curve, 0).astype(np.float32)
    return residual, residual / _spread_by(structure, residual, heard)


def _spread_by(structure: _Plane, residual: _Plane, heard: NDArray[np.bool_]) -> _Plane:
    """The residual's robust deviation as a function of texture, from quarters of the judged blocks."""
    order = np.argsort(structure[heard])
    quarters = np.array_split(order, 4)
    middles = [float(np.median(structure[heard][part])) for part in quarters]
    spreads = [max(robust_deviation(residual[heard][part]), LEAST_SPREAD) for part in quarters]
    return np.interp(structure, middles, spreads).astype(np.float32)


def regions(deviations: _Plane, ratios: _Plane, texture: _Plane, judged: _Plane) -> tuple[_Plane, float]:
    """The map of regions whose noise is off the curve and off their surroundings.

    Args:
        deviations, ratios: of each block from the curve, in standard deviations and in natural log.
        texture: of each block, as ``block_noise`` gives it.
        judged: float32 of the same shape, 0 for blocks that are left out.
    Returns:
        float32 of the same shape in [0, 1], and the log ratio of the region that stands out most, 0 where none is called.
    """
    smooth, even = (_neighbourhoods(values, judged) for values in (deviations, ratios))
    smooth /= max(robust_deviation(smooth[judged > 0]), 0.2)
    unevenness = robust_deviation(even[judged > 0]) + LEAST_UNEVENNESS
    found = QUIET * np.minimum(np.abs(smooth) / (4 * OFF_CURVE), 1)
    strongest, standing = 0.0, 0.5
    for region in _candidates(smooth):
        ring = cv2.dilate(region, np.ones((11, 11), np.uint8)) - cv2.dilate(region, np.ones((5, 5), np.uint8))
        inside, outside = ((part > 0) & (judged > 0) for part in (region, ring))
        if outside.sum() < LEAST_RING:
            continue
        ratio, structured = (
            float(np.median(values[inside]) - np.median(values[outside])) for values in (ratios, np.log1p(texture))
        )
        strength = float(1 / (1 + np.exp(-2 * (abs(ratio) / unevenness - OFF_SURROUNDINGS))))
        if abs(ratio) < LEAST_RATIO or structured * np.sign(ratio) > LEAST_TEXTURE_STEP:
            strength = min(strength, QUIET)
        found = np.where(region > 0, np.maximum(found, strength), found)
        if strength >= standing:
            strongest, standing = ratio, strength
    return (found * judged).astype(np.float32), strongest


def _neighbourhoods(values: _Plane, judged: _Plane) -> _Plane:
    """Means over the judged of each 5x5 blocks, 0 where the middle one is not judged."""
    size = (NEIGHBOURHOOD, NEIGHBOURHOOD)
    total, weight = (cv2.blur(plane, size, borderType=cv2.BORDER_REFLECT_101) for plane in (values * judged, judged))
    return np.asarray(judged * total / np.maximum(weight, 1 / NEIGHBOURHOOD**2), np.float32)


def _candidates(smooth: _Plane) -> list[NDArray[np.uint8]]:
    """Solid regions off the curve to one side, uint8 masks of the map's shape, the largest first."""
    sized = []
    for side in (smooth > OFF_CURVE, smooth < -OFF_CURVE):
        solid = cv2.morphologyEx(side.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        number, labels, facts, _ = cv2.connectedComponentsWithStats(solid, connectivity=4)
        sized += [(int(facts[at, cv2.CC_STAT_AREA]), labels, at) for at in range(1, number)]
    fitting = [entry for entry in sized if max(16, LEAST_SHARE * smooth.size) <= entry[0] <= MOST_SHARE * smooth.size]
    largest = sorted(fitting, key=lambda entry: -entry[0])[:MOST_REGIONS]
    return [(labels == at).astype(np.uint8) for _, labels, at in largest]


class NoiseLevel(Localiser):
    """Which part is noisier or smoother than the rest at like brightness and texture."""

    name: ClassVar[str] = "noise_level"

    def find(self, picture: Picture) -> Localisation:
        """The map; of reliability 0 where too little noise is left to measure."""
        rows, columns = -(-picture.height // BLOCK), -(-picture.width // BLOCK)
        noise, texture, brightness = block_noise(picture.luma)
        fit = (
            (brightness > DARK)
            & (brightness < BRIGHT)
            & (texture < TEXTURED)
            & (noise < MOST_NOISE)
            & (noise + texture > 0)
        )
        judged = fit.astype(np.float32)
        if judged.sum() < LEAST_BLOCKS:
            return _silent(rows, columns, "Too little of the picture is plain enough to measure its noise.")
        if float(np.median(noise[fit])) < ROUNDING:
            return _silent(rows, columns, "Compression or smoothing left no noise to measure.")
        ratios, deviations = off_the_curve(noise, texture, brightness, judged)
        found, ratio = regions(deviations, ratios, texture, judged)
        edge = (0, rows - noise.shape[0]), (0, columns - noise.shape[1])
        times = float(np.exp(abs(ratio)))
        says = (
            f"One region is {times:.1f} times {'noisier' if ratio > 0 else 'smoother'} than what surrounds it, at like "
            "brightness and texture; pasted or smoothed parts look like this, and so may depth of field."
            if ratio
            else "The noise follows the picture's own brightness and texture throughout; no part stands out."
        )
        return Localisation(
            map=np.pad(found, edge, mode="edge"),
            judged=np.pad(judged, edge, mode="edge"),
            score=float(found.max()),
            says=says,
            reliability=0.5 * min(1.0, 2 * float(judged.mean())),
            reason="Fine texture counts as noise, and depth of field as a lack of it.",
        )


def _silent(rows: int, columns: int, reason: str) -> Localisation:
    nothing = np.zeros((rows, columns), np.float32)
    return Localisation(nothing, nothing, 0.0, "The noise of the picture's parts could not be compared.", 0.0, reason)
