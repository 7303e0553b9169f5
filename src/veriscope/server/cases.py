"""Cases: pictures that are looked at together, with notes, a timeline of who did what, and delete that deletes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import case as either
from sqlalchemy import delete, func, or_, select, update

from veriscope.server.audit import Log
from veriscope.server.database import Database
from veriscope.server.problems import ProblemError
from veriscope.server.queue import Queue
from veriscope.server.settings import Settings
from veriscope.server.storage import Storage
from veriscope.server.submitting import AT_ONCE, Submitting, Wanted
from veriscope.server.tables import Case as CaseTable
from veriscope.server.tables import Event as EventTable
from veriscope.server.tables import Job, Picture, Report
from veriscope.server.tables import Note as NoteTable
from veriscope.server.uploads import Upload

LONGEST_TITLE = 200  # characters, as the database holds it
LONGEST_NOTE = 20_000  # characters
UNTITLED = "Untitled case"


@dataclass(frozen=True)
class CasePicture:
    """A picture of a case, and how far its examination is."""

    id: str
    case_id: str
    name: str
    bytes: int
    sha256: str
    state: str
    stage: str
    error: str
    tries: int
    seconds: float | None
    created: float
    headline: str
    answer: str


@dataclass(frozen=True)
class Note:
    """What someone wrote."""

    id: int
    text: str
    who: str
    created: float


@dataclass(frozen=True)
class Event:
    """What someone did, as a plain sentence."""

    id: int
    created: float
    who: str
    what: str


@dataclass(frozen=True)
class Case:
    """A case with all that belongs to it; times are seconds since 1970, UTC."""

    id: str
    title: str
    quick: bool
    created: float
    created_by: str
    pictures: tuple[CasePicture, ...]
    notes: tuple[Note, ...]
    events: tuple[Event, ...]


@dataclass(frozen=True)
class CaseSummary:
    """A case in a list; ``first_picture`` is a picture's id or None."""

    id: str
    title: str
    created: float
    created_by: str
    total: int
    done: int
    failed: int
    first_picture: str | None


@dataclass(frozen=True)
class Progress:
    """How far a picture is; ``position`` counts those before it in the queue, None where it does not wait."""

    picture_id: str
    state: str
    stage: str
    position: int | None
    error: str


