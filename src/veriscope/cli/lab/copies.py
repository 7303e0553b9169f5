"""``veriscope lab bench-copies``, ``fit-levels``, ``scale-copies``: how well copies are found, graded, and at what cost."""

from __future__ import annotations

import argparse
import json
import os
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

from veriscope.cli.lab import extra, to_stderr, words
from veriscope.errors import VeriscopeError
from veriscope.reporting.files import write_atomically

SHOWN = ("all", "training patterns", "held out patterns", "chained", "heavy crops", "heavy overlays")


def add_to(actions: Any) -> None:
    """Add the actions to the parser of ``veriscope lab``."""
    bench = actions.add_parser(
        "bench-copies", help="measure descriptors by the image similarity challenge's protocol; resumes when run again"
    )
    bench.add_argument("--data", type=Path, nargs="+", required=True, metavar="FILE", help="manifests, CSV or Parquet")
    bench.add_argument("--out", type=Path, required=True, metavar="DIR", help="copies.json, and what is kept to resume")
    bench.add_argument("--split", default="test", help="of the pictures that are copied (test)")
    bench.add_argument("--descriptors", nargs="+", default=[], metavar="NAME", help="(all that there are)")
    bench.add_argument("--patterns", nargs="+", default=[], metavar="NAME", help="ways of copying (all)")
    bench.add_argument("--distractors", type=int, default=2000, metavar="N", help="references nobody copied (2000)")
    bench.add_argument("--most", type=int, default=40, metavar="N", help="pictures that are copied (40)")
    bench.add_argument("--seed", type=int, default=0, help="of the copies (0)")
    bench.add_argument(
        "--processes", type=int, default=0, metavar="N", help="that describe (as many as there are cores)"
    )
    bench.add_argument("--slow-most", type=int, default=12, metavar="N", help="--most for the frozen tower (12)")
    bench.add_argument("--slow-distractors", type=int, default=400, metavar="N", help="likewise (400)")
    bench.add_argument(
        "--verified-most", type=int, default=8, metavar="N", help="pictures whose copies are also verified (8; 0: none)"
    )
    bench.set_defaults(run=run_bench)
    differing = actions.add_parser("bench-differences", help="measure which edited regions the difference map finds")
    differing.add_argument("--edits", type=Path, required=True, metavar="FILE", help="of veriscope lab make-edits")
    differing.add_argument(
        "--data",
        type=Path,
        nargs="+",
        required=True,
        metavar="FILE",
        help="manifests of the pictures they were made from",
    )
    differing.add_argument("--out", type=Path, required=True, metavar="FILE", help="the figures, as JSON")
    differing.add_argument("--most", type=int, default=1000, metavar="N", help="edited pictures (1000)")
    differing.add_argument("--processes", type=int, default=0, metavar="N", help="(as many as there are cores)")
    differing.set_defaults(run=run_differences)
    fit = actions.add_parser("fit-levels", help="fit replication levels to graded copies; prints the constants")
    fit.add_argument("--data", type=Path, required=True, metavar="FILE", help="a manifest, CSV or Parquet")
    fit.add_argument("--split", default="train", help="of the pictures that are fitted on (train)")
    fit.add_argument("--tested", default="val", metavar="SPLIT", help="of those that the fit is measured on (val)")
    fit.add_argument("--most", type=int, default=40, metavar="N", help="pictures of each split (40)")
    fit.add_argument("--seed", type=int, default=0, help="of the copies (0)")
    fit.set_defaults(run=run_fit)
    scale = actions.add_parser(
        "scale-copies", help="what an index of many pictures costs: on paper, or built and asked"
    )
    scale.add_argument("--pictures", type=float, default=1e9, metavar="N", help="in the index on paper (1e9)")
    scale.add_argument("--measure", type=int, default=0, metavar="N", help="build an index of N vectors, and ask it")
    scale.add_argument("--work", type=Path, default=Path("lab-work"), metavar="DIR", help="of that index (lab-work)")
    scale.add_argument("--out", type=Path, metavar="FILE", help="what was measured, as JSON")
    scale.set_defaults(run=run_scale)


def run_bench(options: argparse.Namespace) -> int:
    """Measure and print the main table."""
    with extra():
        from veriscope.lab.benchmark.copies_bench import CopiesBench, Order
        from veriscope.lab.benchmark.copies_described import MEASURES, described
    least = min(options.distractors, options.slow_distractors, options.seed, options.processes, options.verified_most)
    if least < 0 or min(options.most, options.slow_most) < 8:
        raise VeriscopeError("--most must be at least 8, and no other number negative")
    known = described()
    wanted = tuple(dict.fromkeys(options.descriptors)) or tuple(known)
    strange = [name for name in wanted if name not in known]
    if strange:
        raise VeriscopeError(f"no descriptor {', '.join(strange)}; there are: {', '.join(known)}")
    order = Order(
        data=tuple(options.data),
        out=options.out,
        split=options.split,
        distractors=options.distractors,
        most=options.most,
        patterns=tuple(dict.fromkeys(options.patterns)),
        seed=options.seed,
        processes=options.processes or os.cpu_count() or 1,
        slow_most=options.slow_most,
        slow_distractors=options.slow_distractors,
        verified_most=options.verified_most,
        command=shlex.join(["veriscope", *words()]),
    )
    tables = CopiesBench(order, [one for one in MEASURES if one.of in wanted], described, to_stderr).run()
    _print_table(tables["about"], tables["figures"])
    if "about_slow" in tables:
        _print_table(tables["about_slow"], tables["figures_slow"])
    print(f"written: {options.out / 'copies.json'}")
    return 0


