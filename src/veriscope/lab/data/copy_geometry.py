"""Ways of copying a picture that move its pixels: cropping, turning, bending and framing.

Each is a pure function of what it needs of ``uint8 (H, W, 3)`` RGB, another such picture, and a source of chance; what it
does depends on nothing else, so a copy is made again from its seed. ``copy_patterns`` lists them by name.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Chance = np.random.Generator
LEAST_SIDE = 24  # pixels: no crop makes a side shorter


def cut(rgb: Pixels, area: float, aspect: float, generator: Chance) -> Pixels:
    """A random window.

    Args:
        rgb: ``uint8 (H, W, 3)``.
        area: share of the picture that is kept, in (0, 1].
        aspect: the window's width to height, relative to the picture's own.
        generator: source of chance for where it lies.
    """
    height, width = rgb.shape[:2]
    tall = _side(height, np.sqrt(area / aspect))
    wide = _side(width, area * height / tall)
    top, left = int(generator.integers(height - tall + 1)), int(generator.integers(width - wide + 1))
    return np.ascontiguousarray(rgb[top : top + tall, left : left + wide])


def _side(side: int, share: float) -> int:
    return min(side, max(LEAST_SIDE, round(side * min(share, 1.0))))


def crop_most(rgb: Pixels, generator: Chance) -> Pixels:
    """Keeps 70 to 90 % of the area."""
    return cut(rgb, generator.uniform(0.7, 0.9), generator.uniform(0.8, 1.25), generator)


def crop_half(rgb: Pixels, generator: Chance) -> Pixels:
    """Keeps 40 to 60 % of the area."""
    return cut(rgb, generator.uniform(0.4, 0.6), generator.uniform(0.7, 1.4), generator)


def crop_quarter(rgb: Pixels, generator: Chance) -> Pixels:
    """Keeps 20 to 30 % of the area."""
    return cut(rgb, generator.uniform(0.2, 0.3), generator.uniform(0.7, 1.4), generator)


def crop_tenth(rgb: Pixels, generator: Chance) -> Pixels:
    """Keeps a tenth of the area."""
    return cut(rgb, 0.1, generator.uniform(0.8, 1.25), generator)


def crop_wide(rgb: Pixels, generator: Chance) -> Pixels:
    """Keeps a strip across the picture."""
    return cut(rgb, generator.uniform(0.3, 0.5), generator.uniform(2, 3), generator)


def crop_tall(rgb: Pixels, generator: Chance) -> Pixels:
    """Keeps a strip down the picture, as telephones show a landscape."""
    return cut(rgb, generator.uniform(0.3, 0.5), 1 / generator.uniform(2, 3), generator)


def crop_middle_square(rgb: Pixels) -> Pixels:
    """The middle square, as profile pictures are cut."""
    side = min(rgb.shape[:2])
    top, left = ((full - side) // 2 for full in rgb.shape[:2])
    return np.ascontiguousarray(rgb[top : top + side, left : left + side])


def flip(rgb: Pixels) -> Pixels:
    """Left and right exchanged."""
    return np.ascontiguousarray(rgb[:, ::-1])


def flip_down(rgb: Pixels) -> Pixels:
    """Upside down in a mirror."""
    return np.ascontiguousarray(rgb[::-1])


def quarter_turn(rgb: Pixels, generator: Chance) -> Pixels:
    """Turned by 90, 180 or 270 degrees."""
    return np.ascontiguousarray(np.rot90(rgb, int(generator.integers(1, 4))))


def rotate_slightly(rgb: Pixels, generator: Chance) -> Pixels:
    """Turned by 3 to 15 degrees, corners mirrored or of one colour."""
    return _turned(rgb, float(generator.uniform(3, 15) * generator.choice([-1, 1])), generator)


def rotate_freely(rgb: Pixels, generator: Chance) -> Pixels:
    """Turned by any angle, on a larger ground of one colour that keeps all of it."""
    height, width = rgb.shape[:2]
    angle = float(generator.uniform(15, 345))
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    wide = height * abs(turn[0, 1]) + width * abs(turn[0, 0])
    tall = height * abs(turn[0, 0]) + width * abs(turn[0, 1])
    turn[:, 2] += (wide - width) / 2, (tall - height) / 2
    size = max(1, round(wide)), max(1, round(tall))
    return _pixels(cv2.warpAffine(rgb, turn, size, borderMode=cv2.BORDER_CONSTANT, borderValue=_ground(generator)))


def _turned(rgb: Pixels, angle: float, generator: Chance) -> Pixels:
    height, width = rgb.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    border = int(generator.choice([cv2.BORDER_REFLECT_101, cv2.BORDER_CONSTANT]))
    return _pixels(cv2.warpAffine(rgb, turn, (width, height), borderMode=border, borderValue=_ground(generator)))


def perspective(rgb: Pixels, generator: Chance) -> Pixels:
    """Seen from the side, as a print on a table is photographed."""
    return tilted(rgb, 0.2, generator)


def perspective_strongly(rgb: Pixels, generator: Chance) -> Pixels:
    """Seen from far to the side."""
    return tilted(rgb, 0.33, generator)


def tilted(rgb: Pixels, most: float, generator: Chance) -> Pixels:
    """Each corner moved inward by up to ``most`` of each side, on a ground of one colour."""
    height, width = rgb.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    inward = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]], np.float32)
    moved = corners + inward * generator.uniform(0, most, (4, 2)) * (width, height)
    warp = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    return _pixels(cv2.warpPerspective(rgb, warp, (width, height), borderValue=_ground(generator)))


def shear(rgb: Pixels, generator: Chance) -> Pixels:
    """Slanted to one side."""
    height, width = rgb.shape[:2]
    slant = float(generator.uniform(0.1, 0.35) * generator.choice([-1, 1]))
    matrix = np.array([[1, slant, -slant * height / 2], [0, 1, 0]], np.float64)
    return _pixels(cv2.warpAffine(rgb, matrix, (width, height), borderValue=_ground(generator)))


def stretch(rgb: Pixels, generator: Chance) -> Pixels:
    """One side made 1.3 to 2 times longer or shorter."""
    height, width = rgb.shape[:2]
    factor = float(generator.uniform(1.3, 2.0) ** generator.choice([-1, 1]))
    size = (max(LEAST_SIDE, round(width * factor)), height)
    return _pixels(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR))


def lens(rgb: Pixels, generator: Chance) -> Pixels:
    """Bent outward or inward, as by a wide lens."""
    x, y = _unit_grid(rgb)
    bend = float(generator.uniform(0.15, 0.4) * generator.choice([-0.6, 1]))
    factor = np.float32(1 - bend) + np.float32(bend) * (x * x + y * y)
    return _sampled(rgb, x * factor, y * factor)


def wave(rgb: Pixels, generator: Chance) -> Pixels:
    """Rows shifted as water does."""
    x, y = _unit_grid(rgb)
    waves, phase, depth = generator.uniform(2, 6), generator.uniform(0, 6.3), generator.uniform(0.02, 0.06)
    return _sampled(rgb, x + np.float32(depth) * np.sin(np.float32(np.pi * waves) * y + np.float32(phase)), y)


def mirror_halves(rgb: Pixels, generator: Chance) -> Pixels:
    """One half and its mirror image, as a telephone's filter does."""
    half = rgb[:, : max(1, rgb.shape[1] // 2)]
    if generator.random() < 0.5:
        half = rgb[:, rgb.shape[1] // 2 :][:, ::-1]
    return np.ascontiguousarray(np.concatenate([half, half[:, ::-1]], 1))


def border(rgb: Pixels, generator: Chance) -> Pixels:
    """A border of one colour all around."""
    return bordered(rgb, *generator.uniform(0.04, 0.2, 2).repeat(2), colour=_ground(generator))


def letterbox(rgb: Pixels, generator: Chance) -> Pixels:
    """Black or white bars above and below, or at the sides."""
    share = float(generator.uniform(0.15, 0.4))
    colour = (0, 0, 0) if generator.random() < 0.7 else (255, 255, 255)
    shares = (share, share, 0, 0) if generator.random() < 0.5 else (0, 0, share, share)
    return bordered(rgb, *shares, colour=colour)


def blurred_sides(rgb: Pixels, generator: Chance) -> Pixels:
    """Its own blurred enlargement at the sides, as broadcasters fill the screen around an upright picture."""
    height, width = rgb.shape[:2]
    wide = round(width * generator.uniform(1.4, 2.0))
    ground = cv2.GaussianBlur(cv2.resize(rgb, (wide, height)), (0, 0), max(2.0, height / 25))
    left = (wide - width) // 2
    ground[:, left : left + width] = rgb
    return _pixels(ground)


def bordered(
    rgb: Pixels, top: float, bottom: float, left: float, right: float, *, colour: tuple[int, int, int]
) -> Pixels:
    """A border of one colour, each side's width a share of the picture's height or width."""
    height, width = rgb.shape[:2]
    widths = round(top * height), round(bottom * height), round(left * width), round(right * width)
    return _pixels(cv2.copyMakeBorder(rgb, *widths, cv2.BORDER_CONSTANT, value=colour))


def swirl(rgb: Pixels, generator: Chance) -> Pixels:
    """Twisted around its middle."""
    x, y = _unit_grid(rgb)
    turn = np.float32(generator.uniform(0.8, 1.8) * generator.choice([-1, 1])) * np.exp(-2 * (x * x + y * y))
    return _sampled(rgb, x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn))


def shuffle_tiles(rgb: Pixels, generator: Chance) -> Pixels:
    """Cut into 3 x 3 tiles, of which half have changed places."""
    rows, columns = (np.linspace(0, side - side % 3, 4).astype(int) for side in rgb.shape[:2])
    places = [(row, column) for row in range(3) for column in range(3)]
    moved = generator.choice(9, 5, replace=False)
    order = np.arange(9)
    order[moved] = np.roll(moved, 1)
    made = rgb.copy()
    for number, (row, column) in enumerate(places):
        from_row, from_column = places[order[number]]
        made[rows[row] : rows[row + 1], columns[column] : columns[column + 1]] = rgb[
            rows[from_row] : rows[from_row + 1], columns[from_column] : columns[from_column + 1]
        ]
    return made


def crumple(rgb: Pixels, generator: Chance) -> Pixels:
    """Bent at random and shaded by its folds, as crumpled paper."""
    x, y = _unit_grid(rgb)
    height, width = rgb.shape[:2]
    coarse = generator.normal(0, 1, (3, 7, 7)).astype(np.float32)
    across, down, light = (cv2.resize(plane, (width, height), interpolation=cv2.INTER_CUBIC) for plane in coarse)
    bent = _sampled(rgb, x + 0.03 * across, y + 0.03 * down).astype(np.float32)
    return np.clip(bent * (1 + 0.18 * light[..., None]), 0, 255).astype(np.uint8)


def _unit_grid(rgb: Pixels) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Each pixel's place, float32 (H, W) twice, from -1 to 1 across and down."""
    across, down = (np.linspace(-1, 1, side, dtype=np.float32) for side in (rgb.shape[1], rgb.shape[0]))
    x, y = np.meshgrid(across, down)
    return x, y


def _sampled(rgb: Pixels, x: NDArray[np.float32], y: NDArray[np.float32]) -> Pixels:
    """The picture read at places from -1 to 1; mirrored beyond its edges."""
    across, down = ((rgb.shape[axis] - 1) / 2 for axis in (1, 0))
    places = ((x + 1) * across).astype(np.float32), ((y + 1) * down).astype(np.float32)
    return _pixels(cv2.remap(rgb, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101))


def _ground(generator: Chance) -> tuple[int, int, int]:
    """A colour for what the picture does not fill: black, white or any."""
    draw = generator.random()
    if draw < 0.6:
        return (0, 0, 0) if draw < 0.3 else (255, 255, 255)
    red, green, blue = (int(value) for value in generator.integers(0, 256, 3))
    return red, green, blue


def _pixels(values: object) -> Pixels:
    return np.asarray(values, np.uint8)
