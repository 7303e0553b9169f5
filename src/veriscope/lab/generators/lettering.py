"""Text drawn onto a picture, or over text that is wiped out first, in the fonts that the machine has.

Drawn letters have edges that no lens made and no noise inside; a wiped field has a fill that its surroundings do not have.
Fonts are looked for in the folders where systems keep them; where there is none Pillow's own is taken, so pictures made on
two machines may differ.
"""

from __future__ import annotations

import os
import string
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from veriscope.lab.generators.blending import membrane, mixed

Pixels = NDArray[np.uint8]  # (H, W, 3) RGB
Mask = NDArray[np.bool_]  # (H, W)
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
FOLDERS = (
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "~/.fonts",
    "~/.local/share/fonts",
    "/Library/Fonts",
    "/System/Library/Fonts",
    "C:/Windows/Fonts",
)
SUFFIXES = (".ttf", ".otf")
NO_LETTERS = ("math", "symbol", "emoji", "dingbat", "icon", "music", "braille")  # in names of fonts that have none
MOST_FONTS = 200
HEIGHT = (0.05, 0.16)  # of a line of text, share of the picture's shorter side; no less than LEAST_HEIGHT
LEAST_HEIGHT = 9  # pixels
WIDEST = 0.9  # of the picture
AREA = (0.005, 0.4)  # of the picture
REPLACED_SHARE = 0.5  # of the edits wipe out a field first
FLAT_TRIES = 12  # places of which the flattest is written on, as text mostly stands
SOFT_SHARE = 0.4  # of the texts are blurred a little, as if they had been photographed
SEEN = 60  # levels between text and ground at least
REACH = 0.12  # of a line's height: how far a letter's edit reaches around it in the mask


@lru_cache(maxsize=1)
def fonts() -> tuple[str, ...]:
    """Files of fonts with letters, by name; empty where the system keeps none."""
    found: dict[str, str] = {}
    for folder in FOLDERS:
        for place, _, names in os.walk(Path(folder).expanduser()):
            chosen = (name for name in names if name.lower().endswith(SUFFIXES))
            found |= {
                name: str(Path(place) / name) for name in chosen if not any(w in name.lower() for w in NO_LETTERS)
            }
    return tuple(found[name] for name in sorted(found)[:MOST_FONTS])


@lru_cache(maxsize=256)
def _font(path: str, size: int) -> Font:
    try:
        return ImageFont.truetype(path, size) if path else ImageFont.load_default(size)
    except OSError:  # listed, and no font
        return ImageFont.load_default(size)


