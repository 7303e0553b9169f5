"""examine(): open a picture, let each detector that applies speak, weigh, report."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version as installed
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from veriscope import models, plugins
from veriscope.container import declarations
from veriscope.evidence import (
    Declaration,
    Evidence,
    EvidenceRow,
    FileFacts,
    Question,
    Report,
    Sighting,
    Software,
    Verdict,
    map_to_data_uri,
)
from veriscope.picture import Limits, Picture, open_picture
from veriscope.plugins import Detector
from veriscope.tampering.explaining import explain
from veriscope.weighing import TESTED, answer, strength, weigh

TIME_LIMIT = 60.0  # seconds for each detector
PREVIEW_SIDE = 1600  # pixels: the picture inside a report
ASKED = (Question.GENERATED, Question.EDITED)
SEEN = {  # by the replication level of the best match
    5: "it is a known picture, the same or only saved again",
    4: "it is a lightly edited copy of a known picture",
    3: "it is a heavily edited copy of a known picture",
    2: "it reuses part of a known picture",
}


def examine(
    source: str | Path | bytes | BinaryIO | Picture,
    *,
    name: str | None = None,
    detectors: Sequence[str] | None = None,
    declared_only: bool = False,
    quick: bool = False,
    known: Path | None = None,
    limits: Limits | None = None,
    time_limit: float = TIME_LIMIT,
    preview: int = PREVIEW_SIDE,
    command: str = "",
    progress: Callable[[str], None] | None = None,
) -> Report:
    """Examine one picture.

    Args:
        source: a path, the bytes of a file, a binary stream, or an opened picture.
        name: what to call it in the report; the path's name by default.
        detectors: the names of those to ask; by default all but those that wait for a request.
        declared_only: read only what the file declares; the pixels are not asked.
        quick: leave out the methods that take long; those for edits have a calibration of their own for it.
        known: the folder of an index of known pictures (``veriscope index``) to look for the picture's originals in.
        limits: how large a file and how many pixels may be opened.
        time_limit: seconds that each detector may take.
        preview: longest side in pixels of the copy that is kept for renderers; 0 for none.
        command: the command that reproduces the report, if there is one.
        progress: called with each detector's name before it is asked.
    Raises:
        PictureError: it cannot be opened as a picture.
        PluginError: a named detector does not exist.
        VeriscopeError: the index cannot be read.
    """
    started = time.perf_counter()
    asked = () if declared_only else plugins.asked(quick=quick) if detectors is None else plugins.named(list(detectors))
    picture = source if isinstance(source, Picture) else open_picture(source, name=name, limits=limits)
    declared = declarations(picture)
    seen = None if known is None else _sightings(picture, known)
    answers = hear(picture, asked, time_limit=time_limit, progress=progress)
    heard = [evidence for evidence, _ in answers]
    others = {item.question for item in heard if item.weighed or item.question not in TESTED} - set(ASKED)
    questions = [] if declared_only else [*ASKED, *sorted(others)]
    pixels = {str(question): weigh(question, heard, models.panels()) for question in questions}
    edited = pixels.get(str(Question.EDITED)) if any(item.question == Question.EDITED for item in heard) else None
    report = Report(
        file=FileFacts(
            name=picture.name,
            sha256=picture.sha256,
            bytes=len(picture.data),
            width=picture.width,
            height=picture.height,
            format=picture.format,
            notes=list(picture.notes),
        ),
        headline=headline(declared, pixels, seen),
        declares=declared,
        seen=seen,
        pixels=pixels,
        answer=answer(pixels),
        explanation=None if edited is None else explain(picture, edited, heard),
        evidence=[_row(evidence, seconds) for evidence, seconds in answers],
        software=Software(veriscope=installed("veriscope"), models=_models_used(heard), command=command),
        seconds=round(time.perf_counter() - started, 3),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    if preview:
        report._preview = _preview(picture, preview)
    return _in_other_words(report, picture)


def _in_other_words(report: Report, picture: Picture) -> Report:
    """The report with what the user's own explainers write of it; a failing one says so in its place."""
    explainers = plugins.explainers() if report.explanation is not None else {}
    if not explainers or report.explanation is None:
        return report
    written: dict[str, str] = {}
    for name, explainer in explainers.items():
        try:
            written[name] = str(explainer(picture, report))
        except Exception as error:
            written[name] = f"No words: {type(error).__name__}: {error}"
    preview = report.preview
    told = report.model_copy(update={"explanation": report.explanation.model_copy(update={"by_user_model": written})})
    told._preview = preview
    return told


def hear(
    picture: Picture,
    detectors: Sequence[Detector] | None = None,
    *,
    time_limit: float = TIME_LIMIT,
    progress: Callable[[str], None] | None = None,
) -> list[tuple[Evidence, float]]:
    """What each detector that applies says of a picture, and the seconds it took; by default ``plugins.asked()``."""
    answers = []
    for detector in plugins.asked() if detectors is None else detectors:
        if progress is not None:
            progress(detector.name)
        began = time.perf_counter()
        evidence = _ask(detector, picture, time_limit)
        if evidence is not None:
            answers.append((evidence, time.perf_counter() - began))
    return answers


