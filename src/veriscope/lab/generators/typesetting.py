"""Words on a sheet, in the faces that this machine has, so that it is known where each character stands.

Faces are found in the usual folders of the system and in matplotlib's; where there are none, Pillow's own is left. Families
are dealt by name into those for training and those kept apart, so that no letter shape is measured that was learned; on a
machine with one family both parts share it.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from veriscope.lab.generators.lettering import FOLDERS

SUFFIXES = (".ttf", ".otf", ".ttc")
MOST_FILES = 600  # faces looked at
NEEDED = "ABCXYZabcxyz0123456789.,:-/$é"  # characters that a face must have, each with a shape of its own
OWN = "Pillow"  # what the face that Pillow brings is called here
UNASSIGNED = "\U0010fffe"  # drawn as a face's sign for what it lacks
TRAIN, ASIDE = "train", "aside"
EVERY_ASIDE = 3  # one hand in so many is kept apart, a hand being all families whose names begin alike
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Face:
    """One style of a family; ``path`` is empty for Pillow's own."""

    family: str
    style: str
    path: str

    @property
    def bold(self) -> bool:
        """Whether it is a heavy style."""
        return "bold" in self.style.lower()

    def font(self, size: int) -> ImageFont.FreeTypeFont:
        """The face at ``size`` pixels to the em."""
        return _font(self.path, size)


@lru_cache(maxsize=512)
def _font(path: str, size: int) -> ImageFont.FreeTypeFont:
    if path:
        return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)
    own = ImageFont.load_default(size)
    assert isinstance(own, ImageFont.FreeTypeFont)  # only a Pillow built without FreeType gives another
    return own


@lru_cache(maxsize=1)
def faces() -> tuple[Face, ...]:
    """All faces that can write what documents say, by family and style; Pillow's own is always among them."""
    found: dict[tuple[str, str], Face] = {}
    for path in islice(_files(), MOST_FILES):
        face = _opened(path)
        if face is not None:
            found.setdefault((face.family, face.style), face)
    own = Face(OWN, "Regular", "")
    return (*(found[name] for name in sorted(found)), own)


def _files() -> Iterator[str]:
    for folder in [*FOLDERS, *_of_matplotlib()]:
        for root, inner, names in os.walk(os.path.expanduser(folder)):
            inner.sort()
            yield from (os.path.join(root, name) for name in sorted(names) if name.lower().endswith(SUFFIXES))


def _of_matplotlib() -> list[str]:
    try:
        from matplotlib import get_data_path
    except ImportError:
        return []
    return [str(Path(get_data_path()) / "fonts")]


def _opened(path: str) -> Face | None:
    try:
        font = _font(path, 16)
        lacking = bytes(font.getmask(UNASSIGNED))
        shapes = [bytes(font.getmask(letter)) for letter in NEEDED]
    except (OSError, ValueError):
        return None
    if lacking in shapes or len(set(shapes)) < len(NEEDED):
        return None
    family, style = font.getname()
    return Face(family or "", style or "", path)


def faces_of(part: str, known: Sequence[Face] | None = None) -> tuple[Face, ...]:
    """The faces of one part, "train" or "aside"; families whose names begin alike are of one hand and lie in one part.

    Args:
        part: which one.
        known: the faces to deal; those of this machine by default.
    """
    return _dealt(part, faces() if known is None else tuple(known))


@lru_cache(maxsize=8)
def _dealt(part: str, known: tuple[Face, ...]) -> tuple[Face, ...]:
    hands = sorted({_hand(face) for face in known}, key=lambda name: (zlib.crc32(name.encode()), name))
    aside = set(hands[1::EVERY_ASIDE]) or set(hands[-1:])
    learned = set(hands) - aside or aside
    wanted = aside if part == ASIDE else learned
    return tuple(face for face in known if _hand(face) in wanted)


def _hand(face: Face) -> str:
    return face.family.split(" ")[0]


@dataclass(frozen=True)
class Ink:
    """How a word is written: face, pixels to the em, colour, and pixels of outline in the second colour."""

    face: Face
    size: int
    colour: Colour
    outline: int = 0
    around: Colour = (0, 0, 0)


@dataclass(frozen=True)
class Word:
    """A word and where its base line begins, in pixels of the sheet."""

    text: str
    x: float
    y: float
    ink: Ink

    def start(self, first: int) -> float:
        """Where the character ``first`` begins on the base line."""
        return self.x + self.ink.face.font(self.ink.size).getlength(self.text[:first])

    def box(self, first: int = 0, last: int | None = None) -> tuple[float, float, float, float]:
        """Left, top, right and lower end of the characters ``first`` to ``last`` (exclusive), in pixels of the sheet."""
        font, start = self.ink.face.font(self.ink.size), self.start(first)
        left, top, right, low = font.getbbox(self.text[first:last], anchor="ls", stroke_width=self.ink.outline)
        return start + left, self.y + top, start + right, self.y + low


@dataclass
class Sheet:
    """A sheet that is written on.

    Attributes:
        height, width: pixels.
        regular, bold: the faces of the text and of what stands out.
        size: pixels to the em of the text.
        paper, colour, accent: of the ground, the text and what stands out.
        generator: of all chance.
        words: those that lie wholly on it, as they were written.
    """

    height: int
    width: int
    regular: Face
    bold: Face
    size: int
    paper: Colour
    colour: Colour
    accent: Colour
    generator: np.random.Generator
    words: list[Word] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.image = Image.new("RGB", (self.width, self.height), self.paper)
        self.pen = ImageDraw.Draw(self.image)

    def ink(self, scale: float = 1.0, *, bold: bool = False, colour: Colour | None = None, outline: int = 0) -> Ink:
        """An ink in the sheet's faces, at ``scale`` times its size."""
        size = max(7, round(self.size * scale))
        return Ink(self.bold if bold else self.regular, size, colour or self.colour, outline)

    def write(self, x: float, y: float, text: str, ink: Ink, anchor: str = "l") -> float:
        """Write words from, to or around ``x`` (anchor "l", "r", "m") on the base line ``y``; where they end, in pixels."""
        font = ink.face.font(ink.size)
        length, gap = font.getlength(text), font.getlength(" ")
        x -= {"l": 0.0, "r": length, "m": length / 2}[anchor]
        for part in text.split():
            word = Word(part, round(x), round(y), ink)
            place = (word.x, word.y)
            self.pen.text(place, part, ink.colour, font, "ls", stroke_width=ink.outline, stroke_fill=ink.around)
            left, top, right, low = word.box()
            if left >= 0 and top >= 0 and right <= self.width and low <= self.height:
                self.words.append(word)
            x += font.getlength(part) + gap
        return x - gap

    def rule(self, y: float, left: float, right: float, colour: Colour | None = None, width: int = 1) -> None:
        """A line across."""
        self.pen.line([(left, round(y)), (right, round(y))], colour or self.colour, width)
