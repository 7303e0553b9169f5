"""How often the JPEG history is right: double saves, earlier qualities, grid offsets, and false alarms on first saves.

    python benchmarks/jpeg_history.py --data manifest.csv [--pictures 200] [--seed 0]

The manifest needs a ``path`` column, relative to itself. Pictures are shrunk first, which removes what earlier saves
left, so that the history made here is the only one; scikit-image's photographs that never were JPEGs are
always among them, unshrunk. Prints one row a pair of qualities: detection rates, and qualities within 3 of the truth.
"""

from __future__ import annotations

import argparse
import csv
import io
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from veriscope.container.jpeg import JpegHistory, history
from veriscope.picture import Picture
from veriscope.tampering.double_quantisation import DoubleQuantisation, dq_map

FIRST = (50, 60, 75, 85, 95)
SECOND = (60, 75, 85, 95)
SHRINK = 0.62  # not a ratio of small integers, so no trace of the 8-pixel grid survives
LEAST_SIDE, LARGEST_SIDE = 256, 640
WITHIN = 3  # quality units that count as right
PATCH = 96  # pixels a side of the pasted part

Pixels = NDArray[np.uint8]


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="manifest.csv with a path column")
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    pictures = [*_skimage(), *_from_manifest(options.data, options.pictures, options.seed)]
    rng = np.random.default_rng(options.seed)
    print(f"{len(pictures)} pictures, seed {options.seed}")
    rows: dict[tuple[str, int | None, int | None], list[tuple[float, ...]]] = defaultdict(list)
    for number, pixels in enumerate(pictures):
        _measure(pixels, pictures[number - 1], rng, rows)
    _print(rows)


def _measure(
    pixels: Pixels,
    other: Pixels,
    rng: np.random.Generator,
    rows: dict[tuple[str, int | None, int | None], list[tuple[float, ...]]],
) -> None:
    past = history(_saved(pixels, None))
    rows["lossless", None, None].append((bool(past.was_jpeg), past.grid_offset != (0, 0)))
    for second in SECOND:
        past = history(_saved(pixels, second))
        shifted = past.grid_offset != (0, 0)
        rows["single", None, second].append((bool(past.double_compressed) and not shifted, shifted))
    for first in FIRST:
        across, down = (int(each) for each in rng.integers(0, 8, 2))
        across += not (across or down)
        once = _saved(pixels, first).rgb
        moved = np.ascontiguousarray(once[down:, across:])
        origin = ((8 - across) % 8, (8 - down) % 8)
        past = history(_saved(once, None))
        rows["lossless", first, None].append((bool(past.was_jpeg), _near(past, first), _at(past, (0, 0))))
        past = history(_saved(moved, None))
        rows["lossless, cropped", first, None].append((bool(past.was_jpeg), _near(past, first), _at(past, origin)))
        for second in SECOND:
            twice = _saved(once, second)
            past = history(twice)
            rows["double", first, second].append(
                (
                    bool(past.double_compressed),
                    _near(past, first),
                    _at(past, (0, 0)),
                )
            )
            past = history(_saved(moved, second))
            rows["double, cropped", first, second].append(
                (bool(past.double_compressed), _near(past, first), _at(past, origin))
            )
            if first < second:
                rows["splice", first, second].append(_splice(once, other, second, twice))


def _splice(host: Pixels, donor: Pixels, second: int, untouched: Picture) -> tuple[float, ...]:
    """Mean of the map inside and outside a pasted patch, whether it stands out, and whether the untouched host does."""
    top, left = (min(side // 3, side - PATCH) for side in host.shape[:2])
    pasted = host.copy()
    patch = donor[-PATCH:, -PATCH:]
    pasted[top : top + patch.shape[0], left : left + patch.shape[1]] = patch
    picture = _saved(pasted, second)
    found, clean = dq_map(picture), DoubleQuantisation()(untouched)
    if found is None:
        return float("nan"), float("nan"), False, clean is not None and "lacks" in clean.says
    inside = np.zeros(found.shape, bool)
    inside[top // 8 + 1 : (top + PATCH) // 8, left // 8 + 1 : (left + PATCH) // 8] = True
    around = np.zeros(found.shape, bool)
    around[max(top // 8 - 1, 0) : (top + PATCH) // 8 + 2, max(left // 8 - 1, 0) : (left + PATCH) // 8 + 2] = True
    within, outside = float(found[inside].mean()), float(found[~around].mean())
    return within, outside, within > outside + 0.3, clean is not None and "lacks" in clean.says


def _near(past: JpegHistory, first: int) -> bool:
    return past.previous_quality is not None and abs(past.previous_quality - first) <= WITHIN


def _at(past: JpegHistory, origin: tuple[int, int]) -> bool:
    return past.grid_confidence > 0 and past.grid_offset == origin


def _saved(pixels: Pixels, quality: int | None) -> Picture:
    file = io.BytesIO()
    if quality is None:
        Image.fromarray(pixels).save(file, "PNG", compress_level=0)
    else:
        Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    decoded = np.asarray(Image.open(io.BytesIO(file.getvalue())).convert("RGB"))
    return Picture(name="made", data=file.getvalue(), format="JPEG" if quality else "PNG", rgb=decoded)


def _skimage() -> list[Pixels]:
    from skimage import data

    names = (
        "astronaut",
        "camera",
        "chelsea",
        "coffee",
        "brick",
        "grass",
        "gravel",
        "moon",
    )  # coins.png was a JPEG once
    found = [np.asarray(getattr(data, name)()) for name in names]
    return [np.stack([each] * 3, 2) if each.ndim == 2 else each for each in found]


def _from_manifest(manifest: Path, number: int, seed: int) -> list[Pixels]:
    with manifest.open(newline="") as file:
        paths = [manifest.parent / row["path"] for row in csv.DictReader(file)]
    pixels: list[Pixels] = []
    for at in np.random.default_rng(seed).permutation(len(paths)):
        if len(pixels) >= number:
            break
        try:
            image = Image.open(paths[at]).convert("RGB")
        except OSError:
            continue
        scale = min(SHRINK, LARGEST_SIDE / max(image.size))
        size = int(image.width * scale), int(image.height * scale)
        if min(size) >= LEAST_SIDE:
            pixels.append(np.asarray(image.resize(size, Image.Resampling.LANCZOS)))
    return pixels


def _print(rows: dict[tuple[str, int | None, int | None], list[tuple[float, ...]]]) -> None:
    titles = {
        "single": ("false double", "false shift"),
        "lossless": ("was a JPEG", "quality +-3", "grid right"),
        "splice": ("inside", "outside", "stands out", "false alarm"),
    }
    for (kind, first, second), values in sorted(
        rows.items(), key=lambda row: (row[0][0], row[0][1] or 0, row[0][2] or 0)
    ):
        usual = ("seen", "quality +-3", "grid right")
        names = ("false JPEG", "false shift") if kind == "lossless" and first is None else titles.get(kind, usual)
        array = np.array(values, np.float64)
        means = [column[~np.isnan(column)].mean() if (~np.isnan(column)).any() else np.nan for column in array.T]
        chain = " > ".join(f"q{quality}" for quality in (first, second) if quality is not None) or "never"
        figures = "  ".join(f"{name} {mean:6.1%}" for name, mean in zip(names, means, strict=False))
        print(f"{kind:<18} {chain:<12} n={len(values):<4} {figures}")


if __name__ == "__main__":
    main()
