"""What every request passes: who it is addressed to, where it comes from, how often; and every response: its headers, the log.

A page of another site can make a browser send requests to a server on loopback, also under a name of its own that leads there
(DNS rebinding). So requests under a name that is not this server's are refused, and so are those that change something
and come from another origin.
"""

from __future__ import annotations

import logging
import secrets
import time
from urllib.parse import urlsplit

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from veriscope.server import problems
from veriscope.server.access import SAFE, address_of
from veriscope.server.problems import ProblemError
from veriscope.server.settings import LOOPBACK_NAMES, Settings

log = logging.getLogger("veriscope.server.requests")

REQUESTS = 10  # requests of any kind for each upload that the rate allows
LONGEST_URL = 8_192  # characters
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cache-control": "no-store",
}
UNCOUNTED = ("/healthz", "/readyz", "/metrics")


class Guards:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        request = Request(scope)
        service = scope["app"].state.service
        request_id = secrets.token_hex(8)
        started = time.perf_counter()
        status = [0]

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                status[0] = message["status"]
                own = {name for name, _ in message["headers"]}
                added = {**HEADERS, "x-request-id": request_id}
                message["headers"] = [
                    *message["headers"],
                    *((name.encode(), value.encode()) for name, value in added.items() if name.encode() not in own),
                ]
            await send(message)

        service.metrics.under_way.inc()
        try:
            self._check(request)
            await self.app(scope, receive, sending)
        except Exception as error:
            if status[0]:
                log.exception("a response broke off", extra={"request": request_id})
                raise
            problem = error if isinstance(error, ProblemError) else None
            if problem is None:
                log.exception("a request failed", extra={"request": request_id})
                problem = ProblemError(500, "internal", "The server failed", f"Its log says more under {request_id}.")
            await problems.answer(request, problem)(scope, receive, sending)
        finally:
            service.metrics.under_way.dec()
            self._tell(request, status[0], time.perf_counter() - started, request_id)

    def _check(self, request: Request) -> None:
        if len(str(request.url)) > LONGEST_URL:
            raise ProblemError(414, "uri_too_long", "The address is too long")
        host = _name(request.headers.get("host", ""))
        allowed = self.settings.hosts
        if self.settings.on_loopback:
            allowed = (*allowed, *LOOPBACK_NAMES, self.settings.host)
        if allowed and host not in {_name(name) for name in allowed}:
            raise ProblemError(
                421, "wrong_host", "Not this server's name", "Start the server with --allow-host NAME to be called so."
            )
        if request.method not in SAFE and not _same_site(request):
            raise ProblemError(403, "cross_site", "A page of another site sent this")
        if request.url.path not in UNCOUNTED:
            rate = self.settings.rate * REQUESTS
            request.app.state.service.limiter.take("requests", address_of(request), rate)

    def _tell(self, request: Request, status: int, seconds: float, request_id: str) -> None:
        route = getattr(request.scope.get("route"), "path", "(none)")
        metrics = request.app.state.service.metrics
        metrics.requests.labels(request.method, route, str(status)).inc()
        metrics.seconds.labels(route).observe(seconds)
        visitor = getattr(request.state, "visitor", None)
        log.info(
            "request",
            extra={
                "request": request_id,
                "method": request.method,
                "path": request.url.path[:200],
                "status": status,
                "ms": round(seconds * 1000, 1),
                "address": address_of(request),
                "who": visitor.who if visitor is not None else "",
            },
        )


def _name(host: str) -> str:
    """A Host header without its port, in lower case."""
    host = host.strip().lower()
    if host.startswith("["):
        return host.partition("]")[0].lstrip("[")
    return host.partition(":")[0] if host.count(":") <= 1 else host


def _same_site(request: Request) -> bool:
    """Whether a browser's request comes from a page of this server; programs that send no such headers pass."""
    if request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("origin")
    if origin is None:
        return True
    return bool(origin) and urlsplit(origin).netloc.lower() == request.headers.get("host", "").lower()
