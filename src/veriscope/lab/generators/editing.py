"""Edits of real pictures, with the mask that says where: what a localiser of tampering learns from.

One call makes one edit, in milliseconds, so that training can draw edits as it goes; ``veriscope.lab.data.histories`` has the
life of the picture before and after it, ``veriscope.lab.data.edits`` the factory that writes files. The parts are their own
files: outlines (``region_shapes``), blends (``blending``), fills (``removal``), local changes (``retouching``), text
(``lettering``).

Limits: parts are placed without regard to what the picture shows, so composition gives some edits away to a reader; the mask
says where an editor worked, also where the work happens to leave no trace (a copy of flat sky on flat sky).
Papers: Wu et al. 2019 (ManTra-Net); Guillaro et al. 2023 (TruFor); Kwon et al. 2022 (CAT-Net).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.lab.data.augmentation import jpeg, random_resize
from veriscope.lab.generators import blending, lettering, removal, retouching
from veriscope.lab.generators.region_shapes import AREA, random_region

Pixels = NDArray[np.uint8]  # (H, W, 3) RGB
Mask = NDArray[np.bool_]  # (H, W), true where edited
Edit = tuple[Pixels, Mask, dict[str, Any]]
Regenerate = Callable[[Pixels], Pixels]
LEAST_SIDE = 64  # pixels
BOUNDS = (0.005, 0.4)  # of the picture: what a mask covers
TRIES, MOST_TRIES = 4, 24  # at an edit that shows, and at one whose mask lies within the bounds
SHOWS = 0.7  # levels of 255: mean change inside the mask below which an edit is drawn anew
DONOR_JPEG_SHARE, DONOR_QUALITY = 0.6, (55, 98)  # of the donors were saved at a quality of their own
DONOR_RESIZED_SHARE = 0.25
MATCHED_SHARE = 0.4  # of the parts spliced in take on the host's colours
MOST_REMOVED = 0.15  # of the picture; larger holes are seldom filled
OBJECTS_REMOVED = 0.7  # of the holes follow the picture's edges
GROWN = 0.012  # of the longer side: how far a hole reaches beyond the object
SOFT_BORDER = (0.5, 16.0)  # pixels, spread of the border of a local change; the logarithm is drawn evenly
AROUND = 24  # pixels around a part that its generator sees
MULTIPLE = 8  # pixels: what a generator is given is so large, times a whole number


def edited(
    host: Pixels,
    donor: Pixels,
    kind: str,
    generator: np.random.Generator,
    regenerate: Regenerate | None = None,
) -> Edit:
    """A picture with one edit, where it was edited, and how.

    Args:
        host: the picture that is edited, ``uint8 (H, W, 3)`` RGB, at least 64 px a side.
        donor: another, of any size; looked at by "splice" alone.
        kind: one of ``KINDS``.
        generator: source of chance; the same state gives the same edit.
        regenerate: a generator's version of a part of a picture, same shape; needed by "regenerate" alone.
    Returns:
        ``uint8 (H, W, 3)``; ``bool (H, W)``, true over 0.5 to 40 % of the picture, nowhere for "none"; facts that JSON can
        hold, with "kind" and "area".
    Raises:
        ValueError: the kind is unknown, the host is too small, or "regenerate" has no generator.
    """
    if kind not in KINDS:
        raise ValueError(f"no edit is called {kind!r}; there are: {', '.join(KINDS)}")
    if min(host.shape[:2]) < LEAST_SIDE:
        raise ValueError(
            f"a picture of {host.shape[1]} x {host.shape[0]} is too small; at least {LEAST_SIDE} px a side"
        )
    if kind == "none":
        return host.copy(), np.zeros(host.shape[:2], bool), {"kind": kind, "area": 0.0}
    if kind == "regenerate":
        if regenerate is None:
            raise ValueError("the edit 'regenerate' needs a generator")
        return _finished(host, kind, lambda: _regenerated(host, generator, regenerate))
    if kind == "splice":
        donor = _prepared(donor, host.shape[:2], generator)
        return _finished(host, kind, lambda: _spliced(host, donor, generator))
    return _finished(host, kind, lambda: EDITS[kind](host, generator))


def _finished(host: Pixels, kind: str, edit: Callable[[], Edit]) -> Edit:
    """The first of a few draws that shows and covers what a mask may cover; where none does, the one that comes nearest."""
    found: list[tuple[bool, float, Edit]] = []
    for number in range(MOST_TRIES):
        picture, mask, facts = edit()
        area = float(mask.mean())
        within = BOUNDS[0] <= area <= BOUNDS[1]
        shown = float(np.abs(picture[mask].astype(np.int16) - host[mask]).mean()) if area else 0.0
        found.append((within, shown, (picture, mask, {"kind": kind, **facts, "area": round(area, 4)})))
        if within and (shown >= SHOWS or number >= TRIES):
            break
    return max(found, key=lambda draw: draw[:2])[2]


def _prepared(donor: Pixels, size: tuple[int, ...], generator: np.random.Generator) -> Pixels:
    """A part of a donor no larger than the host, resized and saved as it may have been before."""
    if generator.random() < DONOR_RESIZED_SHARE:
        donor = random_resize(donor, generator)
    top, left = (
        int(generator.integers(0, max(0, have - most) + 1)) for have, most in zip(donor.shape[:2], size, strict=True)
    )
    donor = np.ascontiguousarray(donor[top : top + size[0], left : left + size[1]])
    if min(donor.shape[:2]) < LEAST_SIDE:
        scale = LEAST_SIDE / min(donor.shape[:2])
        donor = np.asarray(cv2.resize(donor, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), np.uint8)
    if generator.random() < DONOR_JPEG_SHARE:
        quality = int(generator.integers(DONOR_QUALITY[0], DONOR_QUALITY[1] + 1))
        donor = jpeg(donor, quality, subsample=bool(generator.random() < 0.7))
    return donor


def _spliced(host: Pixels, donor: Pixels, generator: np.random.Generator) -> Edit:
    region, facts = random_region(donor, generator)
    part, mask, more = blending.placed(donor, region, host.shape[:2], AREA, generator)
    alike = bool(generator.random() < MATCHED_SHARE)
    if alike and mask.any():
        part = blending.matched(part, mask, host)
    return _set_in(host, part, mask, {**facts, **more, "colours matched": alike}, generator)


def _copied(host: Pixels, generator: np.random.Generator) -> Edit:
    region, facts = random_region(host, generator, (AREA[0], AREA[1] / 2))
    away = 0.8 * float(np.sqrt(region.sum()))  # about the region's own size
    part, mask, more = blending.placed(host, region, host.shape[:2], AREA, generator, away=away)
    left, top, width, height = cv2.boundingRect(region.astype(np.uint8))
    return _set_in(host, part, mask, {**facts, **more, "from": [left, top, width, height]}, generator)


def _set_in(host: Pixels, part: Pixels, mask: Mask, facts: dict[str, Any], generator: np.random.Generator) -> Edit:
    picture, mask, more = blending.blended(host, part, mask, generator)
    return picture, mask, {**facts, **more}


def _removed(host: Pixels, generator: np.random.Generator) -> Edit:
    hole, facts = random_region(host, generator, (AREA[0], MOST_REMOVED), OBJECTS_REMOVED)
    reach = 2 * max(1, round(GROWN * max(host.shape[:2]))) + 1
    hole = cv2.dilate(hole.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))).astype(bool)
    picture, more = removal.removed(host, hole, generator)
    return picture, hole, {**facts, **more}


def _regenerated(host: Pixels, generator: np.random.Generator, regenerate: Regenerate) -> Edit:
    mask, facts = random_region(host, generator)
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    box = _widened(top, height, host.shape[0]), _widened(left, width, host.shape[1])
    part = host.copy()
    part[box] = regenerate(np.ascontiguousarray(host[box]))
    return _set_in(host, part, mask, facts, generator)


def _widened(first: int, length: int, most: int) -> slice:
    start = max(0, first - AROUND) // MULTIPLE * MULTIPLE
    return slice(start, min(most, -(-(first + length + AROUND) // MULTIPLE) * MULTIPLE))


def _retouched(
    change: Callable[[Pixels, np.random.Generator], retouching.Changed], host: Pixels, generator: np.random.Generator
) -> Edit:
    mask, facts = random_region(host, generator)
    spread = float(np.exp(generator.uniform(*np.log(SOFT_BORDER))))
    share = blending.feathered(mask, min(spread, 0.1 * float(np.sqrt(mask.sum()))))
    made, more = change(host, generator)
    return blending.mixed(host, made, share), share >= 0.5, {**facts, **more, "border": round(spread, 1)}


def _resampled(host: Pixels, generator: np.random.Generator) -> Edit:
    mask, facts = random_region(host, generator)
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    made, more = retouching.resampled(host, generator, (left + width / 2, top + height / 2))
    return _set_in(host, made, mask, {**facts, **more}, generator)


EDITS: dict[str, Callable[[Pixels, np.random.Generator], Edit]] = {
    "copy_move": _copied,
    "removal": _removed,
    "blur": lambda host, generator: _retouched(retouching.blurred, host, generator),
    "relight": lambda host, generator: _retouched(retouching.relit, host, generator),
    "resample": _resampled,
    "noise": lambda host, generator: _retouched(retouching.renoised, host, generator),
    "text": lettering.lettered,
}
KINDS = ("splice", "copy_move", "removal", "regenerate", "blur", "relight", "resample", "noise", "text", "none")
