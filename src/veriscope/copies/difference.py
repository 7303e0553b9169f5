"""What was added, removed or altered between an original and its copy, once both lie in one frame?

The original is brought into the copy's frame, given the copy's colours (a smooth curve of all three channels, then gain and
offset that vary slowly over the picture, both fitted where the two agree), its focus, and a play of a pixel or two. What still
differs by more than saving explains is a change of content. So recompression, resizing, borders, filters and slight bending
stay quiet; strong bending does not, nor can changes smaller than about ten pixels of the working frame be seen, nor any
outside the original's area.

Paper: Black et al. 2024 (SImProv: retrieve, align, and only then compare).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.copies.alignment import Homography, correlated, local_scale, reached, resizing, warped
from veriscope.copies.colour_change import Repainted, repainted
from veriscope.copies.verification import Verification
from veriscope.tampering.regions import Region, regions

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
SIDE = 640  # pixels: longest side of the working frame
PLAY = 3  # pixels: window within which the original's colours may shift
NOISE = 6.0  # grey levels that saving may change smooth places by
NOISE_OF_DETAIL = 0.35  # of the original's contrast within the play, by which saving may change detailed places more
NOISE_OF_FIT = 3.0  # times what the agreeing places differ by
WINDOW = 9  # pixels: over which differences are gathered
STRUCTURE = 21  # pixels: window of the correlation of detail
DETAIL = 4.0  # grey levels: standard deviation in a window from which detail can be missing or other
UNLIKE = 0.5  # correlation below which detail is other
CLEANING = 5  # pixels: thinner changes are dropped
LEAST_REGION = 0.001  # of the picture
JOINED = 0.04  # of the longer side: changes that lie nearer than that, as letters of a line do, are told as one
MORE_DETAIL = 1.5  # times as much detail as the original, from which something was added; the inverse, removed


@dataclass(frozen=True)
class Change:
    """One region in which the copy's content differs: where, and whether something was "added", "removed" or "altered"."""

    region: Region
    kind: str


@dataclass(frozen=True, eq=False)
class Difference:
    """What differs between a copy and its original.

    Attributes:
        map: float32 (h, w) in [0, 1], the copy made at most 640 px a side; at least 0.5 where its content differs.
        judged: float32 (h, w), 1 where the original is seen.
        changes: the regions, the largest first.
        share: of the judged area that differs, in [0, 1].
        recoloured: root mean square change of colour that was compensated, in [0, 1] of the range.
        outside: share of the copy that shows nothing of the original, in [0, 1].
        says: one or two sentences for the reader.
    """

    map: Floats = field(repr=False)
    judged: Floats = field(repr=False)
    changes: tuple[Change, ...]
    share: float
    recoloured: float
    outside: float
    says: str


def difference(query: Pixels, reference: Pixels, verification: Verification) -> Difference:
    """What differs between a copy and its original.

    Args:
        query: ``uint8 (H, W, 3)`` RGB, the copy.
        reference: ``uint8 (H, W, 3)`` RGB, the original.
        verification: how the one shows the other.
    """
    here = _working(query)
    there, shared, scale = _seen(reference, verification.homography, query.shape, here.shape)
    here = _as_coarse(here, scale)
    if shared.sum() < STRUCTURE**2:
        return _nothing(shared)
    judged = cv2.erode(shared.astype(np.uint8), np.ones((PLAY, PLAY), np.uint8)).astype(np.float32)
    fitted = repainted(there, here, judged > 0)
    values = changed(here, fitted, judged > 0)
    kept = regions(_joined(values), judged, least=LEAST_REGION)
    luma, before = (np.asarray(rgb.mean(2), np.float32) for rgb in (here, fitted.picture))
    changes = tuple(Change(region, _kind(region, values, luma, before)) for region in kept)
    share = float((values >= 0.5).sum() / max(judged.sum(), 1))
    outside = float(1 - judged.mean())
    return Difference(values, judged, changes, share, fitted.strength, outside, _says(changes, share, fitted, outside))


def _working(rgb: Pixels) -> Floats:
    scale = min(1.0, SIDE / max(rgb.shape[:2]))
    size = max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA) if scale < 1 else rgb
    return np.asarray(small, np.float32)


