"""Copy-move, densely: does a part of the picture repeat another, pixel for pixel, moved, turned or mirrored?

For the disc around each pixel its nearest neighbour elsewhere is sought, by magnitudes of Zernike moments. In an untouched
picture the neighbours are scattered; in a copy they point the same way over a whole area, which a local linear fit of the
field finds, and ``copy_matches`` verifies. It works without corners, so on smooth textures too; it is blind to copies
scaled by more than some 20 %, smaller than 32 px at 0.5 MP, or in flat areas. After Cozzolino, Poggi and Verdoliva,
"Efficient dense-field copy-move forgery detection", IEEE TIFS 2015; seeds by hashing as in Korman and Avidan,
"Coherency sensitive hashing", ICCV 2011, so that few rounds of PatchMatch are enough.
"""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.picture import Picture
from veriscope.tampering.copy_matches import CopyMatch
from veriscope.tampering.copy_regions import COARSE, Affine, Mask, Plane, detail
from veriscope.tampering.copy_report import localised, planes, scaled, settled
from veriscope.tampering.localisation import Localisation, Localiser
from veriscope.tampering.zernike import magnitudes

PIXELS = 500_000  # the picture is scaled down to this
QUERIES = 65_000  # pixels whose neighbour is sought, at most: every second or third one each way where there are more
DIAMETER = 15  # pixels: of the discs; 16 in the paper
TEXTURE = 1.0  # grey levels: standard deviation of detail in a disc below which it is not matched
JUMPS = 8, 4, 2, 1, 2, 1  # query steps over which each round of propagation reaches, wide ones first
REACHES = 24, 5, 1  # pixels: of the random search
HASHES = 4  # tables of seeds
BITS = 12, 6, 6, 4  # bins along the four projections of one hash
LEAST_SEED = 150  # square pixels of linear field that are verified; the area is grown from there
LEAST_OFFSET = 0.04  # of the picture's diagonal, and at least 20 px: nearer neighbours are the patch itself
FIT_RADIUS = 6  # pixels: of the window of the linear fit, and at least three queries
FIT_ERROR = 3.0  # square pixels, mean over the window; 300 over 113 pixels in the paper
ANSWERED = 0.3  # share of an area whose other end is itself part of such an area; both copies are repeated parts
MOST_CANDIDATES = 12  # areas that are verified, largest first

Field = NDArray[np.int32]


def features(luma: Plane, chroma: Plane | None = None) -> Plane:
    """What is compared: float32 (h, w, 16), the magnitudes of the Zernike moments and the mean colour of each disc.

    Args:
        luma: float32 (h, w), grey levels.
        chroma: float32 (h, w, 2), grey levels; None for a grey picture.
    """
    found = np.zeros((*luma.shape, 16), np.float32)
    shape = magnitudes(luma, DIAMETER)
    shape[..., 0] *= 0.5  # the mean says least, and is much the largest
    found[..., : shape.shape[-1]] = shape
    if chroma is not None:
        found[..., shape.shape[-1] : shape.shape[-1] + 2] = cv2.blur(chroma, (DIAMETER, DIAMETER)) * (DIAMETER / 2)
    return found


