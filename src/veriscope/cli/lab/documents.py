"""``veriscope lab make-documents``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from veriscope.cli.lab import extra, to_stderr
from veriscope.errors import VeriscopeError


def add_to(actions: Any) -> None:
    """Add the action to the parser of ``veriscope lab``."""
    making = actions.add_parser(
        "make-documents", help="render documents, half of them with tampered text, and masks; run again to resume"
    )
    making.add_argument("--count", type=int, required=True, metavar="N", help="documents in all")
    making.add_argument("--out", type=Path, required=True, metavar="DIR", help="manifest.csv, pictures/ and masks/")
    making.add_argument("--seed", type=int, default=0, help="of the documents")
    making.set_defaults(run=make_documents)


def make_documents(options: argparse.Namespace) -> int:
    """Render what is missing."""
    with extra():
        from veriscope.lab.data import documents
    if options.count < 1 or options.seed < 0:
        raise VeriscopeError("--count must be at least 1 and --seed not negative")
    made = documents.make_documents(options.count, options.out, seed=options.seed, say=to_stderr)
    print(f"{made} documents made, {options.count - made} were there; written: {options.out / documents.MANIFEST}")
    return 0
