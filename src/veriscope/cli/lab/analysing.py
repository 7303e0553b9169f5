"""``veriscope lab explain``, ``audit`` and ``cifake``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from veriscope.cli.lab import extra, to_stderr
from veriscope.errors import VeriscopeError

METHODS = ("gradcam", "occlusion")


def add_to(actions: Any) -> None:
    """Add the actions to the parser of ``veriscope lab``."""
    explaining = actions.add_parser("explain", help="draw which parts of a picture a detector's score comes from")
    explaining.add_argument("name", metavar="NAME", help="of the detector")
    explaining.add_argument("picture", type=Path, metavar="PICTURE")
    explaining.add_argument("--out", type=Path, required=True, metavar="PNG", help="the picture and its maps")
    explaining.add_argument(
        "--method", choices=METHODS, default="gradcam", help="gradcam: networks trained here; occlusion: any detector"
    )
    explaining.add_argument(
        "--cells", type=int, default=8, metavar="N", help="of occlusion, along the shorter side (8)"
    )
    _work(explaining)
    explaining.set_defaults(run=explain)
    auditing = actions.add_parser("audit", help="which channels a detector leans on, and what colour is worth to it")
    auditing.add_argument("name", metavar="NAME", help="of the detector")
    _data(auditing)
    auditing.add_argument("--split", default="test", help="the split to measure on (test)")
    auditing.add_argument("--most", type=int, default=120, metavar="N", help="pictures of each class (120)")
    auditing.add_argument("--seed", type=int, default=0, help="of histories and random channels")
    auditing.add_argument(
        "--colour-only", action="store_true", help="leave the channels out: any installed detector with a score"
    )
    _work(auditing)
    auditing.set_defaults(run=audit)
    mirroring = actions.add_parser("cifake", help="a benchmark of minutes: class-matched real and made 32 px pictures")
    _data(mirroring)
    mirroring.add_argument("--minutes", type=float, default=2.0, metavar="M", help="of all trainings together (2)")
    mirroring.add_argument("--count", type=int, default=3000, metavar="N", help="real pictures of 32 px, about (3000)")
    mirroring.add_argument("--seed", type=int, default=0, help="of cuts, first weights and draws")
    mirroring.add_argument(
        "--generators",
        nargs="+",
        metavar="NAME=PATH",
        help="trained ones that make the fakes, as make-pairs takes them (a small autoencoder, trained on the spot)",
    )
    _work(mirroring)
    mirroring.set_defaults(run=cifake)


def _data(parser: Any) -> None:
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="FILE", help="manifests")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="figures as JSON, Markdown and PNG")


def _work(parser: Any) -> None:
    parser.add_argument(
        "--work", type=Path, default=Path("lab-work"), metavar="DIR", help="of the trainings; kept to resume (lab-work)"
    )


def explain(options: argparse.Namespace) -> int:
    """Draw the map, and say the score and where it comes from."""
    with extra():
        from veriscope.lab.analysis import explaining
        from veriscope.picture import open_picture
    if options.cells < 1:
        raise VeriscopeError("--cells must be at least 1")
    picture = open_picture(options.picture)
    if options.method == "gradcam":
        explained = explaining.by_gradcam(options.name, picture, options.work)
    else:
        explained = explaining.by_occlusion(options.name, picture, options.cells, to_stderr)
    explaining.write(options.out, picture, explained)
    print(f"{explained.sentence(picture)}: {options.out}")
    return 0


def audit(options: argparse.Namespace) -> int:
    """Measure, write and print an audit."""
    with extra():
        from veriscope import plugins
        from veriscope.lab.analysis import audit as auditing
        from veriscope.lab.analysis import audit_report as report
        from veriscope.lab.analysis.occlusion import with_score
        from veriscope.lab.analysis.trained import trained
        from veriscope.lab.data.manifest import read_manifests
        from veriscope.lab.recipes.recipe import write_json
    if options.most < 2:
        raise VeriscopeError("--most must be at least 2")
    rows = read_manifests(options.data)
    chosen = {"most": options.most, "seed": options.seed, "say": to_stderr}
    if options.colour_only:
        (detector,) = plugins.named([options.name])
        figures = auditing.audit_detector(with_score(detector, options.name), rows, options.split, **chosen)
    else:
        made = trained(options.name, options.work, instead="--colour-only")
        figures = auditing.audit_network(made, rows, options.split, **chosen)
    figures = {"detector": options.name, **figures}
    options.out.mkdir(parents=True, exist_ok=True)
    write_json(options.out / "audit.json", figures)
    (options.out / "audit.md").write_text(report.as_markdown(figures), encoding="utf-8")
    report.draw(options.out / "audit.png", figures)
    _print("colour", figures["colour"])
    if "channels" in figures:
        _print("channels silenced", figures["channels"]["silenced"])
    print(f"written: {options.out / 'audit.json'}, .md and .png")
    return 0


def cifake(options: argparse.Namespace) -> int:
    """Make the pictures, train the networks, write and print their figures."""
    with extra():
        from veriscope.lab.benchmark import cifake as benchmark
        from veriscope.lab.data.manifest import read_manifests
        from veriscope.lab.recipes.recipe import write_json
    if options.minutes <= 0 or options.count < 1:
        raise VeriscopeError("--minutes and --count must be positive")
    schedule = benchmark.Schedule(options.minutes, options.count, options.seed, tuple(options.generators or ()))
    figures, panels = benchmark.run(read_manifests(options.data), options.work, schedule, to_stderr)
    options.out.mkdir(parents=True, exist_ok=True)
    write_json(options.out / "cifake.json", figures)
    (options.out / "cifake.md").write_text(benchmark.as_markdown(figures), encoding="utf-8")
    benchmark.draw(options.out / "cifake.png", figures, panels)
    _print("networks", figures["networks"])
    print(f"{benchmark.sentence(figures)}\nwritten: {options.out / 'cifake.json'}, .md and .png")
    return 0


def _print(title: str, rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    from veriscope.lab.analysis.audit_report import cell

    table = Table(*(name.replace("_", " ") for name in rows[0]), title=title, title_justify="left")
    for row in rows:
        table.add_row(*(cell(value) for value in row.values()))
    Console().print(table)
