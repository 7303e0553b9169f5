"""Copy-move: do two parts of one picture, laid over each other, agree as only a copy does?

A copied part carries its fine detail and noise along, so after alignment the two agree in what a scene never repeats;
windows, bricks and letters agree in their outlines only, or in many places at once. A candidate is grown by
``copy_regions`` and kept when the two parts agree closely, hold texture, and are like few other places. Strong compression
or blur hides the detail; drawn pictures repeat shapes to the pixel without any edit, and water mirrors a scene, so both
are left out. The need for verification is that of Christlein, Riess, Jordan, Riess and Angelopoulou, "An evaluation of
popular copy-move forgery detection approaches", IEEE TIFS 2012; the tests here are this project's own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from veriscope.tampering.copy_regions import (
    COARSE,
    DETAIL,
    LEAST_SEED,
    Affine,
    Mask,
    Plane,
    aligned,
    around,
    box_of,
    carried,
    correlation,
    detail,
    grown,
    seen,
    windowed_correlation,
)

SCALES = 0.4, 2.5  # of a copy against its source; beyond them detail is no longer comparable
LEAST_ASPECT = 0.75  # of the two stretches of the transform; people do not stretch copies further
FINE = 1.0  # pixels: standard deviation of the smoothing that leaves out outlines too
LEAST_AREA = 500, 0.002  # square pixels, and share of the picture
LEAST_CORRELATION = 0.85  # of the coarse detail over the whole region
LEAST_FINE = 0.45  # of the fine detail; JPEG at quality 70 off the grid leaves copies about this, chance leaves 0.2
LEAST_TEXTURE = 0.4  # share of the region that holds detail
LEAST_ISOTROPY = 0.15  # of gradient directions, 0 for one straight edge and 1 for all alike: any two edges agree
EDGE = 8.0  # grey levels a pixel: gradients count up to here, so that one strong edge does not outweigh texture
MOST_DIFFERENCE = 12.0  # grey levels, root mean square: JPEG at 65 leaves copies 6, scaling 9; fabric prints had 21
MOST_FLAT, FLAT = 0.25, 0.5  # share of the region that varies by less than so many grey levels: such a picture is drawn
ELSEWHERE = 0.8  # of the pair's own correlation: another place that agrees so well repeats the pattern too
MOST_SHARED = 0.1  # of a part that also belongs to its counterpart
MOST_ELSEWHERE = 2  # such places, beyond which the pattern is the scene's and not an edit
TEMPLATE = 64  # pixels: largest side of the piece that is looked for elsewhere
PASSES = 4  # of aligning and growing, at most
GROWING = 1.1  # times its size by which a region must grow for another pass to follow


@dataclass(frozen=True, eq=False)
class CopyMatch:
    """Two parts of one picture of which one is a copy of the other.

    Attributes:
        affine: float64 (2, 3), takes (x, y, 1) in the source to the copy, in pixels of the masks.
        source: bool (h, w), the picture scaled down; the original part.
        target: bool (h, w), the copy. Where ``told_apart`` is False the two may be the other way round.
        correlation: of the fine detail of the two parts once aligned, in [0, 1].
        told_apart: whether traces say which of the two is the copy.
    """

    affine: Affine
    source: Mask = field(repr=False)
    target: Mask = field(repr=False)
    correlation: float
    told_apart: bool = False

    @property
    def rotation(self) -> float:
        """By how many degrees the copy is turned, counter-clockwise as seen, in (-180, 180]."""
        turned = self.affine[:, :2] * ([-1, 1] if self.mirrored else [1, 1])
        return float(np.degrees(np.arctan2(turned[0, 1] - turned[1, 0], turned[0, 0] + turned[1, 1])))

    @property
    def scale(self) -> float:
        """How many times larger the copy is than its source, along a side."""
        return float(np.sqrt(abs(np.linalg.det(self.affine[:, :2]))))

    @property
    def mirrored(self) -> bool:
        """Whether left and right are exchanged, before the copy is turned."""
        return bool(np.linalg.det(self.affine[:, :2]) < 0)


def plausible(affine: Affine) -> bool:
    """Whether a copy would be placed by this transform: little stretched, and no reflection as in water."""
    stretches = np.linalg.svd(affine[:, :2], compute_uv=False)
    if not SCALES[0] <= stretches[1] <= stretches[0] <= SCALES[1] or stretches[1] < LEAST_ASPECT * stretches[0]:
        return False
    return not (np.abs(affine[:, :2] - np.diag([1, -1])) < 0.2).all()


def verified(luma: Plane, affine: Affine, seed: Mask) -> CopyMatch | None:
    """The pair of parts that a candidate alignment leads to, or None where they do not agree as a copy does.

    Args:
        luma: float32 (h, w), grey levels.
        affine: (2, 3), takes the first part's (x, y, 1) to the second's.
        seed: bool (h, w), where in the first part the candidate was found.
    """
    if not plausible(affine) or seed.sum() < LEAST_SEED:
        return None
    part, exact = seed, affine
    for _ in range(PASSES):  # what has grown gives more to align by, and the better alignment more to grow
        start = part
        exact = aligned(luma, exact, start)
        part = grown(luma, exact, start)
        if part.sum() < GROWING * start.sum():
            break
    area = int(part.sum())
    if area < least_area(luma.shape) or not plausible(exact):
        return None
    agreement = compared(luma, exact, part)
    if not agreement.holds or isotropy(luma, part) < LEAST_ISOTROPY:
        return None
    other = carried(part, exact)
    whole = other.sum() > 0.5 * area * abs(np.linalg.det(exact[:, :2]))  # and not half outside the picture
    if not whole or (part & other).sum() > MOST_SHARED * area:
        return None
    if repeats_elsewhere(luma, part, exact, agreement.coarse) > MOST_ELSEWHERE:
        return None
    return CopyMatch(exact, part, other, min(agreement.fine, 1.0))


@dataclass(frozen=True)
class Agreement:
    """How far two parts agree once aligned.

    Attributes:
        coarse, fine: correlation of the detail without shading, and without outlines, in [-1, 1].
        difference: root mean square, grey levels, but for a common change of brightness and contrast.
        textured, flat: share of the part that holds detail, and that holds none at all, in [0, 1].
    """

    coarse: float
    fine: float
    difference: float
    textured: float
    flat: float

    @property
    def holds(self) -> bool:
        """Whether it is that of a copy in a photograph."""
        alike = self.coarse >= LEAST_CORRELATION and self.fine >= LEAST_FINE and self.difference <= MOST_DIFFERENCE
        return alike and self.textured >= LEAST_TEXTURE and self.flat <= MOST_FLAT


def compared(luma: Plane, affine: Affine, part: Mask) -> Agreement:
    """How far a part, bool (h, w) and not empty, of float32 (h, w) agrees with what stands where the transform leads."""
    box = around(part)
    here, there, inside = luma[box], seen(luma, affine, box), part[box]
    coarse = detail(here, COARSE), detail(there, COARSE)
    textured = inside & (windowed_correlation(*coarse)[1] > DETAIL)
    varied = windowed_correlation(here, here)[1][inside] >= FLAT
    whole = correlation(here, there, inside)
    return Agreement(
        coarse=correlation(*coarse, textured),
        fine=correlation(detail(here, FINE), detail(there, FINE), textured),
        difference=float(min(here[inside].std(), there[inside].std()) * np.sqrt(max(1 - whole * whole, 0))),
        textured=float(textured.sum() / inside.sum()),
        flat=float(1 - varied.mean()),
    )


def least_area(shape: tuple[int, ...]) -> int:
    """The smallest part, in pixels, whose agreement is neither chance nor a printed word: ``LEAST_AREA``."""
    return max(LEAST_AREA[0], int(LEAST_AREA[1] * shape[0] * shape[1]))


def isotropy(luma: Plane, where: Mask) -> float:
    """How evenly gradients in a mask take all directions: the ratio of their structure tensor's eigenvalues, in [0, 1]."""
    across = cv2.Sobel(luma, cv2.CV_32F, 1, 0, scale=0.125)[where]
    down = cv2.Sobel(luma, cv2.CV_32F, 0, 1, scale=0.125)[where]
    capped = np.minimum(1, EDGE / (np.hypot(across, down) + 1e-3))
    across, down = across * capped, down * capped
    tensor = np.array([[(across * across).mean(), (across * down).mean()], [0, (down * down).mean()]])
    least, most = np.linalg.eigvalsh(tensor, UPLO="U")
    return float(max(least, 0) / (most + 1e-9))


