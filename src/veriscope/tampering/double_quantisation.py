"""Double quantisation: which blocks of a twice-saved JPEG lack the pattern that the first save left in the others?

A part pasted from elsewhere, or repainted, was not rounded by the host's first save on the host's grid, so after the
second save its DCT histograms lack the periodic pattern of the rest. Each block's coefficients are weighed under "saved
once" and "saved twice", with the unquantised distribution taken from the same pixels four off the grid. It needs a
first save on the same grid and, in practice, at a lower quality than the second; it sees nothing in flat areas, and a
part that had the same first save, or a global resize between the saves, leaves no contrast. After Bianchi, De Rosa and
Piva, "Improved DCT coefficient analysis for forgery localization in JPEG images", ICASSP 2011.
"""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.container.jpeg import history
from veriscope.container.jpeg_coefficients import as_stored, coefficients, upright
from veriscope.container.jpeg_tables import standard_table
from veriscope.container.jpeg_traces import BASIS, FREQUENCIES, ROUNDING
from veriscope.picture import Picture
from veriscope.tampering.localisation import Localisation, Localiser, carries_traces

LEVELS = 48  # quantised magnitudes told apart
CALIBRATION_BLOCKS = 128  # a side: the unquantised distribution needs no more than 1 MP
FLOOR = 0.02  # share of each distribution given to the other, so that one coefficient decides nothing
LEAST_INFORMATION = 0.3  # nats a block between the two distributions; below it the map would be noise
CLIPPED_PIXELS = 2  # of a block's 64, from which it is left out
CLIPPED_MARGIN = 2  # grey levels: a clipped value moves a little with the second save
STANDING_OUT = 0.5  # posterior above which a block counts as lacking the pattern
NOTABLE_SHARE = 0.02  # of the picture: a smaller region is not pointed at, as few untouched pictures reach it

_Floats = NDArray[np.float64]


def missing_pattern(
    blocks: NDArray[np.int16],
    table: NDArray[np.int32],
    first: NDArray[np.int32],
    untold: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.float32], float]:
    """The posterior, block by block, of not having been through the first save.

    Args:
        blocks: int16 (rows, columns, 64) quantised coefficients.
        table: int (64,) the present quantisation steps.
        first: int (64,) the first save's.
        untold: bool (rows, columns), blocks to leave out, as clipping breaks the pattern by itself.
    Returns:
        float32 (rows, columns) in [0, 1], and how much a typical block tells, in nats.
    """
    chosen = [at for at in FREQUENCIES if first[at] > 1 and first[at] != table[at]]
    if not chosen:
        return np.zeros(blocks.shape[:2], np.float32), 0.0
    free = _off_grid(blocks, table, chosen)
    noise = np.random.default_rng(0).normal(0, ROUNDING, free.shape[1])
    ratio = np.zeros(blocks.shape[:2])
    information = 0.0
    for row, at in enumerate(chosen):
        once = _levels(np.rint(free[row] / table[at]))
        twice = _levels(np.rint((np.rint(free[row] / first[at]) * first[at] + noise) / table[at]))
        once, twice = (1 - FLOOR) * once + FLOOR * twice, (1 - FLOOR) * twice + FLOOR * once
        gain = np.log(once / twice)
        information += float(((once - twice) * gain).sum() / 2)
        ratio += gain[np.minimum(np.abs(blocks[:, :, at]), LEVELS)]
    if untold is not None:
        ratio[untold] = 0.0
    ratio = cv2.blur(ratio, (3, 3), borderType=cv2.BORDER_REFLECT)
    return _posterior(ratio), information


def _off_grid(blocks: NDArray[np.int16], table: NDArray[np.int32], chosen: list[int]) -> _Floats:
    """DCT coefficients of the same pixels, four off the grid each way: float64 (chosen, N)."""
    rows, columns = (min(size, CALIBRATION_BLOCKS) for size in blocks.shape[:2])
    top, left = (blocks.shape[0] - rows) // 2, (blocks.shape[1] - columns) // 2
    part = blocks[top : top + rows, left : left + columns].astype(np.float32) * table.astype(np.float32)
    pixels = (part.reshape(-1, 64) @ BASIS).reshape(rows, columns, 8, 8).swapaxes(1, 2).reshape(rows * 8, columns * 8)
    inner = pixels[4:-4, 4:-4].reshape(rows - 1, 8, columns - 1, 8).swapaxes(1, 2).reshape(-1, 64)
    return np.asarray(BASIS[chosen] @ inner.T, np.float64)


