"""The index of a folder run: a row a picture, the most concerning first, failures in a section of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from veriscope.evidence import Report
from veriscope.reporting import overlay, wording
from veriscope.reporting.files import write_atomically
from veriscope.reporting.page import asset, content_policy, environment

THUMBNAIL_ROWS: Final = 1000
"""Above so many rows the index shows no thumbnails, to stay a page that opens at once."""

GENERATED_AT_1: Final = 3.0
GENERATED_AT_5: Final = 2.0
OTHER_YES: Final = 1.5
DECLARED_GENERATED: Final = 1.0
CANNOT_TELL: Final = 0.0
NOTHING_FOUND: Final = -1.0
LEVEL_WIDTH: Final = 0.2
"""How far a concern may stray from its level to order pictures within it."""

_GROUPS: Final = (
    (GENERATED_AT_1, "Generated, at 1\u00a0% false alarms"),
    (GENERATED_AT_5, "Generated, at 5\u00a0% false alarms"),
    (OTHER_YES, "Another question answered yes"),
    (DECLARED_GENERATED, "Declared generated"),
    (CANNOT_TELL, "Cannot tell"),
    (float("-inf"), "No"),
)


@dataclass(frozen=True)
class IndexRow:
    """One picture of a folder run.

    Attributes:
        name: the file, as the user named it.
        headline: its report's headline; empty where it failed.
        concern: where it stands in the index, larger first: one of this module's levels, give or take LEVEL_WIDTH.
        state: what the pixels say about "generated": "yes", "no" or "cannot tell"; other words are shown as they are.
        log10_lr: the ratio behind it; None where there is none.
        declared: what the file declares of its origin, in a few words; may be empty.
        error: why there is no report; None where there is one.
        href: path of its report, relative to the index, with forward slashes and not percent-encoded; None for no link.
        thumbnail: a small JPEG or PNG; None for none.
    """

    name: str
    headline: str
    concern: float
    state: str
    log10_lr: float | None
    declared: str
    error: str | None = None
    href: str | None = None
    thumbnail: bytes | None = None


@dataclass(frozen=True)
class _Line:
    row: IndexRow
    group: int
    href: str | None
    thumbnail: str | None


def index_row(report: Report, *, href: str | None = None, thumbnail: bytes | None = None) -> IndexRow:
    """The row of one report."""
    verdict = report.pixels.get("generated")
    declared = next((item for item in report.declares if item.generative), None)
    if verdict is not None and verdict.state == "yes":
        concern = GENERATED_AT_1 if verdict.fpr is not None and verdict.fpr <= 0.01 else GENERATED_AT_5
    elif any(other.state == "yes" for other in report.pixels.values()):
        concern = OTHER_YES
    elif declared is not None:
        concern = DECLARED_GENERATED
    elif verdict is None or verdict.state == "cannot tell":
        concern = CANNOT_TELL
    else:
        concern = NOTHING_FOUND
    return IndexRow(
        name=report.file.name,
        headline=report.headline,
        concern=concern,
        state=verdict.state if verdict else "cannot tell",
        log10_lr=verdict.log10_lr if verdict else None,
        declared=f"{wording.kind_title(declared.kind)}: generated" if declared else "",
        href=href,
        thumbnail=thumbnail,
    )


def save_index(rows: Sequence[IndexRow], path: str | Path) -> None:
    """Write the index of a folder run as one self-contained HTML file.

    Raises:
        VeriscopeError: the file cannot be written.
    """
    write_atomically(path, render_index(rows).encode("utf-8", "replace"))


def render_index(rows: Sequence[IndexRow]) -> str:
    """The index as an HTML document."""
    with_pictures = len(rows) <= THUMBNAIL_ROWS
    lines = [_line(row, with_pictures) for row in sorted(rows, key=_order) if row.error is None]
    counts = [sum(line.group == group for line in lines) for group in range(len(_GROUPS))]
    script = asset("index.js")
    return (
        environment()
        .get_template("index.html.j2")
        .render(
            total=len(rows),
            lines=lines,
            errors=sorted((row for row in rows if row.error is not None), key=lambda row: row.name),
            groups=[(number, title, counts[number]) for number, (_, title) in enumerate(_GROUPS)],
            pictures=any(line.thumbnail for line in lines),
            style=asset("base.css", "index.css"),
            script=script,
            policy=content_policy(script),
        )
    )


def _order(row: IndexRow) -> tuple[float, float, str]:
    return -row.concern, -(row.log10_lr or 0.0), row.name


def _line(row: IndexRow, with_picture: bool) -> _Line:
    group = next(number for number, (least, _) in enumerate(_GROUPS) if row.concern >= least - LEVEL_WIDTH)
    href = "./" + quote(row.href.lstrip("/"), safe="/") if row.href else None
    return _Line(row, group, href, _thumbnail(row.thumbnail) if with_picture else None)


def _thumbnail(data: bytes | None) -> str | None:
    if data and data.startswith(b"\xff\xd8\xff"):
        return overlay.data_uri(data, "image/jpeg")
    if data and data.startswith(b"\x89PNG\r\n\x1a\n"):
        return overlay.data_uri(data, "image/png")
    return None
