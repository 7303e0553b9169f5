"""Logos, pages that show them, and the ways in which logos are manipulated, drawn from a seed.

Logos are emblems of a few shapes, words in the fonts of the machine, or both beside each other, as trade marks mostly are; none
is a real one. Pages are sign-in pages with a header, text, a picture, fields and a button. The manipulations are those of the
study: visible ones that a person would make, and a bounded change of every pixel.

Paper: Ji et al. 2025 (Evaluating the Effectiveness and Robustness of Visual Similarity-based Phishing Detection Models).
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from veriscope.lab.data.procedural import telling
from veriscope.lab.generators.lettering import fonts

Pixels = NDArray[np.uint8]
Chance = np.random.Generator
Colour = tuple[int, int, int]
HEIGHT = 240  # pixels of a logo
PAGE = 1024, 720  # pixels of a page
SHARES = 0.1, 0.35  # of a page's width that a logo takes
SYLLABLES = tuple("ka lo mi ver son ta pex ri no dal qui zen ora bit fin cur gel ax tro vi me".split())  # noqa: SIM905
STRENGTH = 16  # grey levels: bound of the perturbation


def logo(generator: Chance) -> Pixels:
    """A logo ``uint8 (H, W, 3)`` RGB on white."""
    kind = generator.choice(["emblem", "word", "both"], p=[0.35, 0.25, 0.4])
    parts = [] if kind == "word" else [_emblem(generator)]
    if kind != "emblem":
        parts.append(_word(generator, HEIGHT if kind == "word" else round(HEIGHT * generator.uniform(0.5, 0.8))))
    height = max(part.shape[0] for part in parts)
    placed = []
    for part in parts:
        above = (height - part.shape[0]) // 2
        below = height - part.shape[0] - above
        placed.append(np.pad(part, ((above, below), (12, 12), (0, 0)), constant_values=255))
    return np.concatenate(placed, axis=1)


def _emblem(generator: Chance) -> Pixels:
    side = 3 * HEIGHT
    image = Image.new("RGB", (side, side), "white")
    pen = ImageDraw.Draw(image)
    first, second = _ink(generator), _ink(generator)
    turn = float(generator.uniform(0, 6.28))
    ground = int(generator.integers(4))
    if ground == 0:
        pen.ellipse((6, 6, side - 6, side - 6), first)
    elif ground == 1:
        pen.rounded_rectangle((6, 6, side - 6, side - 6), float(generator.uniform(0, 0.3)) * side, first)
    else:
        pen.polygon(_star(side, int(generator.integers(3, 8)), 1.0 if ground == 2 else 0.55, turn), first)
    for number in range(int(generator.integers(1, 4))):
        ink = "white" if number % 2 == 0 else second
        x, y = (float(value) * side for value in generator.uniform(0.35, 0.65, 2))
        size = side * float(generator.uniform(0.12, 0.3))
        shape = int(generator.integers(5))
        if shape == 0:
            pen.ellipse((x - size, y - size, x + size, y + size), ink)
        elif shape == 1:
            angle = float(generator.uniform(0, 360))
            pen.arc((x - size, y - size, x + size, y + size), angle, angle + 250, ink, round(size * 0.35))
        elif shape == 2:
            corners = _star(2 * size, int(generator.integers(3, 7)), float(generator.choice([1.0, 0.5])), turn + number)
            pen.polygon([(x - size + a, y - size + b) for a, b in corners], ink)
        elif shape == 3:
            thick = round(size * 0.4)
            pen.line([(x - size, y + size / 2), (x, y - size / 2), (x + size, y + size / 2)], ink, thick, joint="curve")
        else:
            letter = chr(65 + int(generator.integers(26)))
            pen.text((x, y), letter, ink, _font(generator, round(2 * size)), anchor="mm")
    return np.asarray(image.resize((HEIGHT, HEIGHT), Image.Resampling.LANCZOS), np.uint8)


def _star(side: float, points: int, depth: float, turn: float) -> list[tuple[float, float]]:
    angles = turn + np.arange(2 * points) * np.pi / points
    radii = (
        side / 2 * np.where(np.arange(2 * points) % 2 == 0, 1.0, depth * (1 if depth < 1 else np.cos(np.pi / points)))
    )
    return [(side / 2 + r * np.cos(a), side / 2 + r * np.sin(a)) for r, a in zip(radii, angles, strict=True)]


def _word(generator: Chance, height: int) -> Pixels:
    text = "".join(generator.choice(SYLLABLES, int(generator.integers(2, 4))))
    text = text.upper() if generator.random() < 0.3 else text.capitalize()
    font = _font(generator, height)
    left, top, right, bottom = font.getbbox(text)
    image = Image.new("RGB", (max(8, round(right - left)) + 8, max(8, round(bottom - top)) + 8), "white")
    ImageDraw.Draw(image).text((4 - left, 4 - top), text, _ink(generator), font)
    return np.asarray(image.resize((max(8, image.width * height // image.height), height)), np.uint8)


def _font(generator: Chance, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    known = fonts()
    if not known:
        return ImageFont.load_default(size)
    try:
        return ImageFont.truetype(known[int(generator.integers(len(known)))], size)
    except OSError:
        return ImageFont.load_default(size)


def _ink(generator: Chance) -> Colour:
    red, green, blue = (int(value) for value in generator.integers(0, 256, 3))
    least = min(red + green + blue, 420) / max(red + green + blue, 1)  # not too light to be seen on white
    return round(red * least), round(green * least), round(blue * least)


def page(generator: Chance, mark: Pixels | None) -> Pixels:
    """A page ``uint8 (720, 1024, 3)`` RGB that shows the mark, or one of its own where it is None."""
    wide, high = PAGE
    light = generator.random() < 0.75
    ground = _tint(generator, 244, 256) if light else _tint(generator, 10, 50)
    image = Image.new("RGB", PAGE, ground)
    pen = ImageDraw.Draw(image)
    band = int(generator.integers(70, 150))
    pen.rectangle((0, 0, wide, band), _tint(generator, 225, 256) if light else _tint(generator, 20, 70))
    font = _font(generator, int(generator.integers(13, 19)))
    ink = (60, 62, 66) if light else (205, 208, 214)
    for number in range(int(generator.integers(3, 6))):
        pen.text((wide - 110 * (number + 1), band / 2), _phrase(generator, 1), ink, font, anchor="lm")
    left = int(generator.integers(40, 120))
    if generator.random() < 0.7:
        side = int(generator.integers(220, 420))
        hero = Image.fromarray(telling(generator, side).picture(side))
        image.paste(hero, (wide - side - left, band + int(generator.integers(10, 60))))
    for row in range(int(generator.integers(4, 13))):
        pen.text((left, band + 190 + 30 * row), _phrase(generator, int(generator.integers(3, 7))), ink, font)
    for row in range(2):
        top = high - 190 + 56 * row
        pen.rectangle((left, top, left + 300, top + 38), "white", (150, 150, 150))
        pen.text((left + 10, top + 10), _phrase(generator, 1), (120, 120, 120), font)
    pen.rounded_rectangle((left, high - 66, left + 140, high - 24), 6, _ink(generator))
    pen.text((left + 70, high - 45), _phrase(generator, 1), "white", font, anchor="mm")
    mark = logo(generator) if mark is None else mark
    share = float(np.exp(generator.uniform(*np.log(SHARES))))
    scale = min(share * wide / mark.shape[1], 0.35 * high / mark.shape[0])
    size = max(12, round(mark.shape[1] * scale)), max(12, round(mark.shape[0] * scale))
    shown = Image.fromarray(mark).resize(size, Image.Resampling.LANCZOS)
    centred = generator.random() < 0.4
    x = (wide - size[0]) // 2 if centred else left
    image.paste(shown, (x, int(generator.integers(8, 24)) + (band if centred else 0)))
    return np.asarray(image, np.uint8)


def _phrase(generator: Chance, words: int) -> str:
    return " ".join(
        "".join(generator.choice(SYLLABLES, int(generator.integers(1, 4)))) for _ in range(words)
    ).capitalize()


def _tint(generator: Chance, low: int, high: int) -> Colour:
    red, green, blue = (int(value) for value in generator.integers(low, high, 3))
    return red, green, blue


def as_it_is(mark: Pixels, _: Chance) -> Pixels:
    """Nothing but the page's own size."""
    return mark


