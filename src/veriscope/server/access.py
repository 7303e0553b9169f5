"""Who asks, and what they may do: by bearer token, by a browser's session, or as the only one at this computer."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Request

from veriscope.server.problems import ProblemError

ROLES = ("viewer", "examiner", "admin")  # each may do what those before it may
HERE = "this computer"  # who acts where nobody signs in
BY_TOKEN = "token"  # who acts with the server's own token  # noqa: S105 (a name)
COOKIE = "veriscope_session"
CSRF_HEADER = "x-csrf-token"
SAFE = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class Visitor:
    """Who sent a request.

    Attributes:
        name: of the user; empty where there are no accounts.
        role: one of ``ROLES``.
        csrf: what forms of this visitor must carry.
        accounts: whether signing in is required here.
        signed_in: whether a browser's session stands behind it.
        address: from where the request came.
    """

    name: str
    role: str
    csrf: str = ""
    accounts: bool = False
    signed_in: bool = False
    address: str = ""

    @property
    def who(self) -> str:
        """For timelines and lists."""
        return self.name or HERE

    def may(self, role: str) -> bool:
        """Whether the visitor has at least this role."""
        return ROLES.index(self.role) >= ROLES.index(role)


def visitor(request: Request) -> Visitor:
    """Who sent the request.

    Raises:
        ProblemError: signing in is required (401), or a session's request lacks its CSRF token (403).
    """
    known = getattr(request.state, "visitor", None)
    if known is None:
        known = request.state.visitor = _found(request)
    assert isinstance(known, Visitor)
    return known


def _found(request: Request) -> Visitor:
    service, address = request.app.state.service, address_of(request)
    settings, accounts = service.settings, service.accounts
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme:
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise _not_signed_in("Send the token as: Authorization: Bearer TOKEN.")
        if settings.token and hmac.compare_digest(token.encode(), settings.token.encode()):
            return Visitor(BY_TOKEN, "admin", accounts=True, address=address)
        user = accounts.of_token(token)
        if user is None:
            raise _not_signed_in("The token is not one of this server's.")
        return Visitor(user.name, user.role, accounts=True, address=address)
    cookie = request.cookies.get(COOKIE, "")
    signed_in = accounts.session(cookie) if cookie else None
    if signed_in is not None:
        user = signed_in.user
        name, role = (BY_TOKEN, "admin") if user is None else (user.name, user.role)
        found = Visitor(name, role, signed_in.csrf, accounts=True, signed_in=True, address=address)
        if request.method not in SAFE and request.url.path.startswith("/api/"):
            check_csrf(found, request.headers.get(CSRF_HEADER, ""))
        return found
    if service.accounts_required:
        raise _not_signed_in("Sign in, or send a token as: Authorization: Bearer TOKEN.")
    return Visitor("", "admin", service.csrf, address=address)


def check_csrf(found: Visitor, sent: str) -> None:
    """Refuse a form that did not come from a page of this visitor.

    Raises:
        ProblemError: it did not (403).
    """
    if not hmac.compare_digest(sent.encode(), found.csrf.encode()):
        raise ProblemError(
            403, "csrf", "The form is out of date", "Load the page again and send it from there; sign in if asked to."
        )


def login_csrf(request: Request) -> str:
    """What the form for signing in must carry."""
    csrf: str = request.app.state.service.csrf
    return csrf


def requires(role: str) -> Callable[[Request], Visitor]:
    """A dependency: the visitor, who has at least this role.

    Raises:
        ProblemError: nobody is signed in (401), or the role is a lesser one (403).
    """

    def checked(request: Request) -> Visitor:
        found = visitor(request)
        if not found.may(role):
            raise ProblemError(403, "forbidden", "Not allowed", f"This needs the role {role}; yours is {found.role}.")
        return found

    return checked


def address_of(request: Request) -> str:
    """From where the request came; what a trusted proxy says of it is believed."""
    peer = request.client.host if request.client else ""
    trusted = request.app.state.settings.trusted_proxies
    if peer in trusted:
        for hop in reversed(request.headers.get("x-forwarded-for", "").split(",")):
            if hop.strip() and hop.strip() not in trusted:
                return hop.strip()[:64]
    return peer


def _not_signed_in(detail: str) -> ProblemError:
    return ProblemError(401, "not_signed_in", "Not signed in", detail)
