"""``veriscope camera``: make a camera's sensor fingerprint from its pictures, and test pictures against it."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from veriscope.cli.opening import add_limits, limits_of, pictures_in
from veriscope.errors import VeriscopeError
from veriscope.picture import Limits, Picture, open_picture

if TYPE_CHECKING:
    from veriscope.tampering.prnu import Fingerprint, Match

OVERLAY_SIDE = 1600  # pixels of the longer side of a written map
LEAST_P = 1e-300  # a smaller p-value is written as less than this

ENROL = """\
Give 15 or more varied, well-lit pictures of one camera, uncropped, of one size, as the camera wrote them. A picture of
another size, or one that cannot be opened, is named and left out.
"""
TEST = """\
A picture of the fingerprint's size is tested in place, a smaller one as a crop of unknown place. PCE is the
peak-to-correlation energy; 60 and more is a match. A miss does not speak against the camera: resizing, compression and
stabilisation remove the fingerprint.
"""


def add_to(commands: Any) -> None:
    """Add the command group to the parser's sub-commands."""
    group = commands.add_parser("camera", help="tell whether pictures were taken by one very camera (PRNU)")
    actions = group.add_subparsers(dest="action", required=True, metavar="ACTION")
    raw = argparse.RawDescriptionHelpFormatter
    enrolling = actions.add_parser(
        "enrol", help="make a camera's fingerprint from its pictures", epilog=ENROL, formatter_class=raw
    )
    enrolling.add_argument("--out", type=Path, required=True, metavar="NAME.npz", help="where the fingerprint goes")
    enrolling.add_argument("--name", help="what to call the camera (the file's stem)")
    enrolling.set_defaults(run=enrol)
    testing = actions.add_parser(
        "test", help="test pictures against a camera's fingerprint", epilog=TEST, formatter_class=raw
    )
    testing.add_argument("--camera", type=Path, required=True, metavar="NAME.npz", help="the fingerprint")
    testing.add_argument("--turns", action="store_true", help="also try pictures turned by 90, 180 and 270 degrees")
    testing.add_argument("--json", action="store_true", help="one JSON line a picture")
    testing.add_argument("--map", type=Path, metavar="DIR", help="of matching pictures, write where it is missing")
    testing.set_defaults(run=test)
    for action in (enrolling, testing):
        action.add_argument("paths", nargs="+", metavar="PATH", help="a picture, a folder, or a glob pattern in quotes")
        add_limits(action)


def enrol(options: argparse.Namespace) -> int:
    """Write the fingerprint of the camera that took what the options name; pictures of no use are named."""
    from veriscope.tampering.prnu import FEW_PICTURES, Enrolment

    limits = limits_of(options)
    enrolment = Enrolment(options.name or options.out.stem)
    for _, opened in _opened(pictures_in(options.paths), limits):
        try:
            if isinstance(opened, VeriscopeError):
                raise opened
            enrolment.add(opened)
        except VeriscopeError as error:
            print(f"veriscope: left out: {error}", file=sys.stderr)
    fingerprint = enrolment.fingerprint()
    fingerprint.save(options.out)
    height, width = fingerprint.pattern.shape
    print(f"written: {options.out} ({fingerprint.camera}, {fingerprint.pictures} pictures of {width}x{height} px)")
    if fingerprint.pictures < FEW_PICTURES:
        print(f"Few pictures make a weak fingerprint; {FEW_PICTURES} and more are good.", file=sys.stderr)
    return 0


def test(options: argparse.Namespace) -> int:
    """Print what each picture shows of the fingerprint; one that cannot be tested is named, and it is 2 when none can."""
    from veriscope.tampering.prnu import Fingerprint, compare

    limits = limits_of(options)
    fingerprint = Fingerprint.load(options.camera, limits)
    paths = pictures_in(options.paths)
    if options.map:
        _make(options.map)
    stems: set[str] = set()
    failed = []
    for path, opened in _opened(paths, limits):
        try:
            if isinstance(opened, VeriscopeError):
                raise opened
            match = compare(opened, fingerprint, turns=options.turns)
        except VeriscopeError as error:
            failed.append(error)
            if len(paths) > 1:
                print(f"veriscope: {error}", file=sys.stderr)
            if options.json and len(paths) > 1:
                print(json.dumps({"file": {"name": str(path)}, "error": str(error)}), flush=True)
            continue
        found = _answer(path, match, fingerprint)
        if options.map and match.matches:
            found["regions"] = _write_map(opened, fingerprint, match, options.map / _file(path, stems))
        print(json.dumps(found) if options.json else _told(found), flush=True)
    if len(failed) == len(paths):
        raise failed[0] if len(paths) == 1 else VeriscopeError(f"none of the {len(paths)} pictures could be tested")
    return 0


def _opened(paths: list[Path], limits: Limits) -> Iterator[tuple[Path, Picture | VeriscopeError]]:
    """Each picture, or the error in its place, one at a time."""
    for path in paths:
        opened: Picture | VeriscopeError
        try:
            opened = open_picture(path, name=str(path), limits=limits)
        except VeriscopeError as error:
            opened = error
        yield path, opened


def _answer(path: Path, match: Match, fingerprint: Fingerprint) -> dict[str, Any]:
    return {
        "file": {"name": str(path)},
        "camera": fingerprint.camera,
        "pce": match.pce,
        "p_value": match.p_value,
        "matches": match.matches,
        "shift": {"right": match.shift[1], "down": match.shift[0]},
        "turn": 90 * match.turn,
        "searched": match.searched,
        "says": match.says(fingerprint.camera),
    }


def _told(found: dict[str, Any]) -> str:
    chance = f"p {found['p_value']:.1e}" if found["p_value"] > LEAST_P else f"p under {LEAST_P:.0e}"
    lines = [f"{found['file']['name']}: PCE {found['pce']:.1f}, {chance}", f"  {found['says']}"]
    if regions := found.get("regions"):
        lines += [f"  {' '.join(filter(None, (regions['says'], regions['reason'])))}", f"  written: {regions['file']}"]
    return "\n".join(lines)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VeriscopeError(f"{folder}: cannot be made: {error.strerror}") from error


def _file(path: Path, stems: set[str]) -> str:
    """A name for the picture's map; where an earlier picture has the same stem, with digits of the hash of its path."""
    stem = path.stem if path.stem not in stems else f"{path.stem}-{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    stems.add(stem)
    return f"{stem}.camera.jpg"


def _write_map(picture: Picture, fingerprint: Fingerprint, match: Match, file: Path) -> dict[str, Any]:
    import numpy as np
    from PIL import Image

    from veriscope.reporting.files import write_atomically
    from veriscope.reporting.overlay import over_picture
    from veriscope.tampering.prnu_regions import compare_regions

    located = compare_regions(picture, fingerprint, match)
    side = min(OVERLAY_SIDE, max(picture.height, picture.width))
    values = np.rint(255 * located.map).astype(np.uint8)
    size = picture.width, picture.height
    write_atomically(file, over_picture(values, Image.fromarray(picture.rgb), size, side))
    return {
        "file": str(file),
        "score": located.score,
        "judged": float(located.judged.mean()),
        "reliability": located.reliability,
        "says": located.says,
        "reason": located.reason,
    }
