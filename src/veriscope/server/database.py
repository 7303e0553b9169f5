"""The database: SQLite in the data folder, or PostgreSQL by URL; opened, migrated, and used in transactions.

A writing transaction on SQLite takes the write lock as it begins, so that it waits for another writer instead of failing half
way. Each commit is flushed to disk before it is acknowledged.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from importlib import resources
from typing import Any

from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.orm import Session

from veriscope.errors import VeriscopeError

BUSY = 30.0  # seconds that a writer waits for another
HEAD = "0001"  # the newest migration; asserted by a test
WRITING = "veriscope_writing"


class Database:
    """An engine and its transactions."""

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
        except ArgumentError as error:
            raise VeriscopeError(
                "the database's URL cannot be read; it looks like postgresql+psycopg://USER@HOST/NAME"
            ) from error
        if parsed.drivername not in ("sqlite", "postgresql+psycopg"):
            if parsed.drivername not in ("postgresql", "postgres"):
                raise VeriscopeError(
                    f"{parsed.drivername}: not a database this server knows; use SQLite (no --database) or "
                    "postgresql+psycopg://USER@HOST/NAME"
                )
            parsed = parsed.set(drivername="postgresql+psycopg")
        self.lite = parsed.drivername == "sqlite"
        self.shown = parsed.render_as_string(hide_password=True)
        options: dict[str, Any] = {} if self.lite else {"pool_size": 10, "max_overflow": 20, "pool_pre_ping": True}
        if self.lite:
            options["connect_args"] = {"timeout": BUSY, "check_same_thread": False, "isolation_level": None}
        self.engine: Engine = create_engine(parsed, **options)
        if self.lite:
            event.listen(self.engine, "connect", _pragmas)
            event.listen(self.engine, "begin", _begin)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that reads one state of the database."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextlib.contextmanager
    def writing(self) -> Iterator[Session]:
        """A session in a transaction that is committed at the end, or rolled back by an exception."""
        engine = self.engine.execution_options(**{WRITING: True})
        with Session(engine, expire_on_commit=False) as session, session.begin():
            yield session

    def now(self, session: Session) -> float:
        """Seconds since 1970, by the database's clock where several machines share it."""
        if self.lite:
            return time.time()
        return float(session.execute(text("select extract(epoch from clock_timestamp())")).scalar_one())

    def migrate(self) -> None:
        """Bring the schema to the newest version.

        Raises:
            VeriscopeError: the database cannot be reached, or was made by a newer version.
        """
        try:
            if self.version() == HEAD:
                return
            from alembic import command
            from alembic.config import Config
            from alembic.util import CommandError

            config = Config()
            config.set_main_option("script_location", str(resources.files("veriscope.server") / "migrations"))
            config.attributes["engine"] = self.engine.execution_options(**{WRITING: True})
            try:
                command.upgrade(config, "head")
            except CommandError as error:
                raise VeriscopeError(
                    f"{self.shown}: its schema is of version {self.version()}, newer than this server's {HEAD}; "
                    "start it with the newer Veriscope"
                ) from error
        except SQLAlchemyError as error:
            raise VeriscopeError(f"{self.shown}: the database cannot be opened ({_short(error)})") from error

    def version(self) -> str | None:
        """The schema's version; None where there is none yet."""
        from sqlalchemy import inspect

        with self.engine.connect() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            found = connection.execute(text("select version_num from alembic_version")).scalar()
            return None if found is None else str(found)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _short(error: Exception) -> str:
    return " ".join(str(getattr(error, "orig", None) or error).split())[:200]


def _pragmas(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "secure_delete=ON",
        f"busy_timeout={int(BUSY * 1000)}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Any) -> None:
    writing = connection.get_execution_options().get(WRITING)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
