"""Bodies of requests as dependencies of routes: counted against the client's limits, on disk, and cleared away afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from veriscope.server.access import CSRF_HEADER, Visitor, check_csrf, requires, visitor
from veriscope.server.fetching import fetch
from veriscope.server.problems import ProblemError
from veriscope.server.service import Service, get_service
from veriscope.server.uploads import Allowed, Received, Upload, receive

__all__ = ["Received", "Upload", "receive_page_form", "received", "stopping"]


async def received(
    request: Request,
    service: Annotated[Service, Depends(get_service)],
    who: Annotated[Visitor, Depends(requires("examiner"))],
) -> AsyncIterator[Received]:
    """A request's body on disk; what nobody kept is deleted when the request is done.

    Raises:
        ProblemError: the server stops, or this client sends too much (413, 429), or the body is not understood.
    """
    if service.draining.is_set():
        raise stopping()
    settings, client = service.settings, who.name or who.address
    _count(service, client)
    with service.limiter.under_way("uploads", client, settings.concurrent):
        body = await receive(request, service.storage, Allowed(settings.max_bytes, settings.max_files))
        try:
            if url := body.fields.pop("url", ""):
                body.uploads.append(await _fetched(service, url))
            service.metrics.uploads.inc(len(body.uploads))
            service.metrics.upload_bytes.inc(sum(upload.bytes for upload in body.uploads))
            yield body
        finally:
            body.discard()


async def receive_page_form(
    request: Request,
    service: Annotated[Service, Depends(get_service)],
    who: Annotated[Visitor, Depends(visitor)],
) -> AsyncIterator[Received]:
    """The body of a form of a page, whose CSRF token was checked; what nobody kept is deleted when the request is done.

    Raises:
        ProblemError: as ``received``, or the form did not come from this visitor's page (403).
    """
    settings, client = service.settings, who.name or who.address
    files = settings.max_files if who.may("examiner") else 0
    with service.limiter.under_way("uploads", client, settings.concurrent):
        body = await receive(request, service.storage, Allowed(settings.max_bytes, files))
        try:
            check_csrf(who, request.headers.get(CSRF_HEADER) or body.fields.pop("csrf", ""))
            if body.uploads:
                service.limiter.take(
                    "uploads", client, settings.rate, burst=max(settings.concurrent, settings.rate / 6)
                )
                service.metrics.uploads.inc(len(body.uploads))
                service.metrics.upload_bytes.inc(sum(upload.bytes for upload in body.uploads))
            yield body
        finally:
            body.discard()


def stopping(job_id: str = "") -> ProblemError:
    """The problem of a server that stops."""
    more = {"job": job_id} if job_id else {}
    return ProblemError(503, "stopping", "The server is stopping", "Try again soon.", retry_after=5, more=more)


async def _fetched(service: Service, url: str) -> Upload:
    if not service.settings.allow_urls:
        detail = "Send the picture itself. An operator can switch this on with --allow-urls."
        raise ProblemError(403, "urls_off", "This server fetches nothing", detail)
    return await run_in_threadpool(fetch, url, service.storage, service.settings.max_bytes)


def _count(service: Service, client: str) -> None:
    rate = service.settings.rate
    service.limiter.take("uploads", client, rate, burst=max(service.settings.concurrent, rate / 6))
