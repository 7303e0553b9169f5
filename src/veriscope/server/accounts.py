"""User accounts: names, argon2id password hashes, roles; tokens for programs; sessions of browsers.

Of tokens and session cookies only a SHA-256 is kept: they are random, so no slow hash is needed. A session ends when it was
idle for long, when its user is disabled, and when the password changes.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from veriscope.errors import VeriscopeError
from veriscope.server.access import ROLES
from veriscope.server.database import Database
from veriscope.server.tables import Session as SessionTable
from veriscope.server.tables import Token
from veriscope.server.tables import User as UserTable

NAME = re.compile(r"[\w][\w.@+-]{0,63}")
SHORTEST_PASSWORD = 10  # characters
LONGEST_PASSWORD = 1000  # characters: hashing longer ones would only cost time
IDLE = 12 * 3600.0  # seconds after which an unused session ends
LONGEST_SESSION = 7 * 86_400.0  # seconds
SEEN_EVERY = 60.0  # seconds between two notes that a session is used

_hasher = PasswordHasher()
_no_one = _hasher.hash(secrets.token_urlsafe())  # compared with where no user has the name, so that it takes as long


@dataclass(frozen=True)
class User:
    """Someone who may sign in."""

    id: str
    name: str
    role: str
    disabled: bool
    created: float


@dataclass(frozen=True)
class SignedIn:
    """A session: ``user`` is None where the server's token opened it."""

    user: User | None
    csrf: str


