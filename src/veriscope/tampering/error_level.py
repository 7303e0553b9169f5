"""Error level analysis: how much does each part change when the picture is saved once more as a JPEG?

Parts with another compression history may change more or less than the rest under one more save; but texture, contrast and
colour decide the change far more than history does, and no level of brightness means an edit. It is shown because readers
ask for it and know it from elsewhere: an exhibit, whose score is always 0 and which must carry no weight. It fails
everywhere a finding is wanted; ``ghosts`` and ``grid`` ask the same question with a test. After Krawetz, "A Picture's
Worth... Digital Image Analysis and Forensics", Black Hat 2007.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from veriscope.container.jpeg_coefficients import upright
from veriscope.container.jpeg_tables import standard_table
from veriscope.container.jpeg_traces import BASIS
from veriscope.picture import Picture
from veriscope.tampering.grid_votes import stored_grey
from veriscope.tampering.localisation import Localisation, Localiser, carries_traces

QUALITY = 90  # of the save that is tried: what the usual tools take
FULL = 12.0  # grey levels: the root mean square change of a block that the map shows as 0.49
BRIGHTEST = 0.49  # of the map: it calls nothing edited
BAND = 128  # rows of blocks at a time


def error_level(luma: NDArray[np.uint8], quality: int = QUALITY) -> NDArray[np.float32]:
    """How much one more JPEG save changes each 8x8 block: float32 (H/8, W/8) rounded up, root mean square in grey levels.

    Luma only, by rounding its coefficients; blocks that are not whole take the value of their whole neighbour.

    Args:
        luma: uint8 (H, W), at least 8 a side.
        quality: IJG quality of the save, 1 to 100.
    """
    table = standard_table(quality).astype(np.float32)
    rows, columns = luma.shape[0] // 8, luma.shape[1] // 8
    levels = np.empty((rows, columns), np.float32)
    for first in range(0, rows, BAND):
        last = min(first + BAND, rows)
        cells = luma[first * 8 : last * 8, : columns * 8].reshape(last - first, 8, columns, 8).swapaxes(1, 2)
        scaled = (cells.reshape(-1, 64).astype(np.float32) - 128) @ BASIS.T / table
        change = (scaled - np.rint(scaled)) * table
        levels[first:last] = np.sqrt(np.square(change).mean(1)).reshape(last - first, columns)
    high, wide = -(-luma.shape[0] // 8), -(-luma.shape[1] // 8)
    return np.pad(levels, ((0, high - rows), (0, wide - columns)), mode="edge")


class ErrorLevel(Localiser):
    """How much each part changes under one more save: to look at, never to weigh."""

    name: ClassVar[str] = "error_level"

    def find(self, picture: Picture) -> Localisation | None:
        """``error_level`` over ``FULL``, scaled to stay below 0.5; the score is always 0."""
        levels = upright(error_level(stored_grey(picture)), picture.orientation)
        judged = carries_traces(picture)
        shown = BRIGHTEST * np.clip(levels / FULL, 0, 1).astype(np.float32)
        return Localisation(
            map=shown * judged,
            judged=judged,
            score=0.0,
            says=(
                f"How much each part changes when saved again at quality {QUALITY}: brightness here follows texture and "
                "contrast, and proves nothing by itself."
            ),
            reliability=0.1,
            reason="Shown for those who know it from elsewhere; it carries no weight.",
        )
