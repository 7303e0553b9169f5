"""What the API's routes share: a request's body as files and options, jobs made of it, and waiting for them."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, TypeVar

from fastapi import Depends, Header, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.concurrency import run_in_threadpool

from veriscope.server.jobs import JobOut, ended
from veriscope.server.problems import ProblemError
from veriscope.server.receiving import received, stopping
from veriscope.server.service import Service
from veriscope.server.submitting import Wanted
from veriscope.server.uploads import Received

LOOK = 1.0  # seconds between two looks at a job that another server may have ended
STATUS = {"unreadable_picture": 422, "refused": 422, "time": 422, "memory": 422}  # of failed jobs; others are 500
SECRETS = {"key", "message"}  # options that are never taken from the address

Options = TypeVar("Options", bound=BaseModel)
IdempotencyHeader = Annotated[
    str,
    Header(alias="Idempotency-Key", max_length=255, description="repeat it to repeat a request without doing it twice"),
]


class Form(BaseModel):
    """The base of options that come as fields of a form or as query parameters."""

    model_config = ConfigDict(extra="forbid")


Body = Annotated[Received, Depends(received)]


def options_of(request: Request, body: Received, model: type[Options]) -> Options:
    """A request's options: query parameters and the form's fields.

    Raises:
        RequestValidationError: one is unknown or out of range.
    """
    values = {name: value for name, value in request.query_params.items() if name != "name"}
    lists = {name: request.query_params.getlist(name) for name in values if name in _lists(model)}
    fields = {
        name: [part for part in value.split(",") if part] if name in _lists(model) else value
        for name, value in body.fields.items()
    }
    if secret := SECRETS & values.keys():
        detail = f"Send {' and '.join(sorted(secret))} as a field of the form: addresses end up in logs."
        raise ProblemError(422, "secret_in_address", "A secret does not belong into an address", detail)
    try:
        return model.model_validate({**values, **lists, **fields})
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error


def _lists(model: type[BaseModel]) -> set[str]:
    return {name for name, field in model.model_fields.items() if "list" in str(field.annotation)}


async def submit(service: Service, body: Received, wanted: Wanted, *, files: int | None = None) -> list[JobOut]:
    """Queue what a request asks for and wake the workers.

    Args:
        service: the server.
        body: the files.
        wanted: what is to be done with each.
        files: how many there must be; None for any number but none.
    Raises:
        ProblemError: not so many files, or the queue is full.
    """
    if files is not None and body.uploads and len(body.uploads) != files:
        detail = f"{len(body.uploads)} files came, {files} is wanted here; POST /api/v1/jobs takes many."
        raise ProblemError(422, "too_many_files", "One picture at a time", detail)
    jobs = await run_in_threadpool(service.submitting.submit, body.uploads, wanted)
    service.supervisor.wake()
    return await run_in_threadpool(service.jobs.of_batch, jobs[0].batch)


async def wait_for(service: Service, job_id: str) -> JobOut:
    """The job when it has ended.

    Raises:
        ProblemError: it took longer than a request waits (504), or the server stops (503); the job goes on or waits.
    """
    deadline = time.monotonic() + service.settings.wait_seconds
    while True:
        waiting = asyncio.ensure_future(service.bell.wait(job_id, LOOK))
        try:
            job = await run_in_threadpool(service.jobs.get, job_id)
            if ended([job]):
                return job
            if service.draining.is_set():
                raise stopping(job_id)
            if time.monotonic() > deadline:
                raise ProblemError(
                    504,
                    "not_yet",
                    "The job is not done yet",
                    f"It goes on; ask for it at /api/v1/jobs/{job_id}.",
                    retry_after=5,
                    more={"job": job_id},
                )
            await waiting
        finally:
            waiting.cancel()


def failure(job: JobOut) -> ProblemError:
    """The problem that a failed job is to who waits for it."""
    status = STATUS.get(job.code, 500)
    title = {422: "The picture cannot be examined", 500: "The job failed"}[status]
    return ProblemError(status, job.code or "internal", title, job.error, more={"job": job.id})