class Accounts:
    """The users of one server."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def users(self) -> list[User]:
        """All users by name."""
        with self.database.reading() as session:
            return [_shown(row) for row in session.execute(select(UserTable).order_by(UserTable.name)).scalars()]

    def any(self) -> bool:
        """Whether there is a user."""
        with self.database.reading() as session:
            return session.execute(select(UserTable.id).limit(1)).first() is not None

    def add_user(self, name: str, password: str, role: str) -> User:
        """A new user.

        Raises:
            VeriscopeError: the name is taken or not one, the password too short, or the role unknown.
        """
        if not NAME.fullmatch(name):
            raise VeriscopeError(
                f"{name[:64]!r}: a name has 1 to 64 letters, digits or . @ + - _, a letter or digit first"
            )
        _check_role(role)
        hashed = _hashed(password)
        with self.database.writing() as session:
            if session.execute(select(UserTable.id).where(UserTable.name == name)).first() is not None:
                raise VeriscopeError(f"{name}: there is such a user already")
            row = UserTable(name=name, password=hashed, role=role, created=self.database.now(session))
            session.add(row)
            session.flush()
            return _shown(row)

    def set_role(self, name: str, role: str) -> None:
        """Give a user another role.

        Raises:
            VeriscopeError: there is no such user or role, or nobody would be left to administer.
        """
        _check_role(role)
        self._change(name, role=role)

    def set_password(self, name: str, password: str) -> None:
        """Give a user another password, and end their sessions.

        Raises:
            VeriscopeError: there is no such user, or the password is too short.
        """
        hashed = _hashed(password)
        self._change(name, password=hashed)

    def disable(self, name: str, disabled: bool = True) -> None:
        """Keep a user out, or let them in again.

        Raises:
            VeriscopeError: there is no such user, or nobody would be left to administer.
        """
        self._change(name, disabled=disabled)

    def remove(self, name: str) -> None:
        """Delete a user with their tokens and sessions; what they did keeps their name.

        Raises:
            VeriscopeError: there is no such user, or users would be left and none of them who may administer.
        """
        with self.database.writing() as session:
            row = session.execute(select(UserTable).where(UserTable.name == name)).scalar()
            if row is None:
                raise _unknown(name)
            session.delete(row)
            session.flush()
            if session.execute(select(UserTable.id).limit(1)).first() is not None:
                _check_admin(session, name)

    def _change(self, name: str, **values: object) -> None:
        with self.database.writing() as session:
            row = session.execute(select(UserTable).where(UserTable.name == name)).scalar()
            if row is None:
                raise _unknown(name)
            for column, value in values.items():
                setattr(row, column, value)
            session.flush()
            if "password" not in values:
                _check_admin(session, name)
            if "role" not in values:
                session.execute(delete(SessionTable).where(SessionTable.user_id == row.id))

    # Signing in

    def check(self, name: str, password: str) -> User | None:
        """The user of this name and password; None where they do not fit, or the user is disabled."""
        with self.database.reading() as session:
            row = session.execute(select(UserTable).where(UserTable.name == name)).scalar()
        hashed = _no_one if row is None else row.password
        try:
            _hasher.verify(hashed, password[:LONGEST_PASSWORD])
        except (VerificationError, InvalidHashError):
            return None
        if row is None or row.disabled:
            return None
        if _hasher.check_needs_rehash(row.password):
            with self.database.writing() as session:
                fresh = session.get(UserTable, row.id)
                if fresh is not None:
                    fresh.password = _hasher.hash(password)
        return _shown(row)

    def open_session(self, user: User | None) -> str:
        """A new session of a user, or of whoever knows the server's token; gives the cookie's value."""
        cookie = secrets.token_urlsafe(32)
        with self.database.writing() as session:
            now = self.database.now(session)
            lapsed = (SessionTable.seen < now - IDLE) | (SessionTable.created < now - LONGEST_SESSION)
            session.execute(delete(SessionTable).where(lapsed))
            row = SessionTable(
                digest=digest(cookie),
                user_id=None if user is None else user.id,
                csrf=secrets.token_urlsafe(24),
                created=now,
                seen=now,
            )
            session.add(row)
        return cookie

    def session(self, cookie: str) -> SignedIn | None:
        """Whose session it is; None where it has ended."""
        with self.database.reading() as session:
            row = session.get(SessionTable, digest(cookie))
            if row is None:
                return None
            now = self.database.now(session)
            if row.seen < now - IDLE or row.created < now - LONGEST_SESSION:
                return None
            user = None if row.user_id is None else session.get(UserTable, row.user_id)
            if row.user_id is not None and (user is None or user.disabled):
                return None
        if row.seen < now - SEEN_EVERY:
            with self.database.writing() as session:
                used = session.get(SessionTable, row.digest)
                if used is not None:
                    used.seen = now
        return SignedIn(None if user is None else _shown(user), row.csrf)

    def close_session(self, cookie: str) -> None:
        """End a session."""
        with self.database.writing() as session:
            session.execute(delete(SessionTable).where(SessionTable.digest == digest(cookie)))

    # Tokens

    def make_token(self, name: str, label: str = "") -> str:
        """A new token with which programs act for a user; shown once.

        Raises:
            VeriscopeError: there is no such user.
        """
        token = "vs_" + secrets.token_urlsafe(32)
        with self.database.writing() as session:
            row = session.execute(select(UserTable).where(UserTable.name == name)).scalar()
            if row is None:
                raise _unknown(name)
            now = self.database.now(session)
            session.add(Token(digest=digest(token), user_id=row.id, label=label[:64], created=now))
        return token

    def of_token(self, token: str) -> User | None:
        """Whose token it is; None where it is nobody's, or the user is disabled."""
        with self.database.reading() as session:
            asked = select(UserTable).join(Token, Token.user_id == UserTable.id).where(Token.digest == digest(token))
            row = session.execute(asked).scalar()
            return None if row is None or row.disabled else _shown(row)


def digest(secret: str) -> str:
    """What is kept of a random secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _hashed(password: str) -> str:
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise VeriscopeError(f"a password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters")
    return _hasher.hash(password)


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise VeriscopeError(f"{role}: not a role; there are: {', '.join(ROLES)}")


def _check_admin(session: Session, name: str) -> None:
    admins = select(UserTable.id).where(UserTable.role == "admin", UserTable.disabled.is_(False)).limit(1)
    if session.execute(admins).first() is None:
        raise VeriscopeError(f"{name}: then nobody would be left who may administer; make another admin first")


def _unknown(name: str) -> VeriscopeError:
    return VeriscopeError(f"{name}: no such user; veriscope users list shows them")


def _shown(row: UserTable) -> User:
    return User(row.id, row.name, row.role, row.disabled, row.created)
