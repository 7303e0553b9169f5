"""``veriscope detectors`` and ``veriscope models``: what is installed here."""

from __future__ import annotations

import argparse
import json
from typing import Any


def add_to(commands: Any) -> None:
    """Add the commands to the parser's sub-commands."""
    detectors = commands.add_parser("detectors", help="list the detectors that are installed")
    detectors.add_argument("--json", action="store_true", help="as JSON")
    detectors.set_defaults(run=list_detectors)
    models = commands.add_parser("models", help="list or check the models that are installed")
    actions = models.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="name, version, size, licence and source of each model")
    listing.add_argument("--json", action="store_true", help="as JSON")
    listing.set_defaults(run=list_models)
    checking = actions.add_parser("verify", help="check every model's files against their SHA-256")
    checking.set_defaults(run=verify_models)
    pulling = actions.add_parser("pull", help="fetch a model that is not bundled")
    pulling.add_argument("name")
    pulling.set_defaults(run=pull_model)


def list_detectors(options: argparse.Namespace) -> int:
    """Print each detector's name, version, question and what it does."""
    from rich.console import Console
    from rich.table import Table

    from veriscope import models, plugins

    counted = {member for panel in models.panels() for member in panel.members}
    rows: list[dict[str, Any]] = [
        {
            "name": detector.name,
            "version": str(detector.version),
            "question": str(detector.question),
            "weighed": f"{detector.name}@{detector.version}" in counted,
            "about": str(detector.error)
            if isinstance(detector, plugins.Broken)
            else (type(detector).__doc__ or "").strip().split("\n")[0],
        }
        for detector in plugins.detectors()
    ]
    if options.json:
        print(json.dumps(rows, indent=2))
        return 0
    table = Table("detector", "version", "question", "weighed", "about")
    table.columns[0].min_width = max(len(row["name"]) for row in rows)  # a name is typed again: never cut it
    for row in rows:
        table.add_row(
            row["name"], row["version"], row["question"], "yes" if row["weighed"] else "shown only", row["about"]
        )
    Console().print(table)
    return 0


def list_models(options: argparse.Namespace) -> int:
    """Print each model of the registry."""
    from rich.console import Console
    from rich.table import Table

    from veriscope import models

    rows: list[dict[str, Any]] = [
        {
            "name": entry.name,
            "version": entry.version,
            "installed": entry.installed,
            "bytes": entry.bytes,
            "licence": entry.licence,
            "source": entry.source,
            "about": entry.about,
            "files": entry.files,
        }
        for entry in models.registry().values()
    ]
    if options.json:
        print(json.dumps(rows, indent=2))
        return 0
    table = Table("model", "version", "installed", "MB", "licence", "about")
    for row in rows:
        size = f"{row['bytes'] / 1e6:.1f}" if row["installed"] else ""
        table.add_row(
            row["name"], row["version"], "yes" if row["installed"] else "no", size, row["licence"], row["about"]
        )
    Console().print(table)
    return 0


def verify_models(options: argparse.Namespace) -> int:  # noqa: ARG001 (the commands share one signature)
    """Check every installed model's files; raises ``ModelError`` at the first that differs."""
    from veriscope import models

    for entry in models.registry().values():
        if entry.bundled or entry.installed:
            models.verify(entry.name)
            print(f"{entry.name} {entry.version}: intact")
    return 0


def pull_model(options: argparse.Namespace) -> int:
    """Fetch one model into the cache."""
    from veriscope import models

    print(f"{options.name}: {models.pull(options.name)}")
    return 0
