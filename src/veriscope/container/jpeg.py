"""What a picture's JPEG structure says of where it has been: how it was saved, how often, and whether it was cropped.

From the file's tables and scans (certain) and from the traces earlier saves left in the pixels (estimated, see
``jpeg_traces``). History is no accusation: every messenger, web page and editor saves again, and many crop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.container.jpeg_coefficients import as_stored, coefficients
from veriscope.container.jpeg_markers import JpegStructure, structure
from veriscope.container.jpeg_tables import TableMatch, match_tables
from veriscope.container.jpeg_traces import FREQUENCIES, ROUNDING, best_comb, blocking, earlier_quantisation
from veriscope.evidence import Declaration
from veriscope.picture import Picture

# Set for at most 2 % false alarms by benchmarks/jpeg_history.py; its row for quality 60 came out at 3 pictures of 118.
DOUBLE_SCORE = 0.3  # nats a frequency
COMB_SCORE = 0.05  # nats a coefficient, lossless files
SHIFTED_COMB_SCORE = 0.03  # nats a coefficient, JPEGs with an earlier grid beside the present one
LARGEST_NOISE = 2.6  # grey levels: coarser saves are not searched: at quality 60 no shifted grid was found
WEAK = 1.5  # standard deviations of blocking below which only the strongest phase is followed up
ANALYSED_SIDE = 1024  # pixels: the central window that pixel statistics look at
SMALLEST_SIDE = 64  # pixels
USUAL = "Sharing, downloading or editing a picture commonly does this."


@dataclass(frozen=True)
class JpegHistory:
    """A picture's JPEG past. Estimates are None where the picture does not tell.

    Attributes:
        current_quality: IJG quality of the file's tables, the nearest where they are not standard; None for no JPEG.
        standard_tables: the tables are exactly the IJG tables; None for no JPEG.
        previous_quality: nearest IJG quality of the save before this one; for lossless files, of the last JPEG save.
        double_compressed: an earlier JPEG save shows under the present one; None for no JPEG or too little detail.
        was_jpeg: for lossless files, whether the pixels come from a JPEG; None for others or too little detail.
        grid_offset: (x, y) of the earlier save's 8x8 grid, upright for lossless files, as stored for JPEGs.
        grid_confidence: in [0, 1]; 0 where no earlier grid was found.
        progressive: the JPEG is progressive.
        scans: how many scans it holds, 0 for no JPEG.
        trailing_bytes: how many bytes follow its end.
        double_score: the statistic behind ``double_compressed``, nats a frequency.
        comb_score: the statistic behind ``was_jpeg`` and ``grid_offset``, nats a coefficient.
    """

    current_quality: int | None = None
    standard_tables: bool | None = None
    previous_quality: int | None = None
    double_compressed: bool | None = None
    was_jpeg: bool | None = None
    grid_offset: tuple[int, int] = (0, 0)
    grid_confidence: float = 0.0
    progressive: bool = False
    scans: int = 0
    trailing_bytes: int = 0
    double_score: float = 0.0
    comb_score: float = 0.0


def history(picture: Picture) -> JpegHistory:
    """The picture's JPEG past, computed once."""
    return picture.once("jpeg history", lambda: _history(picture))


def _history(picture: Picture) -> JpegHistory:
    layout = structure(picture)
    if layout is not None:
        return _jpeg_history(picture, layout)
    if not _is_lossless(picture):
        return JpegHistory()
    return _lossless_history(_grey_window(picture.rgb))


def _jpeg_history(picture: Picture, layout: JpegStructure) -> JpegHistory:
    match = _tables(layout)
    stored = coefficients(picture)
    earlier = None if stored is None else earlier_quantisation(stored.window, stored.table)
    double = None if earlier is None else earlier.score >= DOUBLE_SCORE
    offset, confidence, score, quality = (0, 0), 0.0, 0.0, None
    if earlier is not None and double:
        quality, confidence = earlier.quality, _confidence(earlier.score, DOUBLE_SCORE)
    elif stored is not None:
        luma = _grey_window(as_stored(picture.rgb, picture.orientation))
        # The present save has spread the earlier multiples by its own rounding error.
        noise = round(float(np.sqrt(ROUNDING**2 + np.square(stored.table[FREQUENCIES]).mean() / 12)), 1)
        tells = min(luma.shape) >= SMALLEST_SIDE and noise <= LARGEST_NOISE
        shifted = best_comb(luma, _candidates(luma), noise) if tells else None
        if shifted is not None:
            score = shifted[1].score
        if shifted is not None and score >= SHIFTED_COMB_SCORE:
            double, offset, quality = True, shifted[0], shifted[1].quality
            confidence = _confidence(score, SHIFTED_COMB_SCORE)
    return JpegHistory(
        current_quality=None if match is None else match.quality,
        standard_tables=None if match is None else match.standard,
        previous_quality=quality,
        double_compressed=double,
        grid_offset=offset,
        grid_confidence=confidence,
        progressive=layout.progressive,
        scans=layout.scans,
        trailing_bytes=layout.trailing_bytes,
        double_score=0.0 if earlier is None else earlier.score,
        comb_score=score,
    )


