"""A study on disk: its pictures, what the detectors answered, and what people answered. A folder with one SQLite file.

Nothing that could name a person is kept: no address, no browser, no name, no hour of the day. A participant is a random
number, the date, and answers with the seconds they took.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import secrets
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from veriscope.errors import VeriscopeError

FOLDER: Final = "studies"
DATABASE: Final = "study.sqlite3"
PICTURES: Final = "pictures"
ANSWERS: Final = ("generated", "real")
SURENESS: Final = (1, 2, 3)  # guessing, fairly sure, certain
LONGEST: Final = 3_600_000  # milliseconds; an answer that took longer is kept as this
BUSY: Final = 20  # seconds to wait for another writer
KEY: Final = re.compile(r"[a-z0-9]{10}")

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS study (facts TEXT NOT NULL, closed INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS stimulus (id TEXT PRIMARY KEY, facts TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS machine (stimulus TEXT NOT NULL REFERENCES stimulus, detector TEXT NOT NULL, log10_lr REAL NOT NULL,
  state TEXT NOT NULL, PRIMARY KEY (stimulus, detector));
CREATE TABLE IF NOT EXISTS participant (number INTEGER PRIMARY KEY, secret TEXT NOT NULL UNIQUE, day TEXT NOT NULL,
  shown TEXT NOT NULL, finished INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS answer (participant INTEGER NOT NULL REFERENCES participant ON DELETE CASCADE,
  stimulus TEXT NOT NULL REFERENCES stimulus, answer TEXT NOT NULL, sure INTEGER NOT NULL, milliseconds INTEGER NOT NULL,
  place INTEGER NOT NULL, PRIMARY KEY (participant, stimulus));
"""


@dataclass(frozen=True)
class Facts:
    """What a study is.

    Attributes:
        key: random, part of its address.
        title: what people see it called.
        created: the date, ISO 8601.
        each: pictures a person is shown, half of them generated.
        seconds: that a picture can be seen; 0 for as long as one likes.
        contact: who answers questions about it; may be empty.
        manifest: the name of the file that the pictures came from.
        seed: of what was drawn from it.
        software: Veriscope's version and its models'.
    """

    key: str
    title: str
    created: str
    each: int
    seconds: float
    contact: str
    manifest: str
    seed: int
    software: dict[str, Any]
    closed: bool = False


@dataclass(frozen=True)
class Stimulus:
    """A picture of a study, as people and detectors saw it; ``label`` is "generated" or "real"."""

    id: str
    label: str
    source: str
    generator: str
    face: bool
    art: bool
    width: int
    height: int
    sha256: str


@dataclass(frozen=True)
class MachineAnswer:
    """What a detector says of a picture; ``state`` is "yes", "no" or "cannot tell" where it decides, else empty."""

    stimulus: str
    detector: str
    log10_lr: float
    state: str


@dataclass(frozen=True)
class Participant:
    """A person, known as a number alone; ``shown`` are the pictures in their order."""

    number: int
    shown: tuple[str, ...]
    finished: bool


@dataclass(frozen=True)
class Answer:
    """A person's answer: ``sure`` is one of SURENESS, ``place`` counts the pictures from 1."""

    participant: int
    stimulus: str
    answer: str
    sure: int
    milliseconds: int
    place: int


