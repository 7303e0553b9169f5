"""Tamper with the text of rendered documents, with masks: characters replaced, copied, painted out and rewritten, or spliced.

The document has its first history, of rendering, taking and saving, before the edit; the edited picture and its untouched
twin then go through one last history together, so that the edit alone tells them apart. Masks cover the boxes of the
characters whose pixels were touched, with the ground between them, as annotators of documents mark them.

Limits: edits by script, as the automatic ones of the paper's data are; a careful hand matches face, blur and noise better.
Paper: Luo et al. 2024 (Toward Real Text Manipulation Detection).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from veriscope.lab.data.augmentation import jpeg, webp
from veriscope.lab.generators.documents import Document, render
from veriscope.lab.generators.layouts import some_amount, some_date, some_name
from veriscope.lab.generators.typesetting import TRAIN, Face, Word, faces_of

MOST_EDITS = 4  # runs of characters in one document
WHOLE_SHARE = 0.6  # of the edits take a whole word, the others a part of it
SAME_FACE = 0.6  # of the words written anew are in the face of those before
REMOVED_SHARE = 0.3  # of what is painted out is not written again
AROUND = 2  # pixels that an edit reaches beyond the characters
SOFT_SHARE = 0.5  # of what is laid over characters has a soft edge, or of what is written anew is a little blurred
UNLIKE = 3.0  # grey levels: mean difference below which what is laid over would hardly change anything
REACH = 12  # pixels around what is painted out that the painting looks at
TRIES = 6  # places looked at for characters
ALIKE = 1.45  # times larger or smaller that characters taken from elsewhere may be
LEAST = 6  # pixels a side of characters that can be edited
STROKE = 28.0  # grey levels from the ground, from which a pixel belongs to a character
SMALLER_SHARE, SMALLEST = 0.25, 0.7  # of the pictures are made smaller before the last save, and how far
JPEG_SHARE, WEBP_SHARE = 0.75, 0.05  # of the last saves; the rest lose nothing
QUALITY = (55, 98)
_Pixels = NDArray[np.uint8]
_Box = tuple[int, int, int, int]  # left, top, right, lower end (exclusive)


@dataclass(frozen=True, eq=False)
class Tampered:
    """A document after an edit, and what it would be without one.

    Attributes:
        pixels: uint8 (H, W, 3) RGB.
        twin: uint8 (H, W, 3), untouched, after the same histories.
        mask: bool (H, W), where it was edited.
        methods: one of ``METHODS`` for each edit; empty where the document was left alone.
        layout: of the document.
    """

    pixels: _Pixels
    twin: _Pixels
    mask: NDArray[np.bool_]
    methods: tuple[str, ...]
    layout: str = ""


@dataclass(frozen=True)
class Run:
    """The characters ``first`` to ``last`` (exclusive) of a word, and their box in the picture."""

    word: Word
    first: int
    last: int
    box: _Box

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the box."""
        return self.box[3] - self.box[1], self.box[2] - self.box[0]

    @property
    def text(self) -> str:
        """The characters."""
        return self.word.text[self.first : self.last]


def make(
    generator: np.random.Generator,
    height: int,
    width: int,
    *,
    part: str = TRAIN,
    tampering: bool = True,
    picture: _Pixels | None = None,
    ways: tuple[str, ...] = (),
) -> Tampered:
    """A document as it is found: edited, or with ``tampering`` false left alone.

    Args:
        generator: of all chance.
        height, width: pixels.
        part: "train", or "aside" for faces and layouts kept apart.
        tampering: whether to edit it; a document in which nothing can be edited is left alone.
        picture: uint8 (h, w, 3) that captions may stand on.
        ways: of ``METHODS``, those to choose among; all by default.
    """
    scale = float(generator.uniform(SMALLEST, 1.0)) if generator.random() < SMALLER_SHARE else 1.0
    size = round(height / scale), round(width / scale)
    document = render(generator, *size, part=part, picture=picture)
    edited, mask = document.pixels, np.zeros(size, np.uint8)
    methods: tuple[str, ...] = ()
    if tampering:
        edited, mask, methods = tamper(document, generator, part, ways)
    saving = int(generator.integers(1 << 32))  # one last history for both
    pixels, twin = (
        last_history(one, height, width, np.random.default_rng(saving)) for one in (edited, document.pixels)
    )
    if size != (height, width):
        mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)
    return Tampered(pixels, twin, mask >= 128, methods, document.layout)