def recoloured(mark: Pixels, generator: Chance) -> Pixels:
    """Other hues, or light for dark."""
    if generator.random() < 0.3:
        return np.asarray(255 - mark, np.uint8)
    hsv = cv2.cvtColor(mark, cv2.COLOR_RGB2HSV).astype(int)
    hsv[..., 0] = (hsv[..., 0] + int(generator.integers(30, 150))) % 180
    hsv[..., 1] = np.where(hsv[..., 1] > 20, np.clip(hsv[..., 1] * generator.uniform(0.5, 1.5), 60, 255), hsv[..., 1])
    return np.asarray(cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB), np.uint8)


def resized(mark: Pixels, generator: Chance) -> Pixels:
    """Wider or narrower by up to a fifth."""
    wide = round(mark.shape[1] * float(generator.choice([generator.uniform(0.8, 0.93), generator.uniform(1.07, 1.2)])))
    return np.asarray(cv2.resize(mark, (wide, mark.shape[0]), interpolation=cv2.INTER_AREA), np.uint8)


def turned(mark: Pixels, generator: Chance) -> Pixels:
    """By 3 to 12 degrees."""
    angle = float(generator.uniform(3, 12) * generator.choice([-1, 1]))
    image = Image.fromarray(mark).rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=(255, 255, 255))
    return np.asarray(image, np.uint8)


