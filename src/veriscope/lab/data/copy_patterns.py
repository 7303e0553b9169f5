"""The library of tamper patterns: every way of copying a picture that copy detection is trained on and measured by.

A pattern is a pure function of the picture, another picture (for collages and grounds) and a source of chance. Those in
``HELD_OUT`` are never trained on, so that what a descriptor does on them says what it does on a pattern nobody thought of.
People combine patterns; ``chained`` does so too. All output is ``uint8 RGB`` of at least 8 px a side.

Papers: Wang et al. 2024 (AnyPattern: 90 patterns to train on, 10 held out); Papadakis and Addicam 2021, Wang et al. 2021
(the Image Similarity Challenge's entries: overlays, text, drawings, collages as augmentations).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import signature

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.errors import VeriscopeError
from veriscope.lab.data import copy_colour as colour
from veriscope.lab.data import copy_composition as composition
from veriscope.lab.data import copy_geometry as geometry

Pixels = NDArray[np.uint8]
Change = Callable[..., Pixels]  # of those of rgb, other and generator that it names
LEAST_SIDE = 64  # pixels: a smaller picture is enlarged before it is copied
MOST_SIDE = 2048  # pixels: larger results are made smaller, so that chains stay bounded
MOST_CHAINED = 3

GROUPS: dict[str, tuple[Change, ...]] = {
    "crop": (
        geometry.crop_most,
        geometry.crop_half,
        geometry.crop_quarter,
        geometry.crop_tenth,
        geometry.crop_wide,
        geometry.crop_tall,
        geometry.crop_middle_square,
    ),
    "turn": (
        geometry.flip,
        geometry.flip_down,
        geometry.quarter_turn,
        geometry.rotate_slightly,
        geometry.rotate_freely,
    ),
    "warp": (
        geometry.perspective,
        geometry.perspective_strongly,
        geometry.shear,
        geometry.stretch,
        geometry.lens,
        geometry.wave,
        geometry.mirror_halves,
    ),
    "border": (
        geometry.border,
        geometry.letterbox,
        geometry.blurred_sides,
        composition.frame,
        composition.polaroid,
    ),
    "colour": (
        colour.brighter,
        colour.darker,
        colour.gamma,
        colour.more_contrast,
        colour.faded,
        colour.equalised,
        colour.posterised,
        colour.solarised,
        colour.negative,
        colour.greyscale,
        colour.sepia,
        colour.duotone,
        colour.tinted,
        colour.more_colour,
        colour.other_hue,
        colour.channels_swapped,
        colour.vignette,
        colour.light_leak,
    ),
    "detail": (
        colour.blurred,
        colour.motion_blurred,
        colour.smeared,
        colour.smoothed,
        colour.sharpened,
        colour.embossed,
        colour.noisy,
        colour.speckled,
        colour.pixelated,
        colour.dithered,
        colour.scan_lines,
        colour.colour_fringes,
        colour.printed,
    ),
    "saving": (
        colour.jpeg_heavy,
        colour.jpeg_again,
        colour.webp_heavy,
        colour.thumbnail,
        colour.enlarged_thumbnail,
    ),
    "overlay": (
        composition.on_other,
        composition.small_on_other,
        composition.under_other,
        composition.under_cut_out,
        composition.blended,
        composition.picture_in_picture,
        composition.on_billboard,
    ),
    "collage": (composition.collage_two, composition.collage_four),
    "text": (
        composition.meme_text,
        composition.caption_bar,
        composition.subtitle,
        composition.breaking_news,
        composition.words_all_over,
        composition.watermark,
        composition.date_stamp,
    ),
    "drawing": (
        composition.emoji,
        composition.emoji_many,
        composition.scribbled,
        composition.pointed_at,
        composition.bars,
        composition.blurred_field,
        composition.pixelated_field,
    ),
    "screen": (composition.phone_screen, composition.web_page, composition.newspaper),
    "held out": (
        geometry.swirl,
        geometry.shuffle_tiles,
        geometry.crumple,
        colour.halftone,
        colour.sketched,
        colour.moire,
        composition.rain,
        composition.torn,
        composition.jigsaw,
        composition.written_over,
    ),
}


@dataclass(frozen=True)
class Pattern:
    """One way of copying a picture: its name in tables, its group, and what it does."""

    name: str
    group: str
    change: Change

    def __call__(self, rgb: Pixels, other: Pixels, generator: np.random.Generator) -> Pixels:
        """The copy of ``uint8 (H, W, 3)`` RGB of at least 64 px a side."""
        given = {"rgb": rgb, "other": other, "generator": generator}
        return self.change(**{name: given[name] for name in signature(self.change).parameters})

    @property
    def says(self) -> str:
        """What it does, in one line."""
        return (self.change.__doc__ or "").strip().splitlines()[0]


PATTERNS = {
    change.__name__.replace("_", " "): Pattern(change.__name__.replace("_", " "), group, change)
    for group, changes in GROUPS.items()
    for change in changes
}
HELD_OUT = tuple(name for name, pattern in PATTERNS.items() if pattern.group == "held out")
TRAINING = tuple(name for name in PATTERNS if name not in HELD_OUT)


def copied(rgb: Pixels, other: Pixels, name: str, generator: np.random.Generator) -> Pixels:
    """A picture copied by one pattern.

    Args:
        rgb: ``uint8 (H, W, 3)``, any size.
        other: another picture, for patterns that put two together; any size.
        name: of ``PATTERNS``.
        generator: source of chance; the same state gives the same copy.
    Returns:
        ``uint8 (h, w, 3)``, 8 to 2048 px a side.
    Raises:
        VeriscopeError: there is no such pattern.
    """
    pattern = PATTERNS.get(name)
    if pattern is None:
        raise VeriscopeError(f"no tamper pattern {name!r}; there are: {', '.join(PATTERNS)}")
    return _at_most(pattern(_at_least(rgb), _at_least(other), generator))


def copied_for(rgb: Pixels, other: Pixels, name: str, key: str) -> Pixels:
    """As ``copied``, with chance drawn from the picture's key and the pattern's name."""
    return copied(rgb, other, name, np.random.default_rng(zlib.crc32(f"{key}#{name}".encode())))


def chained(
    rgb: Pixels,
    other: Pixels,
    generator: np.random.Generator,
    names: Sequence[str] = TRAINING,
    most: int = MOST_CHAINED,
    least: int = 1,
) -> tuple[Pixels, tuple[str, ...]]:
    """A picture copied by ``least`` to ``most`` patterns, each of another group, one after the other.

    Returns:
        ``uint8 (h, w, 3)`` and the patterns' names in their order.
    """
    wanted = int(generator.integers(least, most + 1))
    chosen: list[str] = []
    for name in generator.permutation(np.array(names, dtype=object)):
        if PATTERNS[name].group not in {PATTERNS[earlier].group for earlier in chosen}:
            chosen.append(str(name))
        if len(chosen) == wanted:
            break
    for name in chosen:
        rgb = copied(rgb, other, name, generator)
    return rgb, tuple(chosen)


def _at_least(rgb: Pixels) -> Pixels:
    scale = LEAST_SIDE / min(rgb.shape[:2])
    if scale <= 1:
        return np.ascontiguousarray(rgb)
    size = max(LEAST_SIDE, round(rgb.shape[1] * scale)), max(LEAST_SIDE, round(rgb.shape[0] * scale))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def _at_most(rgb: Pixels) -> Pixels:
    scale = MOST_SIDE / max(rgb.shape[:2])
    if scale >= 1:
        return np.ascontiguousarray(rgb)
    size = max(8, round(rgb.shape[1] * scale)), max(8, round(rgb.shape[0] * scale))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