def last_history(rgb: _Pixels, height: int, width: int, generator: np.random.Generator) -> _Pixels:
    """A picture ``uint8 (H, W, 3)`` made ``(height, width)`` and saved for the last time, or left as it is."""
    if rgb.shape[:2] != (height, width):
        filters = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC)
        rgb = cv2.resize(rgb, (width, height), interpolation=filters[int(generator.integers(3))])
    draw, quality = generator.random(), int(generator.integers(QUALITY[0], QUALITY[1] + 1))
    if draw < JPEG_SHARE:
        return jpeg(rgb, quality, subsample=bool(generator.random() < 0.6))
    return webp(rgb, quality) if draw < JPEG_SHARE + WEBP_SHARE else rgb


def tamper(
    document: Document, generator: np.random.Generator, part: str = TRAIN, ways: tuple[str, ...] = ()
) -> tuple[_Pixels, _Pixels, tuple[str, ...]]:
    """Edit some runs of characters; the pixels, a mask of 0 and 255, and the method of each edit that came about."""
    pixels, mask = document.pixels.copy(), np.zeros(document.pixels.shape[:2], np.uint8)
    known, methods = ways or tuple(METHODS), []
    for _ in range(int(generator.integers(1, MOST_EDITS + 1))):
        run = some_run(document, generator)
        if run is None:
            continue
        name = known[int(generator.integers(len(known)))]
        touched = METHODS[name](pixels, document, run, generator, part)
        if touched is not None:
            left, top, right, low = touched
            mask[top:low, left:right] = 255
            methods.append(name)
    return pixels, mask, tuple(methods)


def some_run(document: Document, generator: np.random.Generator, like: Run | None = None) -> Run | None:
    """A run of characters that is large enough to edit, and of about the size of another; None where few tries give none."""
    for _ in range(TRIES if document.words else 0):
        word = document.words[int(generator.integers(len(document.words)))]
        first, last = 0, len(word.text)
        if like is not None:
            first = int(generator.integers(0, max(1, last - len(like.text) + 1)))
            last = min(last, first + len(like.text))
        elif generator.random() >= WHOLE_SHARE and last > 1:
            first = int(generator.integers(0, last))
            last = int(generator.integers(first + 1, last + 1))
        run = Run(word, first, last, document.box(word, first, last))
        alike = like is None or all(1 / ALIKE < one / two < ALIKE for one, two in zip(run.size, like.size, strict=True))
        if min(run.size) >= LEAST and alike:
            return run
    return None


def replaced(pixels: _Pixels, document: Document, run: Run, generator: np.random.Generator, part: str) -> _Box | None:
    """Cover characters with the ground's colour, or with ground from beside them, and write others in their place."""
    box = _wider(run.box, pixels)
    ground, _ = ground_and_ink(_of(pixels, run.box), _of(pixels, box))
    ink = _of(document.pixels, run.box).copy()
    left, top, right, low = box
    beside = pixels[low : 2 * low - top, left:right]
    plain = beside.shape == (low - top, right - left, 3) and np.abs(beside.astype(int) - ground).max() < STROKE
    pixels[top:low, left:right] = beside.copy() if plain and generator.random() < 0.6 else ground
    return _joined(box, rewritten(pixels, document, run, ink, generator, part))


def copied(pixels: _Pixels, document: Document, run: Run, generator: np.random.Generator, _: str) -> _Box | None:
    """Put other characters of the same document over these."""
    other = some_run(document, generator, run)
    if other is None or (other.word == run.word and other.first == run.first):
        return None
    return _pasted(pixels, _of(document.pixels, other.box), run.box, generator, matched=False)


