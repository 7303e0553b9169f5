"""How much one client may ask: so many requests a minute, and so many at once. Kept in this process's memory."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

from veriscope.server.problems import ProblemError

MOST_KEYS = 10_000  # clients remembered; those that asked longest ago are forgotten first


class Limiter:
    """Token buckets and counts of what is under way, by client."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._buckets: dict[tuple[str, str], tuple[float, float]] = {}  # tokens left, and when
        self._under_way: dict[tuple[str, str], int] = {}

    def take(self, what: str, client: str, per_minute: float, *, burst: float | None = None) -> None:
        """Count one request; ``burst`` may come at once, a sixth of a minute's by default.

        Raises:
            ProblemError: too many (429), with the time to wait.
        """
        most = max(1.0, per_minute / 6) if burst is None else burst
        now = time.monotonic()
        with self._lock:
            left, when = self._buckets.get((what, client), (most, now))
            left = min(most, left + (now - when) * per_minute / 60)
            if left < 1:
                wait = (1 - left) * 60 / per_minute
                raise ProblemError(
                    429,
                    "rate_limited",
                    "Too many requests",
                    f"At most {per_minute:g} a minute; try again in {max(1, round(wait))} s.",
                    retry_after=wait,
                )
            self._buckets[(what, client)] = left - 1, now
            if len(self._buckets) > MOST_KEYS:
                self._forget()

    @contextlib.contextmanager
    def under_way(self, what: str, client: str, most: int) -> Iterator[None]:
        """Count what is under way at once.

        Raises:
            ProblemError: too many (429).
        """
        key = what, client
        with self._lock:
            if self._under_way.get(key, 0) >= most:
                raise ProblemError(
                    429,
                    "too_many_at_once",
                    "Too many requests at once",
                    f"At most {most} may be under way; send the next when one is done.",
                    retry_after=1,
                )
            self._under_way[key] = self._under_way.get(key, 0) + 1
        try:
            yield
        finally:
            with self._lock:
                left = self._under_way[key] - 1
                if left:
                    self._under_way[key] = left
                else:
                    del self._under_way[key]

    def _forget(self) -> None:
        oldest = sorted(self._buckets, key=lambda key: self._buckets[key][1])
        for key in oldest[: MOST_KEYS // 2]:
            del self._buckets[key]
