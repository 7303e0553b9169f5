"""What the commands that open pictures share: which pictures they are, the options that limit them, and the refusals."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from veriscope import batch
from veriscope.errors import VeriscopeError
from veriscope.picture import Limits

LONGEST_TIME = 86_400  # seconds that a detector may be given


def pictures_in(paths: Sequence[str]) -> list[Path]:
    """The pictures that paths, folders and glob patterns name.

    Raises:
        VeriscopeError: there is none.
    """
    found = batch.find_pictures(paths)
    if not found:
        raise VeriscopeError(f"{', '.join(paths)}: no picture in it (looked for {', '.join(sorted(batch.SUFFIXES))})")
    return found


def add_limits(command: argparse.ArgumentParser) -> None:
    """Add ``--max-bytes`` and ``--max-pixels``."""
    command.add_argument("--max-bytes", type=int, default=Limits().bytes, help="largest file to open (200000000)")
    command.add_argument("--max-pixels", type=int, default=Limits().pixels, help="largest picture (250000000)")


def limits_of(options: argparse.Namespace, processes: str = "") -> Limits:
    """The limits that the options name.

    Args:
        options: with ``max_bytes`` and ``max_pixels``.
        processes: the option that counts processes, checked with them; empty where there is none.
    Raises:
        VeriscopeError: one of them is out of range.
    """
    said = "--max-bytes and --max-pixels must be positive"
    if processes:
        said = f"--{processes} must not be negative; {said}"
    if options.max_bytes <= 0 or options.max_pixels <= 0 or (processes and getattr(options, processes) < 0):
        raise VeriscopeError(said)
    return Limits(bytes=options.max_bytes, pixels=options.max_pixels)


def require_time(seconds: float) -> None:
    """Refuse a time limit out of range.

    Raises:
        VeriscopeError: it is.
    """
    if not 0 < seconds <= LONGEST_TIME:
        raise VeriscopeError(f"--time-limit must be more than 0 and at most {LONGEST_TIME} seconds")
