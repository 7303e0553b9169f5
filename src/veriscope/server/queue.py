"""The queue of jobs, in the database.

A job is claimed in one transaction that gives it a lease: a fencing token, and a time until which it holds. The holder renews
it. Where it lapses, the job is claimed again under another token, and whatever the first holder still sends is refused. So a
job is never lost, and its result is stored once. A job is tried three times at most.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import CursorResult, and_, func, or_, select, update
from sqlalchemy.orm import Session

from veriscope.server.database import Database
from veriscope.server.tables import Job, Map, Report

TRIES = 3  # at most: once, and twice more
RETRIES = {"crashed": 2, "memory": 1, "time": 1}  # by what went wrong; anything else would go wrong again
LAST_STRAW = "its examination brought the worker down (crash or out of memory), {tries} times"


@dataclass(frozen=True)
class Claim:
    """A job that this worker holds."""

    id: str
    kind: str
    picture_id: str
    options: dict[str, Any]
    lease: str
    tries: int


@dataclass(frozen=True)
class Outcome:
    """What a job came to: a report with its maps, or the JSON result of another kind of job, or an error."""

    report: dict[str, Any] | None = None
    maps: Sequence[dict[str, Any]] = ()
    result: dict[str, Any] | None = None
    error_code: str = ""
    error: str = ""


class Queue:
    """The queue of one database."""

    def __init__(self, database: Database, lease_seconds: float = 15.0) -> None:
        self.database = database
        self.lease_seconds = lease_seconds

    def claim(self, worker: str) -> Claim | None:
        """Take the next job that waits, or whose lease has lapsed; None where there is none."""
        with self.database.reading() as session:  # most often there is none: look without the write lock
            if session.execute(select(Job.id).where(_free(self.database.now(session))).limit(1)).first() is None:
                return None
        with self.database.writing() as session:
            now = self.database.now(session)
            self._give_up(session, now)
            job = session.execute(
                select(Job)
                .where(_free(now))
                .order_by(Job.priority, Job.id)
                .limit(1)
                .with_for_update(skip_locked=True, of=Job)
            ).scalar()
            if job is None:
                return None
            job.state, job.stage = "running", ""
            job.lease, job.lease_until, job.worker = secrets.token_hex(16), now + self.lease_seconds, worker
            job.tries += 1
            job.started = now
            return Claim(job.id, job.kind, job.picture_id, dict(job.options), str(job.lease), job.tries)

    def renew(self, claim: Claim, stage: str = "") -> bool:
        """Hold a job for longer, and say how far it is; False where it is another's by now, or was deleted."""
        with self.database.writing() as session:
            until = self.database.now(session) + self.lease_seconds
            return _changed(session, update(Job).where(_held(claim)).values(lease_until=until, stage=stage[:64]))

    def finish(self, claim: Claim, outcome: Outcome, folder: str = "") -> bool:
        """Store what a job came to, once; False, and nothing stored, where the job is no longer this claim's."""
        with self.database.writing() as session:
            now = self.database.now(session)
            done = not outcome.error
            values: dict[str, Any] = {
                "state": "done" if done else "failed",
                "stage": "",
                "lease": None,
                "lease_until": None,
                "finished": now,
                "result": outcome.result,
                "error_code": outcome.error_code,
                "error": outcome.error,
                "options": _shown(claim.options),
            }
            if not _changed(session, update(Job).where(_held(claim)).values(**values)):
                return False
            if outcome.report is not None:
                session.add(
                    Report(id=claim.id, picture_id=claim.picture_id, folder=folder, created=now, **outcome.report)
                )
                session.flush()
                session.add_all(Map(report_id=claim.id, **row) for row in outcome.maps)
            return True

    def interrupted(self, job_id: str, lease: str | None, code: str, error: str) -> str:
        """A holder was stopped before it was done: the job waits again, or fails where it was tried often enough.

        Args:
            job_id: the job.
            lease: the token of the holder; None where only its process is known to be gone (see ``worker``).
            code: "crashed", "memory", "time", or "stopped", which counts as no try.
            error: what to say where it fails.
        Returns:
            The job's new state; "" where it was not that holder's any more.
        """
        with self.database.writing() as session:
            job = session.execute(select(Job).where(Job.id == job_id).with_for_update()).scalar()
            if job is None or job.state != "running" or (lease is not None and job.lease != lease):
                return ""
            job.lease = job.lease_until = job.worker = None
            job.stage = ""
            if code == "stopped":
                job.state, job.tries = "waiting", max(0, job.tries - 1)
            elif job.tries <= RETRIES.get(code, 0):
                job.state, job.priority = "waiting", job.priority + 1  # behind those that have done no harm
            else:
                job.state, job.finished = "failed", self.database.now(session)
                job.error_code, job.error = code, error
                job.options = _shown(job.options)
            return job.state

    def _give_up(self, session: Session, now: float) -> None:
        """Fail the jobs whose last lease has lapsed."""
        lapsed = and_(Job.state == "running", Job.lease_until < now, Job.tries >= TRIES)
        for job in session.execute(select(Job).where(lapsed).with_for_update(skip_locked=True)).scalars():
            job.state, job.finished, job.lease, job.lease_until = "failed", now, None, None
            job.error_code, job.error = "crashed", LAST_STRAW.format(tries=job.tries)
            job.options = _shown(job.options)

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        with self.database.reading() as session:
            rows = session.execute(select(Job.state, func.count()).group_by(Job.state)).all()
        return {"waiting": 0, "running": 0, "done": 0, "failed": 0} | {str(state): int(count) for state, count in rows}

    def position(self, session: Session, job: Job) -> int:
        """How many jobs go before this one, which waits."""
        before = or_(Job.priority < job.priority, and_(Job.priority == job.priority, Job.id < job.id))
        found = session.execute(select(func.count()).select_from(Job).where(Job.state == "waiting", before))
        return int(found.scalar_one())


def _free(now: float) -> Any:
    return or_(Job.state == "waiting", and_(Job.state == "running", Job.lease_until < now))


def _held(claim: Claim) -> Any:
    return and_(Job.id == claim.id, Job.lease == claim.lease, Job.state == "running")


def _changed(session: Session, statement: Any) -> bool:
    found = session.execute(statement.execution_options(synchronize_session=False))
    assert isinstance(found, CursorResult)
    return found.rowcount == 1


def _shown(options: dict[str, Any]) -> dict[str, Any]:
    """Options without the secrets that only the work itself needed."""
    return {name: value for name, value in options.items() if name not in ("key", "message")}
