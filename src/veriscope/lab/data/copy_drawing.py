"""What is drawn over pictures when they are passed on: text, faces, arrows, the furniture of screens and pages.

Text is in the face that Pillow brings and signs are drawn from circles and lines, so that a copy is the same on every machine
and no sign of others' make is needed. Places are shares of width and height, sizes are pixels.
"""

from __future__ import annotations

import string
from functools import lru_cache
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Pixels = NDArray[np.uint8]
Chance = np.random.Generator
Colour = tuple[int, int, int]
LEAST_LETTER = 7  # pixels: smaller text is not drawn smaller
WIDEST = 0.94  # of the picture: longer text is set smaller
VOWELS, CONSONANTS = "aeiou", "bcdfghklmnprstvw"


@lru_cache(maxsize=256)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def colour(generator: Chance) -> Colour:
    """Any colour that is far from grey."""
    values = generator.permutation([int(generator.integers(0, 80)), int(generator.integers(170, 256)), 0])
    values[2] = int(generator.integers(0, 256))
    return int(values[0]), int(values[1]), int(values[2])


def phrase(generator: Chance, least: int, most: int) -> str:
    """From ``least`` to ``most`` made-up words; one in eight is a number."""
    words = []
    for _ in range(int(generator.integers(least, most + 1))):
        if generator.random() < 0.125:
            words.append("".join(generator.choice(list(string.digits), int(generator.integers(1, 5)))))
            continue
        pairs = int(generator.integers(1, 4))
        words.append(
            "".join(str(generator.choice(list(CONSONANTS + VOWELS[:1]))) + _vowel(generator) for _ in range(pairs))
        )
    return " ".join(words)


def _vowel(generator: Chance) -> str:
    return str(generator.choice(list(VOWELS)))


def lettered(
    rgb: Pixels, text: str, place: tuple[float, float], size: float, ink: Colour, *, edge: Colour | None = None
) -> Pixels:
    """One line of text, its middle at a place.

    Args:
        rgb: ``uint8 (H, W, 3)``.
        text: what is written.
        place: of its middle, shares of width and height.
        size: of the letters in pixels; less where the line would be wider than the picture.
        ink: of the letters.
        edge: of an outline around them.
    """
    height, width = rgb.shape[:2]
    font = _font(max(LEAST_LETTER, round(size)))
    wide = font.getlength(text)
    if wide > WIDEST * width:
        font = _font(max(LEAST_LETTER, int(size * WIDEST * width / wide)))
    image = Image.fromarray(rgb)
    ImageDraw.Draw(image).text(
        (place[0] * width, place[1] * height),
        text,
        ink,
        font,
        anchor="mm",
        stroke_width=max(1, round(size / 14)) if edge else 0,
        stroke_fill=edge,
    )
    return np.asarray(image, np.uint8).copy()


def emoji(rgb: Pixels, place: tuple[float, float], size: float, generator: Chance) -> Pixels:
    """A round yellow face, a heart or a star of ``size`` pixels, its middle at a place."""
    image = Image.fromarray(rgb)
    pen = ImageDraw.Draw(image)
    x, y, radius = place[0] * rgb.shape[1], place[1] * rgb.shape[0], max(4.0, size / 2)
    kind = generator.random()
    if kind < 0.15:
        turn = np.linspace(0, 2 * np.pi, 60)
        across, down = 16 * np.sin(turn) ** 3, -(13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn))
        pen.polygon(
            [(x + a * radius / 16, y + b * radius / 16) for a, b in zip(across, down, strict=True)], (225, 30, 50)
        )
    elif kind < 0.3:
        turn = np.arange(10) * np.pi / 5 - np.pi / 2
        reach = np.where(np.arange(10) % 2, 0.45, 1.0) * radius
        points = [(x + r * np.cos(t), y + r * np.sin(t)) for r, t in zip(reach, turn, strict=True)]
        pen.polygon(points, (250, 200, 30))
    else:
        _face(pen, x, y, radius, generator)
    return np.asarray(image, np.uint8).copy()


