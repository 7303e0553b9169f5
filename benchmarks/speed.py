"""Time and memory of the installed Veriscope on this machine.

    python benchmarks/speed.py [--pictures 200] [--flat 0]

Prints: one 12-megapixel JPEG from process start to terminal report; the same picture warm; a folder of 1-megapixel JPEGs with
everything on and with --declared-only; the largest resident memory. ``--flat 2000`` also examines that many pictures in one
process and prints its memory along the way.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

REPEATS = 3


def photograph(width: int, height: int, seed: int) -> np.ndarray:
    """A picture with the detail of a photograph: smooth shapes, edges and sensor noise, uint8 (height, width, 3)."""
    generator = np.random.default_rng(seed)
    small = generator.uniform(0, 255, (height // 64 + 1, width // 64 + 1, 3)).astype(np.float32)
    picture = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(40):
        centre = int(generator.integers(width)), int(generator.integers(height))
        colour = tuple(float(value) for value in generator.uniform(0, 255, 3))
        cv2.circle(picture, centre, int(generator.integers(8, height // 6)), colour, -1, cv2.LINE_AA)
    return np.clip(picture + generator.normal(0, 4, picture.shape), 0, 255).astype(np.uint8)


def save(folder: Path, count: int, width: int, height: int) -> None:
    """Write ``count`` different JPEGs at quality 90."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        cv2.imwrite(str(folder / f"{number:05}.jpg"), photograph(width, height, number), [cv2.IMWRITE_JPEG_QUALITY, 90])


def run(*words: str) -> tuple[float, float]:
    """Wall seconds of one command, and the largest resident memory of any child so far in GB."""
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "veriscope.cli", *words],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6


def resident() -> float:
    """Resident memory of this process in GB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e9


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--pictures", type=int, default=200, help="pictures in the folder (200)")
    options.add_argument("--flat", type=int, default=0, metavar="N", help="also examine N pictures in one process")
    chosen = options.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        save(folder / "large", 1, 4000, 3000)
        save(folder / "many", chosen.pictures, 1224, 817)
        large = str(folder / "large" / "00000.jpg")
        cold = min(run("examine", large)[0] for _ in range(REPEATS))
        _, memory = run("examine", large)
        print(f"12 MP JPEG, process start to terminal report: {cold:.2f} s (limit 4); {memory:.2f} GB")
        import veriscope

        veriscope.examine(large)
        warm = min(veriscope.examine(large).seconds for _ in range(REPEATS))
        print(f"12 MP JPEG, warm: {warm:.2f} s (limit 0.7)")
        for words, least in ((("--declared-only",), 40), ((), 4)):
            seconds, memory = run("examine", str(folder / "many"), *words, "--out", str(folder / f"out{least}"))
            speed = chosen.pictures / seconds
            named = f"folder of {chosen.pictures} 1 MP JPEGs {' '.join(words)}"
            print(f"{named}: {speed:.1f} pictures/s (at least {least}); {memory:.2f} GB a process")
        paths = sorted((folder / "many").iterdir())
        for number in range(chosen.flat):
            veriscope.examine(paths[number % len(paths)])
            if (number + 1) % max(1, chosen.flat // 8) == 0:
                print(f"one process after {number + 1} pictures: {resident():.2f} GB resident")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
