"""A report as one HTML file that needs no network and runs one script, whose hash its content policy names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from veriscope.evidence import EvidenceRow, Report, Sighting
from veriscope.reporting import answers, overlay, wording
from veriscope.reporting.files import write_atomically
from veriscope.reporting.page import asset, content_policy, environment, json_island

_THUMBNAIL_SIDE = 480
"""Longer side of a map in the strip under the picture and in print, pixels."""


@dataclass(frozen=True)
class _Map:
    """A map over the picture; ``of`` is the evidence row or the match that it belongs to."""

    number: int
    of: EvidenceRow | Sighting
    title: str
    weight: str
    heat: str
    small: str


@dataclass(frozen=True)
class _Stage:
    """The picture and the maps over it; ``picture`` and ``small`` are data URIs, or None without a preview."""

    width: int
    height: int
    picture: str | None
    small: str | None
    maps: tuple[_Map, ...]
    unreadable: tuple[str, ...]


def render_html(report: Report) -> str:
    """The report as one self-contained HTML document."""
    script = asset("report.js")
    stage = _stage(report)
    numbers = {id(one.of): one.number for one in stage.maps}
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            stage=stage,
            number_of=lambda row: numbers.get(id(row)),
            weighed=[row for row in report.evidence if row.weighed],
            exhibits=[row for row in report.evidence if not row.weighed],
            facts=wording.facts(report),
            style=asset("base.css", "report.css"),
            script=script,
            policy=content_policy(script),
            island=json_island(report.to_json(indent=None)),
        )
    )


def save_html(report: Report, path: str | Path) -> None:
    """Write ``render_html`` to a file.

    Raises:
        VeriscopeError: the file cannot be written.
    """
    write_atomically(path, render_html(report).encode("utf-8", "replace"))


def _stage(report: Report) -> _Stage:
    picture = overlay.read_preview(report.preview)
    size = picture.size if picture else (max(1, report.file.width), max(1, report.file.height))
    maps: list[_Map] = []
    unreadable: list[str] = []
    for of, title, weight, drawn in _drawn(report):
        values = overlay.read_map(drawn)
        if values is None:
            unreadable.append(title)
            continue
        heat = overlay.data_uri(overlay.heat_png(values), "image/png")
        side = min(_THUMBNAIL_SIDE, max(size))
        small = overlay.data_uri(overlay.over_picture(values, picture, size, side), "image/jpeg")
        maps.append(_Map(len(maps) + 1, of, title, weight, heat, small))
    return _Stage(
        *size,
        overlay.data_uri(report.preview, "image/jpeg") if picture and report.preview else None,
        _small(picture) if picture and maps else None,
        tuple(maps),
        tuple(unreadable),
    )


def _drawn(report: Report) -> Iterator[tuple[EvidenceRow | Sighting, str, str, str]]:
    """What has a map: the row or match, a title, its weight, and the map."""
    for row in report.evidence:
        if row.map is not None:
            yield row, row.detector, "weighed" if row.weighed else "exhibit, carries no weight", row.map
    for match in report.seen or ():
        if (drawn := answers.difference(match)) is not None:
            yield match, f"Difference to {wording.plain(match.reference, 80)}", "added, removed or altered", drawn


def _small(picture: Image.Image) -> str:
    thumbnail = picture.copy()
    thumbnail.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE))
    return overlay.data_uri(overlay.jpeg(thumbnail), "image/jpeg")