def spliced(pixels: _Pixels, _: Document, run: Run, generator: np.random.Generator, part: str) -> _Box | None:
    """Put characters of another document, with a history of its own, over these."""
    donor = render(generator, 96, 160, part=part)
    other = some_run(donor, generator, run) or some_run(donor, generator)
    if other is None:
        return None
    return _pasted(pixels, _of(donor.pixels, other.box), run.box, generator, matched=True)


def inpainted(pixels: _Pixels, document: Document, run: Run, generator: np.random.Generator, part: str) -> _Box | None:
    """Paint the ground over characters by inpainting, and mostly write others there."""
    ink = _of(document.pixels, run.box).copy()
    left, top, right, low = box = _wider(run.box, pixels)
    part_left, part_top = max(0, left - REACH), max(0, top - REACH)
    around = pixels[part_top : low + REACH, part_left : right + REACH]
    hidden = np.zeros(around.shape[:2], np.uint8)
    hidden[top - part_top : low - part_top, left - part_left : right - part_left] = 255
    method = cv2.INPAINT_TELEA if generator.random() < 0.5 else cv2.INPAINT_NS
    around[:] = cv2.inpaint(np.ascontiguousarray(around), hidden, 3, method)
    if generator.random() < REMOVED_SHARE:
        return box
    return _joined(box, rewritten(pixels, document, run, ink, generator, part))


METHODS: dict[str, Callable[[_Pixels, Document, Run, np.random.Generator, str], _Box | None]] = {
    "replaced": replaced,
    "copied": copied,
    "inpainted": inpainted,
    "spliced": spliced,
}


def rewritten(
    pixels: _Pixels, document: Document, run: Run, before: _Pixels, generator: np.random.Generator, part: str
) -> _Box:
    """Write other characters where a run stood, in its colour and nearly in its place; the box that they touch.

    Args:
        pixels: uint8 (H, W, 3), changed in place.
        document, run: where and in which face they stood.
        before: uint8 (h, w, 3), the run's own pixels.
        generator: of all chance.
        part: whose faces may be taken.
    """
    _, ink = ground_and_ink(before)
    colour = np.clip(ink + generator.normal(0, 4, 3), 0, 255)
    face, size = run.word.ink.face, run.word.ink.size
    if generator.random() >= SAME_FACE:
        known = faces_of(part)
        face = known[int(generator.integers(len(known)))]
        size = max(7, round(size * float(generator.uniform(0.92, 1.08))))
    text = other_text(run.text, generator)
    x, y = run.word.start(run.first) + generator.normal(0, 0.6), run.word.y + generator.normal(0, 0.6)
    alpha = _letters(document, face, size, text, x, y, run.word.ink.outline)
    if generator.random() < SOFT_SHARE:
        alpha = cv2.GaussianBlur(alpha, (0, 0), float(generator.uniform(0.3, 1.0)))
    touched = cv2.boundingRect((alpha > 24).astype(np.uint8))
    left, top, wide, high = touched if touched[2] else (run.box[0], run.box[1], 1, 1)
    spot = pixels[top : top + high, left : left + wide]
    share = alpha[top : top + high, left : left + wide, None].astype(np.float32) / 255
    spot[:] = np.rint(spot * (1 - share) + colour.astype(np.float32) * share).astype(np.uint8)
    return left, top, left + wide, top + high


def other_text(text: str, generator: np.random.Generator) -> str:
    """Other characters of the same kinds and number: digits for digits, letters for letters, signs as they are.

    A whole word may instead become another name, date or amount, cut to its length.
    """
    if len(text) > 5 and generator.random() < 0.3:
        maker: Callable[[np.random.Generator], str] = (some_name, some_date, some_amount)[int(generator.integers(3))]
        return maker(generator).replace(" ", "")[: len(text)]
    letters = "abcdefghijklmnoprstuvwyz"
    found = []
    for character in text:
        other = character
        if character.isdigit():
            other = str(int(generator.integers(10)))
        elif character.isalpha():
            other = letters[int(generator.integers(len(letters)))]
            other = other.upper() if character.isupper() else other
        found.append(other)
    if found and "".join(found) == text:
        found[0] = "8" if text[0] != "8" else "3"
    return "".join(found)


