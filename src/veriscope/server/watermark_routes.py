"""Watermarks over HTTP: put one into a picture, read one. The work is done by workers; keys are kept until it is done."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, StringConstraints
from starlette.responses import FileResponse, Response

from veriscope.server.api import Examiner, Served, form_body
from veriscope.server.jobs import JobOut
from veriscope.server.problems import RESPONSES, ProblemError
from veriscope.server.requests import Body, Form, IdempotencyHeader, failure, options_of, submit, wait_for
from veriscope.server.service import Service
from veriscope.server.submitting import AT_ONCE, Wanted

router = APIRouter(prefix="/api/v1/watermark", responses=RESPONSES, tags=["watermarks"])
TYPES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}

Secret = Annotated[str, StringConstraints(min_length=1, max_length=1000)]


class EmbedOptions(Form):
    """What is put into a picture."""

    message: Secret = Field(description="the text to hide")
    key: Secret = Field(description="the secret without which it cannot be read")
    scheme: str = Field(default="", max_length=64, description="how; the default one if empty")


class DetectOptions(Form):
    """How a mark is read."""

    key: Secret = Field(description="the secret it was embedded with")


class Detected(BaseModel):
    """What was read."""

    message: str | None = Field(description="null where there is none")
    p_value: float = Field(description="how often an unmarked picture would agree as well")
    bits_corrected: int | None = None
    scheme: str | None = None


@router.post(
    "/embed",
    response_class=Response,
    responses={200: {"content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}}},
    openapi_extra=form_body(EmbedOptions),
    summary="Put a watermark into a picture",
)
async def embed(request: Request, service: Served, who: Examiner, body: Body, key: IdempotencyHeader = "") -> Response:
    """The marked copy of a picture."""
    job = await _done(request, service, who.who, body, ("watermark_embed", EmbedOptions), key)
    made = job.result or {}
    path = service.storage.folder(job.id) / str(made.get("folder")) / str(made.get("file"))
    if not made or not path.is_file():
        raise ProblemError(404, "deleted", "The picture was deleted while it was marked")
    with path.open("rb") as file:
        start = file.read(4)
    kind = next((kind for magic, kind in TYPES.items() if start.startswith(magic)), "application/octet-stream")
    headers = {"Content-Disposition": f'attachment; filename="marked-{job.id}"', "X-Job": job.id}
    return FileResponse(path, media_type=kind, headers=headers)


@router.post("/detect", openapi_extra=form_body(DetectOptions), summary="Read a watermark")
async def detect(request: Request, service: Served, who: Examiner, body: Body, key: IdempotencyHeader = "") -> Detected:
    """The message that a picture holds under this key, with a p-value, as ``veriscope watermark detect --json`` gives it."""
    job = await _done(request, service, who.who, body, ("watermark_detect", DetectOptions), key)
    return Detected.model_validate(job.result)


async def _done(
    request: Request, service: Service, who: str, body: Body, kind: tuple[str, type[Form]], key: str
) -> JobOut:
    options: dict[str, Any] = options_of(request, body, kind[1]).model_dump()
    asked = f"{request.url.path} {sorted(options.items())} {body.fingerprint}"
    fingerprint = hashlib.sha256(asked.encode()).hexdigest()
    wanted = Wanted(kind[0], options, who, priority=AT_ONCE, key=key, fingerprint=fingerprint)
    job = await wait_for(service, (await submit(service, body, wanted, files=1))[0].id)
    if job.state == "failed":
        raise failure(job)
    return job
