"""The three answers in brief, and what saving again or resizing has hidden: read off a report, adding nothing to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from veriscope.evidence import Declaration, EvidenceRow, Report
from veriscope.reporting import wording

SILENT: Final = 0.25
"""A detector of at most this reliability is said to have nothing left to read; above it is weakened."""

UNSAID: Final = "The file says nothing of where it comes from. That is ordinary, and it is not evidence of anything."
NOTHING_HIDDEN: Final = "No detector reports that saving again or resizing took from it what it reads."

_CLAIM: Final = "A claim, not proof"
_TRUST: Final = {
    "invalid": "Invalid credentials",
    "untrusted": "A claim by a signer who is not trusted",
    "trusted": "Vouched for by a trusted signer",
}
_LOSSES: Final = re.compile(r"\b(sav(e|ed|ing)|resiz\w*|compress\w*|quality|px|blocks?|interpolation)\b", re.IGNORECASE)
_STRUCTURE: Final = ("jpeg", "file")
_MOST_BRANCHES: Final = 400
_DEEPEST: Final = 8


@dataclass(frozen=True)
class Brief:
    """One answer in brief.

    Attributes:
        says: one plain sentence.
        strength: how much it is worth, in a few words.
        state: "yes", "no" or "cannot tell" for the pixels; "telling" or "cannot tell" elsewhere.
        question: for the pixels, the question as one asks it.
        more: how many further statements there are in this answer.
    """

    says: str
    strength: str
    state: str
    question: str = ""
    more: int = 0


@dataclass(frozen=True)
class Hidden:
    """What a detector could not read, or not well, and why.

    Attributes:
        reason: in a detector's words.
        silent: the detectors that had nothing to read.
        weakened: those that are trusted less.
    """

    reason: str
    silent: tuple[str, ...]
    weakened: tuple[str, ...]


@dataclass(frozen=True)
class Branch:
    """A value behind a declaration: a leaf with ``text``, or a branch with ``inner`` ones."""

    name: str
    text: str = ""
    inner: tuple[Branch, ...] = ()


def declared(report: Report) -> Brief:
    """What the file declares, in brief: its most telling declaration."""
    told = [item for item in report.declares if item.state != "none" and item.kind not in _STRUCTURE]
    if not told:
        return Brief(UNSAID, "Nothing declared", "cannot tell")
    first = max(told, key=_weight)
    credentials = next((_TRUST[item.state] for item in told if item.kind == "c2pa" and item.state in _TRUST), "")
    contradiction = any(item.state == "contradiction" for item in told)
    strength = "Contradicts itself" if contradiction else credentials or _CLAIM
    return Brief(first.says, strength, "telling", more=len(told) - 1)


def seen(report: Report) -> Brief:
    """Where it has been, in brief: its best match."""
    if report.seen is None:
        return Brief(wording.NOT_COMPARED, "Not compared", "cannot tell")
    if not report.seen:
        return Brief(wording.NOT_SEEN, "No match", "cannot tell")
    best = max(report.seen, key=lambda item: item.score)
    return Brief(best.says, f"Match of score {best.score:.2f}", "telling", more=len(report.seen) - 1)


def pixels(report: Report) -> list[Brief]:
    """What the pixels suggest, in brief: one for each question, never together."""
    return [
        Brief(
            verdict.says, wording.support(verdict.log10_lr, question), verdict.state, wording.question_title(question)
        )
        for question, verdict in report.pixels.items()
    ]


def shortened(text: str, most: int = 240) -> str:
    """A sentence for a small place, cut between words.

    >>> shortened("A long sentence about a picture.", 18)
    'A long sentence…'
    """
    line = wording.plain(text)
    return line if len(line) <= most else line[:most].rpartition(" ")[0].rstrip(" ,;:(") + "…"


def hidden(report: Report) -> list[Hidden]:
    """What resizing or saving again has taken from the detectors, the heaviest loss first."""
    of: dict[str, list[EvidenceRow]] = {}
    for row in report.evidence:
        if row.reliability < 1 and row.reason and _LOSSES.search(row.reason):
            of.setdefault(row.reason[:1].upper() + row.reason[1:], []).append(row)
    found = [
        Hidden(
            reason if reason.endswith(".") else reason + ".",
            tuple(row.detector for row in rows if row.reliability <= SILENT),
            tuple(row.detector for row in rows if row.reliability > SILENT),
        )
        for reason, rows in of.items()
    ]
    return sorted(found, key=lambda one: (-len(one.silent), -len(one.weakened)))


def saves(report: Report) -> list[str]:
    """What the file's own structure tells of how it was saved, and what was noted when it was opened."""
    return [item.says for item in report.declares if item.kind in _STRUCTURE] + list(report.file.notes)


def branches(details: dict[str, Any]) -> tuple[Branch, ...]:
    """The values behind a declaration as a tree, cut to what a page can show; pictures inside are left out."""
    left = [_MOST_BRANCHES]
    return tuple(_branches(details, left, 0))


def _branches(values: dict[str, Any], left: list[int], depth: int) -> Iterator[Branch]:
    for name, value in values.items():
        if left[0] <= 0:
            yield Branch("…", "more values are in the JSON")
            return
        left[0] -= 1
        shown = wording.plain(name, 80)
        if isinstance(value, list) and any(isinstance(inner, dict | list) for inner in value):
            value = {str(number): inner for number, inner in enumerate(value, 1)}
        if isinstance(value, dict) and value and depth < _DEEPEST:
            yield Branch(shown, inner=tuple(_branches(value, left, depth + 1)))
        elif not (isinstance(value, str) and value.startswith("data:")):
            yield Branch(shown, _text(value))


def _text(value: object) -> str:
    if isinstance(value, list):
        return wording.plain(", ".join(str(inner) for inner in value[:200]), 600)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else wording.plain(value, 600)


def _weight(item: Declaration) -> int:
    """How much a declaration tells a reader, larger first."""
    if item.state in ("contradiction", "invalid"):
        return 4
    if item.generative:
        return 3
    return {"c2pa": 2, "camera": 1}.get(item.kind, 0)
