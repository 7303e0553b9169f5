"""What a detector costs a picture: seconds and memory, each detector alone in a process of its own.

Asked together, detectors share the backbone's pass, and the first to ask pays for all; asked alone, each pays for itself. The
memory is the peak of the process while it asks, less what it held before it asked first: weights, working memory, and what ONNX
Runtime keeps. Opening and decoding the picture is counted in neither.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from veriscope import models, plugins
from veriscope.picture import open_picture

MOST_SECONDS = 600.0  # for one detector
CHILD = "from veriscope.lab.benchmark.cost import answer; answer()"


@dataclass(frozen=True)
class Cost:
    """What one detector costs.

    Attributes:
        detector: its name.
        pictures: how many it was asked about.
        first: seconds of the first picture, in which weights are opened.
        seconds: the median of the others, by the clock: other work on the machine makes it longer.
        processor: the median of processor seconds, of all cores together.
        megabytes: resident memory at its peak, less that before; None where the system does not tell.
        weights: megabytes of the files of the models that it opened.
        reason: why there are no figures.
    """

    detector: str
    pictures: int
    first: float = 0.0
    seconds: float = 0.0
    processor: float = 0.0
    megabytes: float | None = None
    weights: float = 0.0
    reason: str = ""


def cost(names: Sequence[str], pictures: Sequence[Path], called: str | None = None) -> Cost:
    """The cost of detectors asked together in a process of their own; of one detector, usually.

    Args:
        names: of the detectors.
        pictures: at least two.
        called: what the answer is named; the first detector by default.
    """
    asked = json.dumps({"names": list(names), "pictures": [str(path.resolve()) for path in pictures]})
    called = called or names[0]
    try:
        done = subprocess.run(  # noqa: S603 (this interpreter, fixed words)
            [sys.executable, "-c", CHILD],
            input=asked,
            capture_output=True,
            text=True,
            timeout=MOST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Cost(called, len(pictures), reason=f"not done within {MOST_SECONDS:g} s")
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        last = (done.stderr.strip().splitlines() or [f"its process ended with {done.returncode}"])[-1]
        return Cost(called, len(pictures), reason=last.partition("Error: ")[2] or last)
    told = json.loads(lines[-1])
    registry = models.registry()
    weights = sum(registry[name].bytes for name in told.pop("models") if name in registry) / 1e6
    return Cost(called, len(pictures), **told, weights=weights)


def answer() -> None:
    """The child: ask the detectors that standard input names about its pictures, and print what it cost as JSON."""
    asked = json.loads(sys.stdin.read())
    detectors = plugins.named(asked["names"])
    opened = [open_picture(path) for path in asked["pictures"]]
    used: set[str] = set()
    whole = models.open_session

    def noted(name: str, file: str = "") -> Any:
        used.add(name)
        return whole(name, file)

    models.open_session = noted
    before = resident()
    taken = []
    for picture in opened:
        began = time.perf_counter(), time.process_time()
        for detector in detectors:
            detector(picture)
        taken.append((time.perf_counter() - began[0], time.process_time() - began[1]))
    after = peak()
    grown = None if before is None or after is None else max(0.0, round((after - before) / 1e6, 1))
    clock, processor = (statistics.median(values) for values in zip(*(taken[1:] or taken), strict=True))
    told = {"first": taken[0][0], "seconds": clock, "processor": processor, "megabytes": grown, "models": sorted(used)}
    print(json.dumps(told))


def resident() -> int | None:
    """The memory, in bytes, that this process has resident now; the most it ever had where only that is told."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return peak()
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak() -> int | None:
    """The most memory, in bytes, that this process ever had resident; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