def _lossless_history(luma: NDArray[np.uint8]) -> JpegHistory:
    if min(luma.shape) < SMALLEST_SIDE:
        return JpegHistory()
    found = best_comb(luma, [(0, 0), *_candidates(luma)])
    if found is None:
        return JpegHistory()
    offset, best = found
    if best.score < COMB_SCORE:
        return JpegHistory(was_jpeg=False, comb_score=best.score)
    return JpegHistory(
        previous_quality=best.quality,
        was_jpeg=True,
        grid_offset=offset,
        grid_confidence=_confidence(best.score, COMB_SCORE),
        comb_score=best.score,
    )


def _candidates(luma: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """The grid origins that blocking suggests besides (0, 0), at most fifteen."""
    across, down = (
        [int(phase) for rank, phase in enumerate(np.argsort(strength)[::-1][:3]) if rank == 0 or strength[phase] > WEAK]
        for strength in blocking(luma)
    )
    return [(x, y) for x in {*across, 0} for y in {*down, 0} if (x, y) != (0, 0)]


def _confidence(score: float, threshold: float) -> float:
    return float(1 - 0.5 * np.exp(1 - score / threshold)) if score >= threshold else 0.0


def _grey_window(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    top = max(0, (rgb.shape[0] - ANALYSED_SIDE) // 2) // 8 * 8
    left = max(0, (rgb.shape[1] - ANALYSED_SIDE) // 2) // 8 * 8
    part = np.ascontiguousarray(rgb[top : top + ANALYSED_SIDE, left : left + ANALYSED_SIDE])
    return np.asarray(cv2.cvtColor(part, cv2.COLOR_RGB2GRAY), np.uint8)


def _is_lossless(picture: Picture) -> bool:
    if picture.format == "WEBP":
        return b"VP8L" in picture.data[:4096] and b"VP8 " not in picture.data[:4096]
    return picture.format in ("PNG", "TIFF", "BMP")


def _tables(layout: JpegStructure) -> TableMatch | None:
    luma = layout.table(0)
    return None if luma is None else match_tables(luma, layout.table(1))


def declared_jpeg(picture: Picture) -> list[Declaration]:
    """Plain sentences about the picture's JPEG structure and past; empty where there is nothing to say."""
    layout, past = structure(picture), history(picture)
    rows = [] if layout is None else _structure_rows(layout)
    rows += _history_rows(past)
    return rows


def _structure_rows(layout: JpegStructure) -> list[Declaration]:
    rows = []
    match = _tables(layout)
    if match is not None and layout.process:
        rows.append(_noted(_saved(layout, match), _details(layout, match)))
    if layout.trailing_bytes and layout.trailing != "padding":
        rows.append(
            _noted(
                f"{layout.trailing_bytes:,} bytes follow the end of the picture: {layout.trailing}.",
                {"trailing_bytes": layout.trailing_bytes, "trailing": layout.trailing},
            )
        )
    if not layout.complete:
        rows.append(_noted("The JPEG's structure is damaged or ends early; what is said of it may be incomplete.", {}))
    return rows


def _saved(layout: JpegStructure, match: TableMatch) -> str:
    article = "an" if layout.process[0] in "ae" else "a"
    kind = f"Saved as {article} {layout.process} JPEG"
    if match.standard:
        return f"{kind} at quality {match.quality} with the standard (libjpeg) tables."
    adobe = any(name.startswith(("APP13 Photoshop", "APP14 Adobe", "APP12 Ducky")) for name in layout.applications)
    owners = "Adobe programs, cameras and phones" if adobe else "cameras, phones and some programs"
    return (
        f"{kind} with tables that are not the standard (libjpeg) ones, nearest to quality {match.quality}; "
        f"{owners} use tables of their own."
    )


def _details(layout: JpegStructure, match: TableMatch) -> dict[str, Any]:
    return {
        "process": layout.process,
        "quality": match.quality,
        "standard_tables": match.standard,
        "same_table_for_chroma": match.same_chroma,
        "subsampling": layout.subsampling,
        "scans": layout.scans,
        "restart_interval": layout.restart_interval,
        "segments": list(layout.applications),
        "comments": list(layout.comments),
        "tables": {str(number): table.tolist() for number, table in layout.tables.items()},
    }


def _history_rows(past: JpegHistory) -> list[Declaration]:
    rows = []
    details = {
        "previous_quality": past.previous_quality,
        "double_score": round(past.double_score, 3),
        "comb_score": round(past.comb_score, 3),
        "grid_offset": list(past.grid_offset),
        "grid_confidence": round(past.grid_confidence, 3),
    }
    if past.double_compressed:
        rows.append(
            _noted(
                "The picture was saved as JPEG at least twice; the earlier save was at about quality "
                f"{past.previous_quality}. {USUAL}",
                details,
            )
        )
    if past.was_jpeg:
        rows.append(
            _noted(
                "The file is stored without loss, but its pixels were a JPEG before, at about quality "
                f"{past.previous_quality}. {USUAL}",
                details,
            )
        )
    if past.grid_confidence and past.grid_offset != (0, 0):
        rows.append(
            _noted(
                f"The 8x8 grid of the earlier JPEG save is shifted by {past.grid_offset}: the picture was cropped or "
                f"moved after that save. {USUAL}",
                details,
            )
        )
    return rows


def _noted(says: str, details: dict[str, Any]) -> Declaration:
    return Declaration(kind="jpeg", state="noted", says=says, details=details)
