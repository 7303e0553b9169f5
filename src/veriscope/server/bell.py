"""Lets requests wait for a job: rung in this process when one of its workers says that a job has ended."""

from __future__ import annotations

import asyncio
from collections import defaultdict


class Bell:
    """Futures by job; rung from any thread. A job that ends at another server rings nothing: waiters look again anyway."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: dict[str, set[asyncio.Future[None]]] = defaultdict(set)

    def start(self) -> None:
        """Belong to the running event loop."""
        self._loop = asyncio.get_running_loop()

    def ring(self, job_id: str) -> None:
        """Wake those that wait for a job."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._ring, job_id)

    def ring_all(self) -> None:
        """Wake everyone: the server stops."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._ring_all)

    def _ring(self, job_id: str) -> None:
        for future in self._waiting.pop(job_id, ()):
            if not future.done():
                future.set_result(None)

    def _ring_all(self) -> None:
        for job_id in list(self._waiting):
            self._ring(job_id)

    async def wait(self, job_id: str, seconds: float) -> None:
        """Until the job's bell rings, or so many seconds."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[job_id].add(future)
        try:
            async with asyncio.timeout(seconds):
                await future
        except TimeoutError:
            pass
        finally:
            waiting = self._waiting.get(job_id)
            if waiting is not None:
                waiting.discard(future)
                if not waiting:
                    del self._waiting[job_id]
