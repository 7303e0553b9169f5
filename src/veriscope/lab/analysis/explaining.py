"""One picture explained for one detector: its score, the maps of where that comes from, and a sentence that says it.

Papers: Selvaraju et al. 2017 (Grad-CAM); Zeiler & Fergus 2014 (occlusion); see ``gradcam`` and ``occlusion`` for what each can
and cannot show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from veriscope import plugins
from veriscope.lab.analysis import drawing
from veriscope.lab.analysis.drawing import Panel
from veriscope.lab.analysis.gradcam import gradcam
from veriscope.lab.analysis.occlusion import Box, boxes, occlusion, with_score
from veriscope.lab.analysis.trained import trained
from veriscope.picture import Picture
from veriscope.synthetic.learned import OnDetails

DOWN, ACROSS = ("upper", "middle", "lower"), ("left", "middle", "right")


@dataclass(frozen=True)
class Explained:
    """What a detector says of a picture, and where that comes from.

    Attributes:
        detector: its name.
        score: raw; higher speaks for "generated".
        panels: the maps, each with its place in the picture.
        unit: of the maps' values.
        note: how they were made and are read.
    """

    detector: str
    score: float
    panels: list[Panel]
    unit: str
    note: str

    def sentence(self, picture: Picture) -> str:
        """The score and the place that speaks loudest, in words."""
        told, place = loudest(self.panels, picture)
        return f"{self.detector} scores {picture.name} {self.score:+.2f}; what speaks most for {told!r} lies {place}"


def by_gradcam(name: str, picture: Picture, work: Path) -> Explained:
    """Grad-CAM of the network that a training left in ``work``.

    Raises:
        VeriscopeError: there is none, or it makes no maps.
    """
    asked = trained(name, work, instead="--method occlusion")
    (detector,) = plugins.named([name])
    squares = asked.squares(picture.rgb)
    scores, heats = gradcam(asked.network, asked.inputs(squares))
    places = boxes(detector, picture.rgb) if isinstance(detector, OnDetails) else [_middle(picture)]
    panels = [
        Panel(
            f"{number}: score {score:+.2f}" if len(squares) > 1 else f"score {score:+.2f}",
            square,
            asked.onto(square, heat),
            box,
        )
        for number, (score, square, heat, box) in enumerate(zip(scores, squares, heats, places, strict=True), 1)
    ]
    note = "Grad-CAM of the last maps, not rectified. Each part is judged alone; the detector's score is their mean."
    return Explained(name, float(scores.mean()), panels, "share of the score, each cell of the last maps", note)


def by_occlusion(name: str, picture: Picture, cells: int, say: Callable[[str], None]) -> Explained:
    """How an installed detector's score falls when one cell after the other is blurred away.

    Args:
        name: of the detector.
        picture: the one to explain.
        cells: along the shorter side of each part that it looks at.
        say: called with each line of progress.
    Raises:
        VeriscopeError: it is not there, or gives no score.
    """
    (found,) = plugins.named([name])
    detector = with_score(found, name)
    panels = []
    for number, box in enumerate(parts := boxes(detector, picture.rgb), 1):
        top, left, bottom, right = box
        whole = len(parts) == 1
        heat = occlusion(detector, picture, box, cells, say)
        part = picture.rgb[top:bottom, left:right]
        panels.append(Panel("what blurring takes" if whole else f"part {number}", part, heat, None if whole else box))
    note = "Each cell was blurred away alone. A cell that says what its neighbours say changes nothing."
    return Explained(name, detector.score(picture), panels, "fall of the score when the cell is blurred", note)


def write(path: Path, picture: Picture, explained: Explained) -> None:
    """Draw an explanation as PNG."""
    title = f"{explained.detector}: {explained.score:+.2f}   {picture.name}"
    drawing.explanation(path, picture.rgb, explained.panels, title=title, note=explained.note, unit=explained.unit)


def loudest(panels: Sequence[Panel], picture: Picture) -> tuple[str, str]:
    """What the largest value of maps speaks for, and in which ninth of the picture it lies."""
    panel = max(panels, key=lambda panel: float(np.abs(panel.heat).max()))
    row, column = np.unravel_index(int(np.abs(panel.heat).argmax()), panel.heat.shape)
    told = "generated" if panel.heat[row, column] > 0 else "real"
    top, left, bottom, right = panel.box or (0, 0, picture.height, picture.width)
    down = (top + (row + 0.5) / panel.heat.shape[0] * (bottom - top)) / picture.height
    across = (left + (column + 0.5) / panel.heat.shape[1] * (right - left)) / picture.width
    words = DOWN[min(2, int(3 * down))], ACROSS[min(2, int(3 * across))]
    return told, "in the middle" if words == ("middle", "middle") else f"at the {words[0]} {words[1]}"


def _middle(picture: Picture) -> Box:
    side = min(picture.height, picture.width)
    top, left = (picture.height - side) // 2, (picture.width - side) // 2
    return top, left, top + side, left + side
