"""Who asks, and what they may do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Request

from veriscope.server.problems import ProblemError

ROLES = ("viewer", "examiner", "admin")  # each may do what those before it may
HERE = "this computer"  # who acts where nobody signs in


@dataclass(frozen=True)
class Visitor:
    """Who sent a request.

    Attributes:
        name: of the user; empty where there are no accounts.
        role: one of ``ROLES``.
        csrf: what forms of this visitor must carry.
        accounts: whether signing in is required here.
        signed_in: whether a browser's session stands behind it.
    """

    name: str
    role: str
    csrf: str = ""
    accounts: bool = False
    signed_in: bool = False

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
        ProblemError: signing in is required (401).
    """
    return Visitor("", "admin", request.app.state.service.csrf)


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
