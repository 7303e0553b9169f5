"""Jobs and reports as the API and the pages see them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import select

from veriscope import evidence
from veriscope.server.database import Database
from veriscope.server.problems import ProblemError
from veriscope.server.queue import Queue
from veriscope.server.storage import FILES, Storage, read_report
from veriscope.server.tables import Job, Map, Picture, Report

MOST = 200  # rows of one page of a list


class JobOut(BaseModel):
    """One job: what is done with one picture."""

    id: str
    batch: str = Field(description="shared by the jobs of one request")
    kind: str = Field(description="examine, index_search, index_add, watermark_embed or watermark_detect")
    state: str = Field(description="waiting, running, done or failed")
    stage: str = Field(default="", description="what a running job is at")
    position: int | None = Field(default=None, description="how many jobs go before a waiting one")
    name: str = Field(description="the file, as it was named")
    sha256: str
    tries: int
    error: str = Field(default="", description="why a failed job failed")
    code: str = Field(default="", description="the same, for programs")
    report: str | None = Field(default=None, description="where the report of an examination is, when it is done")
    result: dict[str, Any] | None = Field(default=None, description="of jobs of the other kinds, when they are done")
    created: float = Field(description="seconds since 1970, UTC")
    finished: float | None = None


class JobPage(BaseModel):
    """Some jobs, the newest first."""

    jobs: list[JobOut]
    next: str | None = Field(description="cursor of the next page; null on the last")


class ReportRow(BaseModel):
    """A report in a list."""

    id: str
    name: str
    sha256: str
    headline: str
    answer: str
    created: float
    report: str


class ReportPage(BaseModel):
    """Some reports, the newest first."""

    reports: list[ReportRow]
    next: str | None = Field(description="cursor of the next page; null on the last")


@dataclass(frozen=True)
class MapRow:
    """One map of a report: a grey PNG, bright where the detector points."""

    number: int
    detector: str
    question: str
    path: Path


class Jobs:
    """Looks jobs up."""

    def __init__(self, database: Database, queue: Queue, storage: Storage) -> None:
        self.database, self.queue, self.storage = database, queue, storage

    def get(self, job_id: str) -> JobOut:
        """One job.

        Raises:
            ProblemError: there is none.
        """
        with self.database.reading() as session:
            found = session.execute(_joined().where(Job.id == job_id)).first()
            if found is None:
                raise ProblemError(404, "no_such_job", "There is no such job")
            job, picture = found
            position = self.queue.position(session, job) if job.state == "waiting" else None
            return shown(job, picture).model_copy(update={"position": position})

    def of_batch(self, batch: str) -> list[JobOut]:
        """The jobs of one request, in order."""
        with self.database.reading() as session:
            rows = session.execute(_joined().where(Job.batch == batch).order_by(Job.id))
            return [shown(job, picture) for job, picture in rows]

    def page(self, *, cursor: str = "", limit: int = 50, batch: str = "", state: str = "") -> JobPage:
        """Jobs, the newest first."""
        asked = _joined().order_by(Job.id.desc()).limit(limit + 1)
        asked = asked.where(Job.id < cursor) if cursor else asked
        asked = asked.where(Job.batch == batch) if batch else asked
        asked = asked.where(Job.state == state) if state else asked
        with self.database.reading() as session:
            rows = [shown(job, picture) for job, picture in session.execute(asked)]
        return JobPage(jobs=rows[:limit], next=rows[limit - 1].id if len(rows) > limit else None)

    def delete(self, job_id: str) -> None:
        """Delete a job with its picture, its report and all their files; one that runs has its result thrown away.

        Raises:
            ProblemError: there is none.
        """
        with self.database.writing() as session:
            job = session.get(Job, job_id)
            picture = None if job is None else session.get(Picture, job.picture_id)
            if picture is None:
                raise ProblemError(404, "no_such_job", "There is no such job")
            session.delete(picture)
        self.storage.delete(picture.id)


class Reports:
    """Reads reports."""

    def __init__(self, database: Database, storage: Storage) -> None:
        self.database, self.storage = database, storage

    def values(self, picture_id: str) -> dict[str, Any] | None:
        """A report's JSON values; None where there is none."""
        folder = self._folder(picture_id)
        try:
            return None if folder is None else read_report(folder)
        except OSError:
            return None  # deleted this moment

    def json(self, picture_id: str) -> bytes | None:
        """A report as JSON; None where there is none."""
        values = self.values(picture_id)
        return None if values is None else json.dumps(values, ensure_ascii=False).encode()

    def get(self, picture_id: str, *, preview: bool = True) -> evidence.Report | None:
        """A report, with its preview for renderers unless not wanted; None where there is none."""
        values = self.values(picture_id)
        if values is None:
            return None
        report = evidence.Report.model_validate(values)
        if preview and (path := self.file(picture_id, "preview")) is not None:
            report._preview = path.read_bytes()
        return report

    def html(self, picture_id: str) -> str | None:
        """A report as one self-contained HTML document; None where there is none."""
        from veriscope.reporting import render_html

        report = self.get(picture_id)
        return None if report is None else render_html(report)

    def pdf(self, picture_id: str) -> bytes | None:
        """A report as PDF; None where there is none."""
        from veriscope.reporting import save_pdf

        report = self.get(picture_id)
        if report is None:
            return None
        path = self.storage.receive()
        try:
            save_pdf(report, path)
            return path.read_bytes()
        finally:
            path.unlink(missing_ok=True)

    def maps(self, picture_id: str) -> list[MapRow]:
        """A report's maps in the order of its evidence."""
        folder = self._folder(picture_id)
        if folder is None:
            return []
        asked = select(Map).join(Report, Map.report_id == Report.id).where(Report.picture_id == picture_id)
        with self.database.reading() as session:
            rows = session.execute(asked.order_by(Map.number)).scalars().all()
        return [MapRow(row.number, row.detector, row.question, folder / row.file) for row in rows]

    def file(self, picture_id: str, what: str) -> Path | None:
        """A picture's file: "original", "preview", "thumbnail", "pixels" or "marked"; None where there is none."""
        if what == "original":
            path = self.storage.original(picture_id)
            return path if path.exists() else None
        folder = self._folder(picture_id)
        made = None if folder is None else folder / FILES[what]
        return made if made is not None and made.exists() else None

    def page(self, *, cursor: str = "", limit: int = 50) -> ReportPage:
        """Reports, the newest first."""
        asked = select(Report, Picture).join(Picture, Report.picture_id == Picture.id)
        asked = asked.order_by(Report.id.desc()).limit(limit + 1)
        asked = asked.where(Report.id < cursor) if cursor else asked
        with self.database.reading() as session:
            rows = [
                ReportRow(
                    id=report.id,
                    name=picture.name,
                    sha256=picture.sha256,
                    headline=report.headline,
                    answer=report.answer,
                    created=report.created,
                    report=f"/api/v1/reports/{report.id}",
                )
                for report, picture in session.execute(asked)
            ]
        return ReportPage(reports=rows[:limit], next=rows[limit - 1].id if len(rows) > limit else None)

    def _folder(self, picture_id: str) -> Path | None:
        with self.database.reading() as session:
            asked = select(Report.folder).where(Report.picture_id == picture_id)
            folder = session.execute(asked).scalar()
        return None if folder is None else self.storage.folder(picture_id) / folder


def _joined() -> Any:
    return select(Job, Picture).join(Picture, Job.picture_id == Picture.id)


def shown(job: Job, picture: Picture) -> JobOut:
    """A job as the API gives it."""
    examined = job.kind == "examine" and job.state == "done"
    return JobOut(
        id=job.id,
        batch=job.batch,
        kind=job.kind,
        state=job.state,
        stage=job.stage,
        name=picture.name,
        sha256=picture.sha256,
        tries=job.tries,
        error=job.error,
        code=job.error_code,
        report=f"/api/v1/reports/{job.id}" if examined else None,
        result=job.result,
        created=job.created,
        finished=job.finished,
    )


def ended(jobs: Sequence[JobOut]) -> bool:
    """Whether none of them waits or runs."""
    return all(job.state in ("done", "failed") for job in jobs)