class Study:
    """A study in its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / DATABASE).is_file():
            raise VeriscopeError(f"{folder.name}: there is no such study; `veriscope study list` names those there are")

    @classmethod
    def make(cls, folder: Path, facts: Facts, stimuli: Sequence[Stimulus], answers: Sequence[MachineAnswer]) -> Study:
        """Write a study into a folder that holds its pictures already."""
        with contextlib.closing(sqlite3.connect(folder / DATABASE)) as database, database:
            database.execute("PRAGMA journal_mode = WAL")
            database.executescript(_TABLES)
            database.execute("INSERT INTO study (facts) VALUES (?)", (json.dumps(asdict(facts)),))
            database.executemany(
                "INSERT INTO stimulus VALUES (?, ?)", [(one.id, json.dumps(asdict(one))) for one in stimuli]
            )
            rows = [(one.stimulus, one.detector, one.log10_lr, one.state) for one in answers]
            database.executemany("INSERT INTO machine VALUES (?, ?, ?, ?)", rows)
        return cls(folder)

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        database = sqlite3.connect(self.folder / DATABASE, timeout=BUSY)
        try:
            database.execute("PRAGMA foreign_keys = ON")
            with database:
                yield database
        finally:
            database.close()

    @property
    def facts(self) -> Facts:
        """What the study is."""
        with self._open() as database:
            text, closed = database.execute("SELECT facts, closed FROM study").fetchone()
        return replace(Facts(**json.loads(text)), closed=bool(closed))

    def close(self, closed: bool = True) -> None:
        """Take no more participants; or take them again."""
        with self._open() as database:
            database.execute("UPDATE study SET closed = ?", (int(closed),))

    def stimuli(self) -> list[Stimulus]:
        """The pictures."""
        with self._open() as database:
            rows = database.execute("SELECT facts FROM stimulus ORDER BY id").fetchall()
        return [Stimulus(**json.loads(text)) for (text,) in rows]

    def picture(self, stimulus: str) -> Path | None:
        """A picture's file."""
        path = self.folder / PICTURES / f"{stimulus}.jpg"
        return path if stimulus.isalnum() and path.is_file() else None

    def machine_answers(self) -> list[MachineAnswer]:
        """What the detectors say of the pictures."""
        with self._open() as database:
            rows = database.execute("SELECT stimulus, detector, log10_lr, state FROM machine ORDER BY 2, 1").fetchall()
        return [MachineAnswer(*row) for row in rows]

    def begin(self) -> str:
        """A new participant, who agreed to take part; gives the secret that stands for them.

        The pictures shown least so far come first into their set, and the set in random order.

        Raises:
            VeriscopeError: the study is closed.
        """
        facts = self.facts
        if facts.closed:
            raise VeriscopeError("This study is closed: it takes no more answers")
        secret = secrets.token_urlsafe(24)
        draw = secrets.SystemRandom()
        with self._open() as database:
            database.execute("BEGIN IMMEDIATE")
            seen: dict[str, int] = {}
            for (shown,) in database.execute("SELECT shown FROM participant"):
                for one in json.loads(shown):
                    seen[one] = seen.get(one, 0) + 1
            rows = [Stimulus(**json.loads(text)) for (text,) in database.execute("SELECT facts FROM stimulus")]
            chosen: list[str] = []
            for label, count in (("generated", facts.each // 2), ("real", facts.each - facts.each // 2)):
                of_label = [one.id for one in rows if one.label == label]
                draw.shuffle(of_label)
                chosen += sorted(of_label, key=lambda one: seen.get(one, 0))[:count]
            draw.shuffle(chosen)
            day = datetime.now(UTC).date().isoformat()
            said = (_digest(secret), day, json.dumps(chosen))
            database.execute("INSERT INTO participant (secret, day, shown) VALUES (?, ?, ?)", said)
        return secret

    def participant(self, secret: str) -> Participant | None:
        """Who holds a secret."""
        with self._open() as database:
            found = database.execute(
                "SELECT number, shown, finished FROM participant WHERE secret = ?", (_digest(secret),)
            ).fetchone()
        return Participant(found[0], tuple(json.loads(found[1])), bool(found[2])) if found else None

    def answer(self, person: Participant, stimulus: str, answer: str, sure: int, milliseconds: int) -> None:
        """Keep an answer; the first one to a picture counts.

        Raises:
            VeriscopeError: the picture was not shown to them, or the answer is none.
        """
        if stimulus not in person.shown or answer not in ANSWERS or sure not in SURENESS:
            raise VeriscopeError("This is not an answer to a picture that was shown")
        taken = min(LONGEST, max(0, milliseconds))
        row = (person.number, stimulus, answer, sure, taken, person.shown.index(stimulus) + 1)
        with self._open() as database:
            database.execute("INSERT OR IGNORE INTO answer VALUES (?, ?, ?, ?, ?, ?)", row)
            (given,) = database.execute("SELECT COUNT(*) FROM answer WHERE participant = ?", row[:1]).fetchone()
            if given == len(person.shown):
                database.execute("UPDATE participant SET finished = 1 WHERE number = ?", row[:1])

    def withdraw(self, person: Participant) -> None:
        """Delete a participant and all their answers."""
        with self._open() as database:
            database.execute("DELETE FROM participant WHERE number = ?", (person.number,))

    def answers(self, number: int | None = None, *, finished: bool = False) -> list[Answer]:
        """All answers, or one participant's; only of those who answered every picture where asked."""
        wanted = (
            "SELECT a.* FROM answer a JOIN participant p ON p.number = a.participant WHERE (? IS NULL OR p.number = ?)"
        )
        wanted += " AND p.finished = 1" if finished else ""
        with self._open() as database:
            rows = database.execute(f"{wanted} ORDER BY a.participant, a.place", (number, number)).fetchall()
        return [Answer(*row) for row in rows]

    def counts(self) -> tuple[int, int]:
        """How many people began, and how many of them answered every picture."""
        with self._open() as database:
            found = database.execute("SELECT COUNT(*), COALESCE(SUM(finished), 0) FROM participant").fetchone()
        return int(found[0]), int(found[1])

    def delete(self) -> None:
        """Delete the study with its pictures and answers."""
        shutil.rmtree(self.folder)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def open_study(data: Path, key: str) -> Study:
    """A study by its key.

    Raises:
        VeriscopeError: there is none.
    """
    if not KEY.fullmatch(key):
        raise VeriscopeError(f"{key[:40]}: not the key of a study")
    return Study(data / FOLDER / key)


def studies(data: Path) -> list[Study]:
    """All studies, the latest first."""
    folder = data / FOLDER
    found = [Study(path.parent) for path in folder.glob(f"*/{DATABASE}")] if folder.is_dir() else []
    return sorted(found, key=lambda study: (study.facts.created, study.facts.key), reverse=True)
