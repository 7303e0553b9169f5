"""Tampered text: which characters of a document, receipt, card or screen were put there later than the rest?

Characters that were replaced, copied from elsewhere, or painted out and rewritten differ from the rest of their page in the
noise, the blur, the shape of their edges and the steps that saving left; a network of two streams, one on the picture and one
on its high-pass residuals and DCT coefficients, compares them with the page. It is asked only where there is text, fails when
a later save or a strong resize wiped those traces out, and learned Latin letters on rendered documents alone: handwriting,
stamps and text that an app laid over a picture may be called wrongly.

Paper: Luo et al. 2024 (Toward Real Text Manipulation Detection: New Dataset and New Solution).
"""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope import models
from veriscope.picture import Picture
from veriscope.tampering.dense import chance, limited, tiled
from veriscope.tampering.localisation import Localisation, resized
from veriscope.tampering.regions import Region, regions, where
from veriscope.tampering.trained import Trained

STRIDE = 4  # pixels a side of one value of the map
MOST_PIXELS = 4_000_000  # larger pictures are made smaller first
LEAST_AREA = 160  # pixels: about one character of 12 px; a smaller region is not called
LEAST_TEXT = 0.02  # share of the picture's cells with text, from which it applies; most photographs lie below
CELL = 32  # pixels a side of a cell that is asked for text
SCALES = (1, 2)  # times smaller that the picture is looked at, so that large letters count too
AROUND = 13  # pixels a side within which a stroke is compared with its ground
LEAST_CONTRAST = 48  # grey levels between stroke and ground
GROUND = 0.5  # share of a cell that is plain ground: nearer to one end of the contrast than a quarter of it
ACROSS, DOWN = (0.06, 0.45), (0.035, 0.45)  # share of a cell's steps to the next pixel that enter or leave a stroke
STEP = 0.3  # of the contrast, that such a step takes
LEAST_TOGETHER = 3  # cells: text comes in words


