"""``veriscope lab``: make data, train, measure and look into the detectors. One file a group of actions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
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
    "indexing",
    "analysing",
    "studying",
    "pretraining",
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