def _face(pen: ImageDraw.ImageDraw, x: float, y: float, radius: float, generator: Chance) -> None:
    pen.ellipse(
        (x - radius, y - radius, x + radius, y + radius), (255, 205, 50), (200, 140, 20), max(1, round(radius / 16))
    )
    for side in (-1, 1):
        middle, eye = x + side * radius * 0.36, radius * 0.13
        pen.ellipse((middle - eye, y - radius * 0.4, middle + eye, y - radius * 0.05), (70, 40, 10))
    mood = generator.random()
    line = max(1, round(radius / 9))
    if mood < 0.6:
        pen.arc((x - radius * 0.6, y - radius * 0.5, x + radius * 0.6, y + radius * 0.65), 20, 160, (70, 40, 10), line)
    elif mood < 0.8:
        pen.arc((x - radius * 0.5, y + radius * 0.2, x + radius * 0.5, y + radius), 200, 340, (70, 40, 10), line)
    else:
        pen.ellipse((x - radius * 0.25, y + radius * 0.15, x + radius * 0.25, y + radius * 0.7), (70, 40, 10))


def scribbles(rgb: Pixels, generator: Chance, count: int) -> Pixels:
    """Winding lines of one colour each."""
    made = rgb.copy()
    height, width = rgb.shape[:2]
    thick = max(1, round(min(height, width) / 70))
    for _ in range(count):
        steps = np.cumsum(generator.normal(0, 0.05, (24, 2)), 0) + generator.uniform(0.2, 0.8, 2)
        points = np.rint(steps * (width, height)).astype(np.int32)[:, None]
        cv2.polylines(made, [points], False, colour(generator), thick, cv2.LINE_AA)
    return made


def pointer(rgb: Pixels, generator: Chance) -> Pixels:
    """A red ring around a place, and an arrow towards it."""
    made = rgb.copy()
    height, width = rgb.shape[:2]
    thick = max(2, round(min(height, width) / 50))
    x, y = round(width * generator.uniform(0.3, 0.7)), round(height * generator.uniform(0.3, 0.7))
    radius = max(4, round(min(height, width) * generator.uniform(0.1, 0.2)))
    red = (230, 20, 20)
    cv2.circle(made, (x, y), radius, red, thick, cv2.LINE_AA)
    turn = generator.uniform(0, 2 * np.pi)
    way = np.array([np.cos(turn), np.sin(turn)])
    tip, tail = (np.rint(np.array([x, y]) + way * radius * far).astype(int).tolist() for far in (1.2, 2.6))
    cv2.arrowedLine(made, tail, tip, red, thick, cv2.LINE_AA, tipLength=0.3)
    return made


def screen_furniture(rgb: Pixels, ink: Colour, generator: Chance) -> Pixels:
    """A telephone's status bar above, a name under it, signs and a comment below."""
    made = rgb.copy()
    height, width = made.shape[:2]
    clock = f"{int(generator.integers(0, 24)):02}:{int(generator.integers(0, 60)):02}"
    made = lettered(made, clock, (0.1, 0.025), height * 0.025, ink)
    cv2.rectangle(
        made, (round(width * 0.88), round(height * 0.015)), (round(width * 0.96), round(height * 0.035)), ink, -1
    )
    cv2.circle(made, (round(width * 0.08), round(height * 0.075)), max(2, round(width * 0.035)), colour(generator), -1)
    made = lettered(made, phrase(generator, 1, 2), (0.3, 0.075), height * 0.025, ink)
    for place in (0.08, 0.2, 0.32):
        cv2.circle(
            made, (round(width * place), round(height * 0.88)), max(2, round(width * 0.025)), ink, 1, cv2.LINE_AA
        )
    made = lettered(made, phrase(generator, 3, 5), (0.45, 0.93), height * 0.025, ink)
    return lettered(made, phrase(generator, 2, 5), (0.45, 0.965), height * 0.022, ink)


