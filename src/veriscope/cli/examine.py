"""``veriscope examine``: one picture to a report, a folder to a run."""

from __future__ import annotations

import argparse
import base64
import json
import math
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from veriscope import batch
from veriscope.cli.opening import add_limits, limits_of, pictures_in, require_time
from veriscope.errors import VeriscopeError

if TYPE_CHECKING:
    from veriscope.reporting import IndexRow

RESULTS = "results.jsonl"
DEFAULT_OUT = "veriscope-results"
MOST_THUMBNAILS = 500  # an index of more pictures than this carries none


def add_to(commands: Any) -> None:
    """Add the command to the parser's sub-commands."""
    command = commands.add_parser("examine", help="examine pictures and report")
    command.add_argument("paths", nargs="+", metavar="PATH", help="a picture, a folder, or a glob pattern in quotes")
    command.add_argument("--json", action="store_true", help="print the report as JSON (one line each for several)")
    command.add_argument("--html", action="store_true", help="write a self-contained HTML report a picture")
    command.add_argument("--pdf", action="store_true", help="write a PDF report a picture")
    command.add_argument("--parquet", action="store_true", help="also write results.parquet (needs the parquet extra)")
    command.add_argument("--out", type=Path, metavar="DIR", help=f"where files go (one: here; several: {DEFAULT_OUT})")
    command.add_argument(
        "--index", type=Path, metavar="FILE", help="where a folder run's HTML index goes (OUT/index.html)"
    )
    command.add_argument("--jobs", type=int, default=0, metavar="N", help="processes for a folder (0: one a core)")
    command.add_argument("--declared-only", action="store_true", help="read what the file declares, not the pixels")
    command.add_argument("--quick", action="store_true", help="leave out the methods that take long")
    command.add_argument("--with", dest="detectors", action="append", metavar="NAME", help="ask only this detector")
    command.add_argument(
        "--known", type=Path, metavar="DIR", help="say where it has been: look into this index (veriscope index add)"
    )
    add_limits(command)
    command.add_argument("--time-limit", type=float, default=60.0, metavar="S", help="seconds for each detector (60)")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Examine what the options name; 2 when the only picture could not be opened."""
    limits_of(options, "jobs")
    require_time(options.time_limit)
    only = Path(options.paths[0])
    if len(options.paths) == 1 and not only.is_dir() and (os.path.lexists(only) or not _is_pattern(str(only))):
        if options.index or options.parquet:
            raise VeriscopeError("--index and --parquet belong to a run over a folder or several pictures, not to one")
        return _run_one(only, options)
    return _run_many(options)


def _is_pattern(path: str) -> bool:
    return any(character in path for character in "*?[")


def _settings(options: argparse.Namespace) -> batch.Settings:
    return batch.Settings(
        detectors=tuple(options.detectors) if options.detectors else None,
        declared_only=options.declared_only,
        quick=options.quick,
        limits=limits_of(options),
        time_limit=options.time_limit,
        known=None if options.known is None else str(options.known),
    )


def _run_one(path: Path, options: argparse.Namespace) -> int:
    from veriscope import reporting
    from veriscope.examination import PREVIEW_SIDE

    report = _settings(options).examine(path, PREVIEW_SIDE if options.html or options.pdf else 0)
    out = options.out or Path()
    written = []
    if options.html or options.pdf:
        _make(out)
    if options.html:
        written.append(out / f"{path.stem}.report.html")
        reporting.save_html(report, written[-1])
    if options.pdf:
        written.append(out / f"{path.stem}.report.pdf")
        reporting.save_pdf(report, written[-1])
    if options.json:
        print(report.to_json())
    elif not written:
        reporting.print_report(report)
    for file in written:
        print(f"written: {file}", file=sys.stderr if options.json else sys.stdout)
    return 0


def _run_many(options: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from veriscope import plugins, reporting

    if options.detectors:
        plugins.named(options.detectors)
    out = options.out or Path(DEFAULT_OUT)
    paths = pictures_in(options.paths)
    reports = out / "reports"
    settings = replace(
        _settings(options),
        html=str(reports) if options.html else None,
        pdf=str(reports) if options.pdf else None,
        thumbnails=len(paths) <= MOST_THUMBNAILS,
    )
    index = options.index or out / "index.html"
    for folder in (settings.html, settings.pdf, index.parent):
        if folder:
            _make(Path(folder))
    rows: list[IndexRow] = []
    errors = 0
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    try:
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("examining", total=len(paths))
            for result in batch.examine_many(paths, out / RESULTS, settings, jobs=options.jobs):
                errors += result.error is not None
                rows.append(_index_row(result, reports, index))
                if options.json:
                    print(
                        json.dumps(result.report or {"error": result.error, "file": {"name": result.path}}), flush=True
                    )
                progress.advance(task)
    finally:
        if rows:
            reporting.save_index(rows, index)
            console.print(f"{len(rows)} of {len(paths)} pictures, {errors} errors", highlight=False)
            console.print(f"results: {out / RESULTS}\nindex: {index}", highlight=False, soft_wrap=True)
    if options.parquet:
        _write_parquet(out)
    return 0


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VeriscopeError(f"{folder}: cannot be made: {error.strerror}") from error


def _index_row(result: batch.Result, reports: Path, index: Path) -> IndexRow:
    from veriscope.evidence import Report
    from veriscope.reporting import IndexRow, index_row

    if result.report is None:
        return IndexRow(result.path, "", -math.inf, "error", None, "", result.error)
    href = Path(os.path.relpath(reports / result.href, index.parent)).as_posix() if result.href else None
    thumbnail = base64.b64decode(result.thumbnail) if result.thumbnail else None
    return index_row(Report.model_validate(result.report), href=href, thumbnail=thumbnail)


def _write_parquet(out: Path) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise VeriscopeError("--parquet needs pyarrow: pip install 'veriscope[parquet]'") from None
    rows = [
        {
            "path": result.path,
            "error": result.error,
            "headline": result.report and result.report["headline"],
            "sha256": result.report and result.report["file"]["sha256"],
            **{
                f"{question}_{key}": value
                for question, verdict in (result.report["pixels"] if result.report else {}).items()
                for key, value in verdict.items()
            },
            "report": result.report and json.dumps(result.report),
        }
        for result in batch.read_results(out / RESULTS).values()
    ]
    names = dict.fromkeys(name for row in rows for name in row)
    table = pyarrow.Table.from_pydict({name: [row.get(name) for row in rows] for name in names})
    partial = out / "results.parquet.partial"
    parquet.write_table(table, partial)
    os.replace(partial, out / "results.parquet")