def text_cells(luma: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which cells of a picture look like text: plain ground with dense, high-contrast strokes.

    Args:
        luma: float32 (H, W) in [0, 255].
    Returns:
        bool (ceil(H / 32), ceil(W / 32)).
    """
    rows, columns = (-(-size // CELL) for size in luma.shape)
    found = np.zeros((rows, columns), bool)
    levels = np.clip(np.rint(luma), 0, 255).astype(np.uint8)
    for scale in SCALES:
        size = luma.shape[1] // scale, luma.shape[0] // scale
        if min(size) < CELL:
            break
        small = levels if scale == 1 else cv2.resize(levels, size, interpolation=cv2.INTER_AREA)
        cells = np.kron(_stroked(np.asarray(small, np.uint8)), np.ones((scale, scale), bool))
        missing = max(0, rows - cells.shape[0]), max(0, columns - cells.shape[1])
        found |= np.pad(cells, ((0, missing[0]), (0, missing[1])), mode="edge")[:rows, :columns]
    return found


def _stroked(luma: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """As ``text_cells``, of ``uint8 (H, W)`` at one scale."""
    more = -luma.shape[0] % CELL, -luma.shape[1] % CELL
    padded = np.pad(luma, ((0, more[0]), (0, more[1])), mode="edge")
    kernel = np.ones((AROUND, AROUND), np.uint8)
    low = cv2.erode(padded, kernel).astype(np.int16)
    contrast = cv2.dilate(padded, kernel).astype(np.int16) - low
    above = 4 * (padded.astype(np.int16) - low)
    clear = contrast >= LEAST_CONTRAST
    light, dark = _share((above > 3 * contrast) | ~clear), _share((above < contrast) | ~clear)
    least = np.maximum(STEP * contrast, STEP * LEAST_CONTRAST).astype(np.int16)
    values = padded.astype(np.int16)
    across = np.abs(np.diff(values, axis=1, prepend=values[:, :1])) > least
    down = np.abs(np.diff(values, axis=0, prepend=values[:1])) > least
    text = np.maximum(light, dark) >= GROUND
    for share, (least_share, most) in ((_share(across), ACROSS), (_share(down), DOWN)):
        text &= (share >= least_share) & (share <= most)
    _, labels, facts, _ = cv2.connectedComponentsWithStats(text.astype(np.uint8), connectivity=8)
    return np.asarray(text & (facts[labels, cv2.CC_STAT_AREA] >= LEAST_TOGETHER))


def _share(of: NDArray[np.bool_]) -> NDArray[np.float32]:
    high, wide = of.shape[0] // CELL, of.shape[1] // CELL
    return np.asarray(cv2.resize(of.astype(np.float32), (wide, high), interpolation=cv2.INTER_AREA), np.float32)


def looks_like_text(luma: NDArray[np.float32]) -> float:
    """The share, in [0, 1], of a picture ``float32 (H, W)`` in [0, 255] that looks like text, as ``text_cells`` tells it."""
    return float(text_cells(luma).mean())


def near_text(cells: NDArray[np.bool_], height: int, width: int) -> NDArray[np.float32]:
    """1 in and beside cells with text, else 0, at ``(height, width)``: float32."""
    wider = cv2.dilate(cells.astype(np.uint8), np.ones((3, 3), np.uint8))
    full = np.kron(wider, np.ones((CELL // STRIDE, CELL // STRIDE), np.uint8))
    return np.ascontiguousarray(full[:height, :width], np.float32)


def called(values: NDArray[np.float32], judged: NDArray[np.float32]) -> list[Region]:
    """The regions that a map at ``STRIDE`` calls tampered: at 0.5 or above, and as large as a character at least."""
    return regions(values, judged, least=LEAST_AREA / STRIDE**2 / values.size)


class TextTampering(Trained):
    """Which characters differ in their traces from the rest of the text?"""

    name: ClassVar[str] = "text_tampering"

    def find(self, picture: Picture) -> Localisation | None:
        """The network's map where there is text; None where there is next to none.

        Raises:
            ModelError: the weights are missing or damaged.
        """
        rgb = limited(picture.rgb, MOST_PIXELS)
        smaller = rgb.shape[0] < picture.height
        cells = text_cells(resized(picture.luma, *rgb.shape[:2]))
        if cells.mean() < LEAST_TEXT:
            return None
        session = models.open_session(self.name)

        def run(pixels: NDArray[np.float32], place: tuple[float, float, float, float]) -> list[NDArray[np.float32]]:
            (top, left), (high, wide) = place[:2], place[2:]
            rows, columns = cells.shape
            part = cells[
                int(top * rows) : int(np.ceil((top + high) * rows)),
                int(left * columns) : int(np.ceil((left + wide) * columns)),
            ]
            if not part.any():
                return [np.zeros((1, pixels.shape[2] // STRIDE, pixels.shape[3] // STRIDE), np.float32)]
            odds = session.run(None, {"pixels": pixels})[0][0]
            return [chance(odds)]

        values = tiled(rgb, run, STRIDE)[0][0]
        judged = near_text(cells, *values.shape)
        values = values * judged
        found = called(values, judged)
        return Localisation(
            map=values,
            judged=judged,
            score=max((region.mean for region in found), default=min(0.49, float(_smooth(values).max()))),
            says=_sentence(found),
            reliability=0.4 if smaller else 0.6,
            reason="it learned from rendered documents alone"
            + ("; the picture was made smaller to be looked at" if smaller else ""),
        )


def _smooth(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.blur(values, (3, 3)), np.float32)


def _sentence(found: list[Region]) -> str:
    if not found:
        return "No characters stand out from the rest of the text by their noise, edges and compression."
    places = "In one place" if len(found) == 1 else f"In {len(found)} places"
    return (
        f"{places}, the largest {where(found[0].place)}, characters differ from the rest of the text in noise, edges and "
        "compression, as replaced or pasted ones do."
    )
