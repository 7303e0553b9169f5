"""``veriscope users``: who may sign in to a server."""

from __future__ import annotations

import argparse
import contextlib
import getpass
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from veriscope.cli.serve import NEEDS, add_place, database_of
from veriscope.errors import VeriscopeError

if TYPE_CHECKING:
    from veriscope.server.accounts import Accounts

ROLES = ("viewer", "examiner", "admin")
ABOUT = """\
A viewer reads, an examiner also uploads, writes and deletes, an admin also manages users and reads the audit log.
Passwords are asked for, or read as one line from standard input with --password-stdin. They are kept as argon2id hashes.
"""


def add_to(commands: Any) -> None:
    """Add the command group to the parser's sub-commands."""
    raw = argparse.RawDescriptionHelpFormatter
    group = commands.add_parser("users", help="who may sign in to a server", epilog=ABOUT, formatter_class=raw)
    actions = group.add_subparsers(dest="action", required=True, metavar="ACTION")
    adding = actions.add_parser("add", help="add a user")
    adding.add_argument("--role", choices=ROLES, default="examiner", help="what they may do (examiner)")
    changing = actions.add_parser("password", help="give a user another password and end their sessions")
    listing = actions.add_parser("list", help="list users")
    removing = actions.add_parser("remove", help="delete a user, their sessions and tokens")
    roles = actions.add_parser("role", help="give a user another role")
    making = actions.add_parser("token", help="make a token with which programs act for a user; it is shown once")
    making.add_argument("--label", default="", help="what it is for")
    for action in (adding, changing, removing, roles, making):
        action.add_argument("name", metavar="NAME", help="the user")
    roles.add_argument("role", choices=ROLES, metavar="ROLE", help=f"one of {', '.join(ROLES)}")
    for action in (adding, changing):
        action.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    for action in (adding, changing, listing, removing, roles, making):
        add_place(action)
    group.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Do what is asked of the server's accounts."""
    with _accounts(options) as accounts:
        if options.action == "list":
            for user in accounts.users():
                since = datetime.fromtimestamp(user.created, UTC).date().isoformat()
                print(f"{user.name}\t{user.role}\t{'disabled' if user.disabled else 'since ' + since}")
        elif options.action == "add":
            accounts.add_user(options.name, _password(options), options.role)
            print(f"{options.name} may sign in as {options.role}")
        elif options.action == "password":
            accounts.set_password(options.name, _password(options))
            print(f"{options.name} has another password")
        elif options.action == "role":
            accounts.set_role(options.name, options.role)
            print(f"{options.name} is {options.role} now")
        elif options.action == "token":
            print(accounts.make_token(options.name, options.label))
        else:
            accounts.remove(options.name)
            print(f"{options.name} was removed")
    return 0


@contextlib.contextmanager
def _accounts(options: argparse.Namespace) -> Iterator[Accounts]:
    try:
        from veriscope.server.accounts import Accounts
        from veriscope.server.audit import Log
        from veriscope.server.database import Database
        from veriscope.server.settings import Settings
    except ModuleNotFoundError as error:
        raise VeriscopeError(NEEDS.format(command="users", missing=error.name)) from None
    settings = Settings(data=options.data, database=database_of(options)).made()
    database = Database(settings.url)
    try:
        database.migrate()
        yield Accounts(database)
        if options.action != "list":
            Log(database).record("command line", f"users {options.action}", options.name)
    finally:
        database.close()


def _password(options: argparse.Namespace) -> str:
    if options.password_stdin or not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass(f"Password for {options.name}: ")
    if getpass.getpass("Once more: ") != password:
        raise VeriscopeError("the two passwords differ; nothing was changed")
    return password
