"""Seconds to put a mark of 64 bits into 12 megapixels and to read it again, models loaded; the median of some runs.

python benchmarks/watermark_speed.py
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import cv2
import numpy as np

from veriscope.picture import open_picture
from veriscope.watermarks import SCHEMES, generator_marks

EXAMPLE = Path(__file__).parent.parent / "examples" / "photograph.jpg"
SIZE = (4000, 3000)  # pixels across and down
DATA, KEY = b"12345678", "a key"


def main() -> None:
    """Print one line a scheme."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--picture", type=Path, default=EXAMPLE, help="enlarged to 12 megapixels")
    options.add_argument("--runs", type=int, default=5)
    given = options.parse_args()
    rgb = np.ascontiguousarray(cv2.resize(open_picture(given.picture).rgb, SIZE, interpolation=cv2.INTER_CUBIC))
    for name, scheme in SCHEMES.items():
        spent: dict[str, list[float]] = {"embed": [], "detect": [], "detect in an unmarked picture": []}
        for _ in range(given.runs + 1):
            start = time.perf_counter()
            marked = scheme.embed_data(rgb, DATA, KEY)
            middle = time.perf_counter()
            bits, _ = scheme.read_data(marked, KEY)
            end = time.perf_counter()
            assert np.packbits(bits).tobytes() == DATA
            scheme.read_data(rgb, KEY)
            last = time.perf_counter()
            for what, seconds in zip(spent, (middle - start, end - middle, last - end), strict=True):
                spent[what].append(seconds)
        told = ", ".join(f"{what} {statistics.median(values[1:]):.2f} s" for what, values in spent.items())
        print(f"{name}, 12 megapixels: {told}")
    start = time.perf_counter()
    generator_marks.find(rgb)
    print(f"marks of generators, 12 megapixels: {time.perf_counter() - start:.2f} s")


if __name__ == "__main__":
    main()
