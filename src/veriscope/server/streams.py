"""Jobs as they go on: one job as server-sent events; the reports of a batch as JSON lines, each as soon as it is made."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from veriscope.server.access import Visitor
from veriscope.server.api import Id, Served, Viewer
from veriscope.server.events import STREAMS, Ended, changes, stream
from veriscope.server.jobs import ended
from veriscope.server.problems import RESPONSES, ProblemError
from veriscope.server.service import Service

NDJSON = "application/x-ndjson"

router = APIRouter(prefix="/api/v1", responses=RESPONSES, tags=["examination"])


class _Events(StreamingResponse):
    media_type = "text/event-stream"


class _Lines(StreamingResponse):
    media_type = NDJSON


@router.get("/jobs/{job_id}/events", response_class=_Events, summary="One job as it goes on")
async def job_events(service: Served, who: Viewer, job_id: Id) -> StreamingResponse:
    """Server-sent events: ``job`` with the job whenever it changed, ``end`` when it is done or failed."""

    def look() -> tuple[Any, Ended]:
        job = service.jobs.get(job_id)
        return job.model_dump(), ended([job])

    await run_in_threadpool(look)
    return stream(service, who, look, "job")


@router.get("/results", response_class=_Lines, summary="The reports of a batch, as they are made")
async def results(
    service: Served, who: Viewer, batch: Annotated[str, Query(pattern="^[0-9a-f]{32}$")]
) -> StreamingResponse:
    """One JSON line for each job of a batch as it ends: ``{"job", "report"}``, or ``{"job", "error", "code"}``."""
    if not await run_in_threadpool(service.jobs.of_batch, batch):
        raise ProblemError(404, "no_such_batch", "There is no such batch")
    return _Lines(_lines(service, who, batch), headers={"X-Accel-Buffering": "no"})


async def _lines(service: Service, who: Visitor, batch: str) -> AsyncIterator[str]:
    told: set[str] = set()

    def look() -> tuple[Any, Ended]:
        jobs = service.jobs.of_batch(batch)
        return [job for job in jobs if ended([job])], ended(jobs)

    with service.limiter.under_way("streams", who.name or who.address, STREAMS):
        async for found in changes(service, look):
            if found is None:
                yield "\n"
                continue
            for job in found:
                if job.id not in told:
                    told.add(job.id)
                    yield await run_in_threadpool(_line, service, job)


def _line(service: Service, job: Any) -> str:
    values: dict[str, Any] = {"job": job.id, "name": job.name}
    if job.state == "failed":
        values |= {"error": job.error, "code": job.code}
    elif job.report is not None:
        values["report"] = service.reports.values(job.id)
    else:
        values["result"] = job.result
    return json.dumps(values, ensure_ascii=False) + "\n"
