"""Where a picture has been, as a report holds it: matches with originals, what differs drawn in both frames, and dates."""

from __future__ import annotations

import base64
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.copies.alignment import inverse, resizing, warped
from veriscope.copies.describing import reduced
from veriscope.copies.judging import Match
from veriscope.copies.searching import MOST, search
from veriscope.copies.store import Index
from veriscope.evidence import Differing, Sighting, SightingDifference, map_to_data_uri
from veriscope.picture import Picture

THUMBNAIL_SIDE = 384  # pixels of the original that a report carries
THUMBNAIL_QUALITY = 80  # of its JPEG
MAP_SIDE = 320  # pixels of a difference map in a report
LEAST = 0.25  # below, a difference is left out of the map: half of what is called a change


def sightings(picture: Picture, folder: Path, *, most: int = MOST) -> list[Sighting]:
    """The matches in the index in ``folder``, as a report holds them.

    Raises:
        VeriscopeError: there is no index, or it is of another version or cannot be read.
    """
    return [_sighting(match, picture.rgb) for match in search(_opened(folder), picture, most=most)]


@lru_cache(maxsize=4)
def _opened(folder: Path) -> Index:
    return Index.open(folder)


def _sighting(match: Match, query: NDArray[np.uint8]) -> Sighting:
    return Sighting(
        reference=match.reference,
        score=round(match.score, 4),
        says=match.says,
        level=match.level,
        levels=[round(chance, 4) for chance in match.levels],
        added=match.added,
        taken=match.taken or None,
        original=None if match.original is None else _thumbnail(match.original),
        difference=_difference(match, query),
        details=match.details,
    )


def _thumbnail(rgb: NDArray[np.uint8]) -> str:
    small = reduced(rgb, THUMBNAIL_SIDE)[:, :, ::-1]
    _, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, THUMBNAIL_QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")


def _difference(match: Match, query: NDArray[np.uint8]) -> SightingDifference | None:
    found, differs, original = match.difference, match.verification, match.original
    if found is None or differs is None or original is None:
        return None
    into = resizing(query.shape, found.map.shape) @ differs.homography
    on_original = warped(found.map, inverse(into), original.shape)
    return SightingDifference(
        says=found.says,
        share=round(found.share, 4),
        outside=round(found.outside, 4),
        recoloured=round(found.recoloured, 4),
        changes=[
            Differing(kind=change.kind, place=change.region.place, share=change.region.share, box=change.region.box)
            for change in found.changes
        ],
        map=_drawn(found.map),
        map_on_original=_drawn(on_original),
        frame=_corners(original.shape, differs.homography, query.shape),
        frame_on_original=_corners(query.shape, inverse(differs.homography), original.shape),
    )


def _corners(
    shape: tuple[int, ...], transform: NDArray[np.float64], frame: tuple[int, ...]
) -> list[tuple[float, float]]:
    """Where the corners of a picture come to lie, as fractions of a frame's sides."""
    square = np.array([[[0.0, 0.0]], [[1.0, 0.0]], [[1.0, 1.0]], [[0.0, 1.0]]])
    carried = _to_unit(frame) @ transform @ np.linalg.inv(_to_unit(shape))
    return [(round(float(x), 4), round(float(y), 4)) for x, y in cv2.perspectiveTransform(square, carried)[:, 0]]


def _to_unit(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Takes pixels' (x, y, 1) of a picture of ``shape`` to fractions of its sides."""
    return np.array([[1 / shape[1], 0, 0.5 / shape[1]], [0, 1 / shape[0], 0.5 / shape[0]], [0, 0, 1]])


def _drawn(values: NDArray[np.float32]) -> str:
    scale = MAP_SIDE / max(values.shape)
    if scale < 1:
        size = max(1, round(values.shape[1] * scale)), max(1, round(values.shape[0] * scale))
        values = np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), np.float32)
    return map_to_data_uri(np.where(values >= LEAST, values, 0).astype(np.float32))