def page_furniture(rgb: Pixels, shape: tuple[int, ...], generator: Chance) -> Pixels:
    """A browser's bar, a headline, and lines of grey text right of a picture of ``shape`` in a wider page."""
    made = rgb.copy()
    height, width = made.shape[:2]
    made[: round(height * 0.09)] = (222, 225, 230)
    cv2.rectangle(
        made,
        (round(width * 0.12), round(height * 0.025)),
        (round(width * 0.9), round(height * 0.07)),
        (255, 255, 255),
        -1,
    )
    made = lettered(made, "www." + phrase(generator, 1, 1) + ".org", (0.3, 0.047), height * 0.03, (90, 90, 90))
    made = lettered(made, phrase(generator, 3, 6).capitalize(), (0.5, 0.16), height * 0.06, (15, 15, 15))
    left = round(width * 0.02) + round(shape[1] * 1.1)
    for row in range(round(height * 0.26), round(height * 0.9), max(4, round(height * 0.03))):
        right = left + round((width - left) * generator.uniform(0.6, 0.95))
        cv2.line(made, (left, row), (right, row), (150, 150, 150), max(1, round(height * 0.008)))
    return made


def columns_of_text(rgb: Pixels, shape: tuple[int, ...], generator: Chance) -> Pixels:
    """A printed page's headline, and lines of text in columns below and right of a picture of ``shape``."""
    made = lettered(rgb, phrase(generator, 3, 6).upper(), (0.5, 0.08), rgb.shape[0] * 0.07, (25, 25, 25))
    height, width = made.shape[:2]
    below = round(0.3 * shape[0]) + shape[0]
    for row in range(round(height * 0.16), round(height * 0.98), max(3, round(height * 0.02))):
        for start in np.arange(0.03, 0.95, 0.24):
            left, right = round(width * start), round(width * (start + 0.2 * generator.uniform(0.85, 1)))
            if row < below + 4 and left < 1.2 * shape[1]:
                continue
            cv2.line(made, (left, row), (right, row), (90, 88, 85), max(1, round(height * 0.006)))
    return made


def rain(rgb: Pixels, generator: Chance) -> Pixels:
    """Bright slanting streaks over a dimmed picture."""
    height, width = rgb.shape[:2]
    streaks = np.zeros((height, width), np.float32)
    slant, length = generator.uniform(-0.4, 0.4), height * generator.uniform(0.05, 0.1)
    for x, y in generator.uniform(0, 1, (220, 2)) * (width, height):
        end = round(x + slant * length), round(y + length)
        cv2.line(
            streaks, (round(x), round(y)), end, float(generator.uniform(0.4, 1)), max(1, height // 250), cv2.LINE_AA
        )
    return np.clip(rgb * 0.7 + streaks[..., None] * 170 + 10, 0, 255).astype(np.uint8)


def jigsaw(rgb: Pixels, generator: Chance) -> Pixels:
    """Outlines of 5 x 6 pieces with knobs, three of which are missing."""
    made = rgb.copy()
    height, width = rgb.shape[:2]
    rows, columns = np.linspace(0, height, 6).astype(int), np.linspace(0, width, 7).astype(int)
    for piece in generator.choice(30, 3, replace=False):
        row, column = divmod(int(piece), 6)
        made[rows[row] : rows[row + 1], columns[column] : columns[column + 1]] = 235
    ink, knob = (25, 25, 25), max(2, height // 40)
    for row in rows[1:-1]:
        cv2.line(made, (0, int(row)), (width, int(row)), ink, max(1, height // 150))
    for column in columns[1:-1]:
        cv2.line(made, (int(column), 0), (int(column), height), ink, max(1, height // 150))
    for row in rows[1:-1]:
        for left, right in pairwise(columns):
            side = int(generator.choice([-1, 1]))
            cv2.circle(made, (int(left + right) // 2, int(row) + side * knob), knob, ink, max(1, height // 150))
    return made
