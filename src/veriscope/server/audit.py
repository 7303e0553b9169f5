"""The audit log: who did what to what, from where. It outlives what it speaks of, and holds no names of files."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select

from veriscope.server.database import Database
from veriscope.server.tables import Audit


@dataclass(frozen=True)
class AuditRow:
    """One line of the log; ``created`` in seconds since 1970, UTC."""

    created: float
    who: str
    what: str
    target: str
    address: str


class Log:
    """The audit log of one server."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def record(self, who: str, what: str, target: str = "", address: str = "") -> None:
        """Write a line."""
        with self.database.writing() as session:
            now = self.database.now(session)
            row = Audit(created=now, who=who[:64], what=what[:64], target=target[:128], address=address[:64])
            session.add(row)

    def page(self, page: int = 1, per_page: int = 50) -> tuple[list[AuditRow], int]:
        """Lines, the newest first, and how many there are."""
        with self.database.reading() as session:
            total = int(session.execute(select(func.count()).select_from(Audit)).scalar_one())
            asked = select(Audit).order_by(Audit.id.desc()).offset((page - 1) * per_page).limit(per_page)
            rows = session.execute(asked).scalars()
            return [AuditRow(row.created, row.who, row.what, row.target, row.address) for row in rows], total
