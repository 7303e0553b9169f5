"""``veriscope serve``: the page and the HTTP API, on this machine or for a team."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from veriscope.cli.opening import require_time
from veriscope.errors import VeriscopeError

DATA = "veriscope-data"
TOKEN = "VERISCOPE_TOKEN"  # noqa: S105 (the name of an environment variable)
DATABASE = "VERISCOPE_DATABASE"
NEEDS = "veriscope {command} needs the extra: pip install 'veriscope[server]' ({missing} is missing)"
MEGABYTE = 1_000_000

NOTES = f"""\
On this machine alone (the default) nobody signs in, until there are users or a token. To be reached from others, name a --host,
and first make users (veriscope users add) or a token. {TOKEN} and {DATABASE} in the environment stand in
for --token and --database, which other users of the machine can read in the list of processes.
"""


def add_to(commands: Any) -> None:
    """Add the command to the parser's sub-commands."""
    raw = argparse.RawDescriptionHelpFormatter
    command = commands.add_parser(
        "serve", help="open the page in a browser, and serve the HTTP API", epilog=NOTES, formatter_class=raw
    )
    command.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1: this machine only)")
    command.add_argument("--port", type=int, default=8000, help="TCP port (8000; 0: any that is free)")
    add_place(command)
    command.add_argument("--workers", type=int, default=2, metavar="N", help="processes that examine (2)")
    command.add_argument("--quick", action="store_true", help="examine quickly unless a request says otherwise")
    command.add_argument("--known", type=Path, metavar="DIR", help="index of known pictures (veriscope index add)")
    command.add_argument("--no-browser", action="store_true", help="do not open the page in a browser")
    command.add_argument("--token", default=None, help="who sends it as bearer token, or signs in by it, is an admin")
    command.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="a name by which the server may be called"
    )
    command.add_argument("--allow-urls", action="store_true", help="fetch pictures from public addresses on request")
    command.add_argument("--max-bytes", type=int, default=50 * MEGABYTE, help="largest upload (50000000)")
    command.add_argument("--max-pixels", type=int, default=100 * MEGABYTE, help="largest picture (100000000)")
    command.add_argument("--max-waiting", type=int, default=10_000, metavar="N", help="jobs that may wait (10000)")
    command.add_argument("--rate", type=int, default=1200, metavar="N", help="uploads a minute and client (1200)")
    command.add_argument("--concurrent", type=int, default=64, metavar="N", help="uploads at once, a client (64)")
    command.add_argument("--time-limit", type=float, default=60.0, metavar="S", help="seconds for each detector (60)")
    command.add_argument("--job-limit", type=float, default=180.0, metavar="S", help="seconds for each picture (180)")
    command.add_argument(
        "--worker-memory",
        type=int,
        default=4000,
        metavar="MB",
        help="memory of a worker from which it is killed (4000)",
    )
    command.add_argument(
        "--keep-days",
        type=float,
        default=7.0,
        metavar="DAYS",
        help="that pictures of no case are kept (7; 0: for ever)",
    )
    command.add_argument("--secure-cookies", action="store_true", help="behind TLS: send cookies over it only")
    command.add_argument(
        "--trusted-proxy", action="append", default=[], metavar="ADDRESS", help="believe its X-Forwarded-For"
    )
    command.set_defaults(run=run)


def add_place(command: argparse.ArgumentParser) -> None:
    """Add what says where a server keeps things: ``--data`` and ``--database``."""
    command.add_argument("--data", type=Path, default=Path(DATA), metavar="DIR", help=f"where all is kept ({DATA})")
    command.add_argument("--database", default=None, metavar="URL", help="postgresql+psycopg://... instead of SQLite")


def database_of(options: argparse.Namespace) -> str:
    """The database's URL, from the option or the environment; empty for SQLite."""
    return str(os.environ.get(DATABASE, "") if options.database is None else options.database)


def run(options: argparse.Namespace) -> int:
    """Serve until stopped."""
    for name in ("max_bytes", "max_pixels", "max_waiting", "rate", "concurrent", "worker_memory"):
        if getattr(options, name) <= 0:
            raise VeriscopeError(f"--{name.replace('_', '-')} must be positive")
    if not 0 <= options.port <= 65_535 or options.workers < 0 or options.keep_days < 0:
        raise VeriscopeError("--port must be 0 to 65535; --workers and --keep-days must not be negative")
    require_time(options.time_limit)
    require_time(options.job_limit)
    try:
        from veriscope.server.running import serve
        from veriscope.server.settings import Settings
    except ModuleNotFoundError as error:
        raise VeriscopeError(NEEDS.format(command="serve", missing=error.name)) from None
    settings = Settings(
        data=options.data.absolute(),
        host=options.host.strip("[]"),
        port=options.port,
        database=database_of(options),
        workers=options.workers,
        quick=options.quick,
        token=os.environ.get(TOKEN, "") if options.token is None else options.token,
        hosts=tuple(options.allow_host),
        max_bytes=options.max_bytes,
        max_pixels=options.max_pixels,
        detector_seconds=options.time_limit,
        job_seconds=options.job_limit,
        worker_bytes=options.worker_memory * MEGABYTE,
        waiting=options.max_waiting,
        rate=options.rate,
        concurrent=options.concurrent,
        keep_days=options.keep_days,
        allow_urls=options.allow_urls,
        known=options.known,
        secure_cookies=options.secure_cookies,
        trusted_proxies=tuple(options.trusted_proxy),
    )
    return serve(settings, browser=not options.no_browser)
