"""Does the embedded thumbnail show this picture?

Trace: a camera stores a small copy (EXIF IFD1) as it takes the picture; many editors keep it unchanged when they save
an edited picture, so a thumbnail with another crop or content shows that the picture was changed after capture. The
thumbnail may be letterboxed to 4:3, and may lie on its side or upright. Fails where the editor renewed it (no trace)
and on flat pictures, and misses edits smaller than a few thumbnail pixels. See Kee and Farid, "Digital image
authentication from thumbnails", SPIE Media Forensics 2010.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from veriscope.container.fields import fields
from veriscope.evidence import Declaration
from veriscope.picture import Picture

SIDE_LIMIT = 2048  # pixels; thumbnails are 160 px, previews some hundred
SAME = 0.90  # correlation of the luma of a picture and its own 160 px thumbnail; at or above, they match
OTHER = 0.60  # below, and with no part in common, the thumbnail shows something else
PART = 0.90  # correlation at which the picture is found as a part of the thumbnail
FLAT = 3.0  # standard deviation of luma below which correlation means nothing
BAR = 48.0  # greatest mean luma of a letterbox bar
ASPECT = 0.04  # relative difference in aspect ratio that rounding and sensor borders explain

# EXIF orientation to the turns (counter-clockwise quarter turns, then mirrored) that make a stored picture upright.
_UPRIGHT = {
    1: (0, False),
    2: (0, True),
    3: (2, False),
    4: (2, True),
    5: (3, True),
    6: (3, False),
    7: (1, True),
    8: (1, False),
}

Luma = NDArray[np.float32]


@dataclass(frozen=True)
class Comparison:
    """How thumbnail and picture compare; ``correlation`` in [-1, 1] where the shapes agree, None otherwise.

    ``verdict`` is "same", "crop" (the thumbnail shows more than the picture), "aspect", "other", "changed" or "flat".
    """

    verdict: str
    correlation: float | None


def compare(thumbnail: Luma, luma: Luma, width: int, height: int) -> Comparison:
    """Compare an upright thumbnail with a picture.

    Args:
        thumbnail: float32 (h, w) luma in [0, 255].
        luma: float32 luma of the picture at about the thumbnail's scale, any size.
        width: pixels across of the picture itself.
        height: pixels down of the picture itself.
    """
    window = content_window(thumbnail, width / height)
    if window is not None:
        small = cv2.resize(luma, (window.shape[1], window.shape[0]), interpolation=cv2.INTER_AREA)
        if small.std() < FLAT and window.std() < FLAT:
            return Comparison("flat", None)
        score = correlation(window, np.asarray(small, np.float32))
        if score >= SAME:
            return Comparison("same", score)
    else:
        score = None
    if found_as_part(luma, thumbnail):
        return Comparison("crop", score)
    if score is None:
        return Comparison("aspect", None)
    return Comparison("other" if score < OTHER else "changed", score)


def content_window(thumbnail: Luma, aspect: float) -> Luma | None:
    """The part of the thumbnail with the picture's aspect ratio: all of it, or what lies between dark bars; or None."""
    height, width = thumbnail.shape
    if (
        abs(width / height / aspect - 1) <= ASPECT
        or abs(width - height * aspect) <= 2
        or abs(height - width / aspect) <= 2
    ):
        return thumbnail
    if width / height < aspect:
        bar = (height - width / aspect) / 2
        rows = slice(int(np.ceil(bar)), height - int(np.ceil(bar)))
        inner, edge = thumbnail[rows], max(1, int(bar) - 1)
        bars = np.concatenate([thumbnail[:edge].ravel(), thumbnail[-edge:].ravel()])
    else:
        bar = (width - height * aspect) / 2
        columns = slice(int(np.ceil(bar)), width - int(np.ceil(bar)))
        inner, edge = thumbnail[:, columns], max(1, int(bar) - 1)
        bars = np.concatenate([thumbnail[:, :edge].ravel(), thumbnail[:, -edge:].ravel()])
    return inner if min(inner.shape) >= 8 and bars.mean() < BAR and bars.std() < 12 else None


