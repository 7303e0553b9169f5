"""Pages of cases: start one by dropping pictures, find one, work on one, delete one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import RedirectResponse, Response

from veriscope.server.access import Visitor, requires, visitor
from veriscope.server.cases import Case
from veriscope.server.pages_rendering import Pages, listed, missing, render, whole
from veriscope.server.problems import ProblemError
from veriscope.server.receiving import Received, receive_page_form
from veriscope.server.service import Service, get_service

RECENT = 8  # cases on the first page
EACH = 20  # cases on a page of the list
LONGEST_TITLE = 200  # characters
LONGEST_NOTE = 20_000  # characters

router = APIRouter()

Serving = Annotated[Service, Depends(get_service)]
Anyone = Annotated[Visitor, Depends(visitor)]
Examiner = Annotated[Visitor, Depends(requires("examiner"))]
Form = Annotated[Received, Depends(receive_page_form)]


def found(service: Service, case_id: str) -> Case:
    """The case.

    Raises:
        ProblemError: there is none (404).
    """
    case = service.cases.get(case_id)
    if case is None:
        raise missing("case")
    return case


def see(path: str) -> Response:
    """Go and look there, after a form was sent."""
    return RedirectResponse(path, 303)


@router.get("/")
def home(request: Request, service: Serving, who: Anyone) -> Response:
    """Where pictures are dropped, and the latest cases."""
    recent, total = service.cases.find(per_page=RECENT)
    return render(request, "home.html.j2", who, recent=recent, total=total, settings=service.settings)


@router.get("/cases")
def cases(request: Request, service: Serving, who: Anyone, q: str = "", page: str = "1") -> Response:
    """All cases, the latest first."""
    query, number = q.strip()[:LONGEST_TITLE], whole(page)
    rows, total = service.cases.find(query, number, EACH)
    if not rows and total:
        number = Pages.of(number, total, EACH).count
        rows, total = service.cases.find(query, number, EACH)
    return render(request, "cases.html.j2", who, rows=rows, pages=Pages.of(number, total, EACH, query))


@router.post("/cases")
def create(service: Serving, who: Examiner, form: Form) -> Response:
    """Make a case of the pictures that were sent."""
    if not form.uploads:
        raise ProblemError(422, "no_picture", "No picture was sent", "Choose at least one file.")
    names = [upload.name for upload in form.uploads]
    title = form.fields.get("title", "").strip() or (
        names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
    )
    quick = form.fields.get("quick") == "1" or None
    case_id = service.cases.create(title[:LONGEST_TITLE], who.who, quick=quick)
    try:
        added = service.cases.add_pictures(case_id, form.uploads, who.who)
    except ProblemError:
        service.cases.delete(case_id, who.who)  # a case without its pictures is of no use
        raise
    return see(f"/cases/{case_id}" + (f"/pictures/{added[0].id}" if len(added) == 1 else ""))


@router.get("/cases/{case_id}")
def case(request: Request, service: Serving, who: Anyone, case_id: str) -> Response:
    """One case: its pictures, notes and timeline."""
    shown = found(service, case_id)
    pending = sum(picture.state in ("waiting", "running") for picture in shown.pictures)
    return render(
        request,
        "case.html.j2",
        who,
        case=shown,
        pending=pending,
        settings=service.settings,
        progress=_progress(service, shown),
    )


def _progress(service: Service, case: Case) -> dict[str, int | None]:
    """The place in the queue of each picture that waits."""
    if all(picture.state in ("done", "failed") for picture in case.pictures):
        return {}
    return {row.picture_id: row.position for row in service.cases.progress(case.id)}


@router.post("/cases/{case_id}/pictures")
def add_pictures(service: Serving, who: Examiner, form: Form, case_id: str) -> Response:
    """Add pictures to a case."""
    found(service, case_id)
    if not form.uploads:
        raise ProblemError(422, "no_picture", "No picture was sent", "Choose at least one file.")
    service.cases.add_pictures(case_id, form.uploads, who.who)
    return see(f"/cases/{case_id}")


@router.post("/cases/{case_id}/title")
def rename(service: Serving, who: Examiner, form: Form, case_id: str) -> Response:
    """Give a case another title."""
    found(service, case_id)
    title = form.fields.get("title", "").strip()[:LONGEST_TITLE]
    if not title:
        raise ProblemError(422, "no_title", "A case needs a title", "Write one and save again.")
    service.cases.rename(case_id, title, who.who)
    return see(f"/cases/{case_id}")


@router.post("/cases/{case_id}/notes")
def add_note(service: Serving, who: Examiner, form: Form, case_id: str) -> Response:
    """Add a note to a case."""
    found(service, case_id)
    text = form.fields.get("text", "").strip()
    if not text or len(text) > LONGEST_NOTE:
        why = "It is empty." if not text else f"It is longer than {LONGEST_NOTE:,} characters."
        raise ProblemError(422, "no_note", "The note was not saved", why)
    note = service.cases.add_note(case_id, text, who.who)
    return see(f"/cases/{case_id}#note-{note.id}")


@router.post("/cases/{case_id}/notes/{note_id}/delete")
def delete_note(service: Serving, who: Examiner, _form: Form, case_id: str, note_id: int) -> Response:
    """Delete a note of a case."""
    found(service, case_id)
    service.cases.delete_note(case_id, note_id, who.who)
    return see(f"/cases/{case_id}#notes")


@router.get("/cases/{case_id}/delete")
def ask_to_delete(request: Request, service: Serving, who: Examiner, case_id: str) -> Response:
    """Ask whether a case is to be deleted."""
    shown = found(service, case_id)
    names = [picture.name for picture in shown.pictures]
    what = listed(names) if len(names) <= 3 else f"{len(names)} pictures"
    return render(request, "delete.html.j2", who, title=shown.title, what=what, back=f"/cases/{case_id}", kind="case")


@router.post("/cases/{case_id}/delete")
def delete(service: Serving, who: Examiner, _form: Form, case_id: str) -> Response:
    """Delete a case with its pictures, reports and notes."""
    found(service, case_id)
    service.cases.delete(case_id, who.who)
    return see("/cases")