def ground_and_ink(inner: _Pixels, outer: _Pixels | None = None) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The colour of the ground, taken at the edge, and of the ink, of the pixels farthest from it: each float32 (3,)."""
    edge = inner if outer is None else outer
    rim = np.concatenate([edge[0], edge[-1], edge[:, 0], edge[:, -1]])
    ground = np.median(rim, 0).astype(np.float32)
    distance = np.abs(inner.astype(np.float32) - ground).sum(2)
    ink = inner[distance >= np.quantile(distance, 0.9)].mean(0)
    return ground, np.asarray(ink, np.float32)


def _letters(document: Document, face: Face, size: int, text: str, x: float, y: float, outline: int) -> _Pixels:
    """How far text covers each pixel of the picture, ``uint8 (H, W)``, as the document lies in it."""
    font = face.font(size)
    left, top, right, low = font.getbbox(text, anchor="ls", stroke_width=outline)
    patch = Image.new("L", (max(1, round(right - left) + 4), max(1, round(low - top) + 4)))
    ImageDraw.Draw(patch).text((2 - left, 2 - top), text, 255, font, "ls", stroke_width=outline)
    place = np.array([[1.0, 0, x + left - 2], [0, 1, y + top - 2], [0, 0, 1]])
    shape = document.pixels.shape[1], document.pixels.shape[0]
    return np.asarray(
        cv2.warpPerspective(np.array(patch), document.warp @ place, shape, flags=cv2.INTER_LINEAR), np.uint8
    )


def _pasted(
    pixels: _Pixels, patch: _Pixels, box: _Box, generator: np.random.Generator, *, matched: bool
) -> _Box | None:
    """Cover a box and lay a patch on it, its height fitted, with a soft edge by chance; the box that is touched.

    Args:
        pixels: uint8 (H, W, 3), changed in place.
        patch: uint8 (h, w, 3).
        box: where.
        generator: of all chance.
        matched: whether the patch is brought to the colour of the ground there.
    Returns:
        None, and nothing is changed, where the patch hardly differs from what is there.
    """
    left, top, right, low = box
    scale = (low - top) / patch.shape[0]
    if matched or abs(scale - 1) > 0.15:
        size = max(LEAST, round(patch.shape[1] * scale)), low - top
        patch = cv2.resize(patch, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    high, wide = pixels.shape[:2]
    down, across = max(0, top + int(generator.integers(-1, 2))), max(0, left + int(generator.integers(-1, 2)))
    patch = patch[: high - down, : wide - across]
    spot = pixels[down : down + patch.shape[0], across : across + patch.shape[1]]
    if min(patch.shape[:2]) < LEAST // 2 or np.abs(spot.astype(int) - patch).mean() < UNLIKE:
        return None
    ground = ground_and_ink(_of(pixels, box))[0]
    laid = patch.astype(np.float32)
    if matched:
        laid += ground - ground_and_ink(patch)[0]
    if patch.shape[1] < right - left:
        _of(pixels, box)[:] = np.rint(ground).astype(np.uint8)
    share = np.pad(np.ones(patch.shape[:2], np.float32), 1)
    if generator.random() < SOFT_SHARE:
        share = cv2.GaussianBlur(share, (0, 0), float(generator.uniform(0.4, 1.0)))
    share = share[1:-1, 1:-1, None]
    spot[:] = np.clip(np.rint(spot * (1 - share) + laid * share), 0, 255).astype(np.uint8)
    return _joined(box, (across, down, across + patch.shape[1], down + patch.shape[0]))


def _of(pixels: _Pixels, box: _Box) -> _Pixels:
    return pixels[box[1] : box[3], box[0] : box[2]]


def _wider(box: _Box, pixels: _Pixels) -> _Box:
    high, wide = pixels.shape[:2]
    return (
        max(0, box[0] - AROUND),
        max(0, box[1] - AROUND),
        min(wide, box[2] + AROUND),
        min(high, box[3] + AROUND),
    )


def _joined(one: _Box, other: _Box) -> _Box:
    return min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])
