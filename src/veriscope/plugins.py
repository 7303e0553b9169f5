"""Which detectors there are: those of this package, and those that other packages bring by entry point.

A package joins with an entry point in the group ``veriscope.detectors`` whose object, called without arguments, returns a
``Detector``. One that cannot be loaded stays in the list and says so in every report; it never stops an examination.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol, runtime_checkable

from veriscope.errors import PluginError
from veriscope.evidence import Evidence, Question, Report
from veriscope.picture import Picture

GROUP = "veriscope.detectors"
EXPLAINERS = "veriscope.explainers"  # a user's own multimodal model: called with the picture and the report, gives text
BUNDLED = (
    "veriscope.synthetic.clip_mlp:CLIPMLP",
    "veriscope.synthetic.depths:Depths",
    "veriscope.tampering.fused:Fused",
    "veriscope.tampering.localiser:MainLocaliser",
    "veriscope.tampering.double_quantisation:DoubleQuantisation",
    "veriscope.tampering.grid:Grid",
    "veriscope.tampering.ghosts:Ghosts",
    "veriscope.tampering.fingerprint:Fingerprint",
    "veriscope.tampering.consistency:Consistency",
    "veriscope.tampering.noise_level:NoiseLevel",
    "veriscope.tampering.demosaicing:Demosaicing",
    "veriscope.tampering.copy_move:CopyMove",
    "veriscope.tampering.copy_move_keypoints:CopyMoveKeypoints",
    "veriscope.tampering.error_level:ErrorLevel",
    "veriscope.watermarks.generator_marks:GeneratorMarks",
)
IN_HASTE = ("FusedQuick",)  # stand in for slow ones in a quick examination
ON_REQUEST: tuple[str, ...] = (  # the field's methods, for comparison: asked only by name
    "veriscope.synthetic.aedetect:AEDetect",
    "veriscope.synthetic.closeup:Closeup",
    "veriscope.synthetic.cnndetection:CNNDetection",
    "veriscope.synthetic.code:Code",
    "veriscope.synthetic.dire:DIRE",
    "veriscope.synthetic.distildire:DistilDIRE",
    "veriscope.synthetic.effort:Effort",
    "veriscope.synthetic.geometry:Geometry",
    "veriscope.synthetic.laundering:Laundering",
    "veriscope.synthetic.npr:NPR",
    "veriscope.synthetic.patchcraft:PatchCraft",
    "veriscope.synthetic.rigid:RIGID",
    "veriscope.synthetic.rine:RINE",
    "veriscope.synthetic.selfcon:SelfCon",
    "veriscope.synthetic.sfld:SFLD",
    "veriscope.tampering.fused:FusedQuick",
    "veriscope.tampering.text_tampering:TextTampering",
    "veriscope.tampering.warps:Warps",
    "veriscope.tampering.weak:Weak",
)


@runtime_checkable
class Detector(Protocol):
    """What examines a picture. It states evidence and never decides."""

    name: str
    version: str
    question: Question

    def __call__(self, picture: Picture) -> Evidence | None:
        """The evidence, or None where the method does not apply to such a picture."""
        ...


class Broken:
    """Stands in for a detector that could not be loaded, and says so in each report."""

    version = "?"
    question = Question.GENERATED

    def __init__(self, name: str, error: BaseException) -> None:
        self.name = name
        self.error = error

    def __call__(self, picture: Picture) -> Evidence | None:  # noqa: ARG002 (the protocol's signature)
        """Always raises.

        Raises:
            PluginError: with the reason why the detector could not be loaded.
        """
        raise PluginError(f"detector {self.name} could not be loaded: {self.error}")


def _load(name: str, load: Callable[[], object]) -> Detector:
    try:
        factory = load()
        detector = factory() if callable(factory) else factory
        if not isinstance(detector, Detector):
            raise PluginError("it lacks one of: name, version, question, __call__")
        Question(detector.question)
    except Exception as error:
        return Broken(name, error)
    return detector


def asked(*, quick: bool = False) -> tuple[Detector, ...]:
    """The detectors that an examination asks unless told otherwise: all but those that wait for a request.

    Args:
        quick: leave out those that say of themselves that they take long, and ask what stands in for them.
    """
    waiting = {where.rpartition(":")[2] for where in ON_REQUEST}
    found = [
        detector for detector in detectors() if type(detector).__name__ not in waiting and detector.name not in waiting
    ]
    if not quick:
        return tuple(found)
    stand_ins = [detector for detector in detectors() if type(detector).__name__ in IN_HASTE]
    return (*stand_ins, *(detector for detector in found if getattr(detector, "quick", True)))


def _bundled(where: str) -> Callable[[], object]:
    module, _, attribute = where.partition(":")
    return lambda: getattr(import_module(module), attribute)


@lru_cache(maxsize=1)
def detectors() -> tuple[Detector, ...]:
    """All detectors, this package's first, then those of others in order of name; names are unique."""
    found = [_load(where.rpartition(":")[2], _bundled(where)) for where in (*BUNDLED, *ON_REQUEST)]
    entries: list[EntryPoint] = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    for entry in entries:
        detector = _load(entry.name, entry.load)
        if any(detector.name == other.name for other in found):
            detector = Broken(entry.name, PluginError(f"another detector is already called {detector.name!r}"))
        found.append(detector)
    return tuple(found)


@lru_cache(maxsize=1)
def explainers() -> dict[str, Callable[[Picture, Report], str]]:
    """The user's own explainers by name; one that cannot be loaded is left in the list and raises when it is called."""
    found: dict[str, Callable[[Picture, Report], str]] = {}
    for entry in sorted(entry_points(group=EXPLAINERS), key=lambda entry: entry.name):
        try:
            found[entry.name] = entry.load()
        except Exception as error:
            found[entry.name] = _unloadable(entry.name, error)
    return found


def _unloadable(name: str, error: Exception) -> Callable[[Picture, Report], str]:
    def explain(picture: Picture, report: Report) -> str:  # noqa: ARG001 (the shared signature)
        raise PluginError(f"explainer {name} could not be loaded: {error}")

    return explain


def named(names: list[str]) -> tuple[Detector, ...]:
    """The detectors of these names, in this order.

    Raises:
        PluginError: one of them does not exist.
    """
    known = {detector.name: detector for detector in detectors()}
    for name in names:
        if name not in known:
            raise PluginError(f"no detector is called {name!r}; there are: {', '.join(known)}")
    return tuple(known[name] for name in names)
