"""The command line: ``veriscope COMMAND``. One file a command group."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version

from veriscope.cli import (
    camera,
    examine,
    geometry,
    index,
    inventory,
    lab,
    serve,
    study,
    tampering,
    undo_warp,
    users,
    watermark,
)
from veriscope.errors import VeriscopeError

WRONG_INPUT = 2  # exit code: the input cannot be examined, or the call is off
STOPPED = 130  # exit code: Ctrl-C, as shells count it


def parser() -> argparse.ArgumentParser:
    """The whole command line's grammar."""
    top = argparse.ArgumentParser(
        prog="veriscope",
        description="Tells what a picture is, shows the evidence, says how sure it is, and says so when it cannot know.",
    )
    top.add_argument("--version", action="version", version=f"veriscope {version('veriscope')}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for group in (
        examine,
        index,
        inventory,
        tampering,
        camera,
        geometry,
        undo_warp,
        watermark,
        serve,
        users,
        study,
        lab,
    ):
        group.add_to(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code (0 done, 2 wrong input, 130 stopped by Ctrl-C)."""
    options = parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except VeriscopeError as error:
        print(f"veriscope: {error}", file=sys.stderr)
        return WRONG_INPUT
    except KeyboardInterrupt:
        print("veriscope: stopped; what was finished is kept", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:
        sys.stderr.close()
        return 0


if __name__ == "__main__":
    raise SystemExit(main())
