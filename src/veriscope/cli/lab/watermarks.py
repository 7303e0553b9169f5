"""``veriscope lab bench-watermarks``, ``attack-watermark`` and ``watermark-utility``: what marks endure and what they cost."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from veriscope.cli.lab import extra, to_stderr, words
from veriscope.errors import VeriscopeError

BUNDLED = "small-diffusion"
FAMILIES = ("simple", "averaging", "substitution", "spoofing", "regeneration", "purification", "paraphrase")
TASKS = ("phantoms", "pictures")


def add_to(actions: Any) -> None:
    """Add the actions to the parser of ``veriscope lab``."""
    bench = actions.add_parser(
        "bench-watermarks", help="measure watermarks side by side under attacks; writes a page, resumes when run again"
    )
    _data(bench)
    bench.add_argument("--most", type=int, default=200, metavar="N", help="the most pictures (200)")
    bench.add_argument(
        "--side", type=int, default=768, metavar="PX", help="larger pictures are brought to it first (768)"
    )
    bench.add_argument("--bits", type=int, nargs="+", default=[64, 32], metavar="N", help="payload lengths (64 32)")
    bench.add_argument("--schemes", nargs="+", default=[], metavar="NAME", help="those that are installed; rooted=DIR")
    bench.add_argument("--attacks", nargs="+", default=[], metavar="NAME", help="simple attacks by name (all)")
    bench.add_argument(
        "--regenerated", type=int, default=30, metavar="N", help="pictures that are also drawn again by models (30)"
    )
    bench.add_argument(
        "--unmarked",
        type=int,
        default=0,
        metavar="N",
        help="instead, compare p-values of N unmarked crops with their rate",
    )
    bench.add_argument("--processes", type=int, default=2, metavar="N", help="that read unmarked crops (2)")
    _models(bench)
    bench.add_argument("--seed", type=int, default=0, help="of the bootstrap (0)")
    bench.set_defaults(run=run_bench)

    attack = actions.add_parser(
        "attack-watermark", help="attack one watermark; evasion error against spoofing error, resumes when run again"
    )
    attack.add_argument("--scheme", default="learned", metavar="NAME", help="the mark, or rooted=DIR (learned)")
    _data(attack)
    attack.add_argument("--most", type=int, default=50, metavar="N", help="the most pictures that are tested (50)")
    attack.add_argument(
        "--learned",
        type=int,
        default=60,
        metavar="N",
        help="marked and unmarked pictures that attackers learn from (60)",
    )
    attack.add_argument(
        "--side", type=int, default=512, metavar="PX", help="larger pictures are brought to it first (512)"
    )
    attack.add_argument("--bits", type=int, default=64, metavar="N", help="of the payload (64)")
    attack.add_argument("--attacks", nargs="+", choices=FAMILIES, default=list(FAMILIES), help="which kinds (all)")
    attack.add_argument("--key", default="", help="of the mark (one of the measurement's own)")
    attack.add_argument(
        "--strengths", type=float, nargs="+", default=[], metavar="S", help="of purification (0.1 0.2 0.3 0.5)"
    )
    _models(attack)
    attack.add_argument(
        "--paraphraser", metavar="DIR", default="", help="of train-paraphraser, or a model of diffusers"
    )
    attack.add_argument(
        "--caption", default="", metavar="TEXT", help="words that hold a paraphrase by a model of diffusers"
    )
    attack.add_argument(
        "--captioner", default="", metavar="DIR", help="a captioner in the layout of transformers, instead"
    )
    attack.set_defaults(run=run_attack)

    utility = actions.add_parser(
        "watermark-utility", help="whether marking changes a downstream classifier; resumes when run again"
    )
    utility.add_argument("--scheme", default="learned", metavar="NAME", help="the mark (learned)")
    utility.add_argument(
        "--data", type=Path, nargs="+", default=[], metavar="FILE", help="manifests, for the task pictures"
    )
    utility.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="utility.json and what is kept to resume"
    )
    utility.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS), help="(both)")
    utility.add_argument("--count", type=int, default=600, metavar="N", help="pictures of each task (600)")
    utility.add_argument("--repeats", type=int, default=3, metavar="N", help="trainings of each classifier (3)")
    utility.add_argument("--bits", type=int, default=64, metavar="N", help="of the payload (64)")
    utility.add_argument("--seed", type=int, default=0, help="of phantoms, splits and trainings (0)")
    utility.set_defaults(run=run_utility)


def _data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="FILE", help="manifests; real rows are used"
    )
    parser.add_argument("--split", default="test", help="whose pictures (test)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="results, and what is kept to resume")


def _models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--autoencoders",
        nargs="+",
        default=[f"small={BUNDLED}"],
        metavar="NAME=PLACE",
        help=f"that pictures are passed through: {BUNDLED}, ENCODER,DECODER, or a folder (small={BUNDLED})",
    )
    parser.add_argument(
        "--diffusion",
        nargs="+",
        default=[BUNDLED],
        metavar="PLACE",
        help=f"models that purify: {BUNDLED}, a folder of train-generator, or one of diffusers ({BUNDLED})",
    )


def run_bench(options: argparse.Namespace) -> int:
    """Measure, publish and print the tables."""
    if options.unmarked:
        return _run_unmarked(options)
    with extra():
        from veriscope.lab.benchmark.watermark_bench import Order, WatermarkBench
    if min(options.most, *options.bits) < 1 or options.side < 256 or options.regenerated < 0:
        raise VeriscopeError("--most and --bits must be positive, --side at least 256, --regenerated not negative")
    order = Order(
        data=tuple(options.data),
        out=options.out,
        split=options.split,
        most=options.most,
        side=options.side,
        bits=tuple(dict.fromkeys(options.bits)),
        names=tuple(dict.fromkeys(options.schemes)),
        attacks=tuple(dict.fromkeys(options.attacks)),
        regenerated=options.regenerated,
        regenerations=tuple(_regenerations(options, (1,), (0.1, 0.2))) if options.regenerated else (),
        seed=options.seed,
        command=shlex.join(["veriscope", *words()]),
    )
    tables = WatermarkBench(order, to_stderr).run()
    _print_bench(tables)
    print(f"written: {options.out / 'watermarks.html'} and watermarks.json")
    return 0


def _run_unmarked(options: argparse.Namespace) -> int:
    with extra():
        from veriscope.lab.benchmark.watermark_false_alarms import Order, false_alarms
    if options.unmarked < 1 or options.processes < 1:
        raise VeriscopeError("--unmarked and --processes must be positive")
    order = Order(
        data=tuple(options.data),
        out=options.out,
        count=options.unmarked,
        split=options.split,
        names=tuple(dict.fromkeys(options.schemes)),
        processes=options.processes,
        command=shlex.join(["veriscope", *words()]),
    )
    tables = false_alarms(order, to_stderr)
    rows = [
        (name, f"{line['p']:g}", f"{line['share']:.5f}", f"{line['low']:.5f} to {line['high']:.5f}", str(line["hits"]))
        for name, lines in tables["schemes"].items()
        for line in lines
    ]
    _table(("scheme", "stated p", "share at or under it", "95 % interval", "crops"), rows, f"{tables['crops']} crops")
    print(f"written: {options.out / 'false_alarms.json'}")
    return 0


def run_attack(options: argparse.Namespace) -> int:
    """Attack, write and print both errors."""
    with extra():
        from veriscope.lab.benchmark.watermark_attacks import FAMILIES as PLAIN
        from veriscope.lab.benchmark.watermark_attacks import AttackRun, Order
        from veriscope.lab.watermarks.schemes import DEFAULT_KEY
    if min(options.most, options.bits) < 1 or options.side < 256 or options.learned < 10:
        raise VeriscopeError("--most and --bits must be positive, --side at least 256, --learned at least 10")
    if any(not 0 < strength <= 1 for strength in options.strengths):
        raise VeriscopeError("--strengths must lie in (0, 1]")
    asked = set(options.attacks)
    models: list[Any] = []
    if asked & {"regeneration", "purification"}:
        made = _regenerations(options, (1, 3), tuple(options.strengths) or (0.1, 0.2, 0.3, 0.5))
        models += [attack for attack in made if attack.family in asked]
    if "paraphrase" in asked and options.paraphraser:
        models += _paraphrases(options)
    elif "paraphrase" in asked:
        to_stderr("no paraphrase: --paraphraser names a model of veriscope lab train-paraphraser, or of diffusers")
    order = Order(
        data=tuple(options.data),
        out=options.out,
        scheme=options.scheme,
        split=options.split,
        most=options.most,
        learned=options.learned,
        side=options.side,
        bits=options.bits,
        families=tuple(name for name in PLAIN if name in asked),
        with_models=tuple(models),
        key=options.key or DEFAULT_KEY,
        command=_without_key(),
    )
    tables = AttackRun(order, to_stderr).run()
    _print_attacks(tables)
    print(f"written: {options.out / 'attacks.json'}")
    return 0


def run_utility(options: argparse.Namespace) -> int:
    """Measure, write and print the difference that marking makes."""
    with extra():
        from veriscope.lab.benchmark.watermark_utility import ARMS, Order, utility
    if options.count < 60 or options.repeats < 1:
        raise VeriscopeError("--count must be at least 60 and --repeats positive")
    order = Order(
        data=tuple(options.data),
        out=options.out,
        scheme=options.scheme,
        tasks=tuple(dict.fromkeys(options.tasks)),
        count=options.count,
        repeats=options.repeats,
        bits=options.bits,
        seed=options.seed,
        command=shlex.join(["veriscope", *words()]),
    )
    tables = utility(order, to_stderr)
    rows = []
    for line in tables["tasks"]:
        for arm in ARMS:
            cell = line[f"learned_{arm[0]}_asked_{arm[1]}"]
            change = f"{cell['accuracy_change']:+.4f}" if "accuracy_change" in cell else ""
            interval = "{:+.4f} to {:+.4f}".format(*cell["interval"]) if "interval" in cell else ""
            rows.append((line["task"], *arm, f"{cell['accuracy']:.4f}", f"{cell['auc']:.4f}", change, interval))
    _table(("task", "learned from", "asked about", "accuracy", "AUC", "change of accuracy", "95 % interval"), rows)
    print(f"written: {options.out / 'utility.json'}")
    return 0


def _regenerations(options: argparse.Namespace, passes: tuple[int, ...], strengths: tuple[float, ...]) -> list[Any]:
    with extra():
        from veriscope.lab.attacks.regeneration import open_purifier, purifying, regenerating
        from veriscope.lab.watermarks.coders import open_coder
    found: list[Any] = []
    for spec in options.autoencoders:
        name, _, place = spec.partition("=")
        if not name or not place:
            raise VeriscopeError(f"{spec!r}: an autoencoder is given as NAME=PLACE")
        found += regenerating(name, open_coder(place), passes)
    for place in options.diffusion:
        found += purifying(*open_purifier(place), strengths)
    return found


def _paraphrases(options: argparse.Namespace) -> list[Any]:
    with extra():
        from veriscope.lab.attacks.regeneration import open_paraphraser, paraphrasing
    return paraphrasing(*open_paraphraser(options.paraphraser, options.caption, options.captioner))


def _without_key() -> str:
    typed = words()
    told = ["KEY" if before == "--key" else word for before, word in zip(["", *typed], typed, strict=False)]
    return shlex.join(["veriscope", *("--key=KEY" if word.startswith("--key=") else word for word in told)])


def _print_bench(tables: dict[str, Any]) -> None:
    for bits in dict.fromkeys(line["bits"] for line in tables["schemes"]):
        schemes = [line for line in tables["schemes"] if line["bits"] == bits]
        lines = {(line["attack"], line["scheme"]): line for line in tables["attacks"] if line["bits"] == bits}
        rows = [
            ("PSNR, dB", *(_number(line["psnr"], 2) for line in schemes)),
            ("SSIM", *(_number(line["ssim"], 4) for line in schemes)),
            ("s/megapixel to mark", *(_number(line["embed_seconds_per_megapixel"], 3) for line in schemes)),
            ("s/megapixel to read", *(_number(line["detect_seconds_per_megapixel"], 3) for line in schemes)),
        ]
        for attack in dict.fromkeys(attack for attack, _ in lines):
            cells = [lines.get((attack, line["scheme"])) for line in schemes]
            rows.append((attack, *(_cell(cell) for cell in cells)))
        _table(("bit accuracy, TPR at FPR 1e-6", *(line["scheme"] for line in schemes)), rows, f"{bits} bits")
    for line in tables["absent"]:
        print(f"absent: {line['scheme']} with {line['bits']} bits: {line['why']}")


def _print_attacks(tables: dict[str, Any]) -> None:
    rows = [
        (
            line["attack"],
            _number(line["psnr_marked"], 1),
            _number(line["bit_accuracy"], 3),
            _number(line["evasion_error_at_1e-06"], 3),
            _number(line["spoofing_error_at_1e-06"], 3),
            _number(line["evasion_error_at_1e-03"], 3),
            _number(line["spoofing_error_at_1e-03"], 3),
            _number(line["least_sum"], 3),
        )
        for line in tables["attacks"]
    ]
    heads = (
        "attack",
        "PSNR, dB",
        "bit accuracy",
        "evasion 1e-6",
        "spoofing 1e-6",
        "evasion 1e-3",
        "spoofing 1e-3",
        "least sum",
    )
    _table(heads, rows, f"{tables['scheme']}, {tables['pictures']} pictures")
    if "substitute_accuracy" in tables:
        print(
            f"the substitute tells marked pictures from unmarked ones with accuracy {tables['substitute_accuracy']:.3f}"
        )


def _cell(line: dict[str, Any] | None) -> str:
    return "–" if line is None else f"{line['bit_accuracy']:.3f}  {100 * line['tpr_at_fpr_1e-6']:.0f} %"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]], title: str = "") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*heads, title=title or None, title_justify="left")
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 200).print(table)
