"""The values that travel from detectors to reports: Question, Evidence, Declaration, Verdict, Report."""

from __future__ import annotations

import base64
import enum
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

SCHEMA: Literal[1] = 1

State = Literal["yes", "no", "cannot tell"]
Answer = Literal["generated", "edited", "real", "cannot tell"]


class Question(enum.StrEnum):
    """What a detector may be asked."""

    GENERATED = "generated"
    EDITED = "edited"
    FACE_FORGED = "face_forged"
    COPIED = "copied"
    MARKED = "marked"
    MISCAPTIONED = "miscaptioned"


@dataclass(frozen=True, eq=False)
class Evidence:
    """One detector's statement about one question.

    Attributes:
        detector: the detector's name.
        version: its version; for a learned one that of its weights.
        question: what it speaks to.
        score: its raw score, not a probability.
        log10_lr: calibrated log10 likelihood ratio; 0 says nothing, positive speaks for the question.
        reliability: in [0, 1], how far this statement can be trusted on this picture.
        reason: why the reliability is what it is; empty when nothing lowers it.
        says: one plain sentence for the reader.
        map: optional float32 (H, W) in [0, 1], at any scale of the picture's own shape; high where it speaks for the question.
        weighed: whether ``weigh`` may count it; False for exhibits, which inform the reader and carry no weight.
    """

    detector: str
    version: str
    question: Question
    score: float
    log10_lr: float
    reliability: float
    says: str
    reason: str = ""
    map: NDArray[np.float32] | None = field(default=None, repr=False)
    weighed: bool = True


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Declaration(_Row):
    """One thing the file says of itself. A declaration is not proof, and its absence is not evidence of anything."""

    kind: str = Field(description="c2pa, generator, digital_source_type, vendor_tag, camera, software, dates, ...")
    state: str = Field(
        description="c2pa: none, invalid, untrusted or trusted; others: declared, contradiction or noted"
    )
    says: str = Field(description="one plain sentence")
    details: dict[str, Any] = Field(default_factory=dict, description="the values behind the sentence, JSON types only")

    @property
    def generative(self) -> bool:
        """Whether it says that a generative model made the picture or took part; never where the declaration is broken."""
        return self.state != "invalid" and (self.kind == "generator" or bool(self.details.get("generative")))


class Differing(_Row):
    """One region in which a picture's content differs from its original's."""

    kind: str = Field(description="added, removed or altered, as seen from the original")
    place: str = Field(description="in the picture, in words")
    share: float = Field(ge=0, le=1, description="of the picture's area")
    box: tuple[float, float, float, float] = Field(
        description="left, top, right and bottom in the picture, as fractions of its sides"
    )


class SightingDifference(_Row):
    """What differs between the picture and a known original; changes of saving, size and colour are made up for first.

    The maps are greyscale PNGs as data URIs: bright where content differs, at half brightness or more where a change is called.
    """

    says: str
    share: float = Field(description="of what both show, the part that differs in content")
    outside: float = Field(description="of the picture, the part that shows nothing of the original")
    recoloured: float = Field(description="root mean square change of colour, as a share of the range")
    changes: list[Differing] = Field(default_factory=list, description="the largest first")
    map: str = Field(description="over the picture")
    map_on_original: str = Field(description="over the original")
    frame: list[tuple[float, float]] = Field(
        default_factory=list, description="the original's corners in the picture, x and y as fractions of its sides"
    )
    frame_on_original: list[tuple[float, float]] = Field(
        default_factory=list, description="the picture's corners in the original, likewise"
    )


