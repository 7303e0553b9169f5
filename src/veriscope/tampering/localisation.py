"""What every localiser of edits gives, and how it becomes evidence.

A method answers "which part differs from the rest, by this trace?" with a map, and with where it could look at all: a flat or
clipped area carries no trace, and is marked so instead of being scored. Single methods are exhibits, shown and not weighed;
``fused`` weighs them together and is the one that was calibrated.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.evidence import Evidence, Question
from veriscope.picture import Picture

LEAST_SIDE = 64  # pixels: a smaller picture holds too few blocks to compare its parts
FLAT = 1.5  # grey levels: standard deviation of luma in a block below which it carries no trace
CLIPPED = 0.25  # share of a block's pixels at 0..2 or 253..255 from which it carries none


@dataclass(frozen=True, eq=False)
class Localisation:
    """Where one method finds the picture edited.

    Attributes:
        map: float32 (h, w) in [0, 1], high where edited, at any scale of the picture's own shape, upright.
        judged: float32 (h, w) in [0, 1], how far the method could look there; 0 where it could not, and ``map`` is 0 there.
        score: the whole picture's, higher where it speaks for an edit; in [0, 1].
        says: one plain sentence of what was measured.
        reliability: in [0, 1], how far the method can be trusted on this picture.
        reason: what lowers it; empty when nothing does.
    """

    map: NDArray[np.float32] = field(repr=False)
    judged: NDArray[np.float32] = field(repr=False)
    score: float
    says: str
    reliability: float = 1.0
    reason: str = ""

    def __post_init__(self) -> None:
        if self.map.ndim != 2 or self.map.shape != self.judged.shape:
            raise ValueError(
                f"a map and where it was judged must share one shape, not {self.map.shape}, {self.judged.shape}"
            )

    def at(self, height: int, width: int) -> NDArray[np.float32]:
        """The map at ``(height, width)`` pixels, float32 in [0, 1]."""
        return resized(self.map, height, width)


class Localiser:
    """A method as a detector: an exhibit with a map.

    Attributes:
        name, version: of the detector.
        quick: whether it is asked in a quick examination too.
    """

    name: ClassVar[str]
    version: ClassVar[str] = "1"
    question: ClassVar[Question] = Question.EDITED
    quick: ClassVar[bool] = False

    def locate(self, picture: Picture) -> Localisation | None:
        """Where the method finds the picture edited, computed once for the picture; None where it does not apply."""
        if min(picture.height, picture.width) < LEAST_SIDE:
            return None
        return picture.once(("localisation", self.name), lambda: self.find(picture))

    def find(self, picture: Picture) -> Localisation | None:
        """The method itself, on a picture of at least ``LEAST_SIDE`` px a side; None where it does not apply."""
        raise NotImplementedError

    def __call__(self, picture: Picture) -> Evidence | None:
        """The map as an exhibit; None where the method does not apply."""
        found = self.locate(picture)
        if found is None:
            return None
        return Evidence(
            detector=self.name,
            version=self.version,
            question=self.question,
            score=found.score,
            log10_lr=0.0,
            reliability=found.reliability,
            reason=found.reason,
            says=found.says,
            map=found.map,
            weighed=False,
        )


def resized(values: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """A map ``float32 (h, w)`` at ``(height, width)``: averaged where made smaller, interpolated where made larger."""
    if values.shape == (height, width):
        return values
    smaller = height * width < values.size
    found = cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    return np.asarray(found, np.float32)


def carries_traces(picture: Picture, block: int = 8) -> NDArray[np.float32]:
    """1 for each block that is neither flat nor clipped, 0 for the others: float32 (ceil(H/block), ceil(W/block)).

    Blocks at the right and lower edge that are not whole take the value of their whole neighbour.
    """
    return picture.once(("carries traces", block), lambda: _carrying(picture.luma, block))


def _carrying(luma: NDArray[np.float32], block: int) -> NDArray[np.float32]:
    high, wide = luma.shape[0] // block, luma.shape[1] // block
    cells = luma[: high * block, : wide * block].reshape(high, block, wide, block)
    mean = cells.mean((1, 3))
    spread = np.sqrt(np.maximum(np.square(cells).mean((1, 3)) - np.square(mean), 0))
    clipped = ((cells < 2.5) | (cells > 252.5)).mean((1, 3))
    good = ((spread >= FLAT) & (clipped <= CLIPPED)).astype(np.float32)
    rows, columns = -(-luma.shape[0] // block), -(-luma.shape[1] // block)
    return np.pad(good, ((0, rows - high), (0, columns - wide)), mode="edge")


def robust_deviation(values: NDArray[np.floating]) -> float:
    """The standard deviation of a normal distribution with the values' median absolute deviation; outliers hardly count.

    >>> round(robust_deviation(np.array([1.0, 2.0, 3.0, 4.0, 1e6])), 3)
    1.483
    """
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))
