"""Ways of copying a picture that put it together with something else: other pictures, text, drawings, screens and paper.

Each is a pure function of what it needs of ``uint8 (H, W, 3)`` RGB, another such picture, and a source of chance; what it
does depends on nothing else, so a copy is made again from its seed. ``copy_patterns`` lists them by name; text and signs
are drawn by ``copy_drawing``.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.lab.data import copy_drawing as drawing
from veriscope.lab.data.copy_geometry import bordered, cut, tilted

Pixels = NDArray[np.uint8]
Chance = np.random.Generator
Colour = tuple[int, int, int]
WHITE: Colour = (255, 255, 255)


def _sized(rgb: Pixels, wide: int, tall: int) -> Pixels:
    shrinking = wide * tall < rgb.shape[0] * rgb.shape[1]
    method = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb, (max(8, wide), max(8, tall)), interpolation=method), np.uint8)


def _scaled_to(rgb: Pixels, share: float, ground: tuple[int, ...]) -> Pixels:
    """So large that it takes ``share`` of the ground's area and fits into it."""
    height, width = rgb.shape[:2]
    scale = np.sqrt(share * ground[0] * ground[1] / (height * width))
    scale = min(scale, ground[0] / height, ground[1] / width)
    return _sized(rgb, min(ground[1], int(width * scale)), min(ground[0], int(height * scale)))


def _placed(ground: Pixels, piece: Pixels, generator: Chance, opacity: float = 1.0) -> Pixels:
    """A piece, no larger than the ground, pasted at random."""
    made = ground.copy()
    tall, wide = (min(a, b) for a, b in zip(piece.shape[:2], ground.shape[:2], strict=True))
    top = int(generator.integers(ground.shape[0] - tall + 1))
    left = int(generator.integers(ground.shape[1] - wide + 1))
    window = made[top : top + tall, left : left + wide]
    window[:] = np.rint(window * (1 - opacity) + piece[:tall, :wide] * opacity)
    return made


def on_other(rgb: Pixels, other: Pixels, generator: Chance) -> Pixels:
    """Pasted onto another picture, of which it takes 25 to 60 %."""
    return _placed(other, _scaled_to(rgb, generator.uniform(0.25, 0.6), other.shape), generator)


def small_on_other(rgb: Pixels, other: Pixels, generator: Chance) -> Pixels:
    """Pasted onto another picture, of which it takes 8 to 20 %."""
    return _placed(other, _scaled_to(rgb, generator.uniform(0.08, 0.2), other.shape), generator)


def under_other(rgb: Pixels, other: Pixels, generator: Chance) -> Pixels:
    """Another picture pasted over 10 to 35 % of it."""
    return _placed(rgb, _scaled_to(other, generator.uniform(0.1, 0.35), rgb.shape), generator)