def run_differences(options: argparse.Namespace) -> int:
    """Measure, print the table and write it."""
    from rich.console import Console
    from rich.table import Table

    with extra():
        from veriscope.lab.benchmark.differences import FOUND_AT, lines, measure, pairs
        from veriscope.lab.data.manifest import ALL_LABELS, read_manifests
    if options.most < 1 or options.processes < 0:
        raise VeriscopeError("--most must be at least 1, and --processes must not be negative")
    edited = pairs(read_manifests([options.edits], labels=ALL_LABELS), read_manifests(options.data))[: options.most]
    found = lines(measure(edited, options.processes or os.cpu_count() or 1, to_stderr))
    columns = "edit", "pictures", "aligned", "regions", f"found at IoU {FOUND_AT}", "mean IoU", "strays a picture"
    table = Table(*columns)
    for line in found:
        shares = f"{line.found:.3f}", f"{line.mean_overlap:.3f}"
        told = shares if line.regions else ("–", "–")
        table.add_row(
            line.method, str(line.pictures), f"{line.aligned:.3f}", str(line.regions), *told, f"{line.strays:.3f}"
        )
    Console().print(table)
    about = {"command": shlex.join(["veriscope", *words()]), "pictures": len(edited), "found_at": FOUND_AT}
    text = json.dumps(about | {"figures": [asdict(line) for line in found]}, indent=1)
    write_atomically(options.out, text.encode())
    print(f"written: {options.out}")
    return 0


def run_fit(options: argparse.Namespace) -> int:
    """Fit on one split, measure on another, and print the constants of ``copies/levels.py``."""
    with extra():
        from veriscope.lab.benchmark.replication import confusion, fitted, graded
        from veriscope.lab.data.manifest import read_manifests, spread
    if options.most < 2 or options.seed < 0:
        raise VeriscopeError("--most must be at least 2, and --seed must not be negative")
    rows = read_manifests([options.data])
    parts = [
        spread([row for row in rows if row.split == name], options.most) for name in (options.split, options.tested)
    ]
    examples, others = (graded(part, seed=options.seed, say=to_stderr) for part in parts)
    weights, thresholds = fitted(examples)
    print(f"WEIGHTS = np.array({[round(float(value), 3) for value in weights]})")
    print(f"THRESHOLDS = np.array({[round(float(value), 3) for value in thresholds]})")
    table = confusion(others, weights, thresholds)
    print(f"on {table.sum()} other copies: {table.trace() / max(table.sum(), 1):.1%} their level, ", end="")
    near = sum(int(table.diagonal(shift).sum()) for shift in (-1, 0, 1))
    print(f"{near / max(table.sum(), 1):.1%} within one; not verified: {others.missed}")
    for grade in range(5, 1, -1):
        print(f"level {grade}: read as 0 to 5: {table[grade].tolist()}")
    return 0


def run_scale(options: argparse.Namespace) -> int:
    """Print the table, or what was measured."""
    with extra():
        from veriscope.lab.benchmark.copies_million import measure
        from veriscope.lab.benchmark.copies_scale import as_markdown, costs, measured_rates
    if not options.pictures >= 1 or options.measure < 0:
        raise VeriscopeError("--pictures must be at least 1, and --measure must not be negative")
    if options.measure:
        text = json.dumps(measure(options.measure, options.work, to_stderr), indent=1)
        print(text)
        if options.out:
            write_atomically(options.out, text.encode())
        return 0
    print(as_markdown(costs(options.pictures, measured_rates())))
    return 0


def _print_table(about: dict[str, Any], figures: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    distractors = about["photographed_distractors"] + about["rendered_distractors"]
    title = f"{about['originals']} originals, {about['strangers']} strangers, {distractors} distractors"
    columns = "patterns", "descriptor", "copies", "micro-AP", "recall at precision 90 %", "first is right"
    table = Table(*columns, title=f"{title}, {about['rendered_distractors']} of them rendered")
    for line in figures:
        if line["patterns"] in SHOWN:
            table.add_row(
                line["patterns"],
                line["descriptor"],
                str(line["positives"]),
                f"{line['micro_ap']:.3f}",
                f"{line['recall_at_precision_0.9']:.3f}",
                f"{line['first_is_right']:.3f}",
            )
    Console().print(table)
