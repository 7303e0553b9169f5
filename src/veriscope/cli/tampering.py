"""``veriscope tampering maps``: where pictures may have been edited, as arrays and pictures for other programs."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from veriscope import batch
from veriscope.cli.opening import add_limits, limits_of, require_time
from veriscope.errors import VeriscopeError

DETAIL = """\
Of each picture, DIR receives STEM.npz (a float32 array a method, height x width in [0, 1]), STEM.METHOD.png,
STEM.overlay.png of the fused map, and STEM.json with scores, sentences, seconds and regions, which is put in place last.
A picture over 16 megapixels has maps of 16. Where two pictures share a stem, the later one becomes STEM-XXXXXXXX, eight
digits of the hash of its path. A second run makes only what is missing or has changed.
"""


def add_to(commands: Any) -> None:
    """Add the command group to the parser's sub-commands."""
    group = commands.add_parser("tampering", help="find which part of a picture was edited")
    actions = group.add_subparsers(dest="action", required=True, metavar="ACTION")
    maps = actions.add_parser(
        "maps",
        help="write the maps of every method as arrays and pictures; resumes when run again",
        epilog=DETAIL,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    maps.add_argument("paths", nargs="+", metavar="PATH", help="a picture, a folder, or a glob pattern in quotes")
    maps.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the files go")
    maps.add_argument("--quick", action="store_true", help="only the quick methods")
    maps.add_argument("--methods", nargs="+", metavar="NAME", help="only these (all that an examination asks)")
    maps.add_argument("--processes", type=int, default=0, metavar="N", help="for several pictures (0: one a core)")
    maps.add_argument("--again", action="store_true", help="make finished ones anew")
    add_limits(maps)
    maps.add_argument("--time-limit", type=float, default=60.0, metavar="S", help="seconds for each method (60)")
    maps.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Map what the options name; pictures that cannot be opened are named, and it is 2 when there was only one."""
    from veriscope.maps import Settings
    from veriscope.maps_batch import jobs

    limits = limits_of(options, "processes")
    require_time(options.time_limit)
    settings = Settings(
        methods=tuple(dict.fromkeys(options.methods)) if options.methods else None,
        quick=options.quick,
        limits=limits,
        time_limit=options.time_limit,
    )
    _ = settings.localisers  # wrong names are said before anything is made
    paths = batch.find_pictures(options.paths)
    todo = jobs(paths, options.out, settings)
    if not todo:
        raise VeriscopeError(
            f"{', '.join(options.paths)}: no picture in it (looked for {', '.join(sorted(batch.SUFFIXES))})"
        )
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VeriscopeError(f"{options.out}: cannot be made: {error.strerror}") from error
    return _run(todo, settings, options)


def _run(todo: list[Any], settings: Any, options: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from veriscope.maps_batch import map_many

    single = len(todo) == 1 and len(options.paths) == 1 and not os.path.isdir(options.paths[0])
    done = errors = earlier = 0
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    try:
        with Progress(*columns, console=console, disable=single) as progress:
            task = progress.add_task("mapping", total=len(todo))
            for written in map_many(todo, options.out, settings, processes=options.processes, again=options.again):
                if written.error is not None:
                    if single:
                        raise VeriscopeError(written.error)
                    errors += 1
                    console.print(f"veriscope: {written.error}", markup=False, highlight=False, soft_wrap=True)
                else:
                    done += 1
                    earlier += written.earlier
                    print(f"done before: {written.json}" if written.earlier else f"written: {written.json}")
                progress.advance(task)
    finally:
        if not single:
            said = f"{done} of {len(todo)} pictures, {earlier} of them done before, {errors} errors"
            print(said, file=sys.stderr)
    return 0
