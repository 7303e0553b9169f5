"""``veriscope lab scaling``, ``two-stage``, ``select`` and ``contents``."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from veriscope.cli.lab import extra, to_stderr
from veriscope.errors import VeriscopeError

NUMBERS = (  # name, type, metavar, default, help
    ("folds", int, "N", 4, "folds of whole sources (4)"),
    ("minutes", float, "M", 3.0, "the most that a network trains, each time (3)"),
    ("seed", int, None, 0, "of draws, histories and first weights"),
)


def add_to(actions: Any) -> None:
    """Add the actions to the parser of ``veriscope lab``."""
    scale = actions.add_parser("scaling", help="error against pictures and against sources, with a power law")
    scale.add_argument("name", metavar="NAME", help="a recipe; veriscope lab recipes lists them")
    _shared(scale, "scaling", 40)
    scale.add_argument("--draws", type=int, default=4, metavar="N", help="trainings at each point (4)")
    scale.add_argument("--points", type=int, default=6, metavar="N", help="of each curve (6)")
    scale.set_defaults(run=scaling)
    stages = actions.add_parser("two-stage", help="fit on aligned pairs first and on the data then")
    stages.add_argument("name", metavar="NAME", help="depths, closeup, or a network on squares, such as npr")
    _shared(stages, "two-stage", 30)
    _paired(stages)
    stages.set_defaults(run=two_stage)
    choice = actions.add_parser("select", help="rank recipes by pairs and by pictures of the field")
    choice.add_argument(
        "--recipes", required=True, metavar="a,b", help="two at least; veriscope lab recipes lists them"
    )
    _shared(choice, "select", 30)
    _paired(choice)
    choice.set_defaults(run=select)
    kinds = actions.add_parser("contents", help="a detector by content type, and which generator made it")
    _shared(kinds, "contents", 20)
    kinds.add_argument("--recipe", default="depths", metavar="NAME", help="what is trained to detect (depths)")
    kinds.add_argument("--least", type=int, default=12, metavar="N", help="pictures that a generator needs (12)")
    kinds.set_defaults(run=contents)


def _shared(parser: Any, name: str, per_source: int) -> None:
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="FILE", help="manifests, CSV or Parquet")
    parser.add_argument("--work", type=Path, default=Path("lab-work"), metavar="DIR", help="kept to resume (lab-work)")
    parser.add_argument(
        "--out", type=Path, default=Path(f"lab-{name}"), metavar="DIR", help=f"{name}.json and .md (lab-{name})"
    )
    parser.add_argument(
        "--per-source",
        type=int,
        default=per_source,
        metavar="K",
        help=f"the most pictures of one source ({per_source})",
    )
    for option, kind, metavar, default, text in NUMBERS:
        parser.add_argument(f"--{option}", type=kind, default=default, metavar=metavar, help=text)


def _paired(parser: Any) -> None:
    parser.add_argument("--pairs", type=Path, nargs="+", required=True, metavar="FILE", help="of lab make-pairs")
    parser.add_argument("--origins", type=int, default=300, metavar="N", help="the most pairs, by their origins (300)")


def scaling(options: argparse.Namespace) -> int:
    """Measure, write and print both curves."""
    with extra():
        from veriscope.lab.recipes.recipe import refittable
        from veriscope.lab.studies import scaling as study
        from veriscope.lab.studies.material import write

        made = refittable(options.name)
    _positive(options, "draws")
    if options.points < 2:
        raise VeriscopeError("--points must be at least 2")
    figures = study.scaling(
        made,
        _samples(options, _rows(options)),
        options.work / "studies",
        _settings(options),
        draws=options.draws,
        points=options.points,
        say=to_stderr,
    )
    write(options.out, "scaling", figures, study.page(figures))
    study.draw(figures, options.out / "scaling.png")
    for curve in (study.PICTURES, study.SOURCES):
        _print(figures[curve]["points"], f"against {curve}: {study.law(figures[curve])}")
    print(f"written: {options.out / 'scaling.json'}, .md and .png")
    return 0


def two_stage(options: argparse.Namespace) -> int:
    """Measure, write and print the arms."""
    with extra():
        from veriscope.lab.studies import two_stage as study
        from veriscope.lab.studies.material import write

        made = study.staged(options.name)
    pairs = _pairs(options)
    samples = _samples(options, [*_rows(options), *pairs])
    figures = study.two_stage(made, samples, pairs, options.work / "studies", _settings(options), say=to_stderr)
    write(options.out, "two-stage", figures, study.page(figures))
    shown = ("arm", "auc", "interval", "worst_sources", "worst_group", "accuracy")
    _print(figures["arms"], f"{made.name} on sources kept aside", shown)
    _print(figures["groups"], "accuracy by group, at even odds")
    print(f"written: {options.out / 'two-stage.json'} and .md")
    return 0


def select(options: argparse.Namespace) -> int:
    """Measure, write and print both rankings."""
    with extra():
        from veriscope.lab.recipes.recipe import refittable
        from veriscope.lab.studies import selecting as study
        from veriscope.lab.studies.material import write

        names = dict.fromkeys(name.strip() for name in options.recipes.split(",") if name.strip())
        made = [refittable(name) for name in names]
    if len(made) < 2:
        raise VeriscopeError("--recipes: a choice needs two recipes at least, as in --recipes depths,rine")
    pairs = _pairs(options)
    samples = _samples(options, [*_rows(options, 3), *pairs])
    figures = study.select(made, samples, pairs, options.work / "studies", _settings(options), say=to_stderr)
    write(options.out, "select", figures, study.page(figures))
    _print(figures["recipes"], "by pairs and by the field")
    print(study.summary(figures))
    print(f"written: {options.out / 'select.json'} and .md")
    return 0


def contents(options: argparse.Namespace) -> int:
    """Measure, write and print both tracks."""
    with extra():
        from veriscope.lab.benchmark.refitting import degraded_samples
        from veriscope.lab.recipes.recipe import refittable
        from veriscope.lab.studies import attribution
        from veriscope.lab.studies import contents as study
        from veriscope.lab.studies.material import write

        made = refittable(options.recipe)
    _positive(options, "least")
    rows = _rows(options)
    samples = _samples(options, rows)
    versions = degraded_samples(rows, options.work / "studies" / "degraded", to_stderr)
    figures: dict[str, Any] = {"detector": made.name, "folds": options.folds, "seed": options.seed}
    figures["contents"] = study.by_content(
        made, samples, versions, options.work / "studies", _settings(options), say=to_stderr
    )
    figures["generators"] = told = attribution.told_apart(
        samples, versions, folds=options.folds, least=options.least, seed=options.seed, say=to_stderr
    )
    write(options.out, "contents", figures, study.page(figures))
    shown = ("version", "content", "real", "generated", "auc", "real_auc", "generated_auc")
    _print(figures["contents"], f"{made.name} by content", shown)
    if told["reason"]:
        print(f"which generator: {told['reason']}")
    else:
        _print(told["classes"], f"which generator, {told['confused_on']}; by chance {told['chance']:.3f}")
        _print(told["versions"], "which generator, by version")
    print(f"written: {options.out / 'contents.json'} and .md")
    return 0


def _rows(options: argparse.Namespace, least_folds: int = 2) -> list[Any]:
    """The data's training pictures, few of each source, once the numbers were found good."""
    from veriscope.lab.data.manifest import read_manifests
    from veriscope.lab.studies.material import TRAINING, dealt, few

    _positive(options, "per_source", "minutes")
    if options.folds < least_folds:
        raise VeriscopeError(f"--folds must be at least {least_folds}")
    rows = few(read_manifests(options.data, TRAINING), options.per_source)
    if {row.label for row in rows} != {"real", "generated"}:
        named = ", ".join(map(str, options.data))
        raise VeriscopeError(f"{named}: studies need real and generated pictures in the splits {' or '.join(TRAINING)}")
    dealt(rows, options.folds)
    return rows


