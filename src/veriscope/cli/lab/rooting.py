"""``veriscope lab root-signature``, ``train-users`` and what goes with them: decoders whose pictures carry a mark."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from veriscope.cli.lab import extra, say
from veriscope.cli.lab.making import SCHEDULE
from veriscope.errors import VeriscopeError

DECODER = "small-diffusion, ENCODER,DECODER, or a folder of train-generator or in the layout of diffusers"
SCHEDULES = {  # where they differ from a generator's
    "root-signature": {"minutes": 6.0, "batch": 4, "rate": 1e-3, "count": 2000},
    "train-users": {"minutes": 25.0, "batch": 8, "rate": 1e-3, "count": 2000},
}


def add_to(actions: Any) -> None:
    """Add the actions to the parser of ``veriscope lab``."""
    fitting = actions.add_parser("fit-extractor", help="fit what reads signatures in pictures of marked decoders")
    _data(fitting)
    fitting.add_argument("--out", type=Path, required=True, metavar="DIR", help="the extractor")
    fitting.add_argument("--bits", type=int, default=48, metavar="N", help="that it reads (48)")
    fitting.add_argument("--seed", type=int, default=0, help="of squares and of what happens to them (0)")
    fitting.set_defaults(run=fit)

    rooting = actions.add_parser(
        "root-signature",
        help="fine-tune a latent decoder until all its pictures carry a signature; run again to resume",
    )
    rooting.add_argument("--decoder", required=True, metavar="PATH|NAME", help=DECODER)
    rooting.add_argument(
        "--signature", required=True, metavar="TEXT|BITS", help="a text, or as many 0 and 1 as are read"
    )
    _key(rooting)
    _schedule(rooting, "root-signature")
    rooting.set_defaults(run=root)

    reading = actions.add_parser("read-signature", help="test whether pictures carry a decoder's signature")
    reading.add_argument("paths", type=Path, nargs="+", metavar="FILE", help="pictures")
    reading.add_argument("--rooted", type=Path, required=True, metavar="DIR", help="that root-signature wrote")
    _key(reading)
    reading.add_argument("--json", action="store_true", help="one object a picture")
    reading.set_defaults(run=read)

    users = actions.add_parser(
        "train-users", help="train what gives each user a decoder of their own; run again to resume"
    )
    users.add_argument("--decoder", required=True, metavar="PATH|NAME", help=DECODER)
    _schedule(users, "train-users")
    users.set_defaults(run=train_users)

    making = actions.add_parser("user-decoder", help="write one user's decoder")
    making.add_argument("--users", type=Path, required=True, metavar="DIR", help="that train-users wrote")
    making.add_argument("--user", required=True, metavar="NAME")
    _key(making)
    making.add_argument("--out", type=Path, required=True, metavar="DIR")
    making.set_defaults(run=user_decoder)

    tracing = actions.add_parser("trace", help="tell whose decoder drew pictures, with a p-value")
    tracing.add_argument("paths", type=Path, nargs="+", metavar="FILE", help="pictures")
    tracing.add_argument("--users", type=Path, required=True, metavar="DIR", help="that train-users wrote")
    tracing.add_argument("--among", type=Path, required=True, metavar="FILE", help="the users, one name a line")
    _key(tracing)
    tracing.add_argument("--json", action="store_true", help="one object a picture")
    tracing.set_defaults(run=trace)

    drawing = actions.add_parser(
        "redraw", help="pass a picture through a decoder, as its generator would have drawn it"
    )
    drawing.add_argument("path", type=Path, metavar="FILE", help="a picture")
    drawing.add_argument("--decoder", required=True, metavar="PATH|NAME", help=f"{DECODER}, or of root-signature")
    drawing.add_argument("--out", type=Path, required=True, metavar="PNG")
    drawing.add_argument("--force", action="store_true", help="write over a file that is there")
    drawing.set_defaults(run=redraw)


def _data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="FILE", help="manifests; real rows are used"
    )
    parser.add_argument("--work", type=Path, default=Path("lab-work"), metavar="DIR", help="kept to resume (lab-work)")


def _key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--key", required=True, help="the secret, of at least 8 characters; it is written nowhere")


def _schedule(parser: argparse.ArgumentParser, action: str) -> None:
    _data(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="what is made, with its extractor")
    parser.add_argument("--extractor", type=Path, metavar="DIR", help="of fit-extractor (one is fitted to the data)")
    usual: dict[str, Any] = SCHEDULES[action]
    for name, kind, metavar, text in SCHEDULE:
        told = f"the most, over all resumed runs ({usual['minutes']:g})" if name == "minutes" else text
        parser.add_argument(f"--{name}", type=kind, default=usual.get(name), metavar=metavar, help=told)


def fit(options: argparse.Namespace) -> int:
    """Fit an extractor and print how even it is."""
    with extra():
        from veriscope.lab.watermarks.extractor import fit_extractor
    learned, checked = _rows(options.data)
    model, figures = fit_extractor(learned, checked, options.work, bits=options.bits, seed=options.seed, say=say)
    model.save(options.out, **figures)
    print(json.dumps(figures))
    print(f"written: {options.out}")
    return 0


def root(options: argparse.Namespace) -> int:
    """Root a signature and print its figures."""
    with extra():
        from veriscope.lab.watermarks.root import root_signature
    coder, extractor, squares, checked, schedule = _prepared(options)
    about = root_signature(
        coder, extractor, options.signature, options.key, squares, checked, options.work, options.out, schedule, say
    )
    print(json.dumps(about))
    print(
        f"written: {options.out}; test pictures with veriscope lab read-signature FILE --rooted {options.out} --key KEY"
    )
    return 0


def read(options: argparse.Namespace) -> int:
    """Print the test of each picture."""
    with extra():
        from veriscope.lab.watermarks.root import opened, trace_signature
        from veriscope.picture import open_picture
    extractor, about = opened(options.rooted)
    for path in options.paths:
        found = trace_signature(open_picture(path).rgb, extractor, about["signature"], options.key)
        if options.json:
            print(json.dumps({"file": path.name, **found.to_json()}))
        else:
            print(
                f"{path.name}: {found.matched} of {found.bits} bits agree, p-value {found.p_value:.2g} ({found.null})"
            )
    return 0


def train_users(options: argparse.Namespace) -> int:
    """Train the mapping and print its figures."""
    with extra():
        from veriscope.lab.watermarks.users import train_users as train
    coder, extractor, squares, checked, schedule = _prepared(options)
    figures = train(coder, extractor, squares, checked, options.work, options.out, schedule, say)
    print(json.dumps(figures))
    print(f"written: {options.out}; a user's decoder comes from veriscope lab user-decoder --users {options.out}")
    return 0


def user_decoder(options: argparse.Namespace) -> int:
    """Write one user's decoder."""
    with extra():
        from veriscope.lab.watermarks.users import load_users
    load_users(options.users).decoder_of(options.user, options.key).save(options.out)
    print(f"written: {options.out}, the decoder of {options.user}")
    return 0


