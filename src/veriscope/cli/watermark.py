"""``veriscope watermark``: put an invisible mark into a picture, and read it again with its p-value."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from veriscope.cli.opening import add_limits, limits_of
from veriscope.errors import VeriscopeError
from veriscope.picture import open_picture

EMBED = """\
The message is 1 to 8 bytes of text (64 bits): a short word, or a number that you look up. The key is a secret of any length;
only who knows it can read the mark. Depth, transparency, EXIF, colour profile and orientation are kept where the format of
FILE can keep them. A picture that is marked already is refused; --force marks over it, and also writes over FILE.
"""
DETECT = """\
The length of the message need not be known. The p-value is binomial: the probability that so many of the bits that the key
foretells agree when there is no mark under this key (the null: each agrees with probability 1/2, independently), corrected for
all readings that are tried. A message is given only under 1e-6. No mark found does not mean that there never was one. Of an
animation the first frame is read.
"""


def add_to(commands: Any) -> None:
    """Add the command group to the parser's sub-commands."""
    group = commands.add_parser("watermark", help="put an invisible mark into a picture, and read it again")
    actions = group.add_subparsers(dest="action", required=True, metavar="ACTION")
    raw = argparse.RawDescriptionHelpFormatter
    embedding = actions.add_parser("embed", help="mark a picture", epilog=EMBED, formatter_class=raw)
    embedding.add_argument("input", type=Path, metavar="IN", help="the picture")
    embedding.add_argument("--message", required=True, metavar="TEXT", help="what the mark says, up to 8 bytes")
    embedding.add_argument("--key", required=True, help="the secret that reads it again")
    embedding.add_argument("--out", type=Path, required=True, metavar="FILE", help="where the marked picture goes")
    embedding.add_argument("--scheme", default="learned", metavar="NAME", help="learned (default) or dwt_dct_svd")
    embedding.add_argument(
        "--psnr", type=float, metavar="DB", help="at least so close to the original (42; less in a very busy picture)"
    )
    embedding.add_argument("--force", action="store_true", help="write over FILE, and mark over a mark")
    embedding.add_argument("--json", action="store_true", help="print what was done as JSON")
    embedding.set_defaults(run=embed)
    detecting = actions.add_parser("detect", help="read a mark", epilog=DETECT, formatter_class=raw)
    detecting.add_argument("input", type=Path, metavar="FILE", help="the picture")
    detecting.add_argument("--key", required=True, help="the secret that it was marked with")
    detecting.add_argument("--scheme", default=None, metavar="NAME", help="ask only this one (all)")
    detecting.add_argument("--json", action="store_true", help="print the answer as JSON")
    detecting.set_defaults(run=detect)
    for action in (embedding, detecting):
        add_limits(action)


def embed(options: argparse.Namespace) -> int:
    """Mark the picture that the options name and write it."""
    from veriscope.reporting.files import write_atomically
    from veriscope.watermarks.marking import mark
    from veriscope.watermarks.writing import format_of

    kind = format_of(options.out)
    if not options.force:
        _require_free(options.out, options.input)
    picture = open_picture(options.input, name=str(options.input), limits=limits_of(options))
    marked = mark(
        picture,
        options.message,
        options.key,
        kind,
        scheme=options.scheme,
        psnr=options.psnr,
        over=options.force,
    )
    write_atomically(options.out, marked.data)
    for note in marked.notes:
        print(f"veriscope: {note}", file=sys.stderr)
    if options.json:
        done = {"out": str(options.out), "psnr": round(marked.psnr, 2), "scheme": marked.scheme, "notes": marked.notes}
        print(json.dumps(done))
    else:
        print(f"written: {options.out} ({marked.scheme}, PSNR {marked.psnr:.1f} dB)")
    return 0


def _require_free(out: Path, source: Path) -> None:
    if not out.exists():
        return
    what = "is the picture itself" if source.exists() and out.samefile(source) else "exists already"
    raise VeriscopeError(f"{out}: {what}; choose another name, or write over it with --force")


def detect(options: argparse.Namespace) -> int:
    """Print what the picture says under the key; 0 with or without a mark."""
    from veriscope.watermarks.marking import detect as read
    from veriscope.watermarks.payload import NULL

    picture = open_picture(options.input, name=str(options.input), limits=limits_of(options))
    found = read(picture, options.key, options.scheme)
    for note in picture.notes:
        print(f"veriscope: {note}", file=sys.stderr)
    if options.json:
        print(json.dumps(found.as_json()))
    elif found.bits_corrected is None:
        print(f"{options.input}: no mark under this key (p {found.p_value:.2g})")
    else:
        said = "a payload that is not text" if found.message is None else repr(found.message)
        print(f"{options.input}: {said} ({found.scheme}, p {found.p_value:.1e}, {found.bits_corrected} bits corrected)")
    if not options.json:
        print(f"p is the probability of a reading so telling with {NULL}.")
    return 0
