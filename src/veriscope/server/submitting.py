"""Uploads become pictures and jobs, all of a request or none of it, and never twice for one idempotency key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from veriscope.server.database import Database
from veriscope.server.problems import ProblemError
from veriscope.server.settings import Settings
from veriscope.server.storage import Storage
from veriscope.server.tables import IdempotencyKey, Job, Picture, new_id
from veriscope.server.uploads import Upload

FULL_FOR = 10.0  # seconds after which a full queue is worth another try
KEPT_KEYS = 86_400.0  # seconds that an idempotency key is remembered
AT_ONCE, IN_TURN = -10, 0  # priorities: someone waits for it; it may take its time


@dataclass(frozen=True)
class Wanted:
    """What is to be done with each of some uploads.

    Attributes:
        kind: of the jobs.
        options: of the jobs, JSON values; the file's name is added.
        owner: who asks.
        case_id: of the pictures; None for none.
        priority: the smallest first.
        key: an idempotency key; empty for none.
        fingerprint: of the request that the key stands for.
    """

    kind: str
    options: dict[str, Any]
    owner: str
    case_id: str | None = None
    priority: int = IN_TURN
    key: str = ""
    fingerprint: str = ""


class Submitting:
    """Puts jobs into the queue."""

    def __init__(self, database: Database, storage: Storage, settings: Settings) -> None:
        self.database, self.storage, self.settings = database, storage, settings

    def earlier(self, wanted: Wanted) -> list[Job]:
        """The jobs of an earlier request with the same idempotency key; none where it is new.

        Raises:
            ProblemError: the key was used for another request.
        """
        if not wanted.key:
            return []
        with self.database.reading() as session:
            known = session.get(IdempotencyKey, (wanted.owner, wanted.key))
            if known is None or self.database.now(session) - known.created > KEPT_KEYS:
                return []
            if known.fingerprint != wanted.fingerprint:
                raise ProblemError(
                    422,
                    "idempotency_key_reused",
                    "This idempotency key was used for another request",
                    "Send a new key with each new request, and the old one only to repeat an old request unchanged.",
                )
            return list(session.execute(select(Job).where(Job.batch == known.batch).order_by(Job.id)).scalars())

    def submit(self, uploads: Sequence[Upload], wanted: Wanted) -> list[Job]:
        """Store the uploads and queue one job for each, in one transaction; an idempotent repeat gives the first's jobs.

        Raises:
            ProblemError: no file (422), a full queue (429), or a key that was used for another request (422).
        """
        if not uploads:
            raise ProblemError(422, "no_file", "No picture was sent", "Send it as a file of the multipart form.")
        if earlier := self.earlier(wanted):
            return earlier
        batch = new_id()
        moved: list[str] = []
        try:
            with self.database.writing() as session:
                self._room(session, len(uploads))
                now = self.database.now(session)
                jobs = []
                if wanted.key:
                    old = session.get(IdempotencyKey, (wanted.owner, wanted.key))
                    if old is not None:  # lapsed, or just made by the same request sent twice
                        if now - old.created <= KEPT_KEYS:
                            raise _TwiceError
                        session.delete(old)
                        session.flush()
                    session.add(
                        IdempotencyKey(
                            owner=wanted.owner,
                            key=wanted.key,
                            fingerprint=wanted.fingerprint,
                            batch=batch,
                            created=now,
                        )
                    )
                    session.flush()
                ids = sorted(new_id() for _ in uploads)
                for picture_id, upload in zip(ids, uploads, strict=True):
                    picture = Picture(
                        id=picture_id,
                        case_id=wanted.case_id,
                        name=upload.name,
                        sha256=upload.sha256,
                        bytes=upload.bytes,
                        created=now,
                        created_by=wanted.owner,
                    )
                    session.add(picture)
                    session.flush()
                    moved.append(picture_id)
                    self.storage.keep(upload.path, picture_id)
                    job = Job(
                        id=picture_id,
                        kind=wanted.kind,
                        picture_id=picture_id,
                        batch=batch,
                        owner=wanted.owner,
                        priority=wanted.priority,
                        options={**wanted.options, "name": upload.name},
                        created=now,
                    )
                    session.add(job)
                    jobs.append(job)
                return jobs
        except (_TwiceError, IntegrityError) as error:
            self._undo(moved)
            if wanted.key and (found := self.earlier(wanted)):
                return found
            if isinstance(error, IntegrityError):
                raise
            raise ProblemError(409, "conflict", "The same request is under way", retry_after=1) from error
        except BaseException:
            self._undo(moved)
            raise

    def _undo(self, moved: Sequence[str]) -> None:
        for picture_id in moved:
            self.storage.delete(picture_id)

    def _room(self, session: Any, wanted: int) -> None:
        waiting = session.execute(select(func.count()).select_from(Job).where(Job.state == "waiting")).scalar_one()
        if waiting + wanted > self.settings.waiting:
            raise ProblemError(
                429,
                "queue_full",
                "Too many pictures wait already",
                f"{waiting} of at most {self.settings.waiting}. Try again later.",
                retry_after=FULL_FOR,
            )


class _TwiceError(Exception):
    """The same key came twice at once."""
