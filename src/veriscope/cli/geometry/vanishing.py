"""``veriscope geometry vanishing``: vanishing points, horizon, camera and heights, in words, figures and a drawing."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np

from veriscope.cli.geometry.drawing import COLOURS, WRONG, Drawing
from veriscope.cli.geometry.marks import Lines, read
from veriscope.errors import VeriscopeError
from veriscope.picture import Picture
from veriscope.tampering import horizon, perspective

SURE = 0.001  # p-value below which marks are said to disagree: lens distortion alone may reach 0.01
LEAST_CHANCE = 1e-6  # p-value below which words give no figure: no model of clicks holds so far out

Found = dict[str, Any]


def find(picture: Picture, options: argparse.Namespace) -> Found:
    """Vanishing points of marked or detected lines, and what follows from them."""
    return _marked(picture, options) if options.lines else _detected(picture, options)


def _detected(picture: Picture, options: argparse.Namespace) -> Found:
    frame = perspective.Frame(picture.width, picture.height)
    ends, sigma = perspective.detected_segments(picture.rgb)
    points = perspective.detected_vanishing_points(ends, sigma)
    says = [
        f"{len(ends)} straight edges were found; {sum(int(members.sum()) for _, members in points)} of them meet in "
        f"{len(points)} point{'s' if len(points) != 1 else ''}. Detected edges test nothing by themselves: mark those of "
        "one object and of its surroundings with --lines."
    ]
    if options.overlay:
        drawing = Drawing(picture.rgb)
        for (point, members), colour in zip(points, COLOURS, strict=False):
            for segment in ends[members]:
                drawing.segment(segment, colour)
                drawing.towards(segment, point.point, colour)
        drawing.save(options.overlay)
    rows = [_point_row(frame, "", point) | {"segments": int(members.sum())} for point, members in points]
    return {"says": says, "lines": "detected", "segments": len(ends), "vanishing_points": rows}


def _marked(picture: Picture, options: argparse.Namespace) -> Found:
    marks = read(options.lines, Lines)
    frame = perspective.Frame(picture.width, picture.height)
    sigma = marks.click_pixels / frame.scale
    ends = {group.name: frame.inward(np.array(group.segments)) for group in marks.groups}
    points = {
        group.name: perspective.vanishing_point(ends[group.name], sigma) for group in marks.groups if not group.like
    }
    says, rows, tests = [], [], []
    for name, point in points.items():
        row = _point_row(frame, name, point)
        if point.freedom > 0:
            at, p = perspective.odd_one_out(ends[name], sigma)
            row |= {"odd_segment": at, "odd_p": p}
            meets = point.p >= SURE
            odd = f"; segment {at + 1} fits the others least" if not meets else ""
            says.append(
                f"'{name}': its lines {'meet' if meets else 'do not meet'} in one point ({_chance(point.p)}){odd}."
            )
        rows.append(row)
    for group in marks.groups:
        if group.like is not None:
            test = perspective.agreement(ends[group.like], ends[group.name], sigma)
            agrees = test.p >= SURE
            tests.append({"object": group.name, "like": group.like, "agrees": agrees, "chi_square": test.chi_square})
            tests[-1] |= {"freedom": test.freedom, "p": test.p, "object_p": test.object_p}
            says.append(
                f"'{group.name}' {'is in' if agrees else 'is not in'} the perspective of '{group.like}': lines parallel in "
                f"the scene would miss a common point by this much with {_chance(test.p)}."
            )
    found: Found = {"says": says, "lines": "marked", "vanishing_points": rows, "tests": tests}
    level = _horizon(marks, points, frame, sigma)
    found["horizon"] = None if level is None else _horizon_row(level, frame, says)
    found["cameras"] = _cameras(marks, points, frame, says)
    found["heights"] = _heights(marks, points, level, frame, sigma, says)
    if not says:
        says.append(
            "Each group's two lines always meet: mark a third, or an object that is 'like' a group, to test it."
        )
    if options.overlay:
        _draw_marked(picture, options.overlay, marks, ends, points, tests, level)
    return found


def _chance(p: float) -> str:
    return f"p = {p:.2g}" if p >= LEAST_CHANCE else f"p < {LEAST_CHANCE:g}"


def _point_row(frame: perspective.Frame, name: str, point: perspective.VanishingPoint) -> Found:
    at = frame.outward(point.point)
    return {
        "name": name,
        "pixels": None if at is None else [float(value) for value in at],
        "homogeneous": [float(value) for value in point.point],
        "chi_square": point.chi_square,
        "freedom": point.freedom,
        "p": point.p,
    }


def _horizon(
    marks: Lines, points: dict[str, perspective.VanishingPoint], frame: perspective.Frame, sigma: float
) -> horizon.Horizon | None:
    if marks.horizon:
        return horizon.clicked_horizon(frame.inward(np.array(marks.horizon).ravel()), sigma)
    level = [points[group.name] for group in marks.groups if group.direction == "horizontal" and group.name in points]
    if len(level) < 2:
        return None
    try:
        return horizon.horizon(np.array([at.point for at in level]), np.array([at.covariance for at in level]))
    except ValueError:
        return None


def _horizon_row(level: horizon.Horizon, frame: perspective.Frame, says: list[str]) -> Found:
    if level.freedom > 0:
        lie = "lie" if level.p >= SURE else "do not lie"
        says.append(f"The level directions' vanishing points {lie} on one horizon ({_chance(level.p)}).")
    _, b, c = level.line
    middle = -c / b * frame.scale + (frame.height - 1) / 2 if abs(b) > 1e-9 else None
    return {"tilt_degrees": level.tilt, "row_at_centre": middle, "freedom": level.freedom, "p": level.p}


def _cameras(
    marks: Lines, points: dict[str, perspective.VanishingPoint], frame: perspective.Frame, says: list[str]
) -> list[Found]:
    rows: list[Found] = []
    for names in marks.square:
        row: Found = {"square": names, "focal_pixels": None, "focal_error_pixels": None, "centre_pixels": None}
        measured = None
        if len(names) == 3:
            camera = horizon.principal_point([points[name] for name in names])
            if camera is not None:
                x, y, measured = camera
                off = math.hypot(x.value, y.value)
                row["centre_pixels"] = [
                    x.value * frame.scale + (frame.width - 1) / 2,
                    y.value * frame.scale + (frame.height - 1) / 2,
                ]
                row["centre_error_pixels"] = [x.error * frame.scale, y.error * frame.scale]
                says.append(
                    f"By {' and '.join(names)} the camera looked at a place {off:.0%} of a half diagonal from the middle, "
                    f"give or take {math.hypot(x.error, y.error):.0%}; far from it, the picture was cropped or composed."
                )
        else:
            measured = horizon.focal_length(points[names[0]], points[names[1]])
        if measured is None:
            says.append(f"The focal length is not determined by {' and '.join(names)}.")
        else:
            row |= {"focal_pixels": measured.value * frame.scale, "focal_error_pixels": measured.error * frame.scale}
            says.append(
                f"By {' and '.join(names)} the focal length is {measured.value * frame.scale:.0f} pixels, "
                f"give or take {measured.error * frame.scale:.0f}."
            )
        rows.append(row)
    return rows


def _heights(
    marks: Lines,
    points: dict[str, perspective.VanishingPoint],
    level: horizon.Horizon | None,
    frame: perspective.Frame,
    sigma: float,
    says: list[str],
) -> Found | None:
    if not marks.heights:
        return None
    if level is None:
        raise VeriscopeError(
            "heights need a horizon: mark two groups with direction 'horizontal', or give 'horizon' as two points"
        )
    upright = next((points[g.name] for g in marks.groups if g.direction == "vertical" and g.name in points), None)
    feet, heads = (frame.inward(np.array([getattr(mark, end) for mark in marks.heights])) for end in ("foot", "head"))
    vertical = None if upright is None else upright.point
    try:
        found = horizon.equal_heights(feet, heads, level, sigma, vertical=vertical, spread=marks.height_spread)
    except ValueError as error:
        raise VeriscopeError(f"heights: {error}") from error
    worst = marks.heights[int(np.argmax(np.abs(found.deviations)))].name
    odd = f"; '{worst}' differs most" if found.p < SURE else ""
    says.append(
        f"The {len(feet)} upright objects {'may' if found.p >= SURE else 'cannot'} be equally tall within "
        f"{marks.height_spread:.0%} ({_chance(found.p)}){odd}."
    )
    objects = [
        {"name": mark.name, "camera_heights": float(ratio), "relative_error": float(error), "deviation": float(off)}
        for mark, ratio, error, off in zip(marks.heights, found.ratios, found.errors, found.deviations, strict=True)
    ]
    return {"p": found.p, "chi_square": found.chi_square, "freedom": found.freedom, "objects": objects}


def _draw_marked(
    picture: Picture,
    path: Path,
    marks: Lines,
    ends: Found,
    points: Found,
    tests: list[Found],
    level: horizon.Horizon | None,
) -> None:
    drawing, frame = Drawing(picture.rgb), perspective.Frame(picture.width, picture.height)
    wrong = {test["object"] for test in tests if not test["agrees"]}
    names = list(points)
    for group in marks.groups:
        base = group.like or group.name
        colour = WRONG if group.name in wrong else COLOURS[names.index(base) % len(COLOURS)]
        for segment in ends[group.name]:
            drawing.towards(segment, points[base].point, COLOURS[names.index(base) % len(COLOURS)])
            drawing.segment(segment, colour)
        drawing.label(ends[group.name][0][:2], group.name, colour)
    if level is not None:
        drawing.line(level.line, (255, 255, 255))
    for mark in marks.heights:
        foot, head = (frame.inward(np.array(point)) for point in (mark.foot, mark.head))
        drawing.segment(np.concatenate([foot, head]), COLOURS[-1])
        drawing.label(head, mark.name, COLOURS[-1])
    drawing.save(path)
