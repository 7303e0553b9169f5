"""Streams that tell how far something is, as it happens: server-sent events for browsers, JSON lines for programs."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from veriscope.server.access import Visitor
from veriscope.server.problems import ProblemError
from veriscope.server.service import Service

LOOK = 0.5  # seconds between two looks
ALIVE = 15.0  # seconds of silence after which a comment keeps the connection open
LONGEST = 3600.0  # seconds that a stream lasts; browsers connect again
STREAMS = 32  # open at once, a client

Ended = bool
Look = Callable[[], tuple[Any, Ended]]


def stream(service: Service, who: Visitor, look: Look, name: str) -> StreamingResponse:
    """What ``look`` gives, as events of this name, whenever it changed; then an event "end"."""

    async def events() -> AsyncIterator[str]:
        with service.limiter.under_way("streams", who.name or who.address, STREAMS):
            async for found in changes(service, look):
                yield ": still here\n\n" if found is None else _event(name, found)
            yield _event("end", None)

    return StreamingResponse(events(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


async def changes(service: Service, look: Look) -> AsyncIterator[Any]:
    """What ``look`` gives whenever it changed, until it says that this is the end; None now and then where it did not."""
    last: Any = None
    spoke = began = time.monotonic()
    while time.monotonic() - began < LONGEST and not service.draining.is_set():
        try:
            found, end = await run_in_threadpool(look)
        except ProblemError:  # deleted
            return
        if found != last:
            last, spoke = found, time.monotonic()
            yield found
        elif time.monotonic() - spoke > ALIVE:
            spoke = time.monotonic()
            yield None
        if end:
            return
        await asyncio.sleep(LOOK)


def _event(name: str, values: Any) -> str:
    return f"event: {name}\ndata: {json.dumps(values, ensure_ascii=False)}\n\n"
