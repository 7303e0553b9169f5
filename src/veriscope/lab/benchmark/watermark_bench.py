"""``veriscope lab bench-watermarks``: every scheme on the same pictures with the same payloads, after every attack, in one run.

Payloads are drawn anew for each picture, so that for an unmarked picture each bit agrees by a fair coin and TPR at a fixed
FPR is counted by the binomial test, alike for all schemes. Each answer is kept as it comes, so a run that was stopped goes
on. A package that is not installed, or a payload that it cannot carry, is named as absent. One that breaks on a picture
scores as one that reads nothing there.
"""

from __future__ import annotations

import hashlib
import json
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any, TextIO

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope import models
from veriscope.batch import open_json_lines
from veriscope.errors import VeriscopeError
from veriscope.lab.attacks.attack import Attack, simple
from veriscope.lab.benchmark import watermark_page
from veriscope.lab.benchmark.watermark_answers import Answer, Answers
from veriscope.lab.benchmark.watermark_figures import NONE, UNMARKED, by_attack, by_scheme
from veriscope.lab.data.augmentation import resized
from veriscope.lab.data.manifest import Row, load_pixels, read_manifests, spread
from veriscope.lab.watermarks.inversion import similarity
from veriscope.lab.watermarks.schemes import DEFAULT_KEY, OURS, Reading, Scheme, agreeing, schemes, test_p
from veriscope.watermarks.strength import psnr

LEAST_SIDE = 256  # pixels: smaller pictures are passed over, as some schemes need so many
TIMED = 3  # pictures that times are measured on
TIMED_PIXELS = 2_000_000
Say = Callable[[str], None]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Order:
    """What a run is asked for.

    Attributes:
        data: the manifests; real pictures are marked.
        out: the folder of results and of what is kept to resume.
        split: whose pictures.
        most: the most pictures, taken from the sources in turn.
        side: pixels of the longer side, to which larger pictures are brought first.
        bits: payload lengths; the table has each.
        names: of schemes; all that there are where empty.
        attacks: names of simple attacks; all where empty.
        regenerated: pictures that also go through the ``regenerations``.
        regenerations: attacks that need a model.
        key: of the schemes that take one.
        seed: of the bootstrap.
        command: that prints these figures again.
    """

    data: tuple[Path, ...]
    out: Path
    split: str = "test"
    most: int = 200
    side: int = 768
    bits: tuple[int, ...] = (64, 32)
    names: tuple[str, ...] = ()
    attacks: tuple[str, ...] = ()
    regenerated: int = 30
    regenerations: tuple[Attack, ...] = field(default=(), compare=False)
    key: str = DEFAULT_KEY
    seed: int = 0
    command: str = ""


