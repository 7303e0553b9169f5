"""Render documents, receipts, cards and screens, untouched, with the place of every word: made from chance, at any size.

A sheet is written in one of the layouts and becomes a picture in one of three ways: taken from a screen, scanned with the
texture of its paper, or photographed at a slight angle, with shading, blur and the noise of a sensor. It may have been saved
as JPEG, and cut on no border of its blocks, before anyone could edit it.

Limits: what the layouts and the faces of the machine give; folds, shadows of hands and moiré are not drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.lab.data.augmentation import jpeg
from veriscope.lab.generators.layouts import LAYOUTS
from veriscope.lab.generators.typesetting import TRAIN, Colour, Face, Sheet, Word, faces_of

SIZES = (10, 30)  # pixels to the em of the text
ACROSS = (16, 34)  # times its size, that a document is wide at least; a narrower picture shows a part of it
EDGE = 8  # pixels drawn around what is wanted: a cut on no border of JPEG's blocks takes some of them
SCREEN, SCAN, PHOTOGRAPH = "screen", "scan", "photograph"
WAYS = {SCREEN: 0.4, SCAN: 0.25, PHOTOGRAPH: 0.35}  # how documents become pictures, and the share of each
DARK_SHARE = 0.2  # of the screens
SAVED_SHARE = {SCREEN: 0.5, SCAN: 0.85, PHOTOGRAPH: 0.95}  # of those that were saved as JPEG before they are edited
QUALITY = (60, 97)  # of that save
SHIFTED_SHARE = 0.4  # of the pictures are cut on no block border after it
PICTURED_SHARE = 0.7  # of the captions stand on a picture, where there is one
_Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Document:
    """A rendered document.

    Attributes:
        pixels: uint8 (H, W, 3) RGB.
        words: in pixels of the flat sheet.
        warp: float64 (3, 3), homogeneous, from pixels of the sheet to those of the picture.
        layout, way: its name, and how it became a picture.
    """

    pixels: NDArray[np.uint8]
    words: tuple[Word, ...]
    warp: NDArray[np.float64]
    layout: str = ""
    way: str = SCREEN

    def corners(self, word: Word, first: int = 0, last: int | None = None) -> NDArray[np.float64]:
        """Corners ``float64 (4, 2)``, as x and y in the picture, of the characters ``first`` to ``last`` of a word."""
        left, top, right, low = word.box(first, last)
        flat = np.array([[left, top, 1], [right, top, 1], [right, low, 1], [left, low, 1]])
        moved = flat @ self.warp.T
        return np.asarray(moved[:, :2] / moved[:, 2:])

    def box(self, word: Word, first: int = 0, last: int | None = None) -> tuple[int, int, int, int]:
        """Left, top, right and lower end (exclusive) of these characters in the picture, cut at its edges."""
        corners, (height, width) = self.corners(word, first, last), self.pixels.shape[:2]
        left, top = np.floor(corners.min(0)).astype(int)
        right, low = np.ceil(corners.max(0)).astype(int)
        return max(0, int(left)), max(0, int(top)), min(width, int(right)), min(height, int(low))


def render(
    generator: np.random.Generator,
    height: int,
    width: int,
    *,
    part: str = TRAIN,
    picture: NDArray[np.uint8] | None = None,
) -> Document:
    """An untouched document, as it is before its last saving.

    Args:
        generator: of all chance.
        height, width: pixels.
        part: "train", or "aside" for the faces and layouts that are kept apart.
        picture: uint8 (h, w, 3) that captions may stand on; optional.
    """
    layouts = LAYOUTS[part]
    name = list(layouts)[int(generator.integers(len(layouts)))]
    way = str(generator.choice(list(WAYS), p=list(WAYS.values())))
    sheet = _sheet(generator, height + EDGE, width + EDGE, faces_of(part), way)
    if name == "caption" and picture is not None and generator.random() < PICTURED_SHARE:
        ground = cv2.resize(picture, (sheet.width, sheet.height), interpolation=cv2.INTER_AREA)
        sheet.image.frombytes(np.ascontiguousarray(ground).tobytes())
    layouts[name](sheet)
    left = int(generator.integers(0, sheet.width - width - EDGE + 1))
    flat = Document(np.array(sheet.image), tuple(sheet.words), np.eye(3), name, way)
    shown = part_of(flat, 0, left, height + EDGE, width + EDGE)
    saved = _saved(pictured(shown, generator), generator)
    top, left = generator.integers(0, EDGE, 2) if generator.random() < SHIFTED_SHARE else (0, 0)
    return part_of(saved, int(top), int(left), height, width)


def _sheet(generator: np.random.Generator, height: int, width: int, known: tuple[Face, ...], way: str) -> Sheet:
    families = sorted({face.family for face in known})
    family = families[int(generator.integers(len(families)))]
    regular = [face for face in known if face.family == family and not face.bold]
    bold = [face for face in known if face.family == family and face.bold] or regular
    regular = regular or bold
    paper: Colour = _colour(generator, 225, 255)
    colour: Colour = _colour(generator, 0, 75)
    if way == SCREEN and generator.random() < DARK_SHARE:
        paper, colour = _colour(generator, 10, 45), _colour(generator, 200, 250)
    size = int(generator.integers(SIZES[0], SIZES[1] + 1))
    return Sheet(
        height,
        max(width, round(size * float(generator.uniform(*ACROSS)))),
        regular[int(generator.integers(len(regular)))],
        bold[int(generator.integers(len(bold)))],
        size,
        paper,
        colour,
        _colour(generator, 20, 190),
        generator,
    )


def _colour(generator: np.random.Generator, low: int, high: int) -> Colour:
    """A colour; three in five are grey or nearly so."""
    if generator.random() < 0.6:
        grey = int(generator.integers(low, high + 1))
        return grey, grey, min(high, grey + int(generator.integers(0, 4)))
    red, green, blue = (int(value) for value in generator.integers(low, high + 1, 3))
    return red, green, blue


def pictured(document: Document, generator: np.random.Generator) -> Document:
    """A flat document as its way makes it a picture: a screen's stays as it is."""
    if document.way == SCREEN:
        return document
    warp = _perspective(document.pixels.shape[:2], generator, 0.004 if document.way == SCAN else 0.03)
    size = document.pixels.shape[1], document.pixels.shape[0]
    seen = cv2.warpPerspective(document.pixels, warp, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    blurred = cv2.GaussianBlur(seen, (0, 0), float(generator.uniform(0.3, 1.1))).astype(np.float32)
    if document.way == PHOTOGRAPH:
        blurred *= _smooth(generator, seen.shape[:2], 3, 0.7, 1.05)
        blurred *= generator.uniform(0.88, 1.0, 3).astype(np.float32)
    blurred *= _smooth(generator, seen.shape[:2], 40, 1 - float(generator.uniform(0.0, 0.05)), 1.0)
    return replace(document, pixels=_with_noise(blurred, generator), warp=warp @ document.warp)


def _perspective(shape: tuple[int, ...], generator: np.random.Generator, most: float) -> NDArray[np.float64]:
    """A homography that moves each corner by up to ``most`` of the sides."""
    height, width = shape[0], shape[1]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    moved = corners + generator.uniform(-most, most, (4, 2)) * (width, height)
    return np.asarray(cv2.getPerspectiveTransform(corners, moved.astype(np.float32)), np.float64)


def _smooth(generator: np.random.Generator, shape: tuple[int, ...], cells: int, low: float, high: float) -> _Floats:
    """A field ``float32 (H, W, 1)`` between two values, of about so many cells a side."""
    rough = generator.uniform(low, high, (cells, cells)).astype(np.float32)
    return np.asarray(cv2.resize(rough, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR), np.float32)[:, :, None]


def _with_noise(values: _Floats, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Grey levels with noise that grows with the light, shared in part by neighbours, as demosaicing leaves it."""
    noise = generator.standard_normal(values.shape, np.float32)
    noise = cv2.GaussianBlur(noise, (3, 3), float(generator.uniform(0.3, 0.8)))
    strength = float(generator.uniform(0.3, 4.0))
    noisy = values + noise * (strength * np.sqrt(0.3 + np.maximum(values, 0) / 255))
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def _saved(document: Document, generator: np.random.Generator) -> Document:
    if generator.random() >= SAVED_SHARE[document.way]:
        return document
    quality, subsampled = int(generator.integers(QUALITY[0], QUALITY[1] + 1)), bool(generator.random() < 0.6)
    return replace(document, pixels=jpeg(document.pixels, quality, subsample=subsampled))


def part_of(document: Document, top: int, left: int, height: int, width: int) -> Document:
    """The part of a document that begins at ``(top, left)``, with the words that lie wholly in it."""
    move = np.array([[1.0, 0, -left], [0, 1, -top], [0, 0, 1]])
    pixels = np.ascontiguousarray(document.pixels[top : top + height, left : left + width])
    moved = replace(document, pixels=pixels, warp=move @ document.warp)
    return replace(moved, words=tuple(word for word in document.words if _inside(moved.corners(word), height, width)))


def _inside(corners: NDArray[np.float64], height: int, width: int) -> bool:
    return bool(corners.min() >= 0 and corners[:, 0].max() <= width and corners[:, 1].max() <= height)
