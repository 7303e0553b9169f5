"""Does a picture show a mark that is on a watch list: a logo, or the screenshot of a page?

A folder, that of an index or one of its own, holds a small list of marks under names. A mark is looked for by its edges at all
sizes and by its local points; the homography of the best place is fitted and scored. ``THRESHOLD`` was chosen on made
manipulations. A mark of simple shape, such as a plain disc or a short word in a common font, is met by chance more often. It is
slow on long lists: about a second a mark.

Paper: Ji et al. 2025 (Evaluating the Effectiveness and Robustness of Visual Similarity-based Phishing Detection Models).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.copies import verification
from veriscope.copies.alignment import Homography, resizing
from veriscope.copies.describing import reduced
from veriscope.copies.locking import locked
from veriscope.copies.mark_edges import Outline, outline
from veriscope.copies.mark_search import Place, fitted, proposals, sizes
from veriscope.copies.writing import write
from veriscope.errors import VeriscopeError
from veriscope.picture import Picture
from veriscope.tampering.regions import place as place_in_words
from veriscope.tampering.regions import where as where_in_words

Pixels = NDArray[np.uint8]
SCHEMA = 1  # of the folder
LIST = "watch.json"
PICTURES = ".marks"  # hidden, so that no walk over pictures takes them for some
SIDE = 512  # pixels of the longer side of a mark that is kept
POINTS_SIDE = 1024  # pixels of the longer side in which a picture's points are found
MOST_POINTS = 3000
LEAST_POINTS = 6  # matches that fit one transform, from which it is tried
THRESHOLD = 0.6  # of the score
MORE_WHERE_SMALL = 0.1  # that the limit lies higher for a mark of half of ``LARGE`` and below: little is there to agree
LARGE = 56.0  # pixels, square root of the area: from here on the limit is ``THRESHOLD``
WAIT = 60.0  # seconds for another writer


@dataclass(frozen=True)
class Mark:
    """A mark on the list: its name, the file it was read from, that file's SHA-256, and when it was added."""

    name: str
    reference: str
    sha256: str
    added: str


