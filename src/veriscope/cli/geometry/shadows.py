"""``veriscope geometry shadows``: whether one light can have cast the marked shadows."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np

from veriscope.cli.geometry.drawing import COLOURS, FAR, WRONG, Drawing
from veriscope.cli.geometry.marks import Pairs, Shadow, read
from veriscope.errors import VeriscopeError
from veriscope.picture import Picture
from veriscope.tampering import perspective, shadow_consistency
from veriscope.tampering.shadow_consistency import HalfPlane, Mark

Found = dict[str, Any]


def find(picture: Picture, options: argparse.Namespace) -> Found:
    """Whether one light can have cast the marked shadows."""
    marks = read(options.pairs, Pairs)
    frame = perspective.Frame(picture.width, picture.height)
    error = marks.click_pixels / frame.scale
    found_marks = []
    for at, mark in enumerate(marks.shadows):
        try:
            found_marks.append(_mark(mark, frame, error))
        except ValueError as reason:
            raise VeriscopeError(f"{options.pairs}: shadows[{at}] ('{mark.name}'): {reason}") from reason
    found = shadow_consistency.one_light(found_marks)
    names = [mark.name for mark in marks.shadows]
    if options.overlay:
        _draw(picture, options.overlay, names, found_marks, found.conflict)
    light = None if found.light is None else frame.outward(found.light)
    return {
        "says": [_sentence(found, names)],
        "consistent": found.consistent,
        "light_in_front": found.in_front,
        "light_behind": found.behind,
        "light_pixels": None if light is None else [float(value) for value in light],
        "conflict": [names[at] for at in found.conflict],
        "odd": [names[at] for at in found.odd],
        "widening_degrees": found.widening if math.isfinite(found.widening) else None,
    }


def _sentence(found: shadow_consistency.Shadows, names: list[str]) -> str:
    if found.consistent:
        where = {(True, False): "in front of", (False, True): "behind"}.get(
            (found.in_front, found.behind), "beside, in front of or behind"
        )
        return (
            f"One light {where} the camera can have cast all {len(names)} shadows as marked; this does not prove that the "
            "picture is untouched."
        )
    named = " and ".join(f"'{names[at]}'" for at in found.conflict)
    needed = (
        f"every mark would have to be off by {found.widening:.1f} degrees"
        if math.isfinite(found.widening)
        else "no error of the marks explains it"
    )
    odd = " or ".join(f"'{names[at]}'" for at in found.odd)
    alone = f" Without {odd} the others agree." if odd else ""
    return f"No one light can have cast the shadows {named}: {needed}.{alone}"


def _mark(mark: Shadow, frame: perspective.Frame, error: float) -> Mark:
    if mark.at is not None and mark.lit is not None:
        x, y = frame.inward(np.array(mark.at))
        way = np.subtract(mark.lit, mark.at)
        return HalfPlane((float(x), float(y)), math.atan2(way[1], way[0]))
    tip = frame.inward(np.array(mark.shadow))
    if mark.object is not None:
        return shadow_consistency.exact_pair(tip, frame.inward(np.array(mark.object)), error)
    return shadow_consistency.between(tip, frame.inward(np.array(mark.between)), error)


def _draw(picture: Picture, path: Path, names: list[str], marks: list[Mark], conflict: tuple[int, ...]) -> None:
    drawing = Drawing(picture.rgb)
    for behind, colour in ((False, COLOURS[4]), (True, COLOURS[0])):
        drawing.polygon(shadow_consistency.region(marks, behind=behind), colour)
    for at, (name, mark) in enumerate(zip(names, marks, strict=True)):
        colour = WRONG if at in conflict else COLOURS[2]
        start, half = (mark.at, math.pi / 2) if isinstance(mark, HalfPlane) else (mark.tip, mark.half)
        tip = np.array(start)
        for turn in (-half, half):
            way = FAR * np.array([math.cos(mark.angle + turn), math.sin(mark.angle + turn)])
            drawing.segment(np.concatenate([tip, tip + way]), colour, thin=True)
        drawing.label(tip, name, colour)
    drawing.save(path)
