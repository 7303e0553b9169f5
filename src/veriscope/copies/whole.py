"""Does a picture show another as a whole, though no local points are left to say so?

A hash finds copies that are blurred, tiny or nearly smooth, in which local points are few or lie elsewhere. It claims one thing
only: that the two pictures coincide from edge to edge, turned or mirrored as it says. So both are laid over each other at
128 px, where blur and saving have touched little, and most windows have to correlate. Two different pictures of one outline,
which a hash can confuse, do not. Crops and frames are not looked for; ``verification`` does that.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from veriscope.copies import pdq
from veriscope.copies.alignment import Homography, compared, inverse, refitted, resizing, shown_share, working
from veriscope.copies.verification import Verification

SIDE = 128  # pixels: longest side of what is compared
LEAST_AGREEMENT = 0.75  # of the detailed part
LEAST_AGAINST_POINTS = 0.9  # where there are points to tell, and they do not


def verify_whole(
    query: NDArray[np.uint8], reference: NDArray[np.uint8], turn: str = "", *, least: float = LEAST_AGREEMENT
) -> Verification | None:
    """How a query shows all of a reference; None where their pixels disagree or nothing tells.

    Args:
        query: ``uint8 (H, W, 3)`` RGB.
        reference: ``uint8 (H, W, 3)`` RGB, the known picture.
        turn: a key of ``pdq.TURNS``: what makes the reference of the query.
        least: share of the detail that must agree.
    """
    here, there = working(reference, SIDE), working(query, SIDE)
    transform = refitted(laid_over(here.shape, there.shape, turn), here, there, negative=False)
    agreeing, detailed = compared(here, there, transform, negative=False)
    agreement = float(agreeing.mean(where=detailed)) if detailed.any() else 0.0
    if agreement < least:
        return None
    full = inverse(resizing(query.shape, there.shape)) @ transform @ resizing(reference.shape, here.shape)
    full /= full[2, 2]
    how = f", {turn}" if turn else ""
    return Verification(
        homography=full,
        inliers=0,
        overlap=shown_share(transform, here.shape, there.shape),
        agreement=agreement,
        score=agreement,
        mirrored=bool(np.linalg.det(full[:2, :2]) < 0),
        negative=False,
        says=(
            f"It shows the original as a whole{how}: {100 * agreement:.0f} % of its coarse detail agrees. It is too blurred, "
            "small or smooth to compare point by point."
        ),
    )


def laid_over(reference: tuple[int, ...], query: tuple[int, ...], turn: str) -> Homography:
    """Takes (x, y, 1) of a reference of shape (H, W) to those of the query that ``turn`` makes it of, edge to edge."""
    exchanged, down, across = pdq.TURNS[turn]
    square = (2, 2)
    flipped = np.diag([-1.0 if across else 1.0, -1.0 if down else 1.0, 1.0])
    flipped[0, 2], flipped[1, 2] = float(across), float(down)
    swapped = np.eye(3)[[1, 0, 2]] if exchanged else np.eye(3)
    return np.asarray(inverse(resizing(query, square)) @ swapped @ flipped @ resizing(reference, square), np.float64)
