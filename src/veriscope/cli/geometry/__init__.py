"""``veriscope geometry``: perspective, shadows and totems of one picture, from what a user marked in it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


def add_to(commands: Any) -> None:
    """Add the commands to the parser's sub-commands."""
    geometry = commands.add_parser("geometry", help="test perspective, shadows or a totem that you marked in a picture")
    kinds = geometry.add_subparsers(dest="kind", required=True, metavar="KIND")
    vanishing = kinds.add_parser("vanishing", help="vanishing points, horizon, heights; from marked or detected lines")
    vanishing.add_argument("path", type=Path, metavar="PATH")
    vanishing.add_argument("--lines", type=Path, metavar="JSON", help="marked lines (default: detected ones)")
    vanishing.set_defaults(run=run)
    shadows = kinds.add_parser("shadows", help="whether one light can have cast the shadows you marked")
    shadows.add_argument("path", type=Path, metavar="PATH")
    shadows.add_argument("--pairs", type=Path, metavar="JSON", required=True, help="marked shadows and what casts them")
    shadows.set_defaults(run=run)
    totem = kinds.add_parser("totem", help="whether glass balls in the picture show what the camera shows")
    totem.add_argument("path", type=Path, metavar="PATH")
    totem.add_argument("--totem", type=Path, metavar="JSON", required=True, help="the camera, the balls and the room")
    totem.set_defaults(run=run)
    for command in (vanishing, shadows, totem):
        command.add_argument("--json", action="store_true", help="all that was measured, as JSON")
        command.add_argument("--overlay", type=Path, metavar="PNG", help="draw the construction over the picture")


def run(options: argparse.Namespace) -> int:
    """Open the picture, ask one of the three, print what it says."""
    from veriscope.cli.geometry import shadows, totem, vanishing
    from veriscope.picture import open_picture

    find = {"vanishing": vanishing.find, "shadows": shadows.find, "totem": totem.find}[options.kind]
    found = find(open_picture(options.path), options)
    print(json.dumps(found, indent=2) if options.json else "\n".join(found["says"]))
    return 0