def blurred(mark: Pixels, generator: Chance) -> Pixels:
    """By 1 to 2.5 % of the height."""
    return np.asarray(cv2.GaussianBlur(mark, (0, 0), mark.shape[0] * float(generator.uniform(0.01, 0.025))), np.uint8)


def noisy(mark: Pixels, generator: Chance) -> Pixels:
    """Noise of 15 to 45 grey levels, or of black and white grains."""
    if generator.random() < 0.3:
        grains = generator.random(mark.shape[:2])
        made = mark.copy()
        made[grains < 0.04], made[grains > 0.96] = 0, 255
        return made
    noise = generator.normal(0, generator.uniform(15, 45), mark.shape)
    return np.asarray(np.clip(mark + noise, 0, 255), np.uint8)


def covered(mark: Pixels, generator: Chance) -> Pixels:
    """A tenth to a third of it under a plain area, at one side or within."""
    made = mark.copy()
    share = float(generator.uniform(0.1, 0.33))
    high, wide = mark.shape[:2]
    colour = (255, 255, 255) if generator.random() < 0.5 else _ink(generator)
    if generator.random() < 0.5:
        cut = round(wide * share)
        made[:, slice(0, cut) if generator.random() < 0.5 else slice(wide - cut, wide)] = colour
    else:
        tall, across = round(high * share**0.5), round(wide * share**0.5)
        top, left = (int(generator.integers(0, size)) for size in (high - tall + 1, wide - across + 1))
        made[top : top + tall, left : left + across] = colour
    return made


def with_text(mark: Pixels, generator: Chance) -> Pixels:
    """A word under it or across it."""
    across = generator.random() < 0.4
    below = 0 if across else round(0.35 * mark.shape[0])
    image = Image.fromarray(np.pad(mark, ((0, below), (0, 0), (0, 0)), constant_values=255))
    font = _font(generator, round(0.22 * mark.shape[0]))
    middle = mark.shape[0] * (float(generator.uniform(0.3, 0.7)) if across else 1.15)
    ImageDraw.Draw(image).text((image.width / 2, middle), _phrase(generator, 1), _ink(generator), font, anchor="mm")
    return np.asarray(image, np.uint8)


def mirrored(mark: Pixels, _: Chance) -> Pixels:
    """Left and right exchanged."""
    return np.ascontiguousarray(mark[:, ::-1])


def outlined(mark: Pixels, generator: Chance) -> Pixels:
    """Its outline alone, as a thin line."""
    smooth = cv2.GaussianBlur(mark, (0, 0), 1.5)
    grey = smooth.reshape(-1, 3).astype(np.float32) @ np.array([0.45, 0.35, 0.2], np.float32)
    edges = cv2.Canny(grey.reshape(mark.shape[:2]).astype(np.uint8), 25, 60)
    width = int(generator.integers(2, 6))
    thick = cv2.dilate(edges, np.ones((width, width), np.uint8)) > 0
    made = np.full_like(mark, 255)
    made[thick] = _ink(generator)
    return made


def perturbed(mark: Pixels, generator: Chance) -> Pixels:
    """Every pixel moved by up to ``STRENGTH`` in patterns of two to eight pixels, which networks are most open to."""
    grain = int(generator.integers(2, 9))
    high, wide = mark.shape[:2]
    signs = generator.choice([-1.0, 1.0], (high // grain + 1, wide // grain + 1, 3)).astype(np.float32)
    pattern = np.repeat(np.repeat(signs, grain, 0), grain, 1)[:high, :wide]
    return np.asarray(np.clip(mark + STRENGTH * pattern, 0, 255), np.uint8)


MANIPULATIONS: dict[str, Callable[[Pixels, Chance], Pixels]] = {
    "as it is": as_it_is,
    "recoloured": recoloured,
    "resized": resized,
    "turned": turned,
    "blurred": blurred,
    "noisy": noisy,
    "partly covered": covered,
    "with text": with_text,
    "mirrored": mirrored,
    "thin outline": outlined,
    "perturbed": perturbed,
}
