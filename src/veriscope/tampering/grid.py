"""Grid: do all parts of the picture lie on one 8x8 JPEG grid, or does a part lie on another, or on none?

Pixels kept losslessly after a JPEG save, or saved better afterwards, still show that save's grid. A part pasted from another
JPEG, or moved by no multiple of eight pixels, lies on another grid; a part painted, resized or generated lies on none. A
region counts by its number of false alarms. It fails after any resize of the whole, after a coarser last save, for one moved
part in 64, and on patterns drawn with a period of eight. After Nikoukhah, Anger, Colom, Morel and Grompone von Gioi, "ZERO:
a Local JPEG Grid Origin Detector Based on the Number of DCT Zeros and its Applications in Image Forensics", IPOL 2021.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.container.jpeg import history
from veriscope.container.jpeg_coefficients import upright
from veriscope.container.jpeg_tables import standard_table
from veriscope.container.jpeg_traces import BASIS
from veriscope.picture import Picture
from veriscope.tampering.grid_votes import CELL, GRIDS, Ballot, ballot, bands, counted, log10_false_alarms, stored_grey
from veriscope.tampering.localisation import Localisation, Localiser, carries_traces

AGREEING = 0.25  # share of a cell's pixels that vote for a grid, from which the cell belongs to it
LACKING = 4 / GRIDS  # share of votes for the main grid below which a neighbourhood may lack it: chance gives 1/64
NEIGHBOURHOOD = 5  # cells a side
HEARD = 0.1  # share of a neighbourhood's pixels that must vote for anything
LEAST_CELLS = 4  # a smaller region is not looked at
TRIAL_QUALITY = 97  # of a save that tells whether an area would show a grid; the paper's 99 has hardly a step above 1
SURE = 20.0  # -log10 of the number of false alarms that gives 1; the map's 0.5 asks for ten
COARSE = 97  # quality of the last save below which it hides nearly all earlier grids


@dataclass(frozen=True, eq=False)
class Region:
    """Cells on another grid than the picture's main one, or on none.

    Attributes:
        cells: bool, as the rows and columns of the ballot.
        grid: 0..63; None for a region that lacks the main grid.
        log10_nfa: log10 of its number of false alarms.
    """

    cells: NDArray[np.bool_] = field(repr=False)
    grid: int | None
    log10_nfa: float


def on_another_grid(votes: Ballot, main: int | None) -> list[Region]:
    """The regions that vote for one grid other than ``main`` more than chance would; all where ``main`` is None."""
    found = []
    voters = votes.by_cell.sum(2, dtype=np.int32)
    for grid in range(GRIDS):
        hits = (votes.by_cell[:, :, grid] >= AGREEING * CELL**2).astype(np.uint8)
        if grid == main or hits.sum() < LEAST_CELLS:
            continue
        closed = cv2.morphologyEx(hits, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
        _, labels, facts, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
        for label in np.flatnonzero(facts[:, cv2.CC_STAT_AREA] >= LEAST_CELLS):
            if label == 0:
                continue
            left, top, wide, high = facts[label, :4]
            box = np.s_[top : top + high, left : left + wide]
            ayes = float(votes.by_cell[:, :, grid][box].sum(dtype=np.int64))
            nfa = float(log10_false_alarms(ayes, float(voters[box].sum()), votes.regions_tried))
            if nfa < 0:
                found.append(Region(labels == label, grid, nfa))
    return found


def without_grid(votes: Ballot, luma: NDArray[np.uint8], main: int) -> list[Region]:
    """The regions that do not show the main grid, although a grid would show there.

    Whether one would is tried by a light save on a grid of its own: only where that one shows, and the main one does not,
    is anything missing.
    """
    size = (NEIGHBOURHOOD, NEIGHBOURHOOD)
    voters = votes.by_cell.sum(2, dtype=np.int32).astype(np.float32)
    ayes = votes.by_cell[:, :, main].astype(np.float32)
    near, near_ayes = cv2.blur(voters, size), cv2.blur(ayes, size)
    low = ((near >= HEARD * CELL**2) & (near_ayes < LACKING * near)).astype(np.uint8)
    number, labels, facts, _ = cv2.connectedComponentsWithStats(low, connectivity=4)
    candidates = [label for label in range(1, number) if facts[label, cv2.CC_STAT_AREA] >= LEAST_CELLS]
    if not candidates:
        return []
    usual = float(ayes[low == 0].sum() / max(voters[low == 0].sum(), 1))
    trial_ayes, trial_voters = _tried(luma, np.isin(labels, candidates), main)
    found = []
    for label in candidates:
        cells = labels == label
        shows = log10_false_alarms(
            float(trial_ayes[cells].sum()), float(trial_voters[cells].sum()), votes.regions_tried
        )
        # As many votes against the main grid as here, where the picture gives it its usual share.
        against = float((voters - ayes)[cells].sum())
        lacks = log10_false_alarms(against, float(voters[cells].sum()), votes.regions_tried, 1 - usual)
        nfa = float(np.maximum(shows, lacks))
        if nfa < 0:
            whole = cv2.dilate(cells.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0  # the blur had narrowed it
            found.append(Region(whole, None, nfa))
    return found


def _tried(
    luma: NDArray[np.uint8], wanted: NDArray[np.bool_], main: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Votes for the trial save's grid, and all votes, after that save: float32 as ``wanted``; 0 in bands without any."""
    across, down = (main % 8 + 4) % 8, (main // 8 + 4) % 8
    ayes, voters = np.zeros(wanted.shape, np.float32), np.zeros(wanted.shape, np.float32)
    row = 0
    for band in bands(luma):
        here = np.s_[row : row + band.rows]
        row += band.rows
        if wanted[here].any():
            saved = _saved(band.pixels, (across, (down - band.top) % 8))
            by_cell = counted(saved, band, luma.shape[1])
            ayes[here] = by_cell[:, :, down * 8 + across]
            voters[here] = by_cell.sum(2, dtype=np.int32)
    return ayes, voters


def _saved(luma: NDArray[np.uint8], origin: tuple[int, int]) -> NDArray[np.uint8]:
    """The pixels after a light JPEG save of the whole blocks on the grid from ``origin`` (x, y)."""
    left, top = origin
    rows, columns = (luma.shape[0] - top) // 8, (luma.shape[1] - left) // 8
    part = luma[top : top + rows * 8, left : left + columns * 8].astype(np.float32)
    table = standard_table(TRIAL_QUALITY).astype(np.float32)
    blocks = part.reshape(rows, 8, columns, 8).swapaxes(1, 2).reshape(-1, 64)
    pixels = (np.rint(blocks @ BASIS.T / table) * table) @ BASIS
    saved = luma.copy()
    saved[top : top + rows * 8, left : left + columns * 8] = (
        np.clip(np.rint(pixels), 0, 255).reshape(rows, columns, 8, 8).swapaxes(1, 2).reshape(part.shape)
    )
    return saved


@dataclass(frozen=True, eq=False)
class GridFinding:
    """What the votes of a picture say, in its stored orientation.

    Attributes:
        votes: the ballot.
        main: the grid most of the picture lies on, 0..63; None where none is significant.
        regions: on another grid or on none, the most significant first.
    """

    votes: Ballot
    main: int | None
    regions: list[Region] = field(repr=False)


def grid_finding(picture: Picture) -> GridFinding:
    """The picture's main grid and the regions that depart from it, computed once."""
    return picture.once("jpeg grid", lambda: _finding(picture))


def _finding(picture: Picture) -> GridFinding:
    luma = stored_grey(picture)
    votes = ballot(luma)
    main = votes.main
    lacking = [] if main is None else without_grid(votes, luma, main)
    if sum(region.cells.mean() for region in lacking) > 0.5:
        main, lacking = None, []  # where most of the picture lacks it, the grid is a part's and not the picture's
    regions = on_another_grid(votes, main) + lacking
    return GridFinding(votes, main, sorted(regions, key=lambda region: region.log10_nfa))


def strength(log10_nfa: float) -> float:
    """What the map shows of a region: -log10 of its number of false alarms over ``SURE``, at most 1."""
    return float(np.clip(-log10_nfa / SURE, 0, 1))


class Grid(Localiser):
    """Which part lies on another 8x8 grid than the rest, or on none."""

    name: ClassVar[str] = "grid"
    quick: ClassVar[bool] = True

    def find(self, picture: Picture) -> Localisation | None:
        """The regions of ``grid_finding``, each as strong as its number of false alarms is small."""
        finding = grid_finding(picture)
        votes = finding.votes
        voters = cv2.blur(votes.by_cell.sum(2, dtype=np.int32).astype(np.float32), (3, 3))
        heard = (voters >= HEARD * CELL**2).astype(np.float32)
        found = np.zeros(heard.shape, np.float32)
        for region in finding.regions:
            found[region.cells] = np.maximum(found[region.cells], strength(region.log10_nfa))
        judged = upright(heard[votes.row], picture.orientation) * carries_traces(picture)
        score = strength(finding.regions[0].log10_nfa) if finding.regions else 0.0
        reliability, reason = _trust(picture, finding)
        return Localisation(
            map=np.ascontiguousarray(upright(found[votes.row], picture.orientation) * judged),
            judged=np.ascontiguousarray(judged),
            score=score,
            says=_says(finding, score),
            reliability=reliability,
            reason=reason,
        )


def _trust(picture: Picture, finding: GridFinding) -> tuple[float, str]:
    quality = history(picture).current_quality
    if finding.main is None and not finding.regions:
        return 0.1, "Without the blocks of any JPEG save there is nothing to compare."
    if quality is not None and quality < COARSE:
        return 0.2, f"The last save, at quality {quality}, lays its own blocks over everything and hides earlier ones."
    return (
        0.6,
        "A part moved by a multiple of eight pixels shows nothing; patterns drawn every eight pixels mislead it.",
    )


def _says(finding: GridFinding, score: float) -> str:
    if score >= 0.5:
        region = finding.regions[0]
        share = f"about {region.cells.mean():.0%} of the picture" if region.cells.mean() >= 0.01 else "a small one"
        if finding.main is None:
            return (
                f"One region, {share}, shows the blocks of 8x8 pixels in which JPEG saves pictures, and the rest shows none; "
                "parts pasted from a JPEG look like this."
            )
        if region.grid is None:
            return (
                f"One region, {share}, lacks the blocks of 8x8 pixels that a JPEG save left in the rest; painted, resized "
                "or generated parts look like this, and so may text or frames added by an app."
            )
        return (
            f"One region, {share}, is out of line with the blocks of 8x8 pixels in which JPEG saved the rest; parts pasted "
            "from another picture or moved within this one look like this, and so do pictures placed on a page."
        )
    if finding.main is None:
        return "No blocks of a JPEG save show: the picture was never saved as a JPEG, or was resized or filtered since."
    across, down = finding.main % 8, finding.main // 8
    start = f", beginning at ({across}, {down}), as after a crop since that save" if finding.main else ""
    return f"The blocks of a JPEG save are in line over the whole picture{start}; no part stands out."