def _ask(detector: Detector, picture: Picture, time_limit: float) -> Evidence | None:
    """The detector's evidence; a failure or a timeout becomes evidence of reliability 0 with its reason."""
    answer: list[Evidence | None] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            answer.append(_checked(detector(picture)))
        except BaseException as error:
            failure.append(error)

    worker = threading.Thread(target=run, daemon=True, name=f"detector {detector.name}")
    worker.start()
    worker.join(time_limit)
    if answer:
        return answer[0]
    if failure:
        reason = f"the detector failed: {type(failure[0]).__name__}: {failure[0]}"
    else:
        reason = f"the detector did not answer within {time_limit:g} s"
    return Evidence(
        detector.name,
        str(detector.version),
        Question(detector.question),
        score=0.0,
        log10_lr=0.0,
        reliability=0.0,
        says="No statement: " + reason + ".",
        reason=reason,
    )


def _checked(evidence: Evidence | None) -> Evidence | None:
    if evidence is None:
        return None
    if not isinstance(evidence, Evidence):
        raise TypeError(f"it returned {type(evidence).__name__}, not Evidence")
    numbers = (evidence.score, evidence.log10_lr, evidence.reliability)
    if not all(np.isfinite(value) for value in numbers) or not 0 <= evidence.reliability <= 1:
        raise ValueError(f"score, log10_lr and reliability must be finite and reliability in [0, 1], not {numbers}")
    if evidence.map is not None and (
        evidence.map.ndim != 2 or not evidence.map.size or not np.isfinite(evidence.map).all()
    ):
        raise ValueError(f"its map must be finite and of shape (H, W), not {evidence.map.shape}")
    return evidence


def _row(evidence: Evidence, seconds: float) -> EvidenceRow:
    return EvidenceRow(
        detector=evidence.detector,
        version=evidence.version,
        question=str(evidence.question),
        score=round(float(evidence.score), 5),
        log10_lr=round(float(evidence.log10_lr), 3),
        reliability=round(float(evidence.reliability), 3),
        reason=evidence.reason,
        says=evidence.says,
        map=None if evidence.map is None else map_to_data_uri(evidence.map),
        weighed=evidence.weighed,
        seconds=round(seconds, 3),
    )


def _models_used(heard: Sequence[Evidence]) -> dict[str, str]:
    used = {item.detector for item in heard}
    return {name: entry.fingerprint for name, entry in models.registry().items() if used & set(entry.used_by)}


def _preview(picture: Picture, side: int) -> bytes:
    scale = min(1.0, side / max(picture.width, picture.height))
    pixels = picture.rgb
    if scale < 1:
        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    _, data = cv2.imencode(".jpg", np.ascontiguousarray(pixels[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 85])
    return data.tobytes()


def _sightings(picture: Picture, known: Path) -> list[Sighting]:
    from veriscope.copies.sighting import sightings  # its store is an extra, and slow to import

    return sightings(picture, known)


def headline(
    declared: Sequence[Declaration], pixels: dict[str, Verdict], seen: Sequence[Sighting] | None = None
) -> str:
    """One sentence that says no more than the verdicts, the declarations and the matches do, and keeps them apart."""
    return "; ".join([_pixels_clause(pixels), _declared_clause(declared), *_seen_clause(seen)]) + "."


def _seen_clause(seen: Sequence[Sighting] | None) -> list[str]:
    if not seen:
        return []
    told = SEEN.get(seen[0].level if seen[0].level is not None else -1, "it matches a known picture")
    return [told if len(seen) == 1 else f"{told} ({len(seen)} match)"]


def _pixels_clause(pixels: dict[str, Verdict]) -> str:
    verdict = pixels.get(str(Question.GENERATED))
    edited = pixels.get(str(Question.EDITED))
    if verdict is None:
        return "The pixels were not examined"
    if verdict.state == "yes":
        clause = f"The pixels give {strength(verdict.log10_lr)} support that a model generated this picture"
    elif verdict.state == "no":
        clause = f"The pixels give {strength(verdict.log10_lr)} support that this picture was not generated by a model"
    else:
        clause = "From the pixels, this tool cannot tell whether a model generated this picture"
    if edited is not None and edited.state == "yes":
        joined = ", but they give" if verdict.state == "cannot tell" else " and"
        clause += f"{joined} {strength(edited.log10_lr)} support that part of it was edited"
    return clause


def _declared_clause(declared: Sequence[Declaration]) -> str:
    credentials = next((item for item in declared if item.kind == "c2pa"), None)
    generative = any(item.generative for item in declared)
    contradictions = [item for item in declared if item.state == "contradiction"]
    clauses = []
    if generative:
        clauses.append("the file declares that a generative model made it or took part")
    if credentials is not None and credentials.state != "none":
        clauses.append(
            {
                "invalid": "its content credentials are invalid",
                "untrusted": "its content credentials are intact but their signer is not trusted",
                "trusted": "its content credentials are intact and their signer is trusted",
            }.get(credentials.state, "its content credentials could not be read")
        )
    if contradictions:
        clauses.append("what the file declares contradicts itself")
    if not clauses:
        return "the file declares nothing that speaks for or against it"
    return " and ".join(clauses)
