"""JPEG ghosts: was a part saved before at another quality than the rest?

Rounding DCT coefficients again with the steps they were rounded with before changes almost nothing, while other steps do.
Over a range of qualities the difference to the picture dips at the quality of an earlier save, and a part with a history of
its own dips alone: a ghost. It needs that earlier save on the grid of the rest and no coarser save since; it is blind to
flat areas and after a global resize, and grades of texture can imitate it, so that they are accounted for first. A part that
lacks the rest's earlier save is ``double_quantisation``'s. After Farid, "Exposing Digital Forgeries from JPEG Ghosts", IEEE
Transactions on Information Forensics and Security 4(1), 2009.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.container.jpeg import history
from veriscope.container.jpeg_coefficients import as_stored, upright
from veriscope.container.jpeg_tables import standard_table
from veriscope.container.jpeg_traces import BASIS
from veriscope.picture import Picture
from veriscope.tampering.grid import grid_finding
from veriscope.tampering.grid_votes import stored_grey
from veriscope.tampering.localisation import Localisation, Localiser, carries_traces, resized, robust_deviation

FINEST, COARSEST, STEP = 97, 43, 3  # qualities tried; a dip is about four wide
LOOKED_AT = 24_576  # 8x8 blocks, 1.6 MP: of a larger picture, every nth row and column of blocks
WINDOW = 5  # blocks a side over which differences are averaged; the paper's 16 px are noisier
ROUNDING = 1 / 12  # squared grey levels a coefficient: what rounding to whole pixel values leaves
PRESENT = 4  # qualities about the present save's that tell nothing: everything dips there
DEVIATIONS = 5.0  # robust standard deviations from which a block stands out
LEAST_DIP = 0.25  # log2 of the ratio of differences: a ghost this faint is none
LEAST_SHARE, MOST_SHARE = 0.004, 0.5  # of the picture, that a ghost takes
GROWN = 0.4  # of the threshold: what is connected to a region above it belongs to it
LEAST_JUDGED = 64  # blocks
HALF = 0.4  # thresholds beyond the threshold at which a compact region scores one half: set on a handful of splices


def ghost_differences(blocks: NDArray[np.float32], qualities: tuple[int, ...]) -> NDArray[np.float32]:
    """The mean squared difference that rounding with each quality's luma table makes: float32 (qualities, rows, columns).

    In the coefficients, where it is the same as in the pixels but for their rounding.

    Args:
        blocks: float32 (rows, columns, 64), unquantised DCT coefficients, orthonormal.
        qualities: IJG qualities, 1 to 100.
    """
    found = np.empty((len(qualities), *blocks.shape[:2]), np.float32)
    for at, quality in enumerate(qualities):
        table = standard_table(quality).astype(np.float32)
        scaled = blocks / table
        scaled -= np.rint(scaled)
        scaled *= table
        found[at] = np.einsum("rcf,rcf->rc", scaled[:, :, 1:], scaled[:, :, 1:]) / 63
    return found


def dips(differences: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far each quality's difference lies below its neighbours', log2 of the ratio: float32 (qualities - 2, rows, columns).

    Args:
        differences: float32 (qualities, rows, columns), of evenly spaced qualities; averaged over ``WINDOW`` here.
    """
    size = (WINDOW, WINDOW)
    averaged = np.stack([cv2.blur(each, size, borderType=cv2.BORDER_REFLECT) for each in differences])
    level = np.log2(averaged + ROUNDING)
    return np.asarray((level[:-2] + level[2:]) / 2 - level[1:-1], np.float32)


