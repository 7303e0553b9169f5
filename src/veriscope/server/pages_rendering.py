"""How every page is made: the templates, what all of them know, and the page that an error becomes."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from importlib import resources
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import Request
from jinja2 import Environment
from starlette.responses import HTMLResponse, Response

from veriscope.reporting import page as report_page
from veriscope.server import access
from veriscope.server.problems import ProblemError

STYLES: Final = ("base.css", "report.css")
"""Of the report, in the page's own stylesheet too."""

_ADVICE: Final = {
    401: "Sign in to go on.",
    403: "Your account may not do this. An administrator can give it another role.",
    404: "It may have been deleted, or the address is not whole.",
    413: "Send smaller files, or fewer at once.",
    422: "Go back and fill in the form again.",
    429: "Wait a little and try again. Nothing that was sent before is lost.",
    503: "The server is stopping or too busy. Try again in a minute.",
}


@dataclass(frozen=True)
class Pages:
    """Where a list that is shown in pages stands.

    Attributes:
        number: of this page, from 1.
        count: of all pages, at least 1.
        total: of all rows.
        query: what was searched for; empty for everything.
    """

    number: int
    count: int
    total: int
    query: str = ""

    @classmethod
    def of(cls, number: int, total: int, each: int, query: str = "") -> Pages:
        """The place of page ``number`` among ``total`` rows, ``each`` to a page."""
        return cls(number, max(1, -(-total // each)), total, query)

    def link(self, number: int) -> str:
        """The query string of another page of the same list."""
        return "?" + urlencode(({"q": self.query} if self.query else {}) | {"page": number})


@cache
def environment() -> Environment:
    """The templates of the server, over those of the report."""
    made = report_page.environment("veriscope.server").overlay()
    made.filters["when"] = when
    made.filters["stamp"] = stamp
    made.globals["styles_version"] = hashlib.sha256(styles().encode()).hexdigest()[:10]
    return made


@cache
def styles() -> str:
    """The one stylesheet of all pages."""
    own = (resources.files("veriscope.server") / "static" / "page.css").read_text(encoding="utf-8")
    return f"{report_page.asset(*STYLES)}\n{own}"


def when(moment: float) -> str:
    """A moment in seconds since 1970, as people write it.

    >>> when(0)
    '1 January 1970, 00:00 UTC'
    """
    found = datetime.fromtimestamp(moment, UTC)
    return f"{found.day} {found:%B %Y, %H:%M} UTC"


def stamp(moment: float) -> str:
    """A moment in seconds since 1970, as machines read it."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")


def render(
    request: Request,
    template: str,
    visitor: access.Visitor | None,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    **values: Any,
) -> HTMLResponse:
    """A page.

    Args:
        request: what asked for it.
        template: its file in ``templates``.
        visitor: who asked; None where nobody is known, as on the page to sign in.
        status: HTTP status.
        headers: further headers.
        values: what the template needs beside them.
    """
    known: dict[str, Any] = {"visitor": visitor, "path": request.url.path, "now": time.time()}
    text = environment().get_template(template).render(known | values)
    return HTMLResponse(text, status, {"Cache-Control": "no-store"} | (headers or {}))


def error_page(request: Request, status: int, title: str = "", detail: str = "") -> Response:
    """What a person sees of an error: what happened, and what to do."""
    try:
        known: access.Visitor | None = access.visitor(request)
    except ProblemError:
        known = None
    named = title or HTTPStatus(status).phrase
    return render(
        request, "error.html.j2", known, status=status, code=status, title=named, detail=detail, advice=advice(status)
    )


def advice(status: int) -> str:
    """What to do about an error."""
    return _ADVICE.get(status, "Nothing that was stored before is lost." if status >= 500 else "")


def whole(text: str, least: int = 1) -> int:
    """A number from an address; ``least`` where it is none or smaller."""
    return max(least, int(text)) if text.isascii() and text.isdigit() and len(text) < 10 else least


def missing(what: str) -> ProblemError:
    """The error for something that is not there."""
    return ProblemError(404, "not_found", f"There is no such {what}")


def listed(names: Sequence[str]) -> str:
    """Names as people list them.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
