"""Ways of copying a picture that change its colours or its detail and leave its pixels in place.

Each is a pure function of what it needs of ``uint8 (H, W, 3)`` RGB, another such picture, and a source of chance; what it
does depends on nothing else, so a copy is made again from its seed. ``copy_patterns`` lists them by name.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.lab.data.augmentation import jpeg
from veriscope.lab.data.variants import saved

Pixels = NDArray[np.uint8]
Chance = np.random.Generator
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # Rec. 601
SEPIA = np.array([[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]], np.float32)


def _clipped(values: NDArray[np.generic]) -> Pixels:
    return np.clip(np.rint(np.asarray(values, np.float32)), 0, 255).astype(np.uint8)


def _looked_up(rgb: Pixels, curve: NDArray[np.floating]) -> Pixels:
    return np.asarray(_clipped(curve)[rgb], np.uint8)


def _grey(rgb: Pixels) -> NDArray[np.float32]:
    return np.asarray(rgb @ LUMA, np.float32)


def brighter(rgb: Pixels, generator: Chance) -> Pixels:
    """Light times 1.3 to 1.8, clipped."""
    return _looked_up(rgb, np.arange(256) * generator.uniform(1.3, 1.8))


def darker(rgb: Pixels, generator: Chance) -> Pixels:
    """Light times 0.3 to 0.7."""
    return _looked_up(rgb, np.arange(256) * generator.uniform(0.3, 0.7))


def gamma(rgb: Pixels, generator: Chance) -> Pixels:
    """Middle tones lifted or lowered."""
    return _looked_up(
        rgb, 255 * np.linspace(0, 1, 256) ** float(generator.uniform(1.5, 2.5) ** generator.choice([-1, 1]))
    )


def more_contrast(rgb: Pixels, generator: Chance) -> Pixels:
    """Contrast times 1.4 to 2.2."""
    return _looked_up(rgb, (np.arange(256) - 128) * generator.uniform(1.4, 2.2) + 128)


def faded(rgb: Pixels, generator: Chance) -> Pixels:
    """Contrast times 0.35 to 0.6 and a light veil, as an old print."""
    return _looked_up(rgb, np.arange(256) * generator.uniform(0.35, 0.6) + generator.uniform(40, 110))


def equalised(rgb: Pixels) -> Pixels:
    """Each channel's histogram made even."""
    return np.dstack([cv2.equalizeHist(np.ascontiguousarray(rgb[..., channel])) for channel in range(3)])


def posterised(rgb: Pixels, generator: Chance) -> Pixels:
    """3 to 5 levels a channel."""
    steps = int(generator.integers(3, 6)) - 1
    return _looked_up(rgb, np.rint(np.linspace(0, steps, 256)) * 255 / steps)


def solarised(rgb: Pixels, generator: Chance) -> Pixels:
    """Levels above a threshold turned round."""
    levels = np.arange(256.0)
    return _looked_up(rgb, np.where(levels < generator.uniform(110, 180), levels, 255 - levels))


def negative(rgb: Pixels) -> Pixels:
    """All levels turned round."""
    return np.asarray(255 - rgb, np.uint8)


def greyscale(rgb: Pixels) -> Pixels:
    """Without colour."""
    return _clipped(np.repeat(_grey(rgb)[..., None], 3, 2))


def sepia(rgb: Pixels) -> Pixels:
    """Brown, as an old photograph."""
    return _clipped(rgb @ SEPIA.T)


def duotone(rgb: Pixels, generator: Chance) -> Pixels:
    """From one colour for the darkest to another for the lightest."""
    dark, light = generator.uniform(0, 110, 3), generator.uniform(150, 255, 3)
    return _clipped(dark + (_grey(rgb)[..., None] / 255) * (light - dark))


def tinted(rgb: Pixels, generator: Chance) -> Pixels:
    """Warmer, colder, or of any other cast."""
    return _clipped(rgb * generator.uniform(0.6, 1.3, 3))


def more_colour(rgb: Pixels, generator: Chance) -> Pixels:
    """Colours 1.6 to 3 times as strong."""
    grey = _grey(rgb)[..., None]
    return _clipped(grey + (rgb - grey) * generator.uniform(1.6, 3.0))


def other_hue(rgb: Pixels, generator: Chance) -> Pixels:
    """All hues turned by the same angle."""
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(int) + int(generator.integers(25, 156))) % 180
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)


def channels_swapped(rgb: Pixels, generator: Chance) -> Pixels:
    """Red, green and blue exchanged."""
    orders = [(2, 1, 0), (1, 0, 2), (0, 2, 1), (1, 2, 0), (2, 0, 1)]
    return np.ascontiguousarray(rgb[..., orders[int(generator.integers(len(orders)))]])


