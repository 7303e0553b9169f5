"""Makes a study: draws pictures from a manifest, strips what gives them away, asks the detectors about the same files."""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from veriscope import batch
from veriscope.errors import PictureError, VeriscopeError
from veriscope.evidence import Question
from veriscope.lab.data.manifest import Row, load_pixels, read_manifest
from veriscope.server.study_store import FOLDER, PICTURES, Facts, MachineAnswer, Stimulus, Study

LETTERS: Final = "abcdefghijkmnpqrstuvwxyz23456789"
WHOLE: Final = "veriscope"
"""The detector that all of them together are: the verdict of the report."""


@dataclass(frozen=True)
class Plan:
    """How a study is made.

    Attributes:
        title: what people see it called.
        pictures: in the study, half of them generated.
        each: that one person is shown.
        side: longer side that every picture is reduced to, pixels.
        quality: JPEG quality that every picture is saved at.
        seconds: that a picture can be seen; 0 for as long as one likes.
        split: of the manifest; empty for all.
        seed: of the drawing.
        quick: leave out the detectors that take long.
        contact: who answers questions about the study.
    """

    title: str = "Real or generated?"
    pictures: int = 60
    each: int = 20
    side: int = 1024
    quality: int = 92
    seconds: float = 0.0
    split: str = ""
    seed: int = 0
    quick: bool = True
    contact: str = ""


def create(data: Path, manifest: Path, plan: Plan, tell: Callable[[str], None] = lambda _: None) -> Study:
    """Make a study in a server's data folder; nothing is left where it fails.

    Every picture is saved anew in one format without metadata, so that neither people nor detectors see more than pixels.

    Args:
        data: the server's data folder.
        manifest: of pictures labelled real and generated.
        plan: how it is made.
        tell: called with a line for each picture.
    Raises:
        VeriscopeError: the manifest has too few pictures of a class, or cannot be read.
    """
    _check(plan)
    rows = draw(read_manifest(manifest, [plan.split] if plan.split else None), plan.pictures, plan.seed)
    key = "".join(secrets.choice(LETTERS) for _ in range(10))
    folder = data / FOLDER / key
    making = folder.with_name(f".{key}.partial")
    (making / PICTURES).mkdir(parents=True)
    try:
        stimuli: list[Stimulus] = []
        answers: list[MachineAnswer] = []
        software: dict[str, str] = {}
        asked = batch.Settings(quick=plan.quick)
        for row in rows:
            stimulus = _prepare(row, making / PICTURES, plan)
            path = making / PICTURES / f"{stimulus.id}.jpg"
            report = asked.examine(path, 0)
            software |= {"veriscope": report.software.veriscope} | report.software.models
            verdict = report.pixels[str(Question.GENERATED)]
            answers.append(MachineAnswer(stimulus.id, WHOLE, verdict.log10_lr, verdict.state))
            answers += [
                MachineAnswer(stimulus.id, heard.detector, heard.log10_lr, "")
                for heard in report.evidence
                if heard.weighed and heard.question == Question.GENERATED
            ]
            stimuli.append(stimulus)
            tell(f"{len(stimuli)} of {len(rows)}: {row.key}: {verdict.state} (log10 LR {verdict.log10_lr:+.1f})")
        facts = Facts(
            key=key,
            title=plan.title,
            created=datetime.now(UTC).date().isoformat(),
            each=plan.each,
            seconds=plan.seconds,
            contact=plan.contact,
            manifest=manifest.name,
            seed=plan.seed,
            software=software,
        )
        Study.make(making, facts, stimuli, answers)
        making.rename(folder)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise
    return Study(folder)


def _check(plan: Plan) -> None:
    if not 2 <= plan.each <= plan.pictures:
        raise VeriscopeError(
            f"a person is shown {plan.each} pictures of {plan.pictures}: it must be 2 at least and no more than there are"
        )
    if plan.pictures % 2 or plan.each % 2:
        raise VeriscopeError("half of the pictures are generated, so their numbers must be even")
    if not 64 <= plan.side <= 4096 or not 50 <= plan.quality <= 100 or plan.seconds < 0:
        raise VeriscopeError("--side must be 64 to 4096, --quality 50 to 100, --seconds 0 or more")


def draw(rows: Sequence[Row], pictures: int, seed: int) -> list[Row]:
    """``pictures`` of the rows, half of them generated, each class spread over its sources, no two of one group.

    Raises:
        VeriscopeError: there are too few.
    """
    generator = np.random.default_rng(seed)
    chosen: list[Row] = []
    for label in ("generated", "real"):
        of: dict[str, list[Row]] = {}
        for place in generator.permutation(len(rows)):
            if rows[place].label == label:
                of.setdefault(rows[place].source, []).append(rows[place])
        groups: set[str] = {row.group for row in chosen}
        found: list[Row] = []
        while of and len(found) < pictures // 2:
            for source in sorted(of):
                while of[source] and of[source][-1].group in groups:
                    of[source].pop()
                if of[source] and len(found) < pictures // 2:
                    groups.add(of[source][-1].group)
                    found.append(of[source].pop())
            of = {source: left for source, left in of.items() if left}
        if len(found) < pictures // 2:
            raise VeriscopeError(
                f"the manifest has {len(found)} {label} pictures of different groups; the study needs {pictures // 2}"
            )
        chosen += found
    return chosen


def _prepare(row: Row, folder: Path, plan: Plan) -> Stimulus:
    pixels = load_pixels(row)
    height, width = pixels.shape[:2]
    scale = min(1.0, plan.side / max(height, width))
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    bgr = np.ascontiguousarray(pixels[:, :, ::-1])
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, plan.quality])
    if not done:
        raise PictureError(str(row.path), "it cannot be saved as JPEG")
    name = secrets.token_hex(8)
    (folder / f"{name}.jpg").write_bytes(data.tobytes())
    return Stimulus(
        id=name,
        label=row.label,
        source=row.source,
        generator=row.generator,
        face=row.face == "1",
        art=row.art == "1",
        width=pixels.shape[1],
        height=pixels.shape[0],
        sha256=hashlib.sha256(data.tobytes()).hexdigest(),
    )
