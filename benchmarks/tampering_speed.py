"""How long the maps of edits take, method by method, and the memory that all of them need.

    python benchmarks/tampering_speed.py --megapixels 1 12

Pictures are made here, as in speed.py, and saved once as JPEG at quality 90. Each size is measured in a process of its own,
models being opened before. Seconds are wall time; memory is the process's largest resident set.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import resource
import time
from concurrent.futures import ProcessPoolExecutor

from PIL import Image
from speed import photograph


def made(megapixels: float) -> bytes:
    """A JPEG of about so many megapixels, 4 to 3, that repeats itself nowhere."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    file = io.BytesIO()
    Image.fromarray(photograph(round(height * 4 / 3), height, 0)).save(file, "JPEG", quality=90)
    return file.getvalue()


def measured(megapixels: float) -> dict[str, float]:
    """Seconds of each method, of all together and of the quick ones, and megabytes."""
    from veriscope import open_picture, plugins
    from veriscope.examination import hear
    from veriscope.tampering.localisation import Localiser

    methods = [one for one in plugins.asked() if isinstance(one, Localiser)]
    quick = [one for one in plugins.asked(quick=True) if isinstance(one, Localiser)]
    hear(open_picture(made(0.1)), [*methods, *quick])
    data = made(megapixels)
    picture = open_picture(data)
    fused_last = sorted(methods, key=lambda one: one.name == "fused")
    found = {evidence.detector: round(seconds, 2) for evidence, seconds in hear(picture, fused_last)}
    for name, asked in (("all", methods), ("quick", quick)):
        began = time.perf_counter()
        hear(open_picture(data), asked)
        found[name] = round(time.perf_counter() - began, 2)
    found["megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return found


def main() -> None:
    """Measure each size and print JSON."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--megapixels", type=float, nargs="+", default=[1, 12])
    given = options.parse_args()
    for size in given.megapixels:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            print(json.dumps({"megapixels": size, **pool.submit(measured, size).result()}))


if __name__ == "__main__":
    main()
