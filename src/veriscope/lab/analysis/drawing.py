"""Maps drawn over the pictures that they are of: red where they speak for "generated", blue where for "real"."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

FOR_GENERATED = np.array([178, 24, 43], np.float32)  # RGB; the two stay apart for colour-blind readers
FOR_REAL = np.array([33, 102, 172], np.float32)
STRONGEST = 0.8  # opacity of the largest value
FRAME = "#f5b700"
PANEL = 3.2  # inches
DPI = 160


@dataclass(frozen=True)
class Panel:
    """One map and the part of a picture that it is of.

    Attributes:
        title: above it.
        pixels: uint8 (H, W, 3) RGB.
        heat: float32 of any shape, laid over all of ``pixels``.
        box: where the part lies in the picture, (top, left, bottom, right); None for the whole.
    """

    title: str
    pixels: NDArray[np.uint8]
    heat: NDArray[np.float32]
    box: tuple[int, int, int, int] | None = None


def overlay(pixels: NDArray[np.uint8], heat: NDArray[np.float32], largest: float) -> NDArray[np.uint8]:
    """A picture half drained of its colour, under a map.

    Args:
        pixels: uint8 (H, W, 3) RGB.
        heat: float32 (h, w), stretched over it.
        largest: the size of a value that is drawn at full strength.
    """
    height, width = pixels.shape[:2]
    full = np.asarray(cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR))
    strength = (np.clip(full / max(largest, 1e-12), -1, 1) * STRONGEST)[:, :, None]
    grey = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.float32)[:, :, None]
    under = 0.5 * pixels + 0.5 * grey
    colour = np.where(strength > 0, FOR_GENERATED, FOR_REAL)
    return np.rint(under * (1 - np.abs(strength)) + colour * np.abs(strength)).astype(np.uint8)


def explanation(
    path: Path, picture: NDArray[np.uint8], panels: Sequence[Panel], *, title: str, note: str, unit: str
) -> None:
    """Write a picture with the parts that were looked at, and the map of each, as PNG.

    Args:
        path: of the file.
        picture: uint8 (H, W, 3) RGB.
        panels: the maps, drawn to one scale.
        title: in the first line.
        note: under it, in small letters.
        unit: of the maps' values, beside the scale.
    """
    from matplotlib import cm, colors
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    largest = max(float(np.abs(panel.heat).max()) for panel in panels) or 1.0
    shapes = [picture.shape[1] / picture.shape[0], *(p.pixels.shape[1] / p.pixels.shape[0] for p in panels)]
    widths = [PANEL * min(max(shape, 0.5), 1.6) for shape in shapes]
    figure = Figure(figsize=(sum(widths) + 1.5, PANEL + 1.0), dpi=DPI, layout="constrained")
    figure.suptitle(title, x=0.012, ha="left", fontsize=12, fontweight="bold")
    axes = figure.subplots(1, len(widths), width_ratios=widths)
    for axis in axes:
        axis.set_axis_off()
    axes[0].imshow(picture)
    axes[0].set_title("examined", fontsize=9, loc="left")
    for number, (axis, panel) in enumerate(zip(axes[1:], panels, strict=True), 1):
        axis.imshow(overlay(panel.pixels, panel.heat, largest))
        axis.set_title(panel.title, fontsize=9, loc="left")
        if panel.box is not None:
            top, left, bottom, right = panel.box
            axes[0].add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=FRAME, lw=1.6))
            axes[0].text(left, top, f" {number} ", fontsize=7, va="top", backgroundcolor=FRAME)
    scale = colors.LinearSegmentedColormap.from_list("", [_on_grey(FOR_REAL), (0.85,) * 3, _on_grey(FOR_GENERATED)])
    bar = figure.colorbar(cm.ScalarMappable(colors.Normalize(-largest, largest), scale), ax=list(axes), shrink=0.85)
    bar.set_label(f"{unit}\nfor real          for generated", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    figure.supxlabel(note, x=0.012, ha="left", fontsize=8, color="0.35")
    save(figure, path)


def _on_grey(colour: NDArray[np.float32]) -> tuple[float, ...]:
    return tuple(float(part) for part in (colour / 255) * STRONGEST + 0.5 * (1 - STRONGEST))


def save(figure: Any, path: Path) -> None:
    """Write a figure as PNG so that the file is whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    figure.savefig(partial, format="png", facecolor="white")
    os.replace(partial, path)


def gallery(path: Path, columns: Sequence[Sequence[Panel]], *, title: str, note: str) -> None:
    """Write small pictures in columns, each above its map, as PNG.

    Args:
        path: of the file.
        columns: the panels of each column, from above; all columns have as many. Each map is drawn to its own scale.
        title: in the first line.
        note: under all, in small letters.
    """
    from matplotlib.figure import Figure

    side, down = 1.25, 2 * len(columns[0])
    figure = Figure(figsize=(side * len(columns) + 0.2, (side + 0.12) * down + 0.7), dpi=DPI, layout="constrained")
    figure.suptitle(title, x=0.012, ha="left", fontsize=12, fontweight="bold")
    axes = figure.subplots(down, len(columns), squeeze=False)
    for across, panels in enumerate(columns):
        for number, panel in enumerate(panels):
            plain, mapped = axes[2 * number][across], axes[2 * number + 1][across]
            plain.imshow(panel.pixels)
            plain.set_title(panel.title, fontsize=7, loc="left", pad=2)
            mapped.imshow(overlay(panel.pixels, panel.heat, float(np.abs(panel.heat).max())))
    for axis in axes.flat:
        axis.set_axis_off()
    figure.supxlabel(note, x=0.012, ha="left", fontsize=7, color="0.35")
    save(figure, path)