def nearest_field(described: Plane, live: Mask, step: int, least_offset: float, seed: int = 0) -> Field:
    """For each query pixel where its nearest neighbour stands.

    Args:
        described: float32 (h, w, d), the description of each pixel.
        live: bool (h/step, w/step) rounded up, the queries that are asked.
        step: pixels between queries.
        least_offset: pixels that a neighbour must lie away.
        seed: of the random numbers.
    Returns:
        int32 (h/step, w/step, 2), row and column of the neighbour; the query itself where none was found.
    """
    random = np.random.default_rng(seed)
    height, width = described.shape[:2]
    flat = described.reshape(-1, described.shape[-1])
    here = np.ascontiguousarray(np.moveaxis(np.mgrid[0:height:step, 0:width:step], 0, -1), np.int32)
    queries = np.ascontiguousarray(described[::step, ::step]).reshape(-1, flat.shape[1])
    place = here.reshape(-1, 2)
    at, cost = place.copy(), np.full(len(place), np.inf, np.float32)
    asked = np.flatnonzero(live)

    def offer(chosen: NDArray[np.intp], row: NDArray[np.int32], column: NDArray[np.int32]) -> None:
        own = place[chosen]
        far = (row - own[:, 0]) ** 2 + (column - own[:, 1]) ** 2 >= least_offset**2
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        fresh = (row != at[chosen, 0]) | (column != at[chosen, 1])
        good = np.flatnonzero(far & inside & fresh)
        chosen, row, column = chosen[good], row[good], column[good]
        apart = flat[row * width + column] - queries[chosen]
        distance = np.einsum("ij,ij->i", apart, apart)
        better = distance < cost[chosen]
        winners = chosen[better]
        cost[winners] = distance[better]
        at[winners, 0], at[winners, 1] = row[better], column[better]

    for chosen, other in _seeds(queries, asked, live.shape, random):
        offer(chosen, place[other, 0], place[other, 1])
    for jump in JUMPS:
        steps = [(0, jump), (jump, 0), (0, -jump), (-jump, 0)]
        for down, right in steps:
            near = np.roll(at.reshape(here.shape), (down, right), (0, 1))
            offer(asked, *(near.reshape(-1, 2)[asked] + np.array([down, right], np.int32) * step).T)
            near = np.roll(at.reshape(here.shape), (down, right), (0, 1))
            further = np.roll(at.reshape(here.shape), (2 * down, 2 * right), (0, 1))
            offer(asked, *(2 * near - further).reshape(-1, 2)[asked].T)
        for reach in REACHES:
            moved = random.integers(-reach, reach + 1, (len(asked), 2), dtype=np.int32)
            offer(asked, *(at[asked] + moved).T)
    return at.reshape(here.shape)


