"""Noise fingerprint: which part's sensor and processing traces are unlike those of the rest?

A network trained on untouched pictures alone gives windows of one history like vectors and windows of others unlike ones.
Within one picture all windows should lie together; a part from elsewhere, or made anew, lies apart. The vectors are split
into two groups, and the smaller is pointed at where the two are well apart. Strong saving and resizing after the edit wash
the traces out, and flat areas have none; a picture of sharp and blurred parts may split by focus instead.

Papers: Cozzolino & Verdoliva 2020 (Noiseprint); Cozzolino et al. 2015 (Splicebuster: two groups by expectation maximisation).
"""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope import models
from veriscope.picture import Picture
from veriscope.tampering.dense import limited, tiled
from veriscope.tampering.localisation import Localisation, carries_traces
from veriscope.tampering.trained import Trained

STRIDE = 16  # pixels between two windows
MOST_PIXELS = 4_000_000  # larger pictures are made smaller first
LEAST_WINDOWS = 24
LARGEST_SHARE = 0.45  # of the windows: a larger group is not the edit
APART = (0.35, 0.75)  # difference of mean cosine, within and across, that reads as nothing and as certain


def windows_of(picture: Picture, model: str) -> NDArray[np.float32]:
    """Unit vectors of the picture's windows by ``model``, ``float32 (rows, columns, D)``.

    Raises:
        ModelError: the model is missing or damaged.
    """
    session = models.open_session(model)
    (found,) = tiled(
        limited(picture.rgb, MOST_PIXELS),
        lambda pixels, _: [np.asarray(session.run(["windows"], {"pixels": pixels})[0][0], np.float32)],
        STRIDE,
    )
    return np.ascontiguousarray(found.transpose(1, 2, 0))


def two_groups(
    vectors: NDArray[np.float32], heard: NDArray[np.bool_], rounds: int = 20
) -> tuple[NDArray[np.float32], float]:
    """Split unit vectors into two groups by their direction.

    Args:
        vectors: float32 (rows, columns, D).
        heard: bool (rows, columns); the others are left out.
        rounds: of the alternation between assigning and averaging.
    Returns:
        how far each place leans to the smaller group, float32 (rows, columns) in [0, 1] with 0 where not heard, and how far
        the groups are apart: the mean cosine within them minus that across.
    """
    chosen = vectors[heard]
    if len(chosen) < LEAST_WINDOWS:
        return np.zeros(heard.shape, np.float32), 0.0
    middle = _unit(chosen.mean(0))
    far = chosen[chosen @ middle <= np.quantile(chosen @ middle, 0.15)]
    centres = np.stack([middle, _unit(far.mean(0))])
    member = np.zeros(len(chosen), bool)
    for _ in range(rounds):
        near = chosen @ centres.T
        now = near[:, 1] > near[:, 0]
        if now.all() or not now.any() or (now == member).all():
            break
        member = now
        centres = np.stack([_unit(chosen[~member].mean(0)), _unit(chosen[member].mean(0))])
    if not member.any() or member.all():
        return np.zeros(heard.shape, np.float32), 0.0
    if member.mean() > 0.5:
        centres, member = centres[::-1], ~member
    near = chosen @ centres.T
    across = float(np.where(member, near[:, 0], near[:, 1]).mean())
    within = float(np.where(member, near[:, 1], near[:, 0]).mean())
    lean = np.zeros(heard.shape, np.float32)
    lean[heard] = 1 / (1 + np.exp(-8 * (near[:, 1] - near[:, 0])))
    return lean, within - across


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), np.float32)


def localised(
    lean: NDArray[np.float32], apart: float, heard: NDArray[np.bool_], picture: Picture, what: str
) -> Localisation:
    """Two groups as a localisation; ``what`` names the traces in its sentence."""
    smooth = cv2.medianBlur((lean * 255).astype(np.uint8), 3).astype(np.float32) / 255
    share = float((smooth > 0.5).sum() / max(int(heard.sum()), 1))
    strength = float(np.clip((apart - APART[0]) / (APART[1] - APART[0]), 0, 1))
    if share > LARGEST_SHARE or share == 0:
        strength = 0.0
    judged = heard.astype(np.float32)
    says = (
        f"{what} of one part, about {share:.0%} of what could be judged, are unlike those of the rest."
        if strength > 0.5
        else f"{what} are alike over the picture as far as they can be read; no part stands out clearly."
    )
    return Localisation(
        map=smooth * strength * judged,
        judged=judged,
        score=strength,
        says=says,
        reliability=min(1.0, 0.2 + float(heard.mean())) if min(picture.rgb.shape[:2]) >= 192 else 0.2,
        reason="" if heard.mean() > 0.5 else "much of the picture is too flat or clipped to carry such traces",
    )


def heard_windows(picture: Picture, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which windows hold enough texture, bool (rows, columns)."""
    carrying = cv2.resize(carries_traces(picture), (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(carrying >= 0.4)


class Fingerprint(Trained):
    """Which part's noise fingerprint is unlike the rest's?"""

    name: ClassVar[str] = "fingerprint"

    def find(self, picture: Picture) -> Localisation | None:
        """Two groups of windows by their fingerprint."""
        vectors = windows_of(picture, self.name)
        heard = heard_windows(picture, vectors.shape)
        lean, apart = two_groups(vectors, heard)
        return localised(lean, apart, heard, picture, "The noise and processing traces")