def repeats_elsewhere(luma: Plane, part: Mask, affine: Affine, agreement: float) -> int:
    """In how many further places the middle of a part is found about as well as in its counterpart, at the same angle.

    Args:
        luma: float32 (h, w), grey levels.
        part: bool (h, w), either of the two.
        affine: takes the part to its counterpart.
        agreement: coarse correlation of the two.
    Returns:
        The number, not counted beyond ``MOST_ELSEWHERE + 1``; 0 where the part is too ragged to be looked for.
    """
    sharp = detail(luma, COARSE)
    rows, columns = (_middle(side, TEMPLATE) for side in box_of(part))
    piece = np.ascontiguousarray(sharp[rows, columns])
    if part[rows, columns].mean() < 0.3 or min(piece.shape) < 8 or piece.std() < DETAIL:
        return 0
    scores = np.asarray(cv2.matchTemplate(sharp, piece, cv2.TM_CCOEFF_NORMED))
    high, wide = piece.shape

    def strike(x: float, y: float) -> None:
        left, top = round(x), round(y)
        scores[max(0, top - high // 2) : max(0, top + high // 2 + 1)][
            :, max(0, left - wide // 2) : max(0, left + wide // 2 + 1)
        ] = -1

    strike(columns.start, rows.start)
    x, y = affine @ np.array([columns.start + wide / 2, rows.start + high / 2, 1.0])
    strike(x - wide / 2, y - high / 2)
    count = 0
    while count <= MOST_ELSEWHERE:
        _, best, _, (left, top) = cv2.minMaxLoc(scores)
        if best < ELSEWHERE * agreement:
            break
        count += 1
        strike(left, top)
    return count


def _middle(side: slice, most: int) -> slice:
    """The middle of a range, at most so long."""
    less = max(side.stop - side.start - most, 0)
    return slice(side.start + less // 2, side.stop - (less - less // 2))
