"""``veriscope study``: ask people about the pictures that the detectors saw, and compare how often each of them errs."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from veriscope.errors import VeriscopeError


def add_to(commands: Any) -> None:
    """Add the command to the parser's sub-commands."""
    group = commands.add_parser("study", help="compare people with the detectors on the same pictures")
    verbs = group.add_subparsers(dest="verb", required=True, metavar="VERB")
    made = verbs.add_parser(
        "create", help="make a study of the pictures of a manifest, and ask the detectors about them"
    )
    _data(made)
    made.add_argument(
        "--manifest", type=Path, required=True, metavar="M", help="CSV or Parquet, as the laboratory reads it"
    )
    made.add_argument("--title", default="Real or generated?", metavar="TEXT", help="what people see it called")
    made.add_argument("--pictures", type=int, default=60, metavar="N", help="in the study, half of them generated (60)")
    made.add_argument("--each", type=int, default=20, metavar="N", help="that one person is shown (20)")
    made.add_argument("--seconds", type=float, default=0, metavar="S", help="that a picture can be seen (0: no limit)")
    made.add_argument("--split", default="", metavar="NAME", help="take pictures of this split of the manifest alone")
    made.add_argument("--side", type=int, default=1024, metavar="PX", help="longer side of every picture (1024)")
    made.add_argument("--quality", type=int, default=92, metavar="Q", help="JPEG quality of every picture (92)")
    made.add_argument("--seed", type=int, default=0, metavar="N", help="of the drawing (0)")
    made.add_argument("--quick", action="store_true", help="leave out the detectors that take long")
    made.add_argument("--contact", default="", metavar="TEXT", help="whom people can ask about the study")
    made.set_defaults(run=_create)
    listed = verbs.add_parser("list", help="the studies in a data folder")
    _data(listed)
    listed.set_defaults(run=_list)
    told = verbs.add_parser("results", help="people's errors beside the detectors', with intervals")
    _data(told)
    _key(told)
    told.add_argument("--csv", action="store_true", help="every answer as a row, instead of the results as JSON")
    told.add_argument("--finished", action="store_true", help="count only people who answered every picture")
    told.set_defaults(run=_results)
    for verb, words in (
        ("close", "take no more people"),
        ("open", "take people again"),
        ("delete", "delete it with all answers"),
    ):
        change = verbs.add_parser(verb, help=words)
        _data(change)
        _key(change)
        change.set_defaults(run=_change)


def _data(command: Any) -> None:
    command.add_argument("--data", type=Path, required=True, metavar="DIR", help="the server's data folder")


def _key(command: Any) -> None:
    command.add_argument("key", metavar="KEY", help="the study, as `veriscope study list` names it")


def _create(options: argparse.Namespace) -> int:
    from veriscope.server.study_making import Plan, create

    plan = Plan(
        title=options.title.strip()[:120] or Plan.title,
        pictures=options.pictures,
        each=options.each,
        side=options.side,
        quality=options.quality,
        seconds=options.seconds,
        split=options.split,
        seed=options.seed,
        quick=options.quick,
        contact=options.contact,
    )
    study = create(options.data, options.manifest, plan, lambda line: print(line, file=sys.stderr, flush=True))
    print(f"{study.facts.key}: {study.facts.title}")
    print(f"Run `veriscope serve --data {options.data}` and send out its address with /study/{study.facts.key}")
    return 0


def _list(options: argparse.Namespace) -> int:
    from veriscope.server.study_store import studies

    for study in studies(options.data):
        began, finished = study.counts()
        state = "closed" if study.facts.closed else "open"
        print(
            f"{study.facts.key}\t{state}\t{study.facts.created}\t{began} began, {finished} finished\t{study.facts.title}"
        )
    return 0


def _results(options: argparse.Namespace) -> int:
    from veriscope.server.study_results import as_csv, results
    from veriscope.server.study_store import open_study

    study = open_study(options.data, options.key)
    if options.csv:
        sys.stdout.write(as_csv(study))
    else:
        print(json.dumps(results(study, finished=options.finished), indent=2, ensure_ascii=False))
    return 0


def _change(options: argparse.Namespace) -> int:
    from veriscope.server.study_store import open_study

    study = open_study(options.data, options.key)
    if options.verb == "delete":
        study.delete()
    elif options.verb in ("close", "open"):
        study.close(options.verb == "close")
    else:
        raise VeriscopeError(f"{options.verb}: not a verb of `veriscope study`")
    return 0
