"""What a server is started with: where it keeps things, who may reach it, and its limits."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from veriscope.errors import VeriscopeError
from veriscope.picture import Limits

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]", "::1")
SHORTEST_TOKEN = 16  # characters
DATABASE_FILE = "veriscope.sqlite3"


@dataclass(frozen=True)
class Settings:
    """One server. All limits have defaults; only the data folder must be named.

    Attributes:
        data: folder of the database, the pictures and the reports.
        host: address to listen on.
        port: TCP port; 0 for any that is free.
        database: SQLAlchemy URL; empty for SQLite in the data folder.
        workers: processes that examine; 0 for none (another server of the same database examines).
        quick: examine quickly unless a request says otherwise.
        token: who sends it as bearer token is an administrator; empty for none.
        hosts: names by which the server may be called, besides its own on loopback; empty off loopback for any.
        max_bytes: largest upload of one picture, bytes.
        max_files: most pictures in one request.
        max_pixels: largest picture, pixels.
        detector_seconds: that one detector may take.
        job_seconds: that one job may take before its worker is killed.
        worker_bytes: resident memory of a worker from which it is killed.
        lease_seconds: without a sign of life from a worker after which its job is another's.
        waiting: jobs that may wait; more are refused.
        rate: uploads a minute and client.
        concurrent: uploads and examinations under way at once, a client.
        wait_seconds: that a request for one examination waits for it.
        keep_days: after which pictures that belong to no case are deleted; 0 for never.
        allow_urls: fetch pictures from public addresses when a request names one.
        known: folder of an index of known pictures (``veriscope index``); None for none.
        warm: let workers open their models before the first job.
        secure_cookies: send session cookies over TLS only.
        drain_seconds: that jobs under way may take to end when the server stops.
        trusted_proxies: addresses whose X-Forwarded-For is believed.
    """

    data: Path
    host: str = "127.0.0.1"
    port: int = 8000
    database: str = ""
    workers: int = 2
    quick: bool = False
    token: str = ""
    hosts: tuple[str, ...] = ()
    max_bytes: int = 50_000_000
    max_files: int = 100
    max_pixels: int = 100_000_000
    detector_seconds: float = 60.0
    job_seconds: float = 180.0
    worker_bytes: int = 4_000_000_000
    lease_seconds: float = 15.0
    waiting: int = 10_000
    rate: int = 1200
    concurrent: int = 64
    wait_seconds: float = 120.0
    keep_days: float = 7.0
    allow_urls: bool = False
    known: Path | None = None
    warm: bool = True
    secure_cookies: bool = False
    drain_seconds: float = 30.0
    trusted_proxies: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """The database's SQLAlchemy URL."""
        return self.database or f"sqlite:///{self.data / DATABASE_FILE}"

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host in LOOPBACK_NAMES or self.host.startswith("127.")

    @property
    def limits(self) -> Limits:
        """What may be opened."""
        return Limits(bytes=self.max_bytes, pixels=self.max_pixels)

    def to_values(self) -> dict[str, Any]:
        """JSON values from which ``from_values`` makes the same settings; they hold the token and the database's password."""
        values = asdict(self)
        return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> Settings:
        """The settings that ``to_values`` wrote."""
        merged = dict(values)
        merged |= {name: Path(values[name]) for name in ("data", "known") if values.get(name) is not None}
        merged |= {name: tuple(values[name]) for name in ("hosts", "trusted_proxies") if name in values}
        return cls(**merged)

    def made(self) -> Settings:
        """The settings with the data folder made, readable by its owner only, and its path absolute.

        Raises:
            VeriscopeError: it cannot be made or written to, or the token is too short to be a secret.
        """
        if self.token and (
            len(self.token) < SHORTEST_TOKEN or not self.token.isascii() or not self.token.isprintable()
        ):
            raise VeriscopeError(f"the token must have at least {SHORTEST_TOKEN} ASCII characters and no control ones")
        folder = self.data.absolute()
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise VeriscopeError(f"{folder}: cannot be made ({error.strerror}); name another with --data") from error
        if not os.access(folder, os.W_OK | os.X_OK):
            raise VeriscopeError(f"{folder}: cannot be written to; name another with --data")
        return replace(self, data=folder, known=None if self.known is None else self.known.absolute())
