"""The HTTP API: examine one picture, queue many, and read jobs and reports."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, Response

from veriscope.evidence import Report
from veriscope.server.access import Visitor, requires
from veriscope.server.jobs import MOST, JobOut, JobPage, ReportPage
from veriscope.server.problems import RESPONSES, ProblemError
from veriscope.server.requests import (
    Body,
    Form,
    IdempotencyHeader,
    failure,
    options_of,
    submit,
    wait_for,
)
from veriscope.server.service import Service, get_service
from veriscope.server.submitting import AT_ONCE, IN_TURN, Wanted
from veriscope.server.uploads import Received

router = APIRouter(prefix="/api/v1", responses=RESPONSES, tags=["examination"])

Served = Annotated[Service, Depends(get_service)]
Viewer = Annotated[Visitor, Depends(requires("viewer"))]
Examiner = Annotated[Visitor, Depends(requires("examiner"))]
Cursor = Annotated[str, Query(description="`next` of the page before", max_length=32)]
Limit = Annotated[int, Query(ge=1, le=MOST)]
Id = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]


class ExamineOptions(Form):
    """How pictures are examined."""

    quick: bool | None = Field(
        default=None, description="leave out the methods that take long; the server's way if not said"
    )
    declared_only: bool = Field(default=False, description="read what the file declares, not the pixels")
    detectors: list[str] | None = Field(default=None, description="ask only these")


class Batch(BaseModel):
    """What a request for many pictures gives at once."""

    batch: str
    jobs: list[JobOut]


def form_body(options: type[BaseModel], *, many: bool = False) -> dict[str, Any]:
    """The OpenAPI description of a multipart body of one or many files beside these options."""
    file: dict[str, Any] = {"type": "string", "format": "binary", "description": "a picture"}
    fields: dict[str, Any] = options.model_json_schema()["properties"]
    name, schema = ("files", {"type": "array", "items": file, "minItems": 1}) if many else ("file", file)
    form = {"type": "object", "properties": {name: schema, **fields}, "required": [name]}
    content: dict[str, Any] = {"multipart/form-data": {"schema": form}}
    if not many:
        content["application/octet-stream"] = {"schema": file}
        address = {"type": "string", "description": "to fetch it from; only where the server was started so"}
        by_address = {"type": "object", "properties": {"url": address, **fields}, "required": ["url"]}
        content["application/json"] = {"schema": by_address}
    return {"requestBody": {"required": True, "content": content}}


@router.post(
    "/examine", response_model=Report, openapi_extra=form_body(ExamineOptions), summary="Examine one picture and wait"
)
async def examine(
    request: Request, service: Served, who: Examiner, body: Body, key: IdempotencyHeader = ""
) -> Response:
    """The report of one picture, sent as a file of a form or as the body itself. It is kept as a job, and can be deleted."""
    wanted = _wanted(request, service, who, body, key, AT_ONCE)
    job = (await submit(service, body, wanted, files=1))[0]
    job = await wait_for(service, job.id)
    if job.state == "failed":
        raise failure(job)
    report = await run_in_threadpool(service.reports.json, job.id)
    if report is None:
        raise ProblemError(404, "deleted", "The picture was deleted while it was examined")
    return Response(report, media_type="application/json", headers={"Location": f"/api/v1/reports/{job.id}"})


@router.post(
    "/jobs",
    response_model=Batch,
    status_code=202,
    openapi_extra=form_body(ExamineOptions, many=True),
    summary="Examine many pictures",
)
async def create_jobs(
    request: Request, service: Served, who: Examiner, body: Body, key: IdempotencyHeader = ""
) -> Batch:
    """One job for each file of the form, all queued or none."""
    jobs = await submit(service, body, _wanted(request, service, who, body, key, IN_TURN))
    return Batch(batch=jobs[0].batch, jobs=jobs)


def _wanted(request: Request, service: Service, who: Visitor, body: Received, key: str, priority: int) -> Wanted:
    options = options_of(request, body, ExamineOptions).model_dump(exclude_none=True)
    options.setdefault("quick", service.settings.quick)
    asked = f"{request.url.path} {sorted(options.items())} {body.fingerprint}"
    fingerprint = hashlib.sha256(asked.encode()).hexdigest()
    return Wanted("examine", options, who.who, priority=priority, key=key, fingerprint=fingerprint)


@router.get("/jobs", summary="List jobs")
def list_jobs(
    service: Served,
    _: Viewer,
    cursor: Cursor = "",
    limit: Limit = 50,
    batch: Annotated[str, Query(max_length=32)] = "",
    state: Literal["", "waiting", "running", "done", "failed"] = "",
) -> JobPage:
    """Jobs, the newest first, a page at a time."""
    return service.jobs.page(cursor=cursor, limit=limit, batch=batch, state=state)


@router.get("/jobs/{job_id}", summary="One job")
def get_job(service: Served, _: Viewer, job_id: Id) -> JobOut:
    """One job."""
    return service.jobs.get(job_id)


@router.delete("/jobs/{job_id}", status_code=204, summary="Delete a job, its picture and its report")
def delete_job(service: Served, who: Examiner, job_id: Id) -> Response:
    """Delete a job with its picture, its report and all their files."""
    service.jobs.delete(job_id)
    service.audit.record(who.who, "deleted a job", job_id, who.address)
    return Response(status_code=204)


@router.get("/reports", summary="List reports")
def list_reports(service: Served, _: Viewer, cursor: Cursor = "", limit: Limit = 50) -> ReportPage:
    """Reports, the newest first, a page at a time."""
    return service.reports.page(cursor=cursor, limit=limit)


@router.get("/reports/{report_id}", response_model=Report, summary="One report")
def get_report(service: Served, _: Viewer, report_id: Id) -> Response:
    """One report, by the schema of the command line's ``--json``."""
    return Response(_found(service.reports.json(report_id)), media_type="application/json")


@router.get("/reports/{report_id}/html", response_class=Response, summary="One report as HTML")
def get_report_html(service: Served, _: Viewer, report_id: Id) -> Response:
    """One report as a self-contained HTML file to keep or publish."""
    text = _found(service.reports.html(report_id))
    return Response(text, media_type="text/html", headers=_saved_as(report_id, "html"))


@router.get("/reports/{report_id}/pdf", response_class=Response, summary="One report as PDF")
def get_report_pdf(service: Served, _: Viewer, report_id: Id) -> Response:
    """One report as PDF."""
    data = _found(service.reports.pdf(report_id))
    return Response(data, media_type="application/pdf", headers=_saved_as(report_id, "pdf"))


@router.get("/reports/{report_id}/maps/{number}", response_class=FileResponse, summary="One map of a report")
def get_map(service: Served, _: Viewer, report_id: Id, number: Annotated[int, Field(ge=1, le=10_000)]) -> Response:
    """One map as a grey PNG, bright where the detector points; numbered as the evidence that has maps."""
    path = next((row.path for row in service.reports.maps(report_id) if row.number == number), None)
    return FileResponse(_found(path), media_type="image/png")


def _found(value: Any) -> Any:
    if value is None:
        raise ProblemError(404, "no_such_report", "There is no such report")
    return value


def _saved_as(report_id: str, suffix: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="veriscope-{report_id}.{suffix}"'}
