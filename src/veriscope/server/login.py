"""Signing in and out of a browser's session. The form itself is a page's."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from veriscope.server.access import BY_TOKEN, COOKIE, Visitor, address_of, check_csrf
from veriscope.server.accounts import User
from veriscope.server.receiving import receive_page_form
from veriscope.server.service import Service, get_service
from veriscope.server.uploads import Allowed, Received, receive

TRIES_A_MINUTE, TRIES_AT_ONCE = 6, 10  # from one address, and for one name

router = APIRouter(include_in_schema=False)
Served = Annotated[Service, Depends(get_service)]


async def _form(request: Request, service: Served) -> AsyncIterator[Received]:
    body = await receive(request, service.storage, Allowed(0, 0))
    try:
        check_csrf(Visitor("", "viewer", service.csrf), body.fields.get("csrf", ""))
        yield body
    finally:
        body.discard()


@router.post("/login")
async def sign_in(request: Request, service: Served, form: Annotated[Received, Depends(_form)]) -> Response:
    """Sign in by name and password, or by the server's token with no name; back to where one came from."""
    name, password = form.fields.get("name", "").strip(), form.fields.get("password", "")
    onwards, address = _local(form.fields.get("next", "")), address_of(request)
    for what, client in (("sign in from", address), ("sign in as", name)):
        service.limiter.take(what, client, TRIES_A_MINUTE, burst=TRIES_AT_ONCE)
    user: User | None = None
    if name in ("", BY_TOKEN) and service.settings.token:
        right = hmac.compare_digest(password.encode(), service.settings.token.encode())
    else:
        user = await run_in_threadpool(service.accounts.check, name, password)
        right = user is not None
    said = ("signed in" if right else "failed to sign in", "", address)
    await run_in_threadpool(service.audit.record, name or BY_TOKEN, *said)
    if not right:
        return RedirectResponse(f"/login?{urlencode({'failed': '1', 'next': onwards})}", 303)
    cookie = await run_in_threadpool(service.accounts.open_session, user)
    answer = RedirectResponse(onwards, 303)
    secure = service.settings.secure_cookies or request.url.scheme == "https"
    answer.set_cookie(COOKIE, cookie, httponly=True, samesite="lax", secure=secure, path="/")
    return answer


@router.post("/logout")
async def sign_out(request: Request, service: Served, _: Annotated[Received, Depends(receive_page_form)]) -> Response:
    """End the session."""
    cookie = request.cookies.get(COOKIE, "")
    if cookie:
        await run_in_threadpool(service.accounts.close_session, cookie)
    answer = RedirectResponse("/login" if service.accounts_required else "/", 303)
    answer.delete_cookie(COOKIE, path="/")
    return answer


def _local(path: str) -> str:
    """A path of this server; the first page for anything else."""
    inside = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if inside else "/"
