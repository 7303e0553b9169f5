"""What localisers answered about pictures under conditions, measured against masks, and kept so that a run can go on.

Only measures are kept, not maps: a picture takes a line of JSON, appended as it is done. Each answer carries the mark of the
weights that gave it, so a method that was trained again is asked again and the others are not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from veriscope.batch import read_json_lines
from veriscope.errors import VeriscopeError
from veriscope.lab.benchmark.localisation import AT_FIXED
from veriscope.lab.data.manifest import Row

Table = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What one method said of a picture, measured against its mask; a method that said nothing scores 0 and calls nothing.

    Attributes:
        method, version, mark: which method, and what changes with its weights.
        f1_at: pixel F1 at each threshold of ``localisation.GRID``.
        iou: at the fixed threshold.
        auc: of the pixels; None on an authentic picture.
        reason: what lowers its reliability, or why it said nothing.
        score, reliability, weighed: of its evidence.
        failed: whether it broke or took too long.
        seconds: it took, with what it shares with methods asked before it not counted.
        judged: the share of the picture that it could judge; 0 where it said nothing.
        largest: the share of the largest region that it calls; 0 where none is large enough to count.
    """

    method: str
    version: str
    mark: str
    f1_at: tuple[float, ...]
    iou: float
    auc: float | None
    reason: str = ""
    score: float | None = None
    reliability: float = 0.0
    weighed: bool = False
    failed: bool = False
    seconds: float = 0.0
    judged: float = 0.0
    largest: float = 0.0

    @property
    def empty(self) -> bool:
        """On an authentic picture: whether nothing is called at the fixed threshold."""
        return self.f1_at[AT_FIXED] == 1


@dataclass(frozen=True)
class Entry:
    """All answers about one picture under one condition; ``edited_share`` is of its mask, 0 where authentic."""

    key: str
    label: str
    source: str
    condition: str
    width: int
    height: int
    edited_share: float
    answers: dict[str, Answer]

    def to_json(self) -> Table:
        """As plain values."""
        return asdict(self) | {"answers": [asdict(answer) for answer in self.answers.values()]}

    @classmethod
    def from_json(cls, values: Table) -> Entry:
        """What ``to_json`` gave.

        Raises:
            KeyError, TypeError, AttributeError: it is of another version.
        """
        held = [Answer(**item | {"f1_at": tuple(item["f1_at"])}) for item in values["answers"]]
        return cls(**values | {"answers": {answer.method: answer for answer in held}})

    def joined(self, earlier: Entry) -> Entry:
        """With the answers of an earlier run that this one did not ask for again."""
        return replace(self, answers=earlier.answers | self.answers)

    def only(self, marks: Mapping[str, str]) -> Entry:
        """With the answers that carry these marks."""
        kept = {name: self.answers[name] for name in marks if name in self.answers}
        return replace(self, answers={name: one for name, one in kept.items() if one.mark == marks[name]})


class Results:
    """The answers of all runs over one folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held: dict[tuple[str, str], Entry] = {}
        for line in read_json_lines(path):
            try:
                self._take(Entry.from_json(line))
            except (KeyError, TypeError, AttributeError):
                continue  # a line of an older version

    def missing(self, key: str, condition: str, marks: Mapping[str, str]) -> set[str]:
        """The methods of ``marks`` that have not answered about a picture under a condition."""
        held = self._held.get((key, condition))
        answers = held.answers if held else {}
        return {name for name, mark in marks.items() if name not in answers or answers[name].mark != mark}

    def add(self, entry: Entry, out: Any) -> None:
        """Keep an entry, in the file first.

        Raises:
            VeriscopeError: it cannot be written; what was complete is kept.
        """
        try:
            out.write(json.dumps(entry.to_json()) + "\n")
            out.flush()
        except OSError as error:
            raise VeriscopeError(
                f"{self.path}: cannot be written: {error.strerror}; what was complete is kept"
            ) from error
        self._take(entry)

    def _take(self, entry: Entry) -> None:
        held = self._held.get((entry.key, entry.condition))
        self._held[entry.key, entry.condition] = entry.joined(held) if held else entry

    def entries(self, rows: Sequence[Row], conditions: Sequence[str], marks: Mapping[str, str]) -> list[Entry]:
        """What is known of these pictures under these conditions, as methods of ``marks`` said it."""
        held = [self._held.get((row.key, condition)) for condition in conditions for row in rows]
        return [some for entry in held if entry and (some := entry.only(marks)).answers]