@dataclass(frozen=True)
class Shown:
    """A mark in a picture.

    Attributes:
        mark: its name.
        reference: the file of the mark that fits best.
        score: how well its edges agree, at most 1.
        corners: of the mark in the picture, x and y as fractions of its sides, clockwise from the mark's upper left.
        says: one sentence for the reader.
    """

    mark: str
    reference: str
    score: float
    corners: tuple[tuple[float, float], ...]
    says: str

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom in the picture, as fractions of its sides, in [0, 1]."""
        across, down = zip(*self.corners, strict=True)
        left, top, right, bottom = (min(max(v, 0.0), 1.0) for v in (min(across), min(down), max(across), max(down)))
        return left, top, right, bottom

    def as_json(self) -> dict[str, Any]:
        """As ``veriscope index watch check --json`` prints it."""
        return {
            "mark": self.mark,
            "reference": self.reference,
            "score": round(self.score, 4),
            "box": [round(value, 4) for value in self.box],
            "says": self.says,
        }


class WatchList:
    """A watch list in a folder. Reading needs no lock; a change is one replacement of ``watch.json``."""

    def __init__(self, folder: Path, marks: Sequence[Mark]) -> None:
        self.folder = folder
        self.marks = list(marks)

    @classmethod
    def open(cls, folder: Path) -> WatchList:
        """The list in ``folder``.

        Raises:
            VeriscopeError: there is none, it is damaged, or of another version.
        """
        try:
            held = json.loads((folder / LIST).read_text(encoding="utf-8"))
            schema, marks = held["schema"], held["marks"]
            if schema != SCHEMA:
                raise VeriscopeError(
                    f"{folder}: a watch list of schema {schema}; this version reads {SCHEMA}: make it anew"
                )
            return cls(folder, [Mark(**mark) for mark in marks])
        except FileNotFoundError:
            mend = f"veriscope index watch add --index {folder} NAME PATH"
            raise VeriscopeError(f"{folder}: no watch list; make one by: {mend}") from None
        except OSError as error:
            raise VeriscopeError(f"{folder / LIST}: cannot be read ({error.strerror})") from error
        except (ValueError, KeyError, TypeError) as error:
            raise VeriscopeError(f"{folder / LIST}: damaged ({type(error).__name__}: {error})") from error

    @classmethod
    def create(cls, folder: Path) -> WatchList:
        """The list in ``folder``; empty, and not written yet, where there is none."""
        return cls.open(folder) if (folder / LIST).exists() else cls(folder, [])

    def add(
        self, name: str, pictures: Sequence[Picture], references: Sequence[str], *, wait: float = WAIT
    ) -> list[Mark]:
        """Put pictures of a mark on the list, all or none; those that are there under the name are left out.

        Raises:
            VeriscopeError: one has next to no edges, another process writes for too long, or the folder cannot be written.
        """
        if not name.strip():
            raise VeriscopeError("a mark needs a name")
        now = datetime.now(UTC).isoformat(timespec="seconds")
        for picture in pictures:
            if outline(reduced(picture.rgb, SIDE)) is None:
                raise VeriscopeError(
                    f"{picture.name}: next to no edges, so nothing could be told from it; transparent marks are read on white"
                )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise VeriscopeError(f"{self.folder}: cannot be made ({error.strerror})") from error
        with locked(self.folder / "write.lock", wait):
            self.marks = WatchList.create(self.folder).marks
            held = {(mark.name, mark.sha256) for mark in self.marks}
            new = []
            for picture, reference in zip(pictures, references, strict=True):
                if (name, picture.sha256) in held:
                    continue
                held.add((name, picture.sha256))
                png = cv2.imencode(".png", reduced(picture.rgb, SIDE)[:, :, ::-1])[1].tobytes()
                write(self._file(picture.sha256), png)
                new.append(Mark(name, reference, picture.sha256, now))
            self._keep([*self.marks, *new])
        return new

    def remove(self, name: str, *, wait: float = WAIT) -> list[Mark]:
        """Take all pictures of a mark off the list; gives them.

        Raises:
            VeriscopeError: there is no list, or it cannot be written.
        """
        with locked(self.folder / "write.lock", wait):
            self.marks = WatchList.open(self.folder).marks
            gone = [mark for mark in self.marks if mark.name == name]
            self._keep([mark for mark in self.marks if mark.name != name])
            left = {mark.sha256 for mark in self.marks}
            for mark in gone:
                if mark.sha256 not in left:
                    self._file(mark.sha256).unlink(missing_ok=True)
        return gone

    def check(self, picture: Picture, *, threshold: float = THRESHOLD) -> list[Shown]:
        """The marks that a picture shows, best first, each name once.

        Raises:
            VeriscopeError: a mark's picture is missing or damaged.
        """
        best: dict[str, Shown] = {}
        for mark, place in scored(picture.rgb, [self._pixels(mark) for mark in self.marks]):
            found = self.marks[mark]
            if place.score >= limit(place.side, threshold) and (
                found.name not in best or place.score > best[found.name].score
            ):
                best[found.name] = _shown(found, place, picture.rgb.shape)
        return sorted(best.values(), key=lambda shown: (-shown.score, shown.mark))

    def _keep(self, marks: list[Mark]) -> None:
        held = {"schema": SCHEMA, "marks": [asdict(mark) for mark in marks]}
        write(self.folder / LIST, json.dumps(held, ensure_ascii=False, indent=1).encode())
        self.marks = marks

    def _file(self, sha256: str) -> Path:
        return self.folder / PICTURES / f"{sha256}.png"

    def _pixels(self, mark: Mark) -> Pixels:
        try:
            read = cv2.imdecode(np.frombuffer(self._file(mark.sha256).read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        except (OSError, cv2.error):
            read = None
        if read is None:
            mend = f"veriscope index watch remove --index {self.folder} {mark.name!r}, and add it again"
            raise VeriscopeError(
                f"{self._file(mark.sha256)}: the picture of mark {mark.name!r} is missing or damaged: {mend}"
            )
        return np.ascontiguousarray(read[:, :, ::-1]).astype(np.uint8)


def limit(side: float, threshold: float = THRESHOLD) -> float:
    """The score from which a mark of ``side`` pixels, the square root of its area in the picture, counts as shown."""
    return threshold + MORE_WHERE_SMALL * float(np.clip(2 * (1 - side / LARGE), 0, 1))


def scored(picture: Pixels, marks: Sequence[Pixels]) -> Iterator[tuple[int, Place]]:
    """The best place of each mark in a picture, both ``uint8 (H, W, 3)`` RGB, with the mark's number.

    The place's transform takes the (x, y, 1) of ``Outline.rgb`` to the picture's. Marks without edges are left out.
    """
    at_sizes = sizes(picture)
    points = verification.points(picture, POINTS_SIDE, MOST_POINTS)
    for number, pixels in enumerate(marks):
        mark = outline(pixels)
        if mark is not None:
            places = [*proposals(mark, at_sizes), *_by_points(points, mark, picture.shape)]
            tried = [fitted(picture, mark, place) for place in places]
            if tried:
                yield number, max(tried, key=lambda place: place.score)


def _by_points(picture: verification.Points, mark: Outline, shape: tuple[int, ...]) -> Iterator[Homography]:
    """Transforms that enough local points agree on, for each reading of the mark."""
    own = verification.points(mark.rgb)
    if min(len(own.places), len(picture.places)) < LEAST_POINTS:
        return
    back = resizing(picture.grey.shape, shape)
    for negative, mirrored in product((False, True), repeat=2):
        start, end = verification.matches(
            verification.read_as(own.descriptors, mirrored, negative), picture.descriptors
        )
        if len(start) < LEAST_POINTS:
            continue
        found = verification.fitted(own.places[start], picture.places[end], mirrored)
        if found is not None and found[1].sum() >= LEAST_POINTS:
            yield back @ found[0]


def _shown(mark: Mark, place: Place, shape: tuple[int, ...]) -> Shown:
    carried = place.ends / (shape[1], shape[0])
    ends = tuple((float(x), float(y)) for x, y in carried)
    shown = Shown(mark.name, mark.reference, place.score, ends, "")
    where = where_in_words(place_in_words(shown.box))
    agrees = f"the edges there agree with it at {place.score:.2f} of 1 (limit {limit(place.side):.2f})"
    means = "Whose picture it is, and whether it may show the mark, does not follow from it"
    says = f"The mark {mark.name!r} is shown {where}: {agrees}. {means}."
    return Shown(mark.name, mark.reference, place.score, ends, says)