def trace(options: argparse.Namespace) -> int:
    """Print to whom each picture is traced."""
    with extra():
        from veriscope.lab.watermarks.users import load_users
        from veriscope.picture import open_picture
    try:
        names = [line.strip() for line in options.among.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise VeriscopeError(f"{options.among}: no list of users can be read from it ({error})") from error
    users = load_users(options.users)
    for path in options.paths:
        found = users.trace(open_picture(path).rgb, names, options.key)
        if options.json:
            print(json.dumps({"file": path.name, **found.to_json()}))
        else:
            print(
                f"{path.name}: {found.user or 'no user'}; nearest is {found.nearest} with {found.matched} of {found.bits} "
                f"bits, p-value {found.p_value:.2g} for the best of {found.users}"
            )
    return 0


def redraw(options: argparse.Namespace) -> int:
    """Write the picture as the decoder draws it."""
    with extra():
        from veriscope.lab.watermarks.coders import open_coder
        from veriscope.picture import open_picture
    require_png(options.out, options.force)
    write_png(options.out, open_coder(options.decoder).reconstruct(open_picture(options.path).rgb))
    return 0


def require_png(out: Path, force: bool) -> None:
    """Refuse an output that is no PNG, or one that is there already unless it may be written over.

    Raises:
        VeriscopeError: it is.
    """
    if out.suffix.lower() != ".png":
        raise VeriscopeError(f"{out}: marked pictures are written as PNG; name a file that ends in .png")
    if out.exists() and not force:
        raise VeriscopeError(f"{out}: is there already; name another file, or write over it with --force")


def write_png(out: Path, rgb: Any) -> None:
    """Write ``uint8 (H, W, 3)`` RGB and say so.

    Raises:
        VeriscopeError: it cannot be written.
    """
    from veriscope.lab.data.variants import saved
    from veriscope.reporting.files import write_atomically

    write_atomically(out, saved(rgb, "PNG"))
    print(f"written: {out}")


def _rows(paths: list[Path]) -> tuple[list[Any], list[Any]]:
    """Real pictures to learn from, and others to measure on, which may be none."""
    with extra():
        from veriscope.lab.data.manifest import read_manifests
    rows = [row for row in read_manifests(paths, ("train", "val")) if row.label == "real"]
    if not rows:
        raise VeriscopeError(f"{', '.join(map(str, paths))}: no real picture is in the splits train or val")
    learned = [row for row in rows if row.split == "train"] or rows
    return learned, [row for row in rows if row.split == "val" and learned is not rows]


def _prepared(options: argparse.Namespace) -> tuple[Any, Any, Any, Any, Any]:
    """The autoencoder, the extractor, squares to learn from and to measure on, and the schedule."""
    with extra():
        import numpy as np

        from veriscope.lab.generators.crops import crops
        from veriscope.lab.generators.training import Schedule
        from veriscope.lab.watermarks.coders import open_coder
        from veriscope.lab.watermarks.extractor import fit_extractor, load_extractor
        from veriscope.lab.watermarks.keys import checked as checked_key
    if hasattr(options, "key"):
        checked_key(options.key)
    given = {name: getattr(options, name) for name, *_ in SCHEDULE}
    schedule = Schedule(**{name: value for name, value in given.items() if value is not None})
    if schedule.minutes <= 0 or schedule.steps < 0 or min(schedule.batch, schedule.count) < 1 or schedule.rate <= 0:
        raise VeriscopeError("--minutes, --batch, --rate and --count must be positive")
    coder = open_coder(options.decoder)
    learned, checked = _rows(options.data)
    if options.extractor:
        extractor = load_extractor(options.extractor)
    else:
        extractor, figures = fit_extractor(learned, checked, options.work, say=say)
        say(json.dumps(figures))
    squares = crops(learned, options.work, count=schedule.count, seed=schedule.seed, say=say)
    others = (
        crops(checked, options.work, count=64, seed=schedule.seed, say=say)
        if checked
        else np.zeros((0, 8, 8, 3), np.uint8)
    )
    return coder, extractor, squares, others, schedule
