"""``veriscope lab mark-latent``, ``hide-noise`` and what goes with them: marks in the latents of a diffusion model."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from veriscope.cli.lab import extra, say, to_stderr
from veriscope.cli.lab.rooting import require_png, write_png
from veriscope.errors import VeriscopeError

BUNDLED = "small-diffusion"


def add_to(actions: Any) -> None:
    """Add the actions to the parser of ``veriscope lab``."""
    marking = actions.add_parser(
        "mark-latent", help="put a mark into the latent of a picture that exists, by inversion"
    )
    marking.add_argument("path", type=Path, metavar="FILE", help="a picture")
    _model(marking)
    marking.add_argument("--out", type=Path, required=True, metavar="PNG")
    marking.add_argument("--turns", type=int, default=30, metavar="N", help="of the optimisation (30)")
    marking.add_argument(
        "--ssim", type=float, default=0.95, metavar="S", help="structural similarity that is kept (0.95)"
    )
    marking.add_argument("--force", action="store_true", help="write over a file that is there")
    marking.set_defaults(run=mark)

    detecting = actions.add_parser("detect-latent", help="test whether pictures carry a mark of mark-latent")
    detecting.add_argument("paths", type=Path, nargs="+", metavar="FILE", help="pictures")
    _model(detecting)
    detecting.add_argument("--json", action="store_true", help="one object a picture")
    detecting.set_defaults(run=detect)

    hiding = actions.add_parser("hide-noise", help="draw pictures that start from keyed noises")
    _model(hiding)
    _noises(hiding)
    hiding.add_argument("--first", type=int, default=0, metavar="N", help="number of the first noise (0)")
    hiding.add_argument("--count", type=int, default=1, metavar="N", help="pictures to draw (1)")
    hiding.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="noise-N.png; those that are there are kept"
    )
    hiding.set_defaults(run=hide)

    finding = actions.add_parser("find-noise", help="find the keyed noise that pictures started from")
    finding.add_argument("paths", type=Path, nargs="+", metavar="FILE", help="pictures")
    _model(finding)
    _noises(finding)
    finding.add_argument("--json", action="store_true", help="one object a picture")
    finding.set_defaults(run=find)

    training = actions.add_parser(
        "train-paraphraser", help="train a diffusion model that is told a picture's class; run again to resume"
    )
    training.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="FILE", help="manifests; real rows are used"
    )
    training.add_argument(
        "--work", type=Path, default=Path("lab-work"), metavar="DIR", help="kept to resume (lab-work)"
    )
    training.add_argument("--out", type=Path, required=True, metavar="DIR")
    training.add_argument("--diffusion", default=BUNDLED, metavar="PLACE", help=f"to start from ({BUNDLED})")
    training.add_argument("--classes", type=int, default=16, metavar="N", help="(16)")
    training.add_argument(
        "--minutes", type=float, default=15.0, metavar="M", help="the most, over all resumed runs (15)"
    )
    training.add_argument("--steps", type=int, default=0, metavar="N", help="end after so many steps instead")
    training.add_argument("--count", type=int, default=1500, metavar="N", help="squares cut from the pictures (1500)")
    training.add_argument("--seed", type=int, default=0)
    training.set_defaults(run=train)


def _model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        default=BUNDLED,
        metavar="PLACE",
        help=f"{BUNDLED}, a folder of train-generator diffusion, or a Stable Diffusion of diffusers ({BUNDLED})",
    )
    parser.add_argument("--side", type=int, default=0, metavar="PX", help="of the squares the model sees (256; 512)")
    parser.add_argument("--key", required=True, help="the secret, of at least 8 characters; it is written nowhere")


def _noises(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--noises", type=int, default=1024, metavar="N", help="how many there are (1024)")
    parser.add_argument("--groups", type=int, default=32, metavar="N", help="that they are in (32)")


def _opened(options: argparse.Namespace) -> Any:
    with extra():
        from veriscope.lab.watermarks.keys import checked
        from veriscope.lab.watermarks.models import open_model
    checked(options.key)
    if options.side and (options.side < 128 or options.side % 64):
        raise VeriscopeError("--side must be a multiple of 64, and at least 128")
    return open_model(options.model, options.side)


def mark(options: argparse.Namespace) -> int:
    """Write the marked picture and say how near it is."""
    with extra():
        from veriscope.lab.watermarks.inversion import embed, similarity
        from veriscope.picture import open_picture
        from veriscope.watermarks.strength import psnr
    require_png(options.out, options.force)
    if options.turns < 1 or not 0 < options.ssim < 1:
        raise VeriscopeError("--turns must be positive and --ssim lie between 0 and 1")
    rgb = open_picture(options.path).rgb
    marked = embed(_opened(options), rgb, options.key, turns=options.turns, ssim=options.ssim, say=to_stderr)
    write_png(options.out, marked)
    print(f"PSNR {psnr(rgb, marked, 255):.2f} dB, SSIM {similarity(rgb, marked):.4f}")
    return 0


def detect(options: argparse.Namespace) -> int:
    """Print the test of each picture."""
    with extra():
        from veriscope.lab.watermarks.inversion import detect as test
        from veriscope.picture import open_picture
    model = _opened(options)
    for path in options.paths:
        found = test(model, open_picture(path).rgb, options.key)
        if options.json:
            print(json.dumps({"file": path.name, **found.to_json()}))
        else:
            said = "marked" if found.marked else "no mark found"
            print(f"{path.name}: {said}; {found.agreeing} of {found.signs} signs agree, p-value {found.p_value:.2g}")
    return 0


def hide(options: argparse.Namespace) -> int:
    """Draw the pictures."""
    with extra():
        from veriscope.lab.watermarks.hidden_noise import Noises, drawn
    if options.count < 1 or options.first < 0:
        raise VeriscopeError("--count must be positive and --first not negative")
    model = _opened(options)
    noises = Noises(options.key, model.channels, model.size, options.noises, options.groups)
    options.out.mkdir(parents=True, exist_ok=True)
    for number in range(options.first, options.first + options.count):
        out = options.out / f"noise-{number}.png"
        if out.exists():
            say(f"kept: {out}")
        else:
            write_png(out, drawn(model, noises.start(number)))
    return 0


def find(options: argparse.Namespace) -> int:
    """Print what the two stages gave for each picture."""
    with extra():
        from veriscope.lab.watermarks.hidden_noise import Noises, noise_of
        from veriscope.picture import open_picture
    model = _opened(options)
    noises = Noises(options.key, model.channels, model.size, options.noises, options.groups)
    for path in options.paths:
        found = noises.find(noise_of(model, open_picture(path).rgb))
        if options.json:
            print(json.dumps({"file": path.name, **found.to_json()}))
        else:
            said = f"started from noise {found.noise}" if found.marked else "from none of these noises"
            print(
                f"{path.name}: {said}; cosine {found.cosine:.3f}, p-value {found.p_value:.2g} for the best of {found.compared} "
                f"compared, group {found.group}"
            )
    return 0


def train(options: argparse.Namespace) -> int:
    """Train the model and print its figures."""
    with extra():
        from veriscope.lab.attacks.regeneration import open_purifier
        from veriscope.lab.data.manifest import read_manifests
        from veriscope.lab.generators.diffusion import Diffusion
        from veriscope.lab.generators.paraphrasing import train_paraphraser
        from veriscope.lab.generators.training import Schedule
    if options.minutes <= 0 or options.steps < 0 or options.count < 1:
        raise VeriscopeError("--minutes and --count must be positive")
    _, diffusion = open_purifier(options.diffusion)
    if not isinstance(diffusion, Diffusion):
        raise VeriscopeError(f"{options.diffusion}: a model of diffusers paraphrases as it is; see attack-watermark")
    rows = [row for row in read_manifests(options.data, ("train", "val")) if row.label == "real"]
    if not rows:
        raise VeriscopeError(f"{', '.join(map(str, options.data))}: no real picture is in the splits train or val")
    schedule = Schedule(
        minutes=options.minutes, steps=options.steps, batch=32, rate=5e-4, count=options.count, seed=options.seed
    )
    figures = train_paraphraser(diffusion, rows, options.work, options.out, schedule, say, options.classes)
    print(json.dumps(figures))
    print(f"written: {options.out}; use it with veriscope lab attack-watermark --paraphraser {options.out}")
    return 0
