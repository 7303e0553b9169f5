"""The application: routes, errors, and the life of a service."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from importlib import import_module, resources
from importlib.metadata import version

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from veriscope.errors import VeriscopeError
from veriscope.server import (
    api,
    cases_api,
    index_routes,
    login,
    operations,
    problems,
    streams,
    watermark_routes,
)
from veriscope.server.guards import Guards
from veriscope.server.problems import ProblemError
from veriscope.server.service import Service
from veriscope.server.settings import Settings

ROUTERS = ("pages", "study")  # modules with a ``router``; what people look at
DESCRIPTION = """\
Tells what a picture is, shows the evidence, and says how sure it is. Errors are problem details (RFC 9457) with a `code`.
"""


def create_app(settings: Settings) -> FastAPI:
    """The application for these settings; the database is opened and migrated now, workers start with it.

    Raises:
        VeriscopeError: the data folder or the database cannot be used, or strangers could reach a server without accounts.
    """
    settings = settings.made()
    service = Service(settings)
    if not (settings.on_loopback or settings.token or service.accounts.any()):
        service.database.close()
        raise VeriscopeError(
            f"{settings.host}: others can reach this address, and there are neither users nor a token. Make a user first "
            "(veriscope users add NAME --role admin --data DIR) or give a --token; --host 127.0.0.1 needs neither"
        )

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        service.start()
        try:
            yield
        finally:
            await run_in_threadpool(service.stop)

    app = FastAPI(
        title="Veriscope",
        version=version("veriscope"),
        description=DESCRIPTION,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service = service
    app.state.settings = settings
    app.add_middleware(Guards, settings=settings)
    for own in (api, streams, cases_api, index_routes, watermark_routes, operations, login):
        app.include_router(own.router)
    for name in ROUTERS:
        with contextlib.suppress(ModuleNotFoundError):
            app.include_router(import_module(f"veriscope.server.{name}").router)
    static = resources.files("veriscope.server") / "static"
    if static.is_dir():
        app.mount("/static", StaticFiles(directory=str(static)), name="static")
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(HTTPException, _of_framework)
    app.add_exception_handler(RequestValidationError, _of_validation)
    return app


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return problems.answer(request, error)


async def _of_framework(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return await _problem(request, problems.of_status(error.status_code, str(error.detail)))


async def _of_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = [{"where": ".".join(map(str, item["loc"])), "says": item["msg"]} for item in error.errors()]
    detail = "; ".join(f"{item['where']}: {item['says']}" for item in found)[:1000]
    title = "The request is not as the API describes it"
    return await _problem(request, ProblemError(422, "invalid_request", title, detail, more={"errors": found}))
