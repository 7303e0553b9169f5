"""What a server clears away as it runs: old pictures that belong to no case, what was never accepted, keys that have lapsed."""

from __future__ import annotations

import logging
import threading
from itertools import islice

from sqlalchemy import delete, select

from veriscope.server.database import Database
from veriscope.server.storage import STALE, Storage
from veriscope.server.submitting import KEPT_KEYS
from veriscope.server.tables import IdempotencyKey, Job, Picture

EVERY = 600.0  # seconds between two rounds
AT_ONCE = 500  # pictures in one transaction
DAY = 86_400.0  # seconds

log = logging.getLogger("veriscope.server.housekeeping")


class Housekeeping:
    """Rounds in a thread of their own; several servers of one database may each do them."""

    def __init__(self, database: Database, storage: Storage, keep_days: float) -> None:
        self.database, self.storage, self.keep_days = database, storage, keep_days
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start, with a round at once."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop after the round that is under way."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def round(self) -> None:
        """One round."""
        self.storage.sweep()
        with self.database.writing() as session:
            now = self.database.now(session)
            session.execute(delete(IdempotencyKey).where(IdempotencyKey.created < now - KEPT_KEYS))
        while self.keep_days and self._forget() == AT_ONCE and not self._stop.is_set():
            pass
        self._sweep_pictures()

    def _forget(self) -> int:
        """Delete some old pictures that belong to no case and wait for nothing; gives how many."""
        with self.database.writing() as session:
            before = self.database.now(session) - self.keep_days * DAY
            ended = select(Job.picture_id).where(Job.state.in_(("done", "failed")), Job.finished < before)
            old = select(Picture.id).where(Picture.case_id.is_(None), Picture.id.in_(ended)).limit(AT_ONCE)
            ids = list(session.execute(old).scalars())
            session.execute(delete(Picture).where(Picture.id.in_(ids)))
        for picture_id in ids:
            self.storage.delete(picture_id)
        return len(ids)

    def _sweep_pictures(self) -> None:
        """Delete the files of pictures that the database does not know: of a server that died between the two."""
        old = iter(self.storage.kept(STALE))
        while ids := list(islice(old, AT_ONCE)):
            with self.database.reading() as session:
                known = set(session.execute(select(Picture.id).where(Picture.id.in_(ids))).scalars())
            for picture_id in set(ids) - known:
                self.storage.delete(picture_id)

    def _run(self) -> None:
        while True:
            try:
                self.round()
            except Exception:  # the database may be away for a moment; the next round does it
                log.exception("housekeeping failed")
            if self._stop.wait(EVERY):
                return
