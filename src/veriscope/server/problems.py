"""Errors as the API tells them: RFC 9457 problem details with a ``code`` that programs can rely on."""

from __future__ import annotations

import contextlib
from http import HTTPStatus
from importlib import import_module
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, RedirectResponse, Response

from veriscope.errors import VeriscopeError

TYPE = "application/problem+json"


class Problem(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="about:blank; see code", examples=["about:blank"])
    title: str
    status: int
    detail: str = ""
    code: str = Field(description="stable, for programs: unreadable_picture, too_large, rate_limited, ...")


class ProblemError(VeriscopeError):
    """Something a request did wrong, or this server cannot do.

    Attributes:
        status: HTTP status.
        code: stable word for programs.
        title: one short sentence.
        detail: what was wrong and the mend.
        retry_after: seconds after which to try again; None where that would not help.
        more: further members of the problem.
    """

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str = "",
        *,
        retry_after: float | None = None,
        more: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{title}. {detail}" if detail else title)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.retry_after = retry_after
        self.more = more or {}

    @property
    def headers(self) -> dict[str, str]:
        """The response's own headers."""
        found = {} if self.retry_after is None else {"Retry-After": str(max(1, round(self.retry_after)))}
        return found | ({"WWW-Authenticate": 'Bearer realm="veriscope"'} if self.status == 401 else {})


def response(problem: ProblemError) -> JSONResponse:
    """A problem as it is sent."""
    values = {"type": "about:blank", "title": problem.title, "status": problem.status, "detail": problem.detail}
    content = {**problem.more, **values, "code": problem.code}
    return JSONResponse(content, problem.status, problem.headers, media_type=TYPE)


def answer(request: Request, problem: ProblemError) -> Response:
    """A problem as a person's browser or a program wants it: the sign-in page, a page that explains, or problem details."""
    if wants_page(request):
        if problem.status == 401 and request.method == "GET":
            asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return RedirectResponse(f"/login?{urlencode({'next': asked})}", 303)
        with contextlib.suppress(ModuleNotFoundError):
            page = import_module("veriscope.server.pages").error_page
            made: Response = page(request, problem.status, problem.title, problem.detail)
            made.headers.update(problem.headers)
            return made
    return response(problem)


def of_status(status: int, detail: str = "") -> ProblemError:
    """The problem for a status that the framework gave."""
    phrase = HTTPStatus(status).phrase
    code = {401: "not_signed_in", 403: "forbidden"}.get(status, phrase.lower().replace(" ", "_"))
    return ProblemError(status, code, phrase, "" if detail == phrase else detail)


def wants_page(request: Request) -> bool:
    """Whether a person's browser asks, not a program."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api")


RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Problem, "description": "The request cannot be done; `code` says why."},
    "5XX": {"model": Problem, "description": "The server cannot do it now; `code` says why."},
}
