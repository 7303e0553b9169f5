"""``veriscope serve``: the page and the HTTP API, on this machine or for a team."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from veriscope.errors import VeriscopeError

DATA = "veriscope-data"
NEEDS = "veriscope serve needs the extra: pip install 'veriscope[server]'"


def add_to(commands: Any) -> None:
    """Add the command to the parser's sub-commands."""
    command = commands.add_parser("serve", help="open the page in a browser, and serve the HTTP API")
    command.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1: this machine only)")
    command.add_argument("--port", type=int, default=8000, help="TCP port (8000; 0: any that is free)")
    command.add_argument("--data", type=Path, default=Path(DATA), metavar="DIR", help=f"where all is kept ({DATA})")
    command.add_argument("--workers", type=int, default=2, metavar="N", help="processes that examine (2)")
    command.add_argument("--database", default="", metavar="URL", help="postgresql+psycopg://... instead of SQLite")
    command.add_argument("--quick", action="store_true", help="examine quickly unless a request says otherwise")
    command.add_argument("--no-browser", action="store_true", help="do not open the page")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Serve until stopped."""
    try:
        from veriscope.server.running import serve
        from veriscope.server.settings import Settings
    except ModuleNotFoundError as error:
        raise VeriscopeError(f"{NEEDS} ({error.name} is missing)") from None
    settings = Settings(
        data=options.data.absolute(),
        host=options.host,
        port=options.port,
        workers=options.workers,
        database=options.database,
        quick=options.quick,
    )
    return serve(settings, browser=not options.no_browser)
