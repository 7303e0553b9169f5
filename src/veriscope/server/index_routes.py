"""The index of known pictures over HTTP: search it, add to it. The work is done by workers."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from veriscope.server.api import Examiner, Served, form_body
from veriscope.server.problems import RESPONSES, ProblemError
from veriscope.server.requests import Body, Form, IdempotencyHeader, failure, options_of, submit, wait_for
from veriscope.server.service import Service
from veriscope.server.submitting import AT_ONCE, Wanted

router = APIRouter(prefix="/api/v1/index", responses=RESPONSES, tags=["index of known pictures"])


class SearchOptions(Form):
    """How the index is searched."""

    most: int = Field(default=10, ge=1, le=100, description="matches listed")


class AddOptions(Form):
    """What a picture is known as."""

    reference: str = Field(default="", max_length=1000, description="what matches call it; the file's name if empty")


class Match(BaseModel):
    """A known picture that the query is a copy of."""

    reference: str
    score: float
    level: int | None = Field(description="how much of the original the query replicates, 0 to 5; null where untold")
    says: str
    details: dict[str, Any] = Field(default_factory=dict)


class Matches(BaseModel):
    """What a picture is a copy of, best first; empty where of nothing known."""

    query: str
    matches: list[Match]


class Known(BaseModel):
    """A picture that was there before."""

    given: str
    stored: str


class Added(BaseModel):
    """What became of a picture, and how many the index holds now."""

    added: list[str]
    known: list[Known]
    pictures: int


@router.post("/search", openapi_extra=form_body(SearchOptions), summary="What is this picture a copy of?")
async def search(request: Request, service: Served, who: Examiner, body: Body, key: IdempotencyHeader = "") -> Matches:
    """The known pictures that this one is a copy of, best first, as ``veriscope index search --json`` gives them."""
    options = options_of(request, body, SearchOptions).model_dump()
    fingerprint = _fingerprint(request, options, body.fingerprint)
    wanted = Wanted("index_search", options, who.who, priority=AT_ONCE, key=key, fingerprint=fingerprint)
    return Matches.model_validate(await _done(service, body, wanted))


@router.post("/add", openapi_extra=form_body(AddOptions), summary="Make a picture known")
async def add(request: Request, service: Served, who: Examiner, body: Body, key: IdempotencyHeader = "") -> Added:
    """Add a picture to the index; one whose SHA-256 is there already is named and not stored again."""
    options = options_of(request, body, AddOptions).model_dump()
    fingerprint = _fingerprint(request, options, body.fingerprint)
    wanted = Wanted("index_add", options, who.who, priority=AT_ONCE, key=key, fingerprint=fingerprint)
    return Added.model_validate(await _done(service, body, wanted))


async def _done(service: Service, body: Body, wanted: Wanted) -> dict[str, Any]:
    require_index(service)
    job = await wait_for(service, (await submit(service, body, wanted, files=1))[0].id)
    if job.state == "failed":
        raise failure(job)
    return job.result or {}


def require_index(service: Service) -> None:
    """Refuse where there is no index.

    Raises:
        ProblemError: the package is not installed, or the server was started without an index (501).
    """
    title = "There is no index of known pictures"
    if not _installed():
        raise ProblemError(501, "index_not_installed", title, "On the server: pip install 'veriscope[index]'.")
    if service.settings.known is None:
        raise ProblemError(501, "no_index", title, "Start the server with --known DIR.")


def _installed() -> bool:
    return find_spec("veriscope.copies") is not None and find_spec("lancedb") is not None


def _fingerprint(request: Request, options: dict[str, Any], body: str) -> str:
    return hashlib.sha256(f"{request.url.path} {sorted(options.items())} {body}".encode()).hexdigest()
