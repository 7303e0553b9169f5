"""``veriscope lab bench-differences``: which edited regions the difference map finds, given the original as an index keeps it.

Edited pictures and their masks come from ``veriscope lab make-edits``, or any manifest with ``origin`` and ``mask``. The
original is reduced and saved as the index does, the two are aligned as a search does it, and each connected region of the mask
counts as found where a region that is called overlaps it by enough. Nothing is left out: a picture that cannot be aligned has
found none. Pictures that were only saved and resized say how quiet the map stays.

Paper: Black et al. 2024 (SImProv); Dong et al. 2013 (CASIA).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.copies.describing import small_jpeg
from veriscope.copies.difference import difference
from veriscope.copies.verification import verify
from veriscope.errors import VeriscopeError
from veriscope.lab.data.manifest import Row, load_pixels
from veriscope.processes import in_processes

FOUND_AT = 0.3  # intersection over union
LEAST_SHARE = 0.001  # of the picture: a smaller spot of a mask is no region
CALLED = 0.5  # of the map
JOINED = 0.02  # of the longer side: spots of a mask or a map that lie nearer are one region


@dataclass(frozen=True)
class Outcome:
    """What became of one edited picture.

    Attributes:
        method: how it was edited; "none" where it was not.
        aligned: whether the copy was recognised and brought over its original.
        overlaps: the best intersection over union of each region of its mask.
        strays: regions that are called and meet nothing of the mask.
        error: why it could not be measured.
    """

    method: str
    aligned: bool = False
    overlaps: tuple[float, ...] = ()
    strays: int = 0
    error: str = ""


def outcome(pair: tuple[Row, Row]) -> Outcome:
    """What the difference map makes of an edited picture and its original."""
    edited, original = pair
    try:
        query, whole = load_pixels(edited), load_pixels(original)
    except VeriscopeError as error:
        return Outcome(edited.method, error=str(error))
    mask = np.zeros(query.shape[:2], np.uint8)
    if edited.mask:
        read = cv2.imread(edited.mask, cv2.IMREAD_GRAYSCALE)
        if read is None:
            return Outcome(edited.method, error=f"{edited.mask}: cannot be read")
        mask = (cv2.resize(np.asarray(read, np.uint8), query.shape[1::-1]) >= 128).astype(np.uint8)
    kept = cv2.imdecode(np.frombuffer(small_jpeg(whole), np.uint8), cv2.IMREAD_COLOR)
    reference = np.ascontiguousarray(np.asarray(kept, np.uint8)[:, :, ::-1])
    wanted = _regions(mask > 0)
    verified = verify(query, reference)
    if verified is None:
        return Outcome(edited.method, overlaps=(0.0,) * len(wanted))
    values = difference(query, reference, verified).map
    called = _regions(np.asarray(cv2.resize(values, query.shape[1::-1]) >= CALLED))
    overlaps = tuple(max((overlap(region, one) for one in called), default=0.0) for region in wanted)
    strays = sum(not any((one & region).any() for region in wanted) for one in called)
    return Outcome(edited.method, True, overlaps, strays)


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Intersection over union of two masks (H, W); 0 where both are empty.

    >>> overlap(np.array([True, True, False]), np.array([False, True, True]))
    0.3333333333333333
    """
    return float((one & other).sum() / max((one | other).sum(), 1))


def _regions(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """The connected regions of a mask, near ones taken together, without spots."""
    size = 2 * round(JOINED * max(mask.shape) / 2) + 1
    joined = cv2.dilate(mask.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    count, labels = cv2.connectedComponents(joined)
    found = [mask & (labels == number) for number in range(1, count)]
    return [one for one in found if one.sum() >= LEAST_SHARE * mask.size]


def pairs(edits: Sequence[Row], originals: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Edited pictures with the pictures that they were made from.

    Raises:
        VeriscopeError: no original of any of them is among ``originals``.
    """
    by_key = {row.key: row for row in originals}
    found = [(row, by_key[row.origin]) for row in edits if row.origin in by_key]
    if not found:
        raise VeriscopeError("no edited picture's origin is among the originals: name the manifest they were made from")
    return found


def measure(edited: Sequence[tuple[Row, Row]], processes: int, say: Callable[[str], None]) -> list[Outcome]:
    """The outcomes of all pairs, in processes."""
    found: list[Outcome] = []
    work = in_processes(edited, outcome, processes, _crashed)
    for number, one in enumerate(work, 1):
        found.append(one)
        if one.error:
            say(f"left out: {one.error}")
        if number % 50 == 0:
            say(f"{number} of {len(edited)} pictures")
    return found


def _crashed(pair: tuple[Row, Row]) -> Outcome:
    return Outcome(pair[0].method, error=f"{pair[0].path} brought its process down twice")


@dataclass(frozen=True)
class Line:
    """Figures of one way of editing: pictures, of these aligned, regions, share found, mean overlap, strays a picture."""

    method: str
    pictures: int
    aligned: float
    regions: int
    found: float
    mean_overlap: float
    strays: float


def lines(outcomes: Iterable[Outcome]) -> list[Line]:
    """The figures of all edits, of each way of editing, and of pictures that were not edited."""
    good = [one for one in outcomes if not one.error]
    edited = [one for one in good if one.overlaps]
    groups = {"all edits": edited}
    groups |= {name: [one for one in edited if one.method == name] for name in sorted({one.method for one in edited})}
    groups["not edited"] = [one for one in good if not one.overlaps]
    return [_line(name, group) for name, group in groups.items() if group]


def _line(name: str, group: Sequence[Outcome]) -> Line:
    overlaps = np.array([value for one in group for value in one.overlaps])
    return Line(
        name,
        len(group),
        float(np.mean([one.aligned for one in group])),
        len(overlaps),
        float((overlaps >= FOUND_AT).mean()) if len(overlaps) else 0.0,
        float(overlaps.mean()) if len(overlaps) else 0.0,
        float(np.mean([one.strays for one in group])),
    )
