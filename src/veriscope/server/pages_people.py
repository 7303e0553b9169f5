"""Pages of people: signing in, who may use this server, and what was done on it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from veriscope.errors import VeriscopeError
from veriscope.server import access
from veriscope.server.access import ROLES, Visitor, requires
from veriscope.server.pages_cases import Form, Serving, see
from veriscope.server.pages_rendering import Pages, render, whole
from veriscope.server.problems import ProblemError
from veriscope.server.service import Service

EACH = 50  # rows of the audit log on a page
LEAST_PASSWORD = 10  # characters, as said beside the field; the accounts themselves check

router = APIRouter()

Admin = Annotated[Visitor, Depends(requires("admin"))]


@router.get("/login")
def login(request: Request, failed: str = "", next: str = "/") -> Response:  # noqa: A002 (the name in the address)
    """Sign in."""
    csrf = access.login_csrf(request)
    return render(request, "login.html.j2", None, csrf=csrf, failed=bool(failed), next=_own(next))


def _own(path: str) -> str:
    """A path of this server, whatever an address asks for."""
    plain = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if plain else "/"


@router.get("/users")
def users(request: Request, service: Serving, who: Admin) -> Response:
    """Who may use this server."""
    return _users(request, service, who)


def _users(request: Request, service: Service, who: Visitor, error: str = "", name: str = "") -> Response:
    return render(
        request,
        "users.html.j2",
        who,
        status=422 if error else 200,
        users=service.accounts.users(),
        roles=ROLES,
        error=error,
        typed=name,
        least=LEAST_PASSWORD,
    )


@router.post("/users")
def add_user(request: Request, service: Serving, who: Admin, form: Form) -> Response:
    """Add a user."""
    name = form.fields.get("name", "").strip()
    try:
        service.accounts.add_user(name, form.fields.get("password", ""), form.fields.get("role", ""))
    except VeriscopeError as error:
        return _users(request, service, who, str(error), name)
    service.audit.record(who.who, "added a user", name)
    return see("/users")


@router.post("/users/{name}/{what}")
def change_user(request: Request, service: Serving, who: Admin, form: Form, name: str, what: str) -> Response:
    """Change a user's role or password, switch the account off or on, or remove it."""
    accounts = service.accounts
    if name == who.name and what in ("disable", "remove", "role"):
        return _users(request, service, who, "You cannot take your own account away. Another administrator can.")
    try:
        if what == "role":
            accounts.set_role(name, form.fields.get("role", ""))
        elif what == "password":
            accounts.set_password(name, form.fields.get("password", ""))
        elif what in ("disable", "enable"):
            accounts.disable(name, what == "disable")
        elif what == "remove":
            accounts.remove(name)
        else:
            raise ProblemError(404, "not_found", "There is no such action")
    except ProblemError:
        raise
    except VeriscopeError as error:
        return _users(request, service, who, str(error))
    service.audit.record(
        who.who, {"role": "changed a role", "password": "set a password"}.get(what, f"{what}d a user"), name
    )
    return see("/users")


@router.get("/audit")
def audit(request: Request, service: Serving, who: Admin, page: str = "1") -> Response:
    """What was done on this server, and by whom."""
    number = whole(page)
    rows, total = service.audit.page(number, EACH)
    return render(request, "audit.html.j2", who, rows=rows, pages=Pages.of(number, total, EACH))
