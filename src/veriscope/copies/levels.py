"""How much of a known picture does another replicate: the replication level, 0 to 5, with a probability for each.

5 exact or only saved again; 4 lightly edited (a small crop, a border, a line of text, other light); 3 heavily edited; 2 part of
it reused (a small crop, or a piece of a collage); 1 the same subject or template; 0 unrelated. Six readings of the verified
pair enter an ordinal logistic model. It was fitted to copies graded by the rule that made them, not by people, so its levels
are those of ``lab/benchmark/replication.py``. Pairs that fail verification get odds set by hand, as their pixels tell nothing.

Paper: Wang et al. 2024 (Image Copy Detection for Diffusion Models: six levels, a density over them).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from veriscope.copies.difference import Difference, difference
from veriscope.copies.verification import Verification

Pixels = NDArray[np.uint8]
LEVELS = 6
LEAST = 0.02  # shares and angles below it do not differ from none
WORDS = (
    "unrelated",
    "the same subject or template",
    "part of it reused",
    "a heavily edited copy",
    "a lightly edited copy",
    "the same, or only saved again",
)
READINGS = ("shown", "filled", "changed", "recoloured", "disagreeing", "turned")
# Printed by: veriscope lab fit-levels --data manifest.csv (the project's collection, 40 pictures of train)
WEIGHTS = np.array([4.404, 3.857, 6.695, 4.103, 4.514, 0.641])
THRESHOLDS = np.array([-18.345, -16.345, -6.78, -2.501, -0.366])  # of levels 1 to 5
UNVERIFIED = (0.86, 0.08, 0.04, 0.015, 0.004, 0.001)  # by hand: most pairs that do not verify are strangers


def level(query: Pixels, reference: Pixels, verification: Verification | None) -> tuple[int, tuple[float, ...]]:
    """The replication level of a pair.

    Args:
        query: ``uint8 (H, W, 3)`` RGB.
        reference: ``uint8 (H, W, 3)`` RGB, the known picture.
        verification: how the one shows the other; None where that failed.
    Returns:
        the most probable level, 0 to 5, and the probabilities of all six.
    """
    if verification is None:
        return level_of(None, None)
    return level_of(verification, difference(query, reference, verification))


def level_of(verification: Verification | None, found: Difference | None) -> tuple[int, tuple[float, ...]]:
    """As ``level``, of a difference that is known already."""
    if verification is None or found is None:
        return 0, UNVERIFIED
    chances = probabilities(readings(verification, found), WEIGHTS, THRESHOLDS)
    return int(chances.argmax()), tuple(float(chance) for chance in chances)


def readings(verification: Verification, found: Difference) -> NDArray[np.float64]:
    """What the level is read off, float64 (6,), each 0 for the picture itself and more the less it replicates.

    log2 of the share of the original shown, and of the share of the copy that it fills; the square root of the share changed;
    the change of colour; the share of detail that disagrees; whether it was turned, mirrored, or seen slantwise.
    """
    return np.array(
        [
            -np.log2(max(verification.overlap, 0.01)),
            -np.log2(max(1 - found.outside, 0.01)),
            np.sqrt(max(found.share - LEAST / 4, 0)),
            max(found.recoloured - LEAST, 0),
            max(1 - verification.agreement - LEAST, 0),
            float(_turned(verification)),
        ]
    )


def _turned(verification: Verification) -> bool:
    transform = verification.homography
    upright = abs(np.arctan2(transform[1, 0], transform[0, 0])) < LEAST and transform[0, 0] > 0
    ahead = np.abs(transform[2, :2]).max() * 500 < LEAST
    return bool(verification.mirrored or verification.negative or not upright or not ahead)


def probabilities(
    read: NDArray[np.float64], weights: NDArray[np.float64], thresholds: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The probabilities (6,) of an ordinal logistic model: level k or more where ``-read @ weights`` passes its threshold.

    >>> probabilities(np.zeros(6), np.ones(6), np.array([-8.0, -6, -4, -2, -1])).round(3)
    array([0.   , 0.002, 0.016, 0.101, 0.15 , 0.731])
    """
    reached = 1 / (1 + np.exp(-(-float(read @ weights) - thresholds)))
    return np.asarray(np.maximum(-np.diff(np.concatenate([[1.0], reached, [0.0]])), 0), np.float64)