def _pairs(options: argparse.Namespace) -> list[Any]:
    from veriscope.lab.data.manifest import read_manifests
    from veriscope.lab.studies.material import TRAINING, origins, whole_pairs

    _positive(options, "origins")
    pairs = whole_pairs(read_manifests(options.pairs, TRAINING), options.origins)
    if not pairs:
        raise VeriscopeError(f"{options.pairs[0]}: no pair is in the splits {' or '.join(TRAINING)}")
    origins(pairs)
    return pairs


def _samples(options: argparse.Namespace, rows: Sequence[Any]) -> Any:
    from veriscope.lab.data.samples import prepare

    samples, _ = prepare(rows, options.work / "samples", seed=options.seed, say=to_stderr)
    return samples


def _settings(options: argparse.Namespace) -> Any:
    from veriscope.lab.recipes.recipe import Settings

    return Settings(folds=options.folds, minutes=options.minutes, seed=options.seed)


def _positive(options: argparse.Namespace, *names: str) -> None:
    for name in names:
        if getattr(options, name) <= 0:
            raise VeriscopeError(f"--{name.replace('_', '-')} must be positive")


def _print(rows: Sequence[Mapping[str, Any]], title: str, shown: Sequence[str] = ()) -> None:
    from rich.console import Console
    from rich.table import Table

    from veriscope.lab.studies.material import cell

    table = Table(title=title, title_justify="left")
    columns = shown or tuple(rows[0])
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(cell(row[name]) for name in columns))
    Console().print(table)
