"""All that the routes work with, made once for a server."""

from __future__ import annotations

import secrets
import threading
from typing import Any

from fastapi import Request

from veriscope.server.bell import Bell
from veriscope.server.database import Database
from veriscope.server.jobs import Jobs, Reports
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
        self.supervisor = Supervisor(settings, self.queue, self._told)

    def start(self) -> None:
        """Start the workers."""
        self.bell.start()
        self.storage.sweep()
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
        self.database.close()

    def _told(self, said: dict[str, Any]) -> None:
        if said["event"] == "end":
            self.bell.ring(said["job"])


def get_service(request: Request) -> Service:
    """The server's service, as a dependency."""
    service: Service = request.app.state.service
    return service