def lettered(rgb: Pixels, generator: np.random.Generator) -> tuple[Pixels, Mask, dict[str, Any]]:
    """Text drawn or replaced.

    Args:
        rgb: ``uint8 (H, W, 3)`` RGB, at least 64 px a side.
        generator: source of chance.
    Returns:
        the picture; ``bool (H, W)``, true over the field that was wiped, else over the letters and close around them; the
        settings, with the text.
    """
    height, width = rgb.shape[:2]
    replaced = bool(generator.random() < REPLACED_SHARE)
    size = max(LEAST_HEIGHT, round(min(height, width) * float(np.exp(generator.uniform(*np.log(HEIGHT))))))
    known = fonts()
    path = known[int(generator.integers(len(known)))] if known else ""
    words = [_word(generator) for _ in range(int(generator.integers(1, 5)))]
    while True:
        text = " ".join(words)
        letters = _drawn(text, _font(path, size))
        if letters.shape[1] <= WIDEST * width and letters.shape[0] <= height // 2:
            break
        words, size = (words[:-1], size) if len(words) > 1 else (words, max(4, size * 3 // 4))
        if size == 4:
            words = [words[0][:3]]
    missing = 1.2 * AREA[0] * height * width / letters.size
    margin = 2 + round(size * 0.2 + (min(letters.shape) * (max(1.0, missing) - 1) if replaced else 0))
    letters = np.pad(letters, margin)[:height, :width]
    top, left = _flattest(rgb, letters.shape, generator)
    box = np.s_[top : top + letters.shape[0], left : left + letters.shape[1]]
    picture = rgb.copy()
    facts: dict[str, Any] = {"text": text, "font": Path(path).stem or "default", "height": size, "replaced": replaced}
    mask = np.zeros((height, width), bool)
    if replaced:
        mask[box] = True
        picture[mask] = _wiped(rgb, mask, box, generator)[mask[box]]
    if generator.random() < SOFT_SHARE:
        letters = cv2.GaussianBlur(letters, (0, 0), float(generator.uniform(0.4, 1.0)))
    share = np.zeros((height, width), np.float32)
    share[box] = letters * np.float32(generator.uniform(0.75, 1.0))
    ground = picture[box].reshape(-1, 3).mean(0)
    ink = np.broadcast_to(_ink(ground, generator).astype(np.uint8), rgb.shape)
    picture = mixed(picture, ink, share) if share.any() else picture
    if not replaced:
        reach = 2 * max(1, round(size * REACH)) + 1
        close = cv2.dilate((share > 0.2).astype(np.uint8), np.ones((reach, reach), np.uint8)).astype(bool)
        mask = close if close.mean() >= AREA[0] else _box_mask(mask, box)
    return picture, mask, {**facts, "area": round(float(mask.mean()), 4)}


def _box_mask(mask: Mask, box: tuple[slice, slice]) -> Mask:
    mask = mask.copy()
    mask[box] = True
    return mask


def _word(generator: np.random.Generator) -> str:
    kind = generator.random()
    length = int(generator.integers(2, 9))
    if kind < 0.45:  # numbers, as prices, dates and plates have them
        digits = "".join(generator.choice(list(string.digits), length))
        place = int(generator.integers(1, length))
        return digits[:place] + str(generator.choice([*".,:-/", ""])) + digits[place:]
    vowels, consonants = list("aeiou"), list("bcdfghklmnprstvwz")
    letters = [str(generator.choice(consonants if place % 2 else vowels)) for place in range(length)]
    word = "".join(letters)
    return word.upper() if kind < 0.6 else word.capitalize() if kind < 0.8 else word


def _drawn(text: str, font: Font) -> NDArray[np.float32]:
    left, top, right, bottom = (int(np.floor(edge)) for edge in font.getbbox(text))
    canvas = Image.new("L", (max(1, right - left + 1), max(1, bottom - top + 1)))
    ImageDraw.Draw(canvas).text((-left, -top), text, font=font, fill=255)
    return np.asarray(canvas, np.float32) / np.float32(255)


def _flattest(rgb: Pixels, size: tuple[int, ...], generator: np.random.Generator) -> tuple[int, int]:
    places = [
        (int(generator.integers(0, rgb.shape[0] - size[0] + 1)), int(generator.integers(0, rgb.shape[1] - size[1] + 1)))
        for _ in range(FLAT_TRIES)
    ]
    return min(
        places, key=lambda place: float(rgb[place[0] : place[0] + size[0] : 2, place[1] : place[1] + size[1] : 2].std())
    )


def _wiped(rgb: Pixels, mask: Mask, box: tuple[slice, slice], generator: np.random.Generator) -> Pixels:
    """The field of a box filled with one colour, or smoothly from its border, with or without noise."""
    (top, bottom), (left, right) = ((side.start, side.stop) for side in box)
    wide = np.s_[max(0, top - 1) : bottom + 1, max(0, left - 1) : right + 1]
    rim = rgb[wide][~mask[wide]].astype(np.float32)
    if generator.random() < 0.4 and len(rim):
        filled = np.broadcast_to(np.median(rim, 0), (bottom - top, right - left, 3)).astype(np.float32)
    else:
        filled = membrane(rgb[wide].astype(np.float32), mask[wide])
        filled = filled[top - wide[0].start :, left - wide[1].start :][: bottom - top, : right - left]
    if generator.random() < 0.4:
        filled = filled + generator.standard_normal((*filled.shape[:2], 1), np.float32) * np.float32(
            generator.uniform(0.5, 4)
        )
    return np.clip(np.rint(filled), 0, 255).astype(np.uint8)


def _ink(ground: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    """A colour that is seen on a ground: mostly black or white, else any."""
    if generator.random() < 0.6:
        ink = np.full(3, float(generator.uniform(0, 40)))
        return ink if ground.mean() > 110 else 255 - ink
    for _ in range(8):
        ink = generator.uniform(0, 255, 3)
        if abs(float(ink.mean() - ground.mean())) >= SEEN:
            return np.asarray(ink)
    return np.full(3, 0.0 if ground.mean() > 127 else 255.0)