def under_cut_out(rgb: Pixels, other: Pixels, generator: Chance) -> Pixels:
    """A round piece of another picture with a soft edge pasted over it."""
    piece = _scaled_to(other, generator.uniform(0.15, 0.4), rgb.shape)
    tall, wide = piece.shape[:2]
    mask = np.zeros((tall, wide), np.float32)
    cv2.ellipse(mask, (wide // 2, tall // 2), (max(1, wide * 2 // 5), max(1, tall * 2 // 5)), 0, 0, 360, 1.0, -1)
    mask = cv2.GaussianBlur(mask, (0, 0), max(1.0, min(tall, wide) / 40))[..., None]
    made = rgb.copy()
    top, left = int(generator.integers(rgb.shape[0] - tall + 1)), int(generator.integers(rgb.shape[1] - wide + 1))
    window = made[top : top + tall, left : left + wide]
    window[:] = np.rint(window * (1 - mask) + piece * mask)
    return made


def blended(rgb: Pixels, other: Pixels, generator: Chance) -> Pixels:
    """Another picture shining through, with 25 to 45 % of the light."""
    share = generator.uniform(0.25, 0.45)
    return np.rint(rgb * (1 - share) + _sized(other, rgb.shape[1], rgb.shape[0]) * share).astype(np.uint8)


def collage_two(rgb: Pixels, other: Pixels, generator: Chance) -> Pixels:
    """Beside or above another picture, as comparisons are shown."""
    height, width = rgb.shape[:2]
    beside = bool(generator.random() < 0.5)
    wide, tall = (round(width * generator.uniform(0.7, 1.3)), height) if beside else (width, round(height * 0.8))
    parts = [rgb, _sized(other, wide, tall)]
    if generator.random() < 0.5:
        parts.reverse()
    return np.concatenate(parts, 1 if beside else 0)


def collage_four(rgb: Pixels, other: Pixels, generator: Chance) -> Pixels:
    """One of four in a grid; the other three are windows of another picture."""
    height, width = rgb.shape[:2]
    parts = [_sized(cut(other, 0.4, 1.0, generator), width, height) for _ in range(3)]
    parts.insert(int(generator.integers(4)), rgb)
    gap = int(generator.integers(0, max(2, height // 40)))
    framed = [np.pad(part, ((gap, gap), (gap, gap), (0, 0)), constant_values=255) for part in parts]
    return np.concatenate([np.concatenate(framed[:2], 1), np.concatenate(framed[2:], 1)], 0)


def picture_in_picture(rgb: Pixels, other: Pixels, generator: Chance) -> Pixels:
    """Another picture in a corner, framed in white, as broadcasters show a speaker."""
    height, width = rgb.shape[:2]
    piece = bordered(_scaled_to(other, 0.08, rgb.shape), *(0.03,) * 4, colour=WHITE)
    tall, wide = (min(a, b) for a, b in zip(piece.shape[:2], (height, width), strict=True))
    margin = max(0, min(height - tall, width - wide, round(height * 0.03)))
    top = margin if generator.random() < 0.5 else height - tall - margin
    left = margin if generator.random() < 0.5 else width - wide - margin
    made = rgb.copy()
    made[top : top + tall, left : left + wide] = piece[:tall, :wide]
    return made


def meme_text(rgb: Pixels, generator: Chance) -> Pixels:
    """White capitals with black edges above and below."""
    size = rgb.shape[0] * generator.uniform(0.09, 0.14)
    made = rgb
    for place in (0.1, 0.9):
        text = drawing.phrase(generator, 2, 5).upper()
        made = drawing.lettered(made, text, (0.5, place), size, WHITE, edge=(0, 0, 0))
    return made


def caption_bar(rgb: Pixels, generator: Chance) -> Pixels:
    """A white field with text added above or below."""
    share = float(generator.uniform(0.15, 0.35))
    above = bool(generator.random() < 0.6)
    made = bordered(rgb, share if above else 0, 0 if above else share, 0, 0, colour=WHITE)
    part = share / (1 + share)
    for line in range(2):
        place = part * (0.3 + 0.4 * line) if above else 1 - part * (0.7 - 0.4 * line)
        text = drawing.phrase(generator, 3, 7)
        made = drawing.lettered(made, text, (0.5, place), made.shape[0] * part * 0.3, (0, 0, 0))
    return made


def subtitle(rgb: Pixels, generator: Chance) -> Pixels:
    """One line of text near the lower edge, as in films."""
    colour = (255, 230, 60) if generator.random() < 0.5 else WHITE
    text = drawing.phrase(generator, 3, 6)
    return drawing.lettered(rgb, text, (0.5, 0.92), rgb.shape[0] * 0.06, colour, edge=(0, 0, 0))


def breaking_news(rgb: Pixels, generator: Chance) -> Pixels:
    """A broadcaster's coloured bar with a headline over the lower part."""
    made = rgb.copy()
    height, width = rgb.shape[:2]
    top = round(height * 0.78)
    made[top : round(height * 0.93)] = drawing.colour(generator)
    cv2.rectangle(made, (0, top), (width // 5, round(height * 0.84)), WHITE, -1)
    return drawing.lettered(made, drawing.phrase(generator, 3, 6).upper(), (0.5, 0.89), height * 0.06, WHITE)


def words_all_over(rgb: Pixels, generator: Chance) -> Pixels:
    """Six words in any size, colour and place."""
    for _ in range(6):
        place = float(generator.uniform(0.15, 0.85)), float(generator.uniform(0.1, 0.9))
        size = rgb.shape[0] * generator.uniform(0.05, 0.16)
        rgb = drawing.lettered(rgb, drawing.phrase(generator, 1, 2), place, size, drawing.colour(generator))
    return rgb


def watermark(rgb: Pixels, generator: Chance) -> Pixels:
    """A seller's name repeated all over, half transparent."""
    text, size = drawing.phrase(generator, 1, 2), rgb.shape[0] * 0.07
    made = rgb
    for row in np.linspace(0.08, 0.92, 5):
        for column in np.linspace(0.15, 0.85, 3):
            made = drawing.lettered(made, text, (float(column), float(row)), size, WHITE)
    share = generator.uniform(0.25, 0.55)
    return np.rint(rgb * (1 - share) + made * share).astype(np.uint8)


def date_stamp(rgb: Pixels, generator: Chance) -> Pixels:
    """Orange digits in the lower right corner."""
    day, month, year = (int(generator.integers(low, high)) for low, high in ((1, 29), (1, 13), (80, 100)))
    return drawing.lettered(
        rgb, f"{day:02} {month:02} '{year}", (0.82, 0.93), rgb.shape[0] * 0.055, (255, 140, 30), edge=(120, 40, 0)
    )


def emoji(rgb: Pixels, generator: Chance) -> Pixels:
    """One large face drawn over it."""
    size = min(rgb.shape[:2]) * generator.uniform(0.25, 0.45)
    return drawing.emoji(rgb, _spot(generator), size, generator)


def emoji_many(rgb: Pixels, generator: Chance) -> Pixels:
    """Five to nine faces and hearts drawn over it."""
    for _ in range(int(generator.integers(5, 10))):
        rgb = drawing.emoji(rgb, _spot(generator), min(rgb.shape[:2]) * generator.uniform(0.08, 0.2), generator)
    return rgb


def scribbled(rgb: Pixels, generator: Chance) -> Pixels:
    """Lines drawn by hand."""
    return drawing.scribbles(rgb, generator, int(generator.integers(2, 6)))


def pointed_at(rgb: Pixels, generator: Chance) -> Pixels:
    """A red circle and an arrow, as posts point something out."""
    return drawing.pointer(rgb, generator)


def bars(rgb: Pixels, generator: Chance) -> Pixels:
    """Two to four fields blacked out."""
    made = rgb.copy()
    for _ in range(int(generator.integers(2, 5))):
        rows, columns = _field(rgb, generator)
        made[rows, columns] = 0
    return made


def blurred_field(rgb: Pixels, generator: Chance) -> Pixels:
    """One or two fields blurred beyond recognition, as faces are."""
    made = rgb.copy()
    strength = min(rgb.shape[:2]) / 20 + 1
    for _ in range(int(generator.integers(1, 3))):
        rows, columns = _field(rgb, generator)
        made[rows, columns] = cv2.GaussianBlur(rgb, (0, 0), strength)[rows, columns]
    return made


def pixelated_field(rgb: Pixels, generator: Chance) -> Pixels:
    """One or two fields in large squares, as number plates are."""
    made = rgb.copy()
    for _ in range(int(generator.integers(1, 3))):
        rows, columns = _field(rgb, generator)
        part = rgb[rows, columns]
        small = cv2.resize(part, (6, 6), interpolation=cv2.INTER_AREA)
        made[rows, columns] = cv2.resize(small, part.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return made


def frame(rgb: Pixels, generator: Chance) -> Pixels:
    """A frame of a repeated ornament."""
    made = bordered(rgb, *(float(generator.uniform(0.06, 0.12)),) * 4, colour=drawing.colour(generator))
    height, width = made.shape[:2]
    depth, ink = max(2, round(0.025 * min(height, width))), drawing.colour(generator)
    for along in np.arange(depth, max(height, width), 4 * depth):
        for place in ((along, depth), (along, height - depth), (depth, along), (width - depth, along)):
            cv2.circle(made, (int(place[0]), int(place[1])), depth, ink, -1)
    return made


def polaroid(rgb: Pixels, generator: Chance) -> Pixels:
    """An instant print: white border, wide below, with a word, a little turned."""
    made = bordered(rgb, 0.06, 0.2, 0.06, 0.06, colour=(248, 246, 240))
    made = drawing.lettered(made, drawing.phrase(generator, 1, 3), (0.5, 0.92), made.shape[0] * 0.06, (60, 60, 90))
    return tilted(made, 0.05, generator)


def phone_screen(rgb: Pixels, generator: Chance) -> Pixels:
    """A telephone's screenshot: status bar, the picture, buttons, a comment."""
    ground: Colour = WHITE if generator.random() < 0.5 else (18, 18, 20)
    ink: Colour = (30, 30, 30) if ground == WHITE else (230, 230, 230)
    made = bordered(rgb, float(generator.uniform(0.2, 0.6)), float(generator.uniform(0.3, 0.8)), 0, 0, colour=ground)
    return drawing.screen_furniture(made, ink, generator)


def web_page(rgb: Pixels, generator: Chance) -> Pixels:
    """A browser's screenshot: bar with an address, headline, the picture, a column of text beside it."""
    made = bordered(rgb, 0.35, 0.15, 0.08, float(generator.uniform(0.3, 0.6)), colour=WHITE)
    return drawing.page_furniture(made, rgb.shape, generator)


def newspaper(rgb: Pixels, generator: Chance) -> Pixels:
    """In grey on a printed page, with columns of text around."""
    grey = np.repeat(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
    made = bordered(grey, 0.3, 0.5, 0.15, 0.4, colour=(226, 222, 210))
    return drawing.columns_of_text(made, rgb.shape, generator)


def on_billboard(rgb: Pixels, other: Pixels, generator: Chance) -> Pixels:
    """Hung slantwise into another picture, as a poster in a scene."""
    height, width = other.shape[:2]
    share = generator.uniform(0.55, 0.8)
    low = generator.uniform(0, 1 - share, 2)
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * share + low
    corners = (corners + generator.uniform(-0.07, 0.07, (4, 2))).clip(0, 1) * (width, height)
    size = rgb.shape[1], rgb.shape[0]
    start = np.array([[0, 0], [size[0], 0], list(size), [0, size[1]]], np.float32)
    warp = cv2.getPerspectiveTransform(start, corners.astype(np.float32))
    shown = cv2.warpPerspective(rgb, warp, (width, height))
    there = cv2.warpPerspective(np.full(rgb.shape[:2], 255, np.uint8), warp, (width, height))
    return np.where(there[..., None] > 127, shown, other).astype(np.uint8)


def rain(rgb: Pixels, generator: Chance) -> Pixels:
    """Bright slanting streaks over a dimmed picture."""
    return drawing.rain(rgb, generator)


def torn(rgb: Pixels, other: Pixels, generator: Chance) -> Pixels:
    """Torn in two along a ragged line, the halves shifted apart on another picture."""
    height, width = rgb.shape[:2]
    wander = np.cumsum(generator.normal(0, width * 0.006, height)) + width * generator.uniform(0.4, 0.6)
    left_of = np.arange(width)[None] < wander[:, None]
    gap, drop = round(width * generator.uniform(0.03, 0.07)), round(height * generator.uniform(0.02, 0.06))
    made = _sized(other, width + gap, height + drop)
    made[:height, :width][left_of] = rgb[left_of]
    made[drop:, gap:][~left_of] = rgb[~left_of]
    return made


def jigsaw(rgb: Pixels, generator: Chance) -> Pixels:
    """Drawn as a puzzle: outlines of the pieces, three of which are missing."""
    return drawing.jigsaw(rgb, generator)


def written_over(rgb: Pixels, generator: Chance) -> Pixels:
    """Small text in lines over all of it."""
    ink = drawing.colour(generator)
    for row in np.arange(0.05, 1, 0.09):
        rgb = drawing.lettered(rgb, drawing.phrase(generator, 6, 9), (0.5, float(row)), rgb.shape[0] * 0.045, ink)
    return rgb


def _spot(generator: Chance) -> tuple[float, float]:
    return float(generator.uniform(0.2, 0.8)), float(generator.uniform(0.2, 0.8))


def _field(rgb: Pixels, generator: Chance) -> tuple[slice, slice]:
    """A random rectangle of 3 to 12 % of the area."""
    found = []
    for side in rgb.shape[:2]:
        length = max(4, round(side * generator.uniform(0.17, 0.35)))
        start = int(generator.integers(max(1, side - length)))
        found.append(slice(start, start + length))
    return found[0], found[1]
