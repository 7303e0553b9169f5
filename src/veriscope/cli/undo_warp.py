"""``veriscope undo-warp``: a picture that was pushed into shape, moved back as far as that can be told."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veriscope.cli.opening import add_limits, limits_of
from veriscope.errors import VeriscopeError

QUALITY = 95  # of JPEG files, 1 to 100
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
DETAIL = """\
The picture keeps its size; it is turned upright, and its metadata stay behind. Details that the warp squeezed together do not
come back, and where a place was moved is an estimate: what is written is a likely shape, not proof of the original.
"""


def add_to(commands: Any) -> None:
    """Add the command to the parser's sub-commands."""
    command = commands.add_parser(
        "undo-warp", help="move a face or body back that was pushed into shape", epilog=DETAIL
    )
    command.add_argument("path", type=Path, metavar="PATH", help="a picture")
    command.add_argument("--out", type=Path, metavar="FILE", help=f"{', '.join(SUFFIXES)} (here: STEM.unwarped.png)")
    command.add_argument("--force", action="store_true", help="undo what little was found, even where it is no warp")
    add_limits(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the picture moved back, or say that there is nothing to move.

    Raises:
        VeriscopeError: the picture cannot be opened, the weights are missing, or the file cannot be written.
    """
    from veriscope.picture import open_picture
    from veriscope.reporting.files import write_atomically
    from veriscope.tampering import warps
    from veriscope.tampering.flow import lengths, undone

    limits = limits_of(options)
    out: Path = options.out or Path(f"{options.path.stem}.unwarped.png")
    _require_other(out, options.path)
    picture = open_picture(options.path, limits=limits)
    found = warps.reading(picture)
    print(f"{picture.name}: {warps.sentence(found)}")
    if not found.called and not options.force:
        print("Nothing was written; --force undoes what little was found.")
        return 0
    flow = found.believed if found.called else found.flow
    write_atomically(out, _encoded(undone(picture.rgb, flow), out))
    print(f"written: {out} (moved back by {float(lengths(flow).mean()):.2f} pixels, mean over the whole picture)")
    return 0


def _require_other(out: Path, path: Path) -> None:
    if out.suffix.lower() not in SUFFIXES:
        raise VeriscopeError(f"{out}: not a kind of file that can be written; there are: {', '.join(SUFFIXES)}")
    if out.exists() and path.exists() and out.samefile(path):
        raise VeriscopeError(f"{out}: is the picture itself, which is never overwritten; name another file by --out")


def _encoded(rgb: NDArray[np.uint8], out: Path) -> bytes:
    import cv2

    suffix = out.suffix.lower()
    options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY] if suffix in (".jpg", ".jpeg") else []
    try:
        done, data = cv2.imencode(suffix, rgb[:, :, ::-1], options)
    except cv2.error as error:
        raise VeriscopeError(f"{out}: cannot be written: {error.err}") from error
    if not done:
        raise VeriscopeError(f"{out}: a picture of {rgb.shape[1]} x {rgb.shape[0]} px does not fit this kind of file")
    return data.tobytes()