def without_texture(
    dip: NDArray[np.float32], texture: NDArray[np.float32], judged: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """What of a dip is not explained by how textured a block is: float32 as ``dip``, 0 where not judged.

    A parabola over the logarithm of texture is fitted to the bulk of the blocks, and again without the outliers.

    Args:
        dip, texture: float32 (rows, columns); texture is the blocks' mean squared AC coefficient.
        judged: bool, as they.
    """
    grade = np.log2(texture + 1)
    heard = judged.copy()
    left = np.zeros_like(dip)
    for _ in range(3):
        terms = np.stack([np.ones_like(grade[heard]), grade[heard], grade[heard] ** 2], 1)
        fit = np.linalg.lstsq(terms, dip[heard], rcond=None)[0]
        left = dip - (fit[0] + fit[1] * grade + fit[2] * grade**2)
        middle, spread = _bulk(left[judged])
        heard = judged & (np.abs(left - middle) < 2.5 * spread)
        if heard.sum() < 16:
            break
    return np.where(judged, left, 0).astype(np.float32)


def _bulk(values: NDArray[np.float32]) -> tuple[float, float]:
    """The median and the robust deviation."""
    return float(np.median(values)), robust_deviation(values) + 1e-6


@dataclass(frozen=True, eq=False)
class Ghost:
    """The most convincing ghost of a picture.

    Attributes:
        map: float32 (rows, columns) in [0, 1]; about 0 outside the ghost, and everywhere where none convinces.
        score: in [0, 1].
        quality: at which it is clearest: the earlier save's, or one whose steps divide its steps; None without a ghost.
        share: of the picture that it takes.
    """

    map: NDArray[np.float32] = field(repr=False)
    score: float
    quality: int | None = None
    share: float = 0.0


def find_ghost(blocks: NDArray[np.float32], judged: NDArray[np.bool_], present: int | None = None) -> Ghost:
    """The quality at which a compact region dips most unlike the rest.

    A region's score grows with its distance from the bulk and with the share of all that stands out which lies in it.

    Args:
        blocks: float32 (rows, columns, 64) DCT coefficients.
        judged: bool (rows, columns), blocks with something to tell.
        present: the IJG quality of the picture's own, last save; None where it is no JPEG.
    """
    best = Ghost(np.zeros(judged.shape, np.float32), 0.0)
    if judged.sum() < LEAST_JUDGED:
        return best
    qualities = tuple(range(COARSEST, FINEST + 1, STEP))
    texture = cv2.blur(np.square(blocks[:, :, 1:]).mean(2), (WINDOW, WINDOW), borderType=cv2.BORDER_REFLECT)
    for quality, dip in zip(qualities[1:-1], dips(ghost_differences(blocks, qualities)), strict=True):
        if present is not None and quality > present - PRESENT:
            continue  # finer than the last save, or the last save itself
        left = without_texture(dip, texture, judged)
        middle, spread = _bulk(left[judged])
        threshold = max(DEVIATIONS * spread, LEAST_DIP)
        beyond = np.where(judged, (left - middle) / threshold, 0).astype(np.float32)
        found = _region(beyond, quality)
        if found is not None and found.score > best.score:
            best = found
    return best


def _region(beyond: NDArray[np.float32], quality: int) -> Ghost | None:
    """The largest solid region above 1, grown to all connected above ``GROWN``; None where none is of a ghost's size."""
    standing = (beyond > 1).astype(np.uint8)
    core = _largest(cv2.morphologyEx(standing, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)))
    if core is None or core.mean() < LEAST_SHARE:
        return None
    wider = cv2.morphologyEx((beyond > GROWN).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, labels = cv2.connectedComponents(wider, connectivity=4)
    grown = (labels == labels[core][0]).astype(np.uint8)  # the core is one piece of it
    cells = cv2.morphologyEx(grown, cv2.MORPH_CLOSE, np.ones((WINDOW, WINDOW), np.uint8)) > 0
    share = float(cells.mean())
    if share > MOST_SHARE:
        return None
    compactness = float(standing[cells].sum() / standing.sum())
    excess = float(np.median(beyond[core])) - 1
    score = compactness * excess / (excess + HALF)
    return Ghost(np.where(cells, score, 0).astype(np.float32), score, quality, share)


def _largest(solid: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    number, labels, facts, _ = cv2.connectedComponentsWithStats(solid, connectivity=4)
    if number < 2:
        return None
    return np.asarray(labels == 1 + int(facts[1:, cv2.CC_STAT_AREA].argmax()))


def sampled_blocks(luma: NDArray[np.uint8], origin: tuple[int, int] = (0, 0)) -> NDArray[np.float32]:
    """DCT coefficients of the whole blocks of a grid, evenly thinned to ``LOOKED_AT``: float32 (rows, columns, 64).

    Args:
        luma: uint8 (H, W).
        origin: the grid's (x, y).
    """
    left, top = origin
    rows, columns = (luma.shape[0] - top) // 8, (luma.shape[1] - left) // 8
    every = max(1, int(np.ceil((rows * columns / LOOKED_AT) ** 0.5)))
    cells = luma[top : top + rows * 8, left : left + columns * 8].reshape(rows, 8, columns, 8).swapaxes(1, 2)
    chosen = cells[every // 2 :: every, every // 2 :: every]
    return np.asarray(chosen.reshape(*chosen.shape[:2], 64).astype(np.float32) @ BASIS.T)


class Ghosts(Localiser):
    """Which part was saved before at another quality than the rest: the map of ``find_ghost``."""

    name: ClassVar[str] = "jpeg_ghosts"

    def find(self, picture: Picture) -> Localisation | None:
        """The ghost on the picture's own grid: a JPEG's, or the one that an earlier save left in other formats."""
        main = None if picture.format == "JPEG" else grid_finding(picture).main
        origin = (0, 0) if main is None else (main % 8, main // 8)
        blocks = sampled_blocks(stored_grey(picture), origin)
        rows, columns = blocks.shape[:2]
        carrying = np.ascontiguousarray(as_stored(carries_traces(picture), picture.orientation))
        judged = resized(carrying, rows, columns) >= 0.5
        present = history(picture).current_quality
        ghost = find_ghost(blocks, judged, present)
        reliability, reason = _trust(present)
        return Localisation(
            map=np.ascontiguousarray(upright(ghost.map * judged, picture.orientation)),
            judged=np.ascontiguousarray(upright(judged.astype(np.float32), picture.orientation)),
            score=ghost.score,
            says=_says(ghost),
            reliability=reliability,
            reason=reason,
        )


def _trust(present: int | None) -> tuple[float, str]:
    if present is not None and present - PRESENT < COARSEST + 2 * STEP:
        return 0.1, f"The last save, at quality {present}, is so coarse that no earlier one can show under it."
    return 0.4, "It finds only parts saved before at a lower quality than the last save, and on its grid."


def _says(ghost: Ghost) -> str:
    if ghost.quality is None or ghost.score < 0.5:
        return "Saving the picture again at many qualities changes all its parts alike; no part stands out."
    share = f"about {ghost.share:.0%} of the picture" if ghost.share >= 0.01 else "a small one"
    return (
        f"One region, {share}, changes less than the rest when saved again near quality {ghost.quality}, as if it alone "
        "had been saved as a JPEG before; parts pasted from another picture look like this."
    )
