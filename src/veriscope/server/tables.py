"""The tables. Times are seconds since 1970 in UTC; ids are hexadecimal, unguessable, and rise with time."""

from __future__ import annotations

import secrets
import time
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Double, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

ID = String(32)


def new_id() -> str:
    """32 hexadecimal digits: 12 of the time in milliseconds, 20 at random.

    >>> len(new_id())
    32
    """
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"


class Table(DeclarativeBase):
    """The base of all tables."""

    type_annotation_map = {float: Double, dict[str, Any]: JSON}  # noqa: RUF012 (SQLAlchemy reads it from the class)


class User(Table):
    """Someone who signs in."""

    __tablename__ = "users"
    id: Mapped[str] = mapped_column(ID, primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    password: Mapped[str] = mapped_column(String(256))  # argon2id
    role: Mapped[str] = mapped_column(String(16))
    disabled: Mapped[bool] = mapped_column(Boolean, default=False)
    created: Mapped[float] = mapped_column()


class Token(Table):
    """A token with which programs act for a user; only its SHA-256 is kept."""

    __tablename__ = "tokens"
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    label: Mapped[str] = mapped_column(String(64))
    created: Mapped[float] = mapped_column()


class Session(Table):
    """A browser that is signed in; the cookie's SHA-256 is kept, not the cookie. Without a user: by the server's token."""

    __tablename__ = "sessions"
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    csrf: Mapped[str] = mapped_column(String(64))
    created: Mapped[float] = mapped_column()
    seen: Mapped[float] = mapped_column()


class Case(Table):
    """Pictures that are looked at together."""

    __tablename__ = "cases"
    id: Mapped[str] = mapped_column(ID, primary_key=True, default=new_id)
    title: Mapped[str] = mapped_column(String(200))
    quick: Mapped[bool] = mapped_column(Boolean, default=False)
    created: Mapped[float] = mapped_column()
    created_by: Mapped[str] = mapped_column(String(64))


class Note(Table):
    """What someone wrote about a case."""

    __tablename__ = "notes"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id", ondelete="CASCADE"), index=True)
    text: Mapped[str] = mapped_column(Text)
    who: Mapped[str] = mapped_column(String(64))
    created: Mapped[float] = mapped_column()


class Event(Table):
    """What was done in a case, and by whom."""

    __tablename__ = "events"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id", ondelete="CASCADE"), index=True)
    who: Mapped[str] = mapped_column(String(64))
    what: Mapped[str] = mapped_column(Text)
    created: Mapped[float] = mapped_column()


class Picture(Table):
    """An uploaded file; its bytes lie in the data folder under its id."""

    __tablename__ = "pictures"
    id: Mapped[str] = mapped_column(ID, primary_key=True, default=new_id)
    case_id: Mapped[str | None] = mapped_column(ForeignKey("cases.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(255))
    sha256: Mapped[str] = mapped_column(String(64))
    bytes: Mapped[int] = mapped_column(BigInteger)
    created: Mapped[float] = mapped_column(index=True)
    created_by: Mapped[str] = mapped_column(String(64))


class Job(Table):
    """Work for a worker process. ``lease`` is the fencing token of whoever holds it; only that one may end it."""

    __tablename__ = "jobs"
    id: Mapped[str] = mapped_column(ID, primary_key=True, default=new_id)
    kind: Mapped[str] = mapped_column(String(32))
    picture_id: Mapped[str] = mapped_column(ForeignKey("pictures.id", ondelete="CASCADE"), index=True)
    batch: Mapped[str] = mapped_column(ID, index=True)
    owner: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(8), default="waiting")
    priority: Mapped[int] = mapped_column(Integer, default=0)  # the smallest first
    options: Mapped[dict[str, Any]] = mapped_column(default=dict)
    tries: Mapped[int] = mapped_column(Integer, default=0)
    lease: Mapped[str | None] = mapped_column(ID)
    lease_until: Mapped[float | None] = mapped_column()
    worker: Mapped[str | None] = mapped_column(String(128))
    stage: Mapped[str] = mapped_column(String(64), default="")
    error_code: Mapped[str] = mapped_column(String(32), default="")
    error: Mapped[str] = mapped_column(Text, default="")
    result: Mapped[dict[str, Any] | None] = mapped_column()
    created: Mapped[float] = mapped_column()
    started: Mapped[float | None] = mapped_column()
    finished: Mapped[float | None] = mapped_column()

    __table_args__ = (Index("jobs_queue", "state", "priority", "id"), Index("jobs_lease", "state", "lease_until"))


class Report(Table):
    """The report that a job made; its id is the job's, so a job has at most one. The report itself lies in ``folder``."""

    __tablename__ = "reports"
    id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    picture_id: Mapped[str] = mapped_column(ForeignKey("pictures.id", ondelete="CASCADE"), unique=True)
    folder: Mapped[str] = mapped_column(String(64))
    headline: Mapped[str] = mapped_column(Text)
    answer: Mapped[str] = mapped_column(String(32))
    seconds: Mapped[float] = mapped_column()
    created: Mapped[float] = mapped_column()


class Map(Table):
    """One map of a report, a grey PNG in the report's folder."""

    __tablename__ = "maps"
    report_id: Mapped[str] = mapped_column(ForeignKey("reports.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    detector: Mapped[str] = mapped_column(String(128))
    question: Mapped[str] = mapped_column(String(32))
    file: Mapped[str] = mapped_column(String(64))


class Audit(Table):
    """Who did what, kept when the thing itself is deleted. It holds ids, never names of files."""

    __tablename__ = "audit"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    created: Mapped[float] = mapped_column()
    who: Mapped[str] = mapped_column(String(64))
    what: Mapped[str] = mapped_column(String(64))
    target: Mapped[str] = mapped_column(String(128))
    address: Mapped[str] = mapped_column(String(64))


class IdempotencyKey(Table):
    """A request that must not be done twice: the jobs that the first one made."""

    __tablename__ = "idempotency_keys"
    owner: Mapped[str] = mapped_column(String(64), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    batch: Mapped[str] = mapped_column(ID)
    created: Mapped[float] = mapped_column(index=True)
