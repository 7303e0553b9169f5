"""Pages of human studies: people see the pictures that the detectors saw, one after the other as in a feed, and answer.

Taking part needs no account and keeps no personal data: a cookie holds a random secret for the length of the study, and
nothing else of a person is stored than the answers and the seconds they took. Results are for those who may read cases.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import FileResponse, JSONResponse, Response

from veriscope.errors import VeriscopeError
from veriscope.server.access import Visitor, visitor
from veriscope.server.pages_cases import Anyone, Examiner, Form, Serving, see
from veriscope.server.pages_documents import attachment
from veriscope.server.pages_rendering import missing, render
from veriscope.server.problems import ProblemError
from veriscope.server.service import Service
from veriscope.server.study_results import as_csv, percent, results
from veriscope.server.study_store import Participant, Study, open_study, studies
from veriscope.server.uploads import Allowed, Received, receive

COOKIE: Final = "veriscope_study"
KEPT: Final = 7 * 24 * 3600  # seconds that a person can come back and go on
POSTS: Final = 5  # pictures on a page of the feed
CHOICES: Final = (("real", "Real picture"), ("generated", "Made by a model"))
SURE: Final = {1: "guessing", 2: "fairly sure", 3: "certain"}

router = APIRouter(include_in_schema=False)


def study_of(service: Serving, key: str) -> Study:
    """The study in the address.

    Raises:
        ProblemError: there is none (404).
    """
    try:
        return open_study(service.data, key)
    except VeriscopeError as error:
        raise missing("study") from error


Chosen = Annotated[Study, Depends(study_of)]


async def _said(request: Request, service: Serving) -> AsyncIterator[Received]:
    """A form of somebody without an account; the guards let none through that another site's page sent."""
    body = await receive(request, service.storage, Allowed(0, 0))
    try:
        yield body
    finally:
        body.discard()


Said = Annotated[Received, Depends(_said)]


@dataclass(frozen=True)
class Post:
    """A picture in the feed."""

    stimulus: str
    place: int
    width: int
    height: int


def _somebody(request: Request) -> Visitor | None:
    try:
        return visitor(request)
    except ProblemError:
        return None


def _person(request: Request, study: Study) -> Participant | None:
    secret = request.cookies.get(COOKIE, "")
    return study.participant(secret) if secret else None


def _taking_part(request: Request, study: Study) -> Participant:
    person = _person(request, study)
    if person is None:
        raise ProblemError(
            403, "not_taking_part", "You are not taking part", "Begin at the study's first page; it needs a cookie."
        )
    return person


@router.get("/study")
def listed(request: Request, service: Serving, who: Anyone) -> Response:
    """The studies on this server."""
    rows = [(study.facts, *study.counts()) for study in studies(service.data)]
    return render(request, "study_list.html.j2", who, studies=rows)


@router.get("/study/{key}")
def invitation(request: Request, study: Chosen) -> Response:
    """What the study is, and whether one agrees to take part."""
    person = _person(request, study)
    given = len(study.answers(person.number)) if person else 0
    return render(request, "study_consent.html.j2", _somebody(request), study=study.facts, person=person, given=given)


@router.post("/study/{key}/begin")
def begin(request: Request, service: Serving, study: Chosen, form: Said) -> Response:
    """Take part, after agreeing to it."""
    key = study.facts.key
    if form.fields.get("agree") != "yes":
        raise ProblemError(422, "no_consent", "Nothing was started", "Tick the box if you agree to take part.")
    if _person(request, study) is not None:
        return see(f"/study/{key}/feed")
    try:
        secret = study.begin()
    except VeriscopeError as error:
        raise ProblemError(409, "closed", str(error)) from error
    answer = see(f"/study/{key}/feed")
    secure = service.settings.secure_cookies or request.url.scheme == "https"
    answer.set_cookie(
        COOKIE, secret, max_age=KEPT, httponly=True, samesite="strict", secure=secure, path=f"/study/{key}"
    )
    return answer


@router.get("/study/{key}/feed")
def feed(request: Request, study: Chosen) -> Response:
    """The next pictures, or the end."""
    person = _person(request, study)
    facts = study.facts
    if person is None:
        return see(f"/study/{facts.key}")
    answered = {answer.stimulus for answer in study.answers(person.number)}
    left = [(place, one) for place, one in enumerate(person.shown, 1) if one not in answered]
    if not left:
        return see(f"/study/{facts.key}/end")
    stimuli = {stimulus.id: stimulus for stimulus in study.stimuli()}
    posts = [Post(one, place, stimuli[one].width, stimuli[one].height) for place, one in left[:POSTS]]
    return render(
        request,
        "study_feed.html.j2",
        None,
        study=facts,
        posts=posts,
        done=len(answered),
        total=len(person.shown),
        choices=CHOICES if person.number % 2 else CHOICES[::-1],  # neither answer always comes first
        sure=SURE,
        shown_at=round(time.time() * 1000),
    )