class Cases:
    """The cases of one server."""

    def __init__(
        self,
        database: Database,
        storage: Storage,
        queue: Queue,
        submitting: Submitting,
        audit: Log,
        settings: Settings,
    ) -> None:
        self.database, self.storage, self.queue = database, storage, queue
        self.submitting, self.audit, self.settings = submitting, audit, settings

    def create(self, title: str, who: str, *, quick: bool | None = None) -> str:
        """A new case; gives its id."""
        with self.database.writing() as session:
            now = self.database.now(session)
            quick = self.settings.quick if quick is None else quick
            made = CaseTable(title=_title(title), created=now, created_by=who, quick=quick)
            session.add(made)
            session.flush()
            session.add(EventTable(case_id=made.id, who=who, what="opened the case", created=now))
            return made.id

    def get(self, case_id: str) -> Case | None:
        """A case; None where there is none."""
        with self.database.reading() as session:
            row = session.get(CaseTable, case_id)
            if row is None:
                return None
            pictures = session.execute(_pictures().where(Picture.case_id == case_id).order_by(Picture.id))
            notes = session.execute(select(NoteTable).where(NoteTable.case_id == case_id).order_by(NoteTable.id))
            events = session.execute(select(EventTable).where(EventTable.case_id == case_id).order_by(EventTable.id))
            return Case(
                row.id,
                row.title,
                row.quick,
                row.created,
                row.created_by,
                tuple(_picture(*found) for found in pictures),
                tuple(Note(note.id, note.text, note.who, note.created) for note in notes.scalars()),
                tuple(Event(event.id, event.created, event.who, event.what) for event in events.scalars()),
            )

    def find(self, query: str = "", page: int = 1, per_page: int = 20) -> tuple[list[CaseSummary], int]:
        """Cases whose title, or the name or hash of a picture, holds the query, the newest first; and how many there are."""
        asked: Any = CaseTable.id.is_not(None)
        if query:
            like = "%" + query.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
            named = or_(Picture.name.ilike(like, escape="\\"), Picture.sha256.ilike(like, escape="\\"))
            holding = select(Picture.case_id).where(Picture.case_id.is_not(None), named)
            asked = or_(CaseTable.title.ilike(like, escape="\\"), CaseTable.id.in_(holding))
        with self.database.reading() as session:
            total = int(session.execute(select(func.count()).select_from(CaseTable).where(asked)).scalar_one())
            chosen = select(CaseTable).where(asked).order_by(CaseTable.id.desc())
            rows = session.execute(chosen.offset((page - 1) * per_page).limit(per_page)).scalars().all()
            counts = {
                found[0]: found
                for found in session.execute(
                    select(
                        Picture.case_id,
                        func.count(),
                        func.sum(either((Job.state == "done", 1), else_=0)),
                        func.sum(either((Job.state == "failed", 1), else_=0)),
                        func.min(Picture.id),
                    )
                    .join(Job, Job.picture_id == Picture.id)
                    .where(Picture.case_id.in_([row.id for row in rows]))
                    .group_by(Picture.case_id)
                )
            }
        summaries = []
        for row in rows:
            _, pictures, done, failed, first = counts.get(row.id, (row.id, 0, 0, 0, None))
            summaries.append(
                CaseSummary(
                    row.id, row.title, row.created, row.created_by, int(pictures), int(done), int(failed), first
                )
            )
        return summaries, total

    def add_pictures(self, case_id: str, uploads: Sequence[Upload], who: str) -> list[CasePicture]:
        """Add pictures to a case and queue their examination, all or none.

        Raises:
            ProblemError: there is no such case (404), or the queue is full (429).
        """
        case = self.get(case_id)
        if case is None:
            raise _no_case()
        options = {"quick": case.quick, "shown": True}
        jobs = self.submitting.submit(uploads, Wanted("examine", options, who, case_id, AT_ONCE))
        for upload in uploads:
            self.record(case_id, who, f"added the picture {upload.name}")
        found = [self.picture(job.picture_id) for job in jobs]
        return [picture for picture in found if picture is not None]

    def add_picture(self, case_id: str, upload: Upload, who: str) -> CasePicture:
        """Add one picture, as ``add_pictures``."""
        return self.add_pictures(case_id, [upload], who)[0]

    def picture(self, picture_id: str) -> CasePicture | None:
        """A picture of a case; None where there is none."""
        with self.database.reading() as session:
            asked = _pictures().where(Picture.id == picture_id, Picture.case_id.is_not(None))
            found = session.execute(asked).first()
            return None if found is None else _picture(*found)

    def rename(self, case_id: str, title: str, who: str) -> None:
        """Give a case another title.

        Raises:
            ProblemError: there is no such case.
        """
        with self.database.writing() as session:
            row = session.get(CaseTable, case_id)
            if row is None:
                raise _no_case()
            row.title = _title(title)
            now = self.database.now(session)
            session.add(EventTable(case_id=case_id, who=who, what=f"called the case {row.title}", created=now))

    def add_note(self, case_id: str, text: str, who: str) -> Note:
        """Write a note.

        Raises:
            ProblemError: there is no such case (404), or the note is empty or too long (422).
        """
        text = text.strip()
        if not text or len(text) > LONGEST_NOTE:
            said = f"A note has 1 to {LONGEST_NOTE:,} characters; this one has {len(text):,}."
            raise ProblemError(422, "invalid_note", "The note cannot be kept", said)
        with self.database.writing() as session:
            if session.get(CaseTable, case_id) is None:
                raise _no_case()
            now = self.database.now(session)
            row = NoteTable(case_id=case_id, text=text, who=who, created=now)
            session.add(row)
            session.add(EventTable(case_id=case_id, who=who, what="wrote a note", created=now))
            session.flush()
            return Note(row.id, row.text, row.who, row.created)

    def delete_note(self, case_id: str, note_id: int, who: str) -> None:
        """Delete a note; nothing happens where there is none."""
        with self.database.writing() as session:
            gone = session.execute(
                delete(NoteTable).where(NoteTable.id == note_id, NoteTable.case_id == case_id).returning(NoteTable.id)
            ).first()
            if gone is not None:
                now = self.database.now(session)
                session.add(EventTable(case_id=case_id, who=who, what="deleted a note", created=now))

    def record(self, case_id: str, who: str, what: str) -> None:
        """Write into the timeline what someone did."""
        with self.database.writing() as session:
            if session.get(CaseTable, case_id) is not None:
                now = self.database.now(session)
                session.add(EventTable(case_id=case_id, who=who, what=what, created=now))

    def delete_picture(self, picture_id: str, who: str) -> None:
        """Delete a picture with its report and all their files; the timeline keeps that one was deleted, not its name."""
        with self.database.writing() as session:
            row = session.get(Picture, picture_id)
            if row is None or row.case_id is None:
                raise ProblemError(404, "no_such_picture", "There is no such picture")
            name, case_id = row.name, row.case_id
            session.delete(row)
            session.flush()
            events = update(EventTable).where(EventTable.case_id == case_id)
            session.execute(
                events.where(EventTable.what == f"added the picture {name}").values(
                    what="added a picture, deleted since"
                )
            )
            now = self.database.now(session)
            session.add(EventTable(case_id=case_id, who=who, what="deleted a picture", created=now))
        self.storage.delete(picture_id)
        self.audit.record(who, "deleted a picture", picture_id)

    def delete(self, case_id: str, who: str) -> None:
        """Delete a case with its pictures, reports, notes, timeline and all their files.

        Raises:
            ProblemError: there is no such case.
        """
        with self.database.writing() as session:
            row = session.get(CaseTable, case_id)
            if row is None:
                raise _no_case()
            pictures = session.execute(select(Picture.id).where(Picture.case_id == case_id)).scalars().all()
            session.delete(row)
        for picture_id in pictures:
            self.storage.delete(picture_id)
        self.audit.record(who, "deleted a case", case_id)

    def progress(self, case_id: str) -> list[Progress]:
        """How far each picture is."""
        with self.database.reading() as session:
            asked = select(Job).join(Picture, Job.picture_id == Picture.id).where(Picture.case_id == case_id)
            return [
                Progress(
                    job.picture_id,
                    job.state,
                    job.stage,
                    self.queue.position(session, job) if job.state == "waiting" else None,
                    job.error,
                )
                for job in session.execute(asked.order_by(Job.id)).scalars()
            ]


def _pictures() -> Any:
    asked = select(Picture, Job, Report).join(Job, Job.picture_id == Picture.id)
    return asked.outerjoin(Report, Report.picture_id == Picture.id)


def _picture(picture: Picture, job: Job, report: Report | None) -> CasePicture:
    return CasePicture(
        id=picture.id,
        case_id=str(picture.case_id),
        name=picture.name,
        bytes=picture.bytes,
        sha256=picture.sha256,
        state=job.state,
        stage=job.stage,
        error=job.error,
        tries=job.tries,
        seconds=None if report is None else report.seconds,
        created=picture.created,
        headline="" if report is None else report.headline,
        answer="" if report is None else report.answer,
    )


def _title(title: str) -> str:
    shown = " ".join("".join(letter if letter.isprintable() else " " for letter in title).split())
    return shown[:LONGEST_TITLE] or UNTITLED


def _no_case() -> ProblemError:
    return ProblemError(404, "no_such_case", "There is no such case")