def _seen(
    reference: Pixels, homography: Homography, shape: tuple[int, ...], frame: tuple[int, ...]
) -> tuple[Floats, NDArray[np.bool_], float]:
    """The original in the copy's working frame, where it is seen there, and how many times larger it became."""
    into = resizing(shape, frame) @ homography
    return warped(reference, into, frame), reached(reference.shape, into, frame), local_scale(into, reference.shape)


def _as_coarse(rgb: Floats, scale: float) -> Floats:
    """A picture as soft as one that was enlarged ``scale`` times."""
    if scale <= 1.2:
        return rgb
    return np.asarray(cv2.GaussianBlur(rgb, (0, 0), 0.45 * float(np.sqrt(scale * scale - 1))), np.float32)


def changed(here: Floats, fitted: Repainted, judged: NDArray[np.bool_]) -> Floats:
    """How far the content differs, float32 (h, w) in [0, 1]; 0.5 and more only where a change is called.

    Args:
        here: float32 (h, w, 3), the copy.
        fitted: the original in its frame and colours.
        judged: bool (h, w), where both are seen.
    """
    window = np.ones((PLAY, PLAY), np.uint8)
    low, high = cv2.erode(fitted.picture, window), cv2.dilate(fitted.picture, window)
    beyond = np.maximum(np.maximum(here - high, low - here), 0).max(2)
    noise = NOISE + NOISE_OF_DETAIL * cv2.blur((high - low).max(2), (WINDOW, WINDOW)) + NOISE_OF_FIT * fitted.residual
    gathered = cv2.blur(beyond, (WINDOW, WINDOW))
    by_colour = np.square(gathered) / (np.square(gathered) + np.square(noise))
    values = np.maximum(by_colour, _other_detail(here, fitted, judged)) * judged
    round_window = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (CLEANING, CLEANING))
    return np.asarray(np.clip(cv2.morphologyEx(values.astype(np.float32), cv2.MORPH_OPEN, round_window), 0, 1))


def _other_detail(here: Floats, fitted: Repainted, judged: NDArray[np.bool_]) -> Floats:
    """From 0 where windows' detail correlates to 1 where it is other; 0 where one of the two has next to none."""
    one, two = (np.asarray(cv2.GaussianBlur(rgb.mean(2), (0, 0), 1.5), np.float32) for rgb in (here, fitted.picture))
    alike, least, _ = correlated(one, two, judged, STRUCTURE)
    enough = np.clip(least / (DETAIL + fitted.residual) - 0.5, 0, 1)
    return np.asarray(np.clip((2 * UNLIKE - alike) / (2 * UNLIKE), 0, 1) * enough, np.float32)


def _joined(values: Floats) -> Floats:
    size = 2 * round(JOINED * max(values.shape) / 2) + 1
    window = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return np.asarray(cv2.morphologyEx(values, cv2.MORPH_CLOSE, window, borderType=cv2.BORDER_REFLECT), np.float32)


def _kind(region: Region, values: Floats, luma: Floats, before: Floats) -> str:
    """Whether the copy shows more detail in a region than the original, less, or other."""
    left, top, right, bottom = (
        round(part * side) for part, side in zip(region.box, values.shape[::-1] * 2, strict=True)
    )
    window = slice(top, bottom), slice(left, right)
    inside = values[window] >= 0.5
    now, then = (
        float(np.abs(cv2.Laplacian(one[window], cv2.CV_32F, ksize=3))[inside].mean()) + 1 for one in (luma, before)
    )
    if now > MORE_DETAIL * then:
        return "added"
    return "removed" if then > MORE_DETAIL * now else "altered"


def _nothing(shared: NDArray[np.bool_]) -> Difference:
    empty = np.zeros(shared.shape, np.float32)
    return Difference(empty, empty, (), 0.0, 0.0, 1.0, "Too little of the original is seen to compare the two.")


def _says(changes: tuple[Change, ...], share: float, fitted: Repainted, outside: float) -> str:
    told = "Nothing but saving, size and colour differs where both are seen."
    if changes:
        places = "; ".join(f"{change.kind} {change.region.place}" for change in changes[:3])
        more = f" and {len(changes) - 3} smaller places" if len(changes) > 3 else ""
        told = f"{100 * share:.1f} % of what both show differs in content: {places}{more}."
    if fitted.strength > 0.08:
        told += " The colours were changed."
    if outside > 0.03:
        told += f" {100 * outside:.0f} % of this picture lies outside the original."
    return told