def _levels(quantised: _Floats) -> _Floats:
    counts = np.bincount(np.minimum(np.abs(quantised), LEVELS).astype(np.int64), minlength=LEVELS + 1) + 0.5
    return np.asarray(counts / counts.sum())


def _posterior(ratio: _Floats) -> NDArray[np.float32]:
    """Sigmoid of the log ratio with the prior share that explains the picture best (expectation maximisation)."""
    share = 0.1
    posterior = np.zeros_like(ratio)
    for _ in range(12):
        posterior = 1 / (1 + np.exp(-np.clip(ratio + np.log(share / (1 - share)), -50, 50)))
        share = float(np.clip(posterior.mean(), 0.001, 0.7))
    return posterior.astype(np.float32)


def clipped_blocks(rgb: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.bool_]:
    """Which whole 8x8 blocks of uint8 (H, W, 3) hold clipped pixels: bool (rows, columns)."""
    clipped = np.any((rgb <= CLIPPED_MARGIN) | (rgb >= 255 - CLIPPED_MARGIN), axis=2)
    high, wide = min(rows, rgb.shape[0] // 8), min(columns, rgb.shape[1] // 8)
    whole = np.asarray(clipped)[: high * 8, : wide * 8].reshape(high, 8, wide, 8).sum((1, 3)) >= CLIPPED_PIXELS
    return np.pad(whole, ((0, rows - high), (0, columns - wide)))


def largest_region(posterior: NDArray[np.float32]) -> float:
    """The share of the picture that the largest solid region above ``STANDING_OUT`` takes, in [0, 1]."""
    solid = cv2.morphologyEx((posterior > STANDING_OUT).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    number, _, facts, _ = cv2.connectedComponentsWithStats(solid, connectivity=4)
    return float(facts[1:, cv2.CC_STAT_AREA].max() / solid.size) if number > 1 else 0.0


def dq_map(picture: Picture) -> NDArray[np.float32] | None:
    """Where the picture lacks the double quantisation effect: float32 (H/8, W/8) in [0, 1], upright, rounded up.

    None where it is no JPEG, shows no earlier save on its grid, or the two saves are too alike to tell apart.
    """
    return picture.once("double quantisation map", lambda: _map(picture))


def _map(picture: Picture) -> NDArray[np.float32] | None:
    past, stored = history(picture), coefficients(picture)
    if stored is None or not past.double_compressed or past.grid_offset != (0, 0) or past.previous_quality is None:
        return None
    if min(stored.luma.shape[:2]) < 8:
        return None
    untold = clipped_blocks(as_stored(picture.rgb, picture.orientation), *stored.luma.shape[:2])
    posterior, information = missing_pattern(stored.luma, stored.table, standard_table(past.previous_quality), untold)
    if information < LEAST_INFORMATION:
        return None
    return np.ascontiguousarray(upright(posterior, picture.orientation))


class DoubleQuantisation(Localiser):
    """Which part lacks the earlier save's double quantisation: the map of ``dq_map``."""

    name: ClassVar[str] = "double_quantisation"
    version: ClassVar[str] = "2"
    quick: ClassVar[bool] = True

    def find(self, picture: Picture) -> Localisation | None:
        """The map and a sentence on it; None where the test does not apply."""
        found = dq_map(picture)
        if found is None:
            return None
        past = history(picture)
        share = largest_region(found)
        if share >= NOTABLE_SHARE:
            says = (
                f"One region, about {share:.0%} of the picture, lacks the traces of the earlier JPEG save that the "
                "rest shows; pasted or repainted parts look like this, and so may text or frames added by an app."
            )
        else:
            says = "The traces of the earlier JPEG save run through the whole picture; no part stands out."
        later = past.current_quality is not None and (past.previous_quality or 0) > past.current_quality
        limits = "It works on the earlier save's own grid, and only where that save was at the lower quality"
        judged = carries_traces(picture)
        return Localisation(
            map=found * judged,
            judged=judged,
            score=share,
            says=says,
            reliability=0.2 if later else 0.5,
            reason=f"{limits}; here it was at the higher one." if later else f"{limits}; flat areas tell nothing.",
        )