def correlation(a: Luma, b: Luma) -> float:
    """Normalised correlation of two pictures of one shape, after a slight blur; 0 where either is flat."""
    x, y = (cv2.GaussianBlur(side, (3, 3), 0) for side in (a, b))
    x, y = x - x.mean(), y - y.mean()
    norm = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float((x * y).sum() / norm) if norm > 1e-6 else 0.0


def found_as_part(luma: Luma, thumbnail: Luma) -> bool:
    """Whether the picture appears, at 35 to 95 % of its size, somewhere within the thumbnail."""
    if luma.std() < FLAT:
        return False
    height, width = thumbnail.shape
    fit = min(width / luma.shape[1], height / luma.shape[0])
    for share in np.arange(0.35, 0.96, 0.05):
        size = round(luma.shape[1] * fit * share), round(luma.shape[0] * fit * share)
        if min(size) < 24:
            continue
        part = cv2.resize(luma, size, interpolation=cv2.INTER_AREA)
        if float(cv2.matchTemplate(thumbnail, part, cv2.TM_CCOEFF_NORMED).max()) >= PART:
            return True
    return False


def _decoded(raw: bytes) -> Luma | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(raw), formats=("JPEG",)) as image:
                if max(image.size) > SIDE_LIMIT or min(image.size) < 8:
                    return None
                return np.asarray(image.convert("L"), np.float32)
    except Exception:  # Pillow raises many kinds on damaged streams
        return None


def _turned(luma: Luma, orientation: int) -> Luma:
    turns, mirrored = _UPRIGHT.get(orientation, (0, False))
    turned = np.rot90(luma, turns)
    return np.ascontiguousarray(turned[:, ::-1] if mirrored else turned)


def declared_thumbnail(picture: Picture) -> list[Declaration]:
    """The embedded thumbnail, compared with the picture; nothing where there is none."""
    raw = fields(picture).thumbnail
    if raw is None:
        return []
    stored = _decoded(raw)
    if stored is None:
        said = "The file carries an embedded thumbnail that cannot be decoded."
        return [Declaration(kind="thumbnail", state="noted", says=said, details={"bytes": len(raw)})]
    scale = min(1.0, max(stored.shape) / max(picture.width, picture.height))
    size = max(8, round(picture.width * scale)), max(8, round(picture.height * scale))
    small = cv2.resize(picture.rgb, size, interpolation=cv2.INTER_AREA)
    luma = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.float32)
    found = compare(_turned(stored, picture.orientation), luma, picture.width, picture.height)
    if found.verdict not in ("same", "flat") and picture.orientation != 1:
        as_stored = compare(stored, luma, picture.width, picture.height)
        found = as_stored if as_stored.verdict == "same" else found
    state, said = _WORDS[found.verdict]
    details = {
        "width": stored.shape[1],
        "height": stored.shape[0],
        "bytes": len(raw),
        "verdict": found.verdict,
        "correlation": None if found.correlation is None else round(found.correlation, 4),
    }
    return [Declaration(kind="thumbnail", state=state, says=said, details=details)]


_AFTER = "as when a picture is edited after capture and its thumbnail is kept"
_WORDS = {
    "same": ("declared", "The file's embedded thumbnail shows the same picture."),
    "flat": ("noted", "The file carries an embedded thumbnail; both are too flat to compare."),
    "crop": ("contradiction", f"The file's embedded thumbnail shows more than the picture does, {_AFTER}."),
    "aspect": ("contradiction", f"The file's embedded thumbnail has another shape than the picture, {_AFTER}."),
    "other": ("contradiction", f"The file's embedded thumbnail shows another picture, {_AFTER}."),
    "changed": ("contradiction", f"The file's embedded thumbnail differs visibly from the picture, {_AFTER}."),
}
