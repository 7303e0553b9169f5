"""``veriscope lab``: make data, train, measure and look into the detectors. One file a group of actions."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from veriscope.errors import VeriscopeError

GROUPS = (  # in the order of the help
    "data",
    "making",
    "editing",
    "documents",
    "training",
    "combining",
    "measuring",
    "benchmarking",
    "tampering",
    "copies",
    "marks",
    "indexing",
    "analysing",
    "studying",
    "pretraining",
    "watermarks",
    "rooting",
    "latents",
)


def add_to(commands: Any) -> None:
    """Add the command group to the parser's sub-commands."""
    lab = commands.add_parser("lab", help="make data, train, measure and look into the detectors (needs the lab extra)")
    actions = lab.add_subparsers(dest="action", required=True, metavar="ACTION")
    for group in GROUPS:
        import_module(f"veriscope.cli.lab.{group}").add_to(actions)


@contextmanager
def extra() -> Iterator[None]:
    """Turns a missing package of the lab extra into an error that names the mend."""
    try:
        yield
    except ImportError as error:
        raise VeriscopeError(f"the laboratory needs its extra: pip install 'veriscope[lab]' ({error})") from error


def say(line: str) -> None:
    """Progress of what is written for the user."""
    print(line, flush=True)


def to_stderr(line: str) -> None:
    """Progress of what prints its answer."""
    print(line, file=sys.stderr, flush=True)


def words() -> list[str]:
    """The call as it was typed, but for where files lie on this machine."""
    return [word if not word.startswith("/") else "/".join(Path(word).parts[-2:]) for word in sys.argv[1:]]