def vignette(rgb: Pixels, generator: Chance) -> Pixels:
    """Darker towards the corners."""
    down, across = (np.linspace(-1, 1, side, dtype=np.float32) for side in rgb.shape[:2])
    light = 1 - generator.uniform(0.35, 0.6) * (down[:, None] ** 2 + across[None] ** 2)
    return _clipped(rgb * light[..., None])


def light_leak(rgb: Pixels, generator: Chance) -> Pixels:
    """A coloured glow from one side, as filters of telephones add."""
    place = np.linspace(0, 1, rgb.shape[1], dtype=np.float32)
    place = place[::-1] if generator.random() < 0.5 else place
    glow = np.exp(-(place**2) / generator.uniform(0.05, 0.3))[None, :, None] * generator.uniform(0.4, 1, 3) * 220
    return _clipped(255 - (255 - rgb) * (255 - glow) / 255)


def blurred(rgb: Pixels, generator: Chance) -> Pixels:
    """Out of focus, by 0.6 to 1.5 % of the shorter side."""
    return np.asarray(cv2.GaussianBlur(rgb, (0, 0), min(rgb.shape[:2]) * generator.uniform(0.006, 0.015) + 0.3))


def motion_blurred(rgb: Pixels, generator: Chance) -> Pixels:
    """Shaken along a line."""
    length = max(3, round(min(rgb.shape[:2]) * generator.uniform(0.02, 0.05))) | 1
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1
    middle = (length // 2, length // 2)
    turned = cv2.warpAffine(
        kernel, cv2.getRotationMatrix2D(middle, float(generator.uniform(0, 180)), 1), (length, length)
    )
    return np.asarray(cv2.filter2D(rgb, -1, turned / max(float(turned.sum()), 1e-6)), np.uint8)


def smeared(rgb: Pixels, generator: Chance) -> Pixels:
    """Median of a window, like a painting's patches of colour."""
    return np.asarray(cv2.medianBlur(np.ascontiguousarray(rgb), int(generator.choice([5, 7, 9]))), np.uint8)


def smoothed(rgb: Pixels, generator: Chance) -> Pixels:
    """Texture gone and edges kept, as beauty filters do."""
    return np.asarray(cv2.bilateralFilter(np.ascontiguousarray(rgb), 9, float(generator.uniform(40, 90)), 7), np.uint8)


def sharpened(rgb: Pixels, generator: Chance) -> Pixels:
    """Detail three to six times as strong."""
    smooth = cv2.GaussianBlur(rgb, (0, 0), 1.5).astype(np.float32)
    return _clipped(rgb + generator.uniform(2, 5) * (rgb - smooth))


def embossed(rgb: Pixels) -> Pixels:
    """Its relief on grey, over a rest of the picture."""
    kernel = np.array([[-2, -1, 0], [-1, 0, 1], [0, 1, 2]], np.float32)
    relief = cv2.filter2D(rgb.astype(np.float32), -1, kernel)
    return _clipped(0.5 * rgb + 0.6 * relief + 64)


def noisy(rgb: Pixels, generator: Chance) -> Pixels:
    """Gaussian noise of 15 to 45 levels."""
    return _clipped(rgb + generator.normal(0, generator.uniform(15, 45), rgb.shape))


def speckled(rgb: Pixels, generator: Chance) -> Pixels:
    """4 to 15 % of the pixels black or white."""
    made = rgb.copy()
    chance = generator.random(rgb.shape[:2])
    share = generator.uniform(0.02, 0.075)
    made[chance < share], made[chance > 1 - share] = 0, 255
    return made


def jpeg_heavy(rgb: Pixels, generator: Chance) -> Pixels:
    """JPEG at quality 5 to 20."""
    return jpeg(rgb, int(generator.integers(5, 21)), subsample=True)


def jpeg_again(rgb: Pixels, generator: Chance) -> Pixels:
    """Passed on four times: JPEG at quality 40 to 80, each time a little smaller."""
    for _ in range(4):
        rgb = jpeg(_scaled(rgb, 0.93), int(generator.integers(40, 81)), subsample=True)
    return rgb


def webp_heavy(rgb: Pixels, generator: Chance) -> Pixels:
    """WebP at quality 2 to 15."""
    data = np.frombuffer(saved(rgb, "WEBP", int(generator.integers(2, 16))), np.uint8)
    return np.asarray(cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB), np.uint8)


def thumbnail(rgb: Pixels, generator: Chance) -> Pixels:
    """Made 64 to 128 px on its shorter side."""
    return _scaled(rgb, min(1.0, float(generator.uniform(64, 128)) / min(rgb.shape[:2])))


