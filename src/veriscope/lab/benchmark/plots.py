"""Plots of the leaderboard as inline SVG: no fonts, scripts or files from elsewhere, colours from the page's style sheet.

Each function gives markup whose lines carry the classes ``line s0`` to ``line s5`` (highlighted detectors), ``line cheat`` or
``line rest``; a tooltip names the detector, so that no reader depends on colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from markupsafe import Markup

LEFT, RIGHT, TOP, BOTTOM = 44.0, 10.0, 10.0, 40.0  # margins, pixels
FIRST_RATE = 0.001  # of the ROC's logarithmic axis
Point = tuple[float, float]


@dataclass(frozen=True)
class Frame:
    """A plot's area and its scales; x and y run over [0, 1] inside."""

    width: float
    height: float

    def at(self, x: float, y: float) -> Point:
        """Pixels of a place."""
        across = LEFT + x * (self.width - LEFT - RIGHT)
        return across, self.height - BOTTOM - y * (self.height - TOP - BOTTOM)

    def wrapped(self, parts: Sequence[str], title: str) -> Markup:
        """The whole picture."""
        inside = "".join(parts)
        box = f'viewBox="0 0 {self.width:g} {self.height:g}" role="img" aria-label="{escape(title, quote=True)}"'
        return Markup(f'<svg class="plot" {box}>{inside}</svg>')  # noqa: S704 (numbers and escaped names only)

    def axes(
        self, xs: Sequence[tuple[float, str]], ys: Sequence[tuple[float, str]], x_title: str, y_title: str
    ) -> list[str]:
        """Grid lines, their numbers and the axes' names."""
        parts = []
        for place, text in xs:
            (x, bottom), (_, top) = self.at(place, 0), self.at(place, 1)
            parts.append(f'<line class="grid" x1="{x:.1f}" y1="{bottom:.1f}" x2="{x:.1f}" y2="{top:.1f}"/>')
            parts.append(
                f'<text class="tick" x="{x:.1f}" y="{bottom + 14:.1f}" text-anchor="middle">{escape(text)}</text>'
            )
        for place, text in ys:
            (left, y), (right, _) = self.at(0, place), self.at(1, place)
            parts.append(f'<line class="grid" x1="{left:.1f}" y1="{y:.1f}" x2="{right:.1f}" y2="{y:.1f}"/>')
            parts.append(
                f'<text class="tick" x="{left - 6:.1f}" y="{y + 3.5:.1f}" text-anchor="end">{escape(text)}</text>'
            )
        middle, base = self.at(0.5, 0)
        parts.append(
            f'<text class="axis" x="{middle:.1f}" y="{base + 31:.1f}" text-anchor="middle">{escape(x_title)}</text>'
        )
        _, centre = self.at(0, 0.5)
        turned = f'transform="rotate(-90 11 {centre:.1f})"'
        parts.append(
            f'<text class="axis" x="11" y="{centre:.1f}" text-anchor="middle" {turned}>{escape(y_title)}</text>'
        )
        return parts

    def line(self, points: Sequence[Point], look: str, name: str, *, dots: bool = False) -> str:
        """A line through places in [0, 1] squared, with a tooltip."""
        placed = [self.at(*point) for point in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        marks = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.4"/>' for x, y in placed) if dots else ""
        return f'<g class="line {look}"><title>{escape(name)}</title><polyline points="{path}"/>{marks}</g>'


def looks(names: Sequence[str], highlighted: Sequence[str], cheats: Sequence[str]) -> dict[str, str]:
    """The class of each detector's lines."""
    known = {name: f"s{place}" for place, name in enumerate(highlighted)}
    return {name: known.get(name, "cheat" if name in cheats else "rest") for name in names}


def _drawn_last(look: Mapping[str, str]) -> list[str]:
    return sorted(look, key=lambda name: (look[name].startswith("s"), look[name] == "cheat"))


def roc(curves: Mapping[str, Mapping[str, Sequence[float]]], look: Mapping[str, str]) -> Markup:
    """ROC curves over a logarithmic axis of the false-positive rate, from 0.1 %."""
    frame = Frame(560, 400)
    span = -math.log10(FIRST_RATE)
    parts = frame.axes(
        [(0, "0.1 %"), (1 / 3, "1 %"), ((math.log10(0.05) + span) / span, "5 %"), (2 / 3, "10 %"), (1, "100 %")],
        [(share / 4, f"{25 * share} %") for share in range(5)],
        "real pictures called generated (logarithmic)",
        "generated pictures found",
    )
    chance = [FIRST_RATE * 10 ** (span * step / 40) for step in range(41)]
    parts.append(frame.line([(step / 40, rate) for step, rate in enumerate(chance)], "chance", "chance"))
    for name in _drawn_last({name: look[name] for name in curves}):
        points: list[Point] = []
        before = 0.0
        for false, true in zip(curves[name]["false"], curves[name]["true"], strict=True):
            place = max(0.0, (math.log10(max(false, FIRST_RATE)) + span) / span)
            if points and place > points[-1][0]:
                points.append((place, before))
            points.append((place, true))
            before = true
        parts.append(frame.line(points, look[name], name))
    return frame.wrapped(parts, "ROC curves of the detectors")


def reliability(diagram: Mapping[str, Sequence[float]], look: str, name: str) -> Markup:
    """One detector's posterior at even odds against the share of generated pictures."""
    frame = Frame(230, 220)
    ticks = [(0.0, "0"), (0.5, "0.5"), (1.0, "1")]
    parts = frame.axes(ticks, ticks, "said probability", "share generated")
    parts.append(frame.line([(0, 0), (1, 1)], "chance", "perfect calibration"))
    parts.append(frame.line(list(zip(diagram["said"], diagram["true"], strict=True)), look, name, dots=True))
    return frame.wrapped(parts, f"Reliability diagram of {name}")


def curves(
    lines: Mapping[str, Sequence[tuple[float, float]]],
    ticks: Sequence[tuple[float, str]],
    look: Mapping[str, str],
    x_title: str,
    *,
    bottom: float,
    y_title: str = "AUC",
    size: tuple[float, float] = (330, 230),
) -> Markup:
    """Lines over an axis of places in [0, 1]; y runs from ``bottom`` to 1."""
    frame = Frame(*size)
    steps = [bottom + (1 - bottom) * step / 5 for step in range(6)]
    numbers = [((value - bottom) / (1 - bottom), f"{value:.1f}") for value in steps]
    parts = frame.axes(list(ticks), numbers, x_title, y_title)
    if bottom < 0.5:
        level = (0.5 - bottom) / (1 - bottom)
        parts.append(frame.line([(0, level), (1, level)], "chance", "chance") if y_title == "AUC" else "")
    for name in _drawn_last({name: look[name] for name in lines}):
        points = [(x, max(0.0, (y - bottom) / (1 - bottom))) for x, y in lines[name]]
        parts.append(frame.line(points, look[name], name, dots=look[name] != "rest"))
    return frame.wrapped(parts, f"{y_title} over {x_title}")


def sweep(lines: Sequence[Mapping[str, Any]], look: Mapping[str, str], *, rising: bool) -> Markup:
    """AUC of each detector over one family of perturbations, from untouched on the left to the harshest on the right.

    Args:
        lines: those of ``figures.robustness`` of one family.
        look: of each detector.
        rising: whether larger amounts are harsher.
    """
    amounts = sorted({line["amount"] for line in lines}, reverse=not rising)
    place = {amount: (number + 1) / len(amounts) for number, amount in enumerate(amounts)}
    drawn: dict[str, list[tuple[float, float]]] = {}
    for line in sorted(lines, key=lambda line: place[line["amount"]]):
        points = drawn.setdefault(line["detector"], [])
        if not points and line["auc_as_is"] is not None:
            points.append((0.0, line["auc_as_is"]))
        points.append((place[line["amount"]], line["auc"]))
    ticks = [(0.0, "as is"), *((place[amount], f"{amount:g}") for amount in amounts)]
    lowest = min(value for points in drawn.values() for _, value in points)
    bottom = 0.5 if lowest >= 0.5 else 0.0 if lowest < 0.3 else 0.3
    return curves(drawn, ticks, look, f"{lines[0]['family']}: {lines[0]['unit']}", bottom=bottom)