class WatermarkBench:
    """One run over a folder.

    Args:
        order: what is asked for.
        say: called with lines of progress.
    Raises:
        VeriscopeError: there are no pictures, or a name is unknown.
    """

    def __init__(self, order: Order, say: Say) -> None:
        self.order = order
        self.say = say
        rows = [row for row in read_manifests(order.data, (order.split,)) if row.label == "real"]
        if not rows:
            named = ", ".join(map(str, order.data))
            raise VeriscopeError(f"{named}: no real picture is in split {order.split!r}; --split names another")
        self.rows = spread(rows, len(rows))
        self.attacks = [attack for attack in simple(order.attacks) if attack.name != NONE]
        self.schemes: dict[int, list[Scheme]] = {}
        self.absent: list[dict[str, Any]] = []
        for bits in order.bits:
            found, absent = schemes(bits, order.names, order.key)
            self.schemes[bits] = [one for one in found if one.fixed is None or len(one.fixed) == bits]
            self.absent += [{"bits": bits, "scheme": name, "why": why} for name, why in absent.items()]
            unfit = [one for one in found if one.fixed is not None and len(one.fixed) != bits]
            self.absent += [
                {"bits": bits, "scheme": one.name, "why": f"it carries {len(one.fixed)} bits"}
                for one in unfit
                if one.fixed is not None
            ]
        if not any(self.schemes.values()):
            raise VeriscopeError("no scheme that was asked for is installed: " + _list(self.absent))
        self.answers = Answers(order.out / "answers.jsonl")
        self.left_out: list[str] = []

    def run(self) -> dict[str, Any]:
        """Ask what was not answered yet, publish, and return the tables.

        Raises:
            VeriscopeError: a file cannot be written.
        """
        began, asked = time.monotonic(), []
        with open_json_lines(self.answers.path) as out:
            for done, (row, rgb) in enumerate(self._pictures(), 1):
                more = self.order.regenerations if done <= self.order.regenerated else ()
                for bits, scheme in self._pairs():
                    attacks = [*self.attacks, *more]
                    names = [NONE, UNMARKED, *(attack.name for attack in attacks)]
                    of = [(scheme.name, self._mark(scheme), bits, row.key, name) for name in names]
                    asked += of
                    if not all(self.answers.holds(one) for one in of):
                        self._ask(scheme, bits, row, rgb, attacks, out)
                if done % 5 == 0:
                    pace = (time.monotonic() - began) / done
                    self.say(
                        f"{done} of {self.order.most} pictures, about {pace * (self.order.most - done) / 60:.0f} min left"
                    )
        return self._publish(self.answers.of(asked))

    def _pairs(self) -> Iterator[tuple[int, Scheme]]:
        return ((bits, scheme) for bits, found in self.schemes.items() for scheme in found)

    def _pictures(self) -> Iterator[tuple[Row, Pixels]]:
        taken = 0
        for row in self.rows:
            if taken >= self.order.most:
                return
            try:
                rgb = load_pixels(row)
            except VeriscopeError as error:
                self.left_out.append(str(error))
                continue
            rgb = resized(rgb, min(1.0, self.order.side / max(rgb.shape[:2])))
            if min(rgb.shape[:2]) >= LEAST_SIDE:
                taken += 1
                yield row, np.ascontiguousarray(rgb)

    def _mark(self, scheme: Scheme) -> str:
        kept = [self.order.side, self.order.key, scheme.name in OURS and models.fingerprint()]
        for package in ("invisible-watermark", "blind-watermark"):
            try:
                kept.append(installed_version(package))
            except PackageNotFoundError:
                kept.append("")
        return hashlib.sha256(json.dumps(kept).encode()).hexdigest()[:12]

    def _ask(self, scheme: Scheme, bits: int, row: Row, rgb: Pixels, attacks: Sequence[Attack], out: TextIO) -> None:
        payload = scheme.fixed if scheme.fixed is not None else drawn_payload(row.key, bits)
        mark = self._mark(scheme)

        def answer(attack: str, pixels: Pixels | None, why: str = "", **more: Any) -> None:
            if self.answers.holds((scheme.name, mark, bits, row.key, attack)):
                return
            start = time.perf_counter()
            reading, failed = (Reading(None), why) if pixels is None else _read(scheme, pixels)
            spent = more.pop("seconds", 0.0) + time.perf_counter() - start
            self.answers.add(
                Answer(
                    scheme.name,
                    mark,
                    bits,
                    row.key,
                    attack,
                    agreeing(reading, payload),
                    test_p(reading, payload),
                    reading.p_value,
                    seconds=round(spent, 4),
                    failed=failed,
                    **more,
                ),
                out,
            )

        began = time.perf_counter()
        try:
            marked: Pixels | None = scheme.embed(rgb, payload)
            why = ""
        except Exception as error:  # whatever another package raises, the run goes on
            marked, why = None, f"{type(error).__name__}: {error}"
            self.say(f"{scheme.name} could not mark {row.key}: {why}")
        spent = time.perf_counter() - began
        answer(UNMARKED, rgb)
        near = {} if marked is None else {"psnr": _near(rgb, marked), "ssim": round(similarity(rgb, marked), 5)}
        answer(NONE, marked, why, seconds=spent, **near)
        for attack in attacks:
            if self.answers.holds((scheme.name, mark, bits, row.key, attack.name)):
                continue
            changed = None if marked is None else attack.on_marked(marked, row.key)
            answer(attack.name, changed, why, psnr=_near(marked, changed))

    def _speeds(self) -> list[dict[str, Any]]:
        """Seconds a megapixel, the median over a few pictures of ``TIMED_PIXELS``, after one that is not counted."""
        large: list[Pixels] = []
        for _, rgb in self._pictures():
            scale = (TIMED_PIXELS / (rgb.shape[0] * rgb.shape[1])) ** 0.5
            large.append(np.ascontiguousarray(resized(rgb, scale, cv2.INTER_CUBIC)))
            if len(large) > TIMED:
                break
        lines = []
        for bits, scheme in self._pairs():
            spent: dict[str, list[float]] = {"embed": [], "detect": []}
            for rgb in large:
                payload = scheme.fixed if scheme.fixed is not None else drawn_payload("speed", bits)
                try:
                    start = time.perf_counter()
                    marked = scheme.embed(rgb, payload)
                    middle = time.perf_counter()
                    scheme.detect(marked)
                    end = time.perf_counter()
                except Exception as error:  # whatever another package raises
                    self.say(f"{scheme.name} could not be timed: {type(error).__name__}: {error}")
                    continue
                size = rgb.shape[0] * rgb.shape[1] / 1e6
                spent["embed"].append((middle - start) / size)
                spent["detect"].append((end - middle) / size)
            counted = {name: values[1:] or values for name, values in spent.items()}
            lines.append(
                {"bits": bits, "scheme": scheme.name}
                | {name: round(float(np.median(values)), 4) if values else None for name, values in counted.items()}
            )
        return lines

    def _publish(self, answers: list[Answer]) -> dict[str, Any]:
        attacks = [NONE, *(attack.name for attack in (*self.attacks, *self.order.regenerations))]
        order = {name: value for name, value in asdict(self.order).items() if name not in _UNTOLD}
        tables = {
            "schemes": by_scheme(answers, self._speeds()),
            "attacks": by_attack(answers, attacks, self.order.seed),
            "absent": self.absent,
            "left_out": self.left_out,
            "about": {
                "data": ["/".join(path.parts[-2:]) for path in self.order.data],
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "veriscope": installed_version("veriscope"),
                "weights": models.fingerprint(),
                "command": self.order.command,
                "order": order,
            },
        }
        watermark_page.publish(tables, self.order.out)
        return tables


_UNTOLD = ("data", "out", "regenerations", "key", "command")


def drawn_payload(key: str, bits: int) -> NDArray[np.uint8]:
    """A picture's payload, ``uint8 (bits,)`` of 0 and 1, the same always."""
    return np.random.default_rng(zlib.crc32(f"{key}#{bits}".encode())).integers(0, 2, bits).astype(np.uint8)


def _near(marked: Pixels | None, changed: Pixels | None) -> float | None:
    if marked is None or changed is None or changed.shape != marked.shape:
        return None
    return round(min(100.0, psnr(marked, changed, 255)), 2)


def _read(scheme: Scheme, pixels: Pixels) -> tuple[Reading, str]:
    try:
        return scheme.detect(pixels), ""
    except Exception as error:  # whatever another package raises, the run goes on
        return Reading(None), f"{type(error).__name__}: {error}"


def _list(absent: Sequence[dict[str, Any]]) -> str:
    return "; ".join(f"{line['scheme']} ({line['bits']} bits): {line['why']}" for line in absent)
