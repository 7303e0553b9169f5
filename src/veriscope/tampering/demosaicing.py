"""Demosaicing: which part lacks the colour interpolation of the camera, or has it on another grid?

A sensor sees one colour a pixel, in Bayer's pattern, and interpolates the others; interpolated pixels are predicted by
their neighbours better than acquired ones, with a period of two pixels. A part pasted, resized, blurred or generated
lacks that difference or has it on other sites. The error of predicting each pixel from its four neighbours is compared
between the four sites, block by block. It needs a picture at the camera's own size, hardly compressed: a resize, and
JPEG of quality 97 and less in most pictures, removes the trace everywhere; strong texture hides it. After Popescu and
Farid (TSP 2005) and Ferrara, Bianchi, De Rosa and Piva, "Image forgery localization via fine-grained analysis of CFA
artifacts", TIFS 2012.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.picture import Picture
from veriscope.tampering.localisation import Localisation, Localiser, carries_traces, robust_deviation

BLOCK = 16  # pixels a side: 64 pixels of each site
STRIP = 1024  # rows worked on at once; a multiple of BLOCK
ROUNDING = 0.1  # squared grey levels: error of the prediction through rounding alone, (1 + 1/4) / 12
LEAST_ENERGY = 0.5  # squared grey levels of prediction error in a block, under which rounding hides the sites
LEAST_BLOCKS = 32  # judged, from which the whole picture's pattern can be told
LEAST_RATIO = 0.12  # log ratio between acquired and interpolated sites in the median block: a weaker one is no pattern
AGREEING = 0.8  # share of neighbourhoods with the picture's own sign, from which it has a pattern; chance gives 0.5
TELLING = 2.0  # robust standard deviations from the median neighbourhood to no pattern, from which a map can be made
ALIKE = 0.6  # of the ratio: the most that two green sites may differ, as they do after an enlargement to double size
PRIOR = 0.02  # share of blocks without the pattern, before looking
LEAST_SHARE = 0.01  # of the picture: smaller regions are not called
QUIETED = 0.25  # the most that a region too small to be called is given
NEIGHBOURS = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], np.float32) / 4

_Plane = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Pattern:
    """What a whole picture shows of a Bayer pattern.

    Attributes:
        name: of the sites at the upright picture's upper left corner, "RGGB", "GRBG", "GBRG" or "BGGR"; "G??G" or
            "?GG?" where red and blue cannot be told apart; empty where there is no pattern.
        ratios: log ratios of acquired over interpolated sites, each float32 (rows, columns), averaged over 3x3 blocks,
            positive where the block has the picture's own pattern; the green one, and red with blue where it tells.
        strength: how many robust standard deviations the median of the first lies from no pattern.
    """

    name: str
    ratios: tuple[_Plane, ...] = field(repr=False)
    strength: float


def site_energies(plane: NDArray[np.uint8]) -> _Plane:
    """The log energy of each site's prediction error, block by block.

    Args:
        plane: uint8 (H, W), one colour.
    Returns:
        float32 (4, H // 16, W // 16) of log squared grey levels; sites (0, 0), (0, 1), (1, 0), (1, 1) of each 2x2.
    """
    rows, columns = plane.shape[0] // BLOCK, plane.shape[1] // BLOCK
    found = np.empty((4, rows, columns), np.float32)
    for top in range(0, rows * BLOCK, STRIP):
        end = min(top + STRIP, rows * BLOCK)
        above = min(top, 1)
        strip = plane[top - above : end + 1, : columns * BLOCK + 1]
        error = cv2.filter2D(strip, cv2.CV_32F, NEIGHBOURS, borderType=cv2.BORDER_REFLECT_101)
        error = np.square(error[above : above + end - top, : columns * BLOCK])
        for site in range(4):
            fours = _averaged(error[site // 2 :: 2, site % 2 :: 2], 2)  # geometric means of fours: edges weigh less
            found[site, top // BLOCK : end // BLOCK] = _averaged(np.log(fours + ROUNDING), BLOCK // 4)
    return found


def _averaged(values: _Plane, factor: int) -> _Plane:
    size = values.shape[1] // factor, values.shape[0] // factor
    return np.asarray(cv2.resize(np.ascontiguousarray(values), size, interpolation=cv2.INTER_AREA), np.float32)


def bayer_pattern(rgb: NDArray[np.uint8], judged: _Plane) -> Pattern:
    """The Bayer pattern that a whole picture shows, and how far each block has it.

    Args:
        rgb: uint8 (H, W, 3), both sides at least 16.
        judged: float32 (H // 16, W // 16), 0 for blocks to leave out.
    """
    red, green, blue = (site_energies(rgb[..., channel]) for channel in range(3))
    diagonal = _neighbourhoods((green[0] + green[3] - green[1] - green[2]) / 2, judged)
    unlike = abs(_median(green[0] - green[3], judged)) + abs(_median(green[1] - green[2], judged))
    middle = _median(diagonal, judged)
    strength = _telling(diagonal, judged)
    if abs(middle) < LEAST_RATIO or strength < TELLING or unlike / 2 > ALIKE * abs(middle):
        return Pattern("", (), strength)
    first, second = (1, 2) if middle > 0 else (0, 3)  # the sites that are not green
    colour = _neighbourhoods((red[first] - red[second] + blue[second] - blue[first]) / 2, judged)
    green_ratio = np.sign(middle).astype(np.float32) * diagonal
    if abs(_median(colour, judged)) < LEAST_RATIO or _telling(colour, judged) < TELLING:
        return Pattern("G??G" if middle > 0 else "?GG?", (green_ratio,), strength)
    red_first = _median(colour, judged) > 0
    name = ("GRBG" if red_first else "GBRG") if middle > 0 else ("RGGB" if red_first else "BGGR")
    return Pattern(name, (green_ratio, colour if red_first else -colour), strength)


def _neighbourhoods(values: _Plane, judged: _Plane) -> _Plane:
    """Means over the judged of each 3x3 blocks."""
    total = cv2.blur(values * judged, (3, 3), borderType=cv2.BORDER_REFLECT_101)
    weight = cv2.blur(judged, (3, 3), borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(total / np.maximum(weight, 1 / 9), np.float32)


def _median(values: _Plane, judged: _Plane) -> float:
    return float(np.median(values[judged > 0]))


def _spread(values: _Plane, judged: _Plane) -> float:
    """Robust standard deviation of the judged values."""
    return robust_deviation(values[judged > 0]) + 1e-3


def _telling(values: _Plane, judged: _Plane) -> float:
    """Robust standard deviations from the median to zero; 0 where signs disagree too often for a pattern."""
    middle = _median(values, judged)
    agreeing = float((np.sign(values[judged > 0]) == np.sign(middle)).mean())
    return abs(middle) / _spread(values, judged) if agreeing >= AGREEING else 0.0


def lacking(ratios: tuple[_Plane, ...], judged: _Plane) -> _Plane:
    """The posterior, block by block, of not having the picture's own pattern.

    Args:
        ratios: float32 (rows, columns) each, as ``Pattern`` holds them.
        judged: float32 (rows, columns), 0 for blocks to leave out.
    Returns:
        float32 (rows, columns) in [0, 1]; 0 where not judged.
    """
    odds = np.full(judged.shape, np.log(PRIOR / (1 - PRIOR)), np.float32)
    for ratio in ratios:
        middle, spread = _median(ratio, judged), _spread(ratio, judged)
        standard = max(spread, middle / 4)  # a pattern never varies less: interpolation follows the scene
        own, none, other = (-np.square((ratio - at) / standard) / 2 for at in (middle, 0.0, -middle))
        told = np.logaddexp(none, other) - np.log(2) - own
        odds += np.where(ratio < middle, told, 0)
    posterior = 1 / (1 + np.exp(-np.clip(odds, -50, 50)))
    return without_specks(np.where(judged > 0, posterior, 0).astype(np.float32), LEAST_SHARE * judged.size)


def without_specks(posterior: _Plane, least: float) -> _Plane:
    """A map in [0, 1] with its regions of 0.5 and more that take under ``least`` places quieted to ``QUIETED``."""
    _, labels, facts, _ = cv2.connectedComponentsWithStats((posterior >= 0.5).astype(np.uint8), connectivity=4)
    called = facts[:, cv2.CC_STAT_AREA] >= max(least, 4)
    called[0] = False
    return np.where(called[labels], posterior, np.minimum(posterior, QUIETED)).astype(np.float32)


class Demosaicing(Localiser):
    """Which part lacks the camera's colour interpolation, or has it on another grid."""

    name: ClassVar[str] = "demosaicing"

    def find(self, picture: Picture) -> Localisation:
        """The map; of reliability 0 where the picture as a whole shows no demosaicing."""
        rows, columns = picture.height // BLOCK, picture.width // BLOCK
        carrying = carries_traces(picture, BLOCK)
        energy = site_energies(picture.rgb[..., 1]).max(axis=0)
        judged = np.where(energy > np.log(LEAST_ENERGY), carrying[:rows, :columns], 0).astype(np.float32)
        if judged.sum() < LEAST_BLOCKS:
            return _silent(
                carrying, "Too little of the picture has fine detail to look for the camera's interpolation."
            )
        pattern = bayer_pattern(picture.rgb, judged)
        if not pattern.name:
            reason = (
                "A resize or strong compression removes the trace of the camera's interpolation; nothing can be told."
            )
            return _silent(carrying, reason)
        found = lacking(pattern.ratios, judged)
        share = float((found >= 0.5).mean())
        edge = (0, carrying.shape[0] - rows), (0, carrying.shape[1] - columns)
        says = (
            f"About {share:.0%} of the picture lacks the traces of the camera's colour interpolation that the rest shows; "
            "pasted, resized or repainted parts look like this."
            if share > 0
            else "The traces of the camera's colour interpolation run through all of the picture that could be judged."
        )
        return Localisation(
            map=np.pad(found, edge, mode="edge"),
            judged=np.pad(judged, edge, mode="edge"),
            score=float(found.max()),
            says=says,
            reliability=min(0.7, pattern.strength / 8) * min(1.0, 2 * float(judged.mean())),
            reason="Strong texture, and blur or sharpening by the camera itself, can look like an edit.",
        )


def _silent(carrying: _Plane, reason: str) -> Localisation:
    nothing = np.zeros_like(carrying)
    says = "The picture shows no trace of a camera's colour interpolation, so no part can be said to lack it."
    return Localisation(nothing, nothing, 0.0, says, 0.0, reason)
