"""Copy-move: which of two equal parts is the copy, and which the original?

Three traces. A copy that was turned or scaled is interpolated from its source, so it can be computed from the source, and
the source, which holds more, not from the copy. A copy's outline runs through material that does not belong to it, so the
step across it is larger than the steps beside it, unlike at the source. And a JPEG's earlier 8x8 grid was moved along with
the copy. None helps where the copy was moved whole and blended; then neither part is named. The first is the argument of
Barni, Phan and Tondi, "Copy move source-target disambiguation through multi-branch CNNs", IEEE TIFS 2021, in closed form.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from veriscope.tampering.copy_matches import FINE, CopyMatch
from veriscope.tampering.copy_regions import Affine, Mask, Plane, around, detail, inverse, seen

DECIDED = 1.0  # summed evidence from which the copy is named
PREDICTION = 4.0  # weight of a natural log ratio of prediction errors; e^0.25 alone decides
LARGER = 0.4  # natural log ratio by which the larger part's error is greater where neither lacks detail
SCALED = 0.15  # natural log of a scaling from which that holds in full
SEAM = 2.5  # weight of a natural log ratio of seam steps; e^0.4 alone decides
GRID = 0.25  # weight of a standard deviation of grid strength; four decide
WHOLE_PIXEL = 0.01  # largest part of a transform besides the shift for it to count as a shift by whole pixels
MOST = 2.0  # of any one trace, so that the others are heard
LEAST_LINES = 3  # grid lines in a part, below which its grid is not measured


def directed(luma: Plane, match: CopyMatch, original_scale: bool = False) -> CopyMatch:
    """The match with source and target the right way round where traces tell, and marked so.

    Args:
        luma: float32 (h, w), grey levels, at the scale of the masks.
        match: as verified.
        original_scale: whether ``luma`` is the picture at its own size, so that its JPEG grid is there.
    """
    evidence = interpolation_evidence(luma, match) + seam_evidence(luma, match)
    if original_scale:
        evidence += grid_evidence(luma, match)
    if abs(evidence) < DECIDED:
        return match
    if evidence > 0:
        return replace(match, told_apart=True)
    return replace(match, affine=inverse(match.affine), source=match.target, target=match.source, told_apart=True)


def interpolation_evidence(luma: Plane, match: CopyMatch) -> float:
    """Positive where the target is computed better from the source than the source from the target; 0 for a mere shift."""
    linear = match.affine[:, :2]
    if np.abs(linear - np.rint(linear)).max() < WHOLE_PIXEL:
        return 0.0
    back = inverse(match.affine)
    target = _unexplained(luma, back, match.target)
    source = _unexplained(luma, match.affine, match.source)
    expected = LARGER * np.clip(np.log(match.scale) / SCALED, -1, 1)
    return float(np.clip(PREDICTION * (np.log((source + 1e-3) / (target + 1e-3)) + expected), -MOST, MOST))


def seam_evidence(luma: Plane, match: CopyMatch) -> float:
    """Positive where the step across the outline stands out at the target more than at the source."""
    ratio = np.log(seam(luma, match.target) / seam(luma, match.source))
    return float(np.clip(SEAM * ratio, -MOST, MOST))


def seam(luma: Plane, mask: Mask) -> float:
    """Mean step across a mask's outline over the mean step between pixels close by; about 1 where nothing was joined."""
    small = np.ones((3, 3), np.uint8)
    solid = mask.astype(np.uint8)
    inner, outer = cv2.erode(solid, small, iterations=2), cv2.dilate(solid, small, iterations=2)
    wider = cv2.dilate(outer, small, iterations=3)
    step = np.asarray(cv2.morphologyEx(luma, cv2.MORPH_GRADIENT, small))
    across, beside = (outer > inner), (wider > outer)
    beside |= inner > cv2.erode(inner, small, iterations=3)
    if not across.any() or not beside.any():
        return 1.0
    return float((step[across].mean() + 1) / (step[beside].mean() + 1))


def grid_evidence(luma: Plane, match: CopyMatch) -> float:
    """Positive where the target carries an 8x8 grid moved along with it and the source none moved the other way.

    Only for copies that were shifted: a turned grid is no grid.
    """
    if np.abs(match.affine[:, :2] - np.eye(2)).max() > WHOLE_PIXEL:
        return 0.0
    evidence = 0.0
    for axis in range(2):
        shift = round(float(match.affine[axis, 2])) % 8
        if shift == 0:
            continue
        there = grid_strength(luma, match.target, shift, axis)
        here = grid_strength(luma, match.source, -shift % 8, axis)
        evidence += GRID * (there - here)
    return float(np.clip(evidence, -MOST, MOST))


def grid_strength(luma: Plane, mask: Mask, phase: int, axis: int) -> float:
    """How far the steps at grid lines of one phase stand out from those at the other phases, in standard deviations.

    Args:
        luma: float32 (h, w), grey levels.
        mask: bool (h, w), where to look.
        phase: 0 to 7, the column (or row) modulo 8 that begins a block; 0 is the picture's own grid, left out of the rest.
        axis: 0 for columns, 1 for rows.
    """
    plane, where = (luma, mask) if axis == 0 else (luma.T, mask.T)
    bend = np.abs(plane[:, :-3] - 3 * plane[:, 1:-2] + 3 * plane[:, 2:-1] - plane[:, 3:])
    heard = where[:, 2:-1].astype(np.float32)
    weight = heard.sum(0)
    lines = np.minimum(bend, 24).astype(np.float32)
    level = (lines * heard).sum(0) / np.maximum(weight, 1)
    at = (np.arange(level.size) + 2) % 8
    good = weight >= 8
    own, rest = level[good & (at == phase)], level[good & (at != phase) & (at != 0)]
    if own.size < LEAST_LINES or rest.size < 2 * LEAST_LINES or phase == 0:
        return 0.0
    return float((own.mean() - rest.mean()) / (rest.std() / np.sqrt(own.size) + 1e-3))


def _unexplained(luma: Plane, affine: Affine, where: Mask) -> float:
    """The share of the fine detail in a mask that the transform of the other part does not give, 0 and up."""
    box = around(where)
    inner = cv2.erode(where[box].astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    if inner.sum() < 64:
        return 1.0
    own = detail(luma[box], FINE)[inner]
    given = detail(seen(luma, affine, box), FINE)[inner]
    return float(np.square(own - given).mean() / (np.square(own).mean() + 1e-3))