def enlarged_thumbnail(rgb: Pixels, generator: Chance) -> Pixels:
    """Made small and large again."""
    small = _scaled(rgb, min(1.0, float(generator.uniform(64, 112)) / min(rgb.shape[:2])))
    return np.asarray(cv2.resize(small, rgb.shape[1::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


def pixelated(rgb: Pixels, generator: Chance) -> Pixels:
    """In squares of 1 to 2.5 % of the shorter side."""
    step = max(2, round(min(rgb.shape[:2]) * generator.uniform(0.01, 0.025)))
    size = max(8, rgb.shape[1] // step), max(8, rgb.shape[0] // step)
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, rgb.shape[1::-1], interpolation=cv2.INTER_NEAREST), np.uint8)


def dithered(rgb: Pixels) -> Pixels:
    """Two levels a channel in an ordered pattern of 4 x 4 pixels, as early displays did."""
    bayer = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]], np.float32) * 16 + 8
    height, width = rgb.shape[:2]
    threshold = np.tile(bayer, (height // 4 + 1, width // 4 + 1))[:height, :width, None]
    return np.where(rgb > threshold, 255, 0).astype(np.uint8)


def scan_lines(rgb: Pixels, generator: Chance) -> Pixels:
    """Every other few rows darker, as filmed from a television."""
    step = max(2, round(rgb.shape[0] * generator.uniform(0.006, 0.012)))
    dark = np.where(np.arange(rgb.shape[0]) // step % 2, generator.uniform(0.4, 0.7), 1.0)
    return _clipped(rgb * dark[:, None, None])


def colour_fringes(rgb: Pixels, generator: Chance) -> Pixels:
    """Red and blue shifted against green."""
    shift = max(1, round(rgb.shape[1] * generator.uniform(0.008, 0.02)))
    return np.dstack([np.roll(rgb[..., 0], shift, 1), rgb[..., 1], np.roll(rgb[..., 2], -shift, 1)])


def printed(rgb: Pixels, generator: Chance) -> Pixels:
    """Printed and scanned: fewer levels, uneven light, paper's grain and a soft focus."""
    height, width = rgb.shape[:2]
    paper = cv2.resize(
        generator.normal(0, 1, (4, 4)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
    )
    soft = cv2.GaussianBlur(rgb, (0, 0), 0.8).astype(np.float32) * 0.72 + 42
    grain = generator.normal(0, generator.uniform(5, 12), (height, width, 1))
    return _clipped(soft * (1 + 0.05 * paper[..., None]) * generator.uniform([0.96, 0.94, 0.88], 1) + grain)


def halftone(rgb: Pixels, generator: Chance) -> Pixels:
    """Black dots on white, larger where it is darker, as newspapers print."""
    step, angle = min(rgb.shape[:2]) * generator.uniform(0.012, 0.02) + 1.5, np.deg2rad(generator.uniform(20, 70))
    down, across = np.mgrid[: rgb.shape[0], : rgb.shape[1]].astype(np.float32)
    u, v = (across * np.cos(angle) + down * np.sin(angle)), (down * np.cos(angle) - across * np.sin(angle))
    screen = 0.5 + 0.25 * (np.cos(2 * np.pi * u / step) + np.cos(2 * np.pi * v / step))
    ink = np.clip((screen - 1 + _grey(rgb) / 255) * 4 + 0.5, 0, 1)
    return _clipped(np.repeat(ink[..., None] * 255, 3, 2))


def sketched(rgb: Pixels) -> Pixels:
    """A pencil drawing of it: grey divided by its own blur."""
    grey = _grey(rgb)
    smooth = cv2.GaussianBlur(255 - grey, (0, 0), max(2.0, min(grey.shape) * 0.02))
    return _clipped(np.repeat((255 * grey / np.maximum(255 - smooth, 1))[..., None], 3, 2))


def moire(rgb: Pixels, generator: Chance) -> Pixels:
    """Photographed from a display: coloured beats between its grid and the camera's, and a cast."""
    down, across = np.mgrid[: rgb.shape[0], : rgb.shape[1]].astype(np.float32)
    planes = []
    for _ in range(3):
        angle, period = generator.uniform(0, np.pi), generator.uniform(0.008, 0.03) * min(rgb.shape[:2]) + 2
        bend = 1 + 0.15 * np.sin(down / rgb.shape[0] * 3 + angle)
        planes.append(np.sin(2 * np.pi * (across * np.cos(angle) + down * np.sin(angle)) * bend / period))
    soft = cv2.GaussianBlur(rgb, (0, 0), 0.7)
    return _clipped(soft * (1 + 0.16 * np.dstack(planes)) * generator.uniform(0.85, 1.1, 3))


def _scaled(rgb: Pixels, scale: float) -> Pixels:
    size = max(8, round(rgb.shape[1] * scale)), max(8, round(rgb.shape[0] * scale))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