@router.post("/study/{key}/answers")
def answer(request: Request, study: Chosen, form: Said) -> Response:
    """An answer to one picture, with the time it was in view; from a plain form, with the time since the page was made."""
    person = _taking_part(request, study)
    fields = form.fields
    try:
        sure = int(fields.get("sure", ""))
        if fields.get("milliseconds"):
            taken = round(float(fields["milliseconds"]))
        else:
            taken = round(time.time() * 1000) - int(fields.get("shown_at", ""))
        study.answer(person, fields.get("picture", ""), fields.get("answer", ""), sure, taken)
    except (ValueError, OverflowError) as error:
        raise ProblemError(
            422, "no_answer", "The answer was not kept", "Choose an answer and how sure you are."
        ) from error
    except VeriscopeError as error:
        raise ProblemError(422, "no_answer", "The answer was not kept", str(error)) from error
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse({"given": len(study.answers(person.number)), "of": len(person.shown)})
    return see(f"/study/{study.facts.key}/feed")


@router.get("/study/{key}/pictures/{stimulus}.jpg")
def picture(request: Request, study: Chosen, stimulus: str) -> Response:
    """A picture, for those who take part in the study."""
    person = _taking_part(request, study)
    path = study.picture(stimulus) if stimulus in person.shown else None
    if path is None:
        raise missing("picture")
    return FileResponse(path, media_type="image/jpeg", headers={"Cache-Control": "private, no-store"})


@router.get("/study/{key}/end")
def end(request: Request, study: Chosen) -> Response:
    """Thanks, and how one did beside the detectors."""
    person = _person(request, study)
    if person is None:
        return see(f"/study/{study.facts.key}")
    stimuli = {stimulus.id: stimulus for stimulus in study.stimuli()}
    mine = study.answers(person.number)
    if len(mine) < len(person.shown):
        return see(f"/study/{study.facts.key}/feed")
    said = {one.stimulus: one for one in study.machine_answers() if one.detector == "veriscope"}
    right = sum(given.answer == stimuli[given.stimulus].label for given in mine)
    machine = sum((said[one.stimulus].log10_lr > 0) == (stimuli[one.stimulus].label == "generated") for one in mine)
    told = [(given, stimuli[given.stimulus], said[given.stimulus]) for given in mine]
    return render(
        request, "study_end.html.j2", None, study=study.facts, right=right, machine=machine, told=told, total=len(mine)
    )


@router.post("/study/{key}/withdraw")
def withdraw(request: Request, study: Chosen, _form: Said) -> Response:
    """Take back all one's answers."""
    study.withdraw(_taking_part(request, study))
    gone = render(request, "study_withdrawn.html.j2", None, study=study.facts)
    gone.delete_cookie(COOKIE, path=f"/study/{study.facts.key}")
    return gone


@router.get("/study/{key}/results")
def results_page(request: Request, study: Chosen, who: Anyone, finished: str = "") -> Response:
    """People's errors beside the detectors', with intervals."""
    found = results(study, finished=finished == "1")
    return render(
        request, "study_results.html.j2", who, found=found, percent=percent, sure=SURE, finished=finished == "1"
    )


@router.get("/study/{key}/results.json")
def results_json(study: Chosen, _who: Anyone, finished: str = "") -> Response:
    """The results for programs."""
    return JSONResponse(results(study, finished=finished == "1"))


@router.get("/study/{key}/answers.csv")
def answers_csv(study: Chosen, _who: Anyone) -> Response:
    """Every answer, for other programs' statistics."""
    return Response(as_csv(study), media_type="text/csv", headers=attachment(f"study-{study.facts.key}.csv"))


@router.post("/study/{key}/{what}")
def change(study: Chosen, service: Serving, who: Examiner, _form: Form, what: str) -> Response:
    """Close a study, open it again, or delete it with all answers."""
    key = study.facts.key
    if what in ("close", "open"):
        study.close(what == "close")
        _log(service, who, f"{what} a study", key)
        return see(f"/study/{key}/results")
    if what == "delete":
        study.delete()
        _log(service, who, "delete a study", key)
        return see("/study")
    raise missing("action")


@router.get("/study/{key}/delete")
def ask_to_delete(request: Request, study: Chosen, who: Examiner) -> Response:
    """Ask whether a study is to be deleted."""
    facts = study.facts
    return render(
        request,
        "delete.html.j2",
        who,
        title=facts.title,
        what="",
        back=f"/study/{facts.key}",
        kind="study",
        keep="/results",
    )


def _log(service: Service, who: Visitor, what: str, key: str) -> None:
    service.audit.record(who.who, what, key, who.address)
