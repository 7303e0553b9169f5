"""What programs and the pages' scripts ask of cases: how far they are, at once or as a stream of events."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from veriscope.server.api import Id, Served, Viewer
from veriscope.server.events import Ended, stream
from veriscope.server.problems import RESPONSES, ProblemError
from veriscope.server.service import Service

router = APIRouter(prefix="/api/v1/cases", responses=RESPONSES, include_in_schema=False)


@router.get("/{case_id}/progress")
def progress(service: Served, _: Viewer, case_id: Id) -> list[dict[str, Any]]:
    """How far each picture of a case is."""
    return _progress(service, case_id)


@router.get("/{case_id}/events")
async def events(service: Served, who: Viewer, case_id: Id) -> StreamingResponse:
    """The same as server-sent events, whenever it changed; ``end`` when nothing waits or runs any more."""

    def look() -> tuple[Any, Ended]:
        found = _progress(service, case_id)
        return found, all(row["state"] in ("done", "failed") for row in found)

    await run_in_threadpool(look)
    return stream(service, who, look, "progress")


def _progress(service: Service, case_id: str) -> list[dict[str, Any]]:
    if service.cases.get(case_id) is None:
        raise ProblemError(404, "no_such_case", "There is no such case")
    return [asdict(row) for row in service.cases.progress(case_id)]
