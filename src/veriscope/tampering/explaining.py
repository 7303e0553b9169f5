"""A paragraph on the edit, composed from measured facts alone: where, how large, which traces agree, what is hidden.

Nothing here reasons about what the picture shows. Each clause stands for a number of this examination, and is left out where
the number is missing. The kind of edit is named only where one method that looks for just that kind, and little else, points
at the same place as the map of all.

Papers: Huang et al. 2025 (SIDA: class, mask and explanation); Xu et al. 2025 (FakeShield: kinds of edits told apart). Both
have a language model write; a user's own can be joined to the report by the entry point ``veriscope.explainers``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from veriscope.container.jpeg import history
from veriscope.evidence import Evidence, Explanation, Question, Verdict
from veriscope.picture import Picture
from veriscope.tampering.localisation import resized
from veriscope.tampering.regions import Region, regions, where

TRACES = {  # detector: what agrees, as the object of "which ... show"
    "double_quantisation": "the marks of an earlier JPEG save",
    "grid": "the 8 × 8 grid of JPEG blocks",
    "jpeg_ghosts": "the quality at which parts were saved before",
    "fingerprint": "noise and processing traces",
    "consistency": "the consistency of saving, scaling and colour",
    "noise_level": "the level of noise",
    "demosaicing": "the camera's colour interpolation",
    "copy_move": "a repeated part",
    "copy_move_keypoints": "repeated details",
    "weak": "a second network",
    "text_tampering": "the look of the letters",
    "warps": "local warping",
}
KINDS = {  # detector: the kind of edit that it alone looks for
    "copy_move": "a part copied within the picture",
    "copy_move_keypoints": "a part copied within the picture",
    "text_tampering": "changed text",
    "warps": "local warping, as of a face or a body",
}
FOREIGN = {"double_quantisation", "grid", "jpeg_ghosts", "demosaicing", "consistency", "fingerprint"}
PASTED = "a part from elsewhere, or made anew"
FOREIGN_LEAST = 2  # of the traces of another origin, from which that kind is named
AGREES = 0.5  # mean of a method's map in the region from which it agrees with the map of all
LOW_QUALITY = 75  # JPEG quality below which saving hides most traces
SMALL = 256  # pixels on the short side


def explain(picture: Picture, verdict: Verdict, heard: Sequence[Evidence]) -> Explanation:
    """What the evidence on "was it edited?" says together.

    Args:
        picture: the examined picture.
        verdict: on the question.
        heard: all evidence; that of other questions is passed over.
    """
    told = [item for item in heard if item.question == Question.EDITED and item.map is not None]
    fused = next((item for item in told if item.weighed), None)  # the full or the quick one
    hidden = hides(picture)
    if fused is None or fused.map is None:
        return Explanation(says=f"Whether part of the picture was edited could not be weighed.{hidden}")
    if verdict.state != "yes":
        sentence = (
            "Nothing measured points at an edit."
            if verdict.state == "no"
            else "What was measured does not tell whether part of the picture was edited; a map below is a place to look at, "
            "not a finding."
        )
        return Explanation(says=sentence + hidden)
    places = regions(fused.map, np.ones_like(fused.map))
    if not places:
        return Explanation(
            says="The picture as a whole bears traces of an edit, but no single place stands out." + hidden
        )
    agreeing = [item.detector for item in told if item.detector in TRACES and _agrees(item, fused, places[0])]
    kind = kind_of(agreeing)
    share = sum(region.share for region in places)
    sentences = [
        f"The traces point at {_number(len(places), 'place')}, {_share(share)} of the picture; the largest lies "
        f"{where(places[0].place)}."
    ]
    if agreeing:
        sentences.append(f"There, these agree: {', '.join(dict.fromkeys(TRACES[name] for name in agreeing))}.")
    else:
        sentences.append("No single trace shows it alone; it is the finding of the network that was trained on edits.")
    sentences.append(f"They look like {kind}." if kind else "Which kind of edit it was, the traces do not tell.")
    return Explanation(
        says=" ".join(sentences) + hidden,
        kind=kind,
        places=[region.place for region in places],
        share=round(share, 4),
        agreeing=agreeing,
    )


def kind_of(agreeing: Sequence[str]) -> str:
    """The kind of edit that the agreeing methods allow to name; empty where they do not.

    >>> kind_of(["weak", "copy_move"]), kind_of(["grid", "noise_level"]), kind_of(["grid", "jpeg_ghosts"])
    ('a part copied within the picture', '', 'a part from elsewhere, or made anew')
    """
    named = [KINDS[name] for name in agreeing if name in KINDS]
    if named:
        return named[0] if len(set(named)) == 1 else ""
    return PASTED if len(FOREIGN.intersection(agreeing)) >= FOREIGN_LEAST else ""


def hides(picture: Picture) -> str:
    """What saving and size have hidden, as a sentence that begins with a space; empty where nothing is known to."""
    past = history(picture)
    reasons = []
    if past.current_quality is not None and past.current_quality < LOW_QUALITY:
        reasons.append(f"saving as JPEG at quality {past.current_quality} has wiped out most fine traces")
    if min(picture.width, picture.height) < SMALL:
        reasons.append(f"at {picture.width} × {picture.height} px small edits leave too few pixels to judge")
    return f" Bear in mind: {' and '.join(reasons)}." if reasons else ""


def _agrees(item: Evidence, fused: Evidence, region: Region) -> bool:
    assert item.map is not None
    assert fused.map is not None
    height, width = fused.map.shape
    left, top, right, bottom = region.box
    window = (
        slice(int(top * height), max(int(top * height) + 1, round(bottom * height))),
        slice(int(left * width), max(int(left * width) + 1, round(right * width))),
    )
    inside = fused.map[window] >= 0.5
    values = resized(item.map, height, width)[window]
    return bool(inside.any()) and float(values[inside].mean()) >= AGREES


def _number(count: int, what: str) -> str:
    words = ("no", "one", "two", "three", "four", "five", "six")
    return f"{words[count] if count < len(words) else count} {what}{'' if count == 1 else 's'}"


def _share(share: float) -> str:
    return "less than 1%" if share < 0.01 else f"about {share:.0%}"