class Sighting(_Row):
    """One match in the user's index of known pictures."""

    reference: str
    score: float
    says: str
    level: int | None = Field(
        default=None, ge=0, le=5, description="how much of the original it replicates; null where nothing tells"
    )
    levels: list[float] = Field(default_factory=list, description="the probability of each level, 0 to 5")
    added: str = Field(default="", description="when the original came into the index, ISO 8601 in UTC")
    taken: str | None = Field(default=None, description="when the original's file says it was taken")
    original: str | None = Field(default=None, description="a small copy of the original, a JPEG as a data URI")
    difference: SightingDifference | None = Field(
        default=None, description="null where it is the same file, or nothing is left to compare"
    )
    details: dict[str, Any] = Field(default_factory=dict)


class Verdict(_Row):
    """What the pixels suggest about one question."""

    log10_lr: float
    reliability: float = Field(ge=0, le=1)
    state: State
    fpr: float | None = Field(description="the operating point a yes meets, 0.01 or 0.05; null otherwise")
    says: str


class EvidenceRow(_Row):
    """Evidence as it stands in a report; ``map`` is a greyscale PNG as a data URI, or null."""

    detector: str
    version: str
    question: str
    score: float
    log10_lr: float
    reliability: float
    reason: str
    says: str
    map: str | None = None
    weighed: bool = True
    seconds: float = 0.0


class Explanation(_Row):
    """What was measured of an edit, in words; composed from the evidence, never from what the picture shows."""

    says: str
    kind: str = Field(default="", description="of the edit; empty where it cannot be told")
    places: list[str] = Field(default_factory=list, description="where, in words, the largest first")
    share: float = Field(default=0.0, description="of the picture that the places take, in [0, 1]")
    agreeing: list[str] = Field(
        default_factory=list, description="detectors that point at the largest place themselves"
    )
    by_user_model: dict[str, str] = Field(
        default_factory=dict, description="what the user's own explainers wrote, by their name; not checked"
    )


class FileFacts(_Row):
    """The examined file. ``width`` and ``height`` are upright, in pixels."""

    name: str
    sha256: str
    bytes: int
    width: int
    height: int
    format: str
    notes: list[str] = Field(default_factory=list)


class Software(_Row):
    """What produced the report."""

    veriscope: str
    models: dict[str, str] = Field(
        default_factory=dict, description="model name to version and the first 12 digits of its SHA-256"
    )
    command: str = ""


class Report(BaseModel):
    """The whole examination of one picture; every surface renders this and nothing else."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    schema_version: Literal[1] = Field(default=SCHEMA, alias="schema")
    file: FileFacts
    headline: str
    declares: list[Declaration]
    seen: list[Sighting] | None = None
    pixels: dict[str, Verdict]
    answer: Answer = Field(default="cannot tell", description="what the verdicts on the pixels say together")
    explanation: Explanation | None = Field(
        default=None, description="of the edit, from measured facts; null where nothing looked for one"
    )
    evidence: list[EvidenceRow]
    software: Software
    seconds: float
    created: str = Field(description="when, ISO 8601 in UTC")
    _preview: bytes | None = PrivateAttr(default=None)

    @property
    def preview(self) -> bytes | None:
        """A JPEG of the picture for renderers, at most 1600 px a side; None when the report was read from JSON."""
        return self._preview

    def to_json(self, *, indent: int | None = 2) -> str:
        """The report as JSON, schema version 1."""
        return self.model_dump_json(by_alias=True, indent=indent)

    @classmethod
    def from_json(cls, text: str | bytes) -> Report:
        """The report that ``to_json`` wrote.

        Raises:
            pydantic.ValidationError: the text is not a report of this schema version.
        """
        return cls.model_validate_json(text)


def map_to_data_uri(values: NDArray[np.float32]) -> str:
    """A map ``float32 (H, W) in [0, 1]`` as an 8-bit greyscale PNG data URI, at most 512 px a side."""
    import cv2

    scale = min(1.0, 512 / max(values.shape))
    grey = np.clip(values * 255, 0, 255).astype(np.uint8)
    if scale < 1:
        size = max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale))
        grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)
    _, png = cv2.imencode(".png", grey)
    return "data:image/png;base64," + base64.b64encode(png.tobytes()).decode("ascii")