def _seeds(
    queries: Plane, asked: NDArray[np.intp], shape: tuple[int, ...], random: np.random.Generator
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Pairs of queries that fall into one bin of a hash of random projections, from every second row and column."""
    rows, columns = np.unravel_index(asked, shape)
    found = []
    for _ in range(HASHES):
        sparse = asked[(rows % 2 == random.integers(2)) & (columns % 2 == random.integers(2))]
        if len(sparse) < 16:
            continue
        values = queries[sparse] / (queries[sparse].std(0) + 1e-3)
        projected = values @ np.linalg.qr(random.normal(size=(values.shape[1], len(BITS) + 1)))[0].astype(np.float32)
        code = np.zeros(len(sparse))
        for axis, bins in enumerate(BITS):
            spread = projected[:, axis]
            low, high = np.percentile(spread, (2, 98))
            binned = np.floor((spread - low) / (high - low + 1e-6) * bins + random.random())
            code = code * (bins + 1) + np.clip(binned, 0, bins)
        order = sparse[np.lexsort((projected[:, -1], code))]
        for apart in (1, 2, 4):
            found.append((order[apart:], order[:-apart]))
            found.append((order[:-apart], order[apart:]))
    return found


def fit_error(offset: NDArray[np.float64], radius: int) -> NDArray[np.float64]:
    """How far the field around each query is from linear: the mean squared residual of an affine fit, square pixels.

    Args:
        offset: float64 (h, w, 2), pixels.
        radius: of the square window, in queries.
    """
    ones = np.ones(2 * radius + 1)
    ramp = np.arange(-radius, radius + 1, dtype=np.float64)
    count, moment = float(len(ones) ** 2), float((ramp**2).sum() * len(ones))
    error = np.zeros(offset.shape[:2])
    for axis in range(2):
        values = np.ascontiguousarray(offset[..., axis] - np.median(offset[..., axis]))
        total = cv2.sepFilter2D(values, cv2.CV_64F, ones, ones)
        across = cv2.sepFilter2D(values, cv2.CV_64F, ramp, ones)
        down = cv2.sepFilter2D(values, cv2.CV_64F, ones, ramp)
        squares = cv2.sepFilter2D(values * values, cv2.CV_64F, ones, ones)
        error += squares - total**2 / count - (across**2 + down**2) / moment
    return np.asarray(np.maximum(error, 0) / count)


def candidates(at: Field, live: Mask, step: int, least_offset: float, least: int) -> list[tuple[Affine, Mask]]:
    """The areas over which the field is linear, largest first, each with its affine transform.

    Args:
        at: int32 (h, w, 2), from ``nearest_field``.
        live: bool (h, w), the queries that were asked.
        step: pixels between queries.
        least_offset: pixels that copy and source lie apart at least.
        least: pixels that an area covers at least.
    Returns:
        Transforms of (x, y, 1) in pixels, each with its area as bool (h, w) over queries.
    """
    here = np.moveaxis(np.mgrid[0 : at.shape[0], 0 : at.shape[1]], 0, -1) * step
    offset = (at - here).astype(np.float32)
    smooth = np.stack([cv2.medianBlur(np.ascontiguousarray(offset[..., axis]), 5) for axis in range(2)], -1)
    radius = max(3, FIT_RADIUS // step)
    linear = live & (fit_error(smooth.astype(np.float64), radius) < FIT_ERROR)
    linear &= np.hypot(smooth[..., 0], smooth[..., 1]) >= least_offset
    _, labels, facts, _ = cv2.connectedComponentsWithStats(linear.astype(np.uint8), connectivity=4)
    areas = facts[:, cv2.CC_STAT_AREA]
    found: list[tuple[Affine, Mask]] = []
    for label in np.argsort(-areas[1:])[: 2 * MOST_CANDIDATES] + 1:
        if areas[label] * step * step < least or len(found) == MOST_CANDIDATES:
            break
        area = labels == label
        goal = here[area] + smooth[area]
        ends = np.clip(np.rint(goal / step).astype(int), 0, np.array(area.shape) - 1)
        if linear[ends[:, 0], ends[:, 1]].mean() < ANSWERED:
            continue
        affine, _ = cv2.estimateAffine2D(
            here[area][:, ::-1].astype(np.float32), goal[:, ::-1], method=cv2.RANSAC, ransacReprojThreshold=2.0
        )
        if affine is not None:
            found.append((np.asarray(affine, np.float64), area))
    return found


def copies(rgb: NDArray[np.uint8], original_scale: bool = False) -> tuple[CopyMatch, ...]:
    """The copied parts of uint8 (h, w, 3), already scaled to what can be afforded; or ``original_scale`` as it was."""
    luma, chroma = planes(rgb)
    step = int(np.ceil(np.sqrt(luma.size / QUERIES)))
    texture = cv2.blur(detail(luma, COARSE) ** 2, (DIAMETER, DIAMETER))
    live = np.ascontiguousarray(texture[::step, ::step] > TEXTURE**2)
    least_offset = max(20.0, LEAST_OFFSET * float(np.hypot(*luma.shape)))
    at = nearest_field(features(luma, chroma), live, step, least_offset)
    starts = (
        (affine, np.repeat(np.repeat(area, step, 0), step, 1)[: luma.shape[0], : luma.shape[1]])
        for affine, area in candidates(at, live, step, least_offset, LEAST_SEED)
    )
    return settled(luma, starts, original_scale)


def matches(picture: Picture) -> tuple[CopyMatch, ...]:
    """The parts of the picture that repeat others, densely sought, in pixels of ``scaled(picture.rgb, PIXELS)``."""
    return picture.once("copy-move matches", lambda: _matches(picture))


def _matches(picture: Picture) -> tuple[CopyMatch, ...]:
    rgb = scaled(picture.rgb, PIXELS)
    return copies(rgb, original_scale=rgb.shape == picture.rgb.shape)


class CopyMove(Localiser):
    """Which part repeats another, densely sought: the map of ``matches``."""

    name: ClassVar[str] = "copy_move"

    def find(self, picture: Picture) -> Localisation:
        """The map, 0 throughout where nothing is repeated, and a sentence on it."""
        return localised(matches(picture), scaled(picture.rgb, PIXELS))
