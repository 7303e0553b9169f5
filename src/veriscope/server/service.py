"""All that the routes work with, made once for a server."""

from __future__ import annotations

import secrets
import threading
from typing import Any

from fastapi import Request

from veriscope.server.accounts import Accounts
from veriscope.server.audit import Log
from veriscope.server.bell import Bell
from veriscope.server.cases import Cases
from veriscope.server.database import Database
from veriscope.server.housekeeping import Housekeeping
from veriscope.server.jobs import Jobs, Reports
from veriscope.server.limits import Limiter
from veriscope.server.metrics import Metrics
from veriscope.server.queue import Queue
from veriscope.server.settings import Settings
from veriscope.server.storage import Storage
from veriscope.server.submitting import Submitting
from veriscope.server.supervisor import Supervisor


class Service:
    """A server's parts: database, queue, storage, workers, and what is built of them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.data = settings.data
        self.database = Database(settings.url)
        self.database.migrate()
        self.storage = Storage(settings.data)
        self.queue = Queue(self.database, settings.lease_seconds)
        self.submitting = Submitting(self.database, self.storage, settings)
        self.jobs = Jobs(self.database, self.queue, self.storage)
        self.reports = Reports(self.database, self.storage)
        self.bell = Bell()
        self.csrf = secrets.token_urlsafe(24)
        self.draining = threading.Event()
        self.audit = Log(self.database)
        self.accounts = Accounts(self.database)
        self.cases = Cases(self.database, self.storage, self.queue, self.submitting, self.audit, settings)
        self.limiter = Limiter()
        self.housekeeping = Housekeeping(self.database, self.storage, settings.keep_days)
        self.supervisor = Supervisor(settings, self.queue, self.told)
        self.metrics = Metrics(self.queue.counts, lambda: (self.supervisor.ready, self.supervisor.memory()))

    @property
    def accounts_required(self) -> bool:
        """Whether a visitor must sign in: always, but on a server for this machine alone that has no token and no users."""
        return bool(self.settings.token) or not self.settings.on_loopback or self.accounts.any()

    def start(self) -> None:
        """Start the workers."""
        self.bell.start()
        self.housekeeping.start()
        self.supervisor.start()

    def drain(self) -> None:
        """Take no more work; what is under way goes on."""
        self.draining.set()
        self.supervisor.drain()
        self.bell.ring_all()

    def stop(self) -> None:
        """Stop the workers and close the database."""
        self.drain()
        self.supervisor.stop(self.settings.drain_seconds)
        self.housekeeping.stop()
        self.database.close()

    def told(self, said: dict[str, Any]) -> None:
        """Count what a worker says, and wake who waits for the job it has ended."""
        self.metrics.told(said)
        if said["event"] == "end":
            self.bell.ring(said["job"])


def get_service(request: Request) -> Service:
    """The server's service, as a dependency."""
    service: Service = request.app.state.service
    return service
