"""``veriscope lab ensemble``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from veriscope.cli.lab import extra, say
from veriscope.errors import VeriscopeError


def add_to(actions: Any) -> None:
    """Add the action to the parser of ``veriscope lab``."""
    combining = actions.add_parser("ensemble", help="find the best sum of trained detectors under a budget")
    combining.add_argument("members", nargs="+", metavar="NAME", help="detectors to choose from")
    combining.add_argument(
        "--models", type=Path, default=Path("lab-models"), metavar="DIR", help="where lab train wrote them (lab-models)"
    )
    combining.add_argument("--megabytes", type=float, default=120.0, metavar="MB", help="the most (120)")
    combining.add_argument("--seconds", type=float, default=0.35, metavar="S", help="the most for a picture (0.35)")
    combining.set_defaults(run=combine)


def combine(options: argparse.Namespace) -> int:
    """Choose, calibrate and write ``generated.panel.json`` beside the members."""
    if len(set(options.members)) < 2:
        raise VeriscopeError("an ensemble needs at least two detectors to choose from")
    os.environ["VERISCOPE_MODELS"] = str(options.models)
    with extra():
        from veriscope.lab.recipes import ensemble
    from veriscope.weighing import Panel

    names = list(dict.fromkeys(options.members))
    held = ensemble.held_out(options.models, names)
    best = ensemble.choose(held, megabytes=options.megabytes, seconds=options.seconds, say=say, costs_of=ensemble.costs)
    versions = {
        name: next(iter(Panel.load(options.models / f"{name}.panel.json").members)).rpartition("@")[2]
        for name in best.members
    }
    together = ensemble.held_out(options.models, best.members)
    panel = ensemble.calibrated(together, best, versions)
    path = options.models / "generated.panel.json"
    panel.save(path)
    print(
        f"best: {' + '.join(best.members)}, AUC {best.auc:.4f} on sources kept aside, {best.megabytes:.1f} MB, "
        f"{best.seconds:.2f} s a picture"
    )
    print(f"written: {path}")
    return 0
