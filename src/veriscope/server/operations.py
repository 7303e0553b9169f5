"""What an operator asks: is it alive, does it take work, how is it doing."""

from __future__ import annotations

import shutil
from importlib.metadata import version
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import JSONResponse, Response

from veriscope.server.access import Visitor, requires
from veriscope.server.database import HEAD
from veriscope.server.service import Service, get_service

LEAST_ROOM = 500_000_000  # bytes of disk below which the server asks for no more work
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"

router = APIRouter(tags=["operations"])
Served = Annotated[Service, Depends(get_service)]


class Health(BaseModel):
    """A server that answers."""

    status: str
    veriscope: str


class Readiness(BaseModel):
    """Whether a server takes work, and each thing it needs for it."""

    ready: bool
    database: bool
    workers: bool
    disk: bool
    draining: bool


@router.get("/healthz", summary="Is it alive?")
async def healthz() -> Health:
    """Whether the process answers; it asks for nothing else."""
    return Health(status="ok", veriscope=version("veriscope"))


@router.get("/readyz", response_model=Readiness, responses={503: {"model": Readiness}}, summary="Does it take work?")
def readyz(service: Served) -> Response:
    """Whether the database answers, workers take jobs, and there is room on the disk; 503 while one of them is not so."""
    try:
        database = service.database.version() == HEAD
    except SQLAlchemyError:
        database = False
    workers = service.settings.workers == 0 or service.supervisor.ready > 0
    disk = shutil.disk_usage(service.data).free >= LEAST_ROOM
    draining = service.draining.is_set()
    ready = database and workers and disk and not draining
    found = Readiness(ready=ready, database=database, workers=workers, disk=disk, draining=draining)
    return JSONResponse(found.model_dump(), 200 if ready else 503)


@router.get("/metrics", response_class=Response, summary="Metrics for Prometheus")
def metrics(service: Served, _: Annotated[Visitor, Depends(requires("viewer"))]) -> Response:
    """Counters and gauges in Prometheus's text format."""
    return Response(service.metrics.text(), media_type=PROMETHEUS)
