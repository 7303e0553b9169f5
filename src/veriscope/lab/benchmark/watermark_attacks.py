"""``veriscope lab attack-watermark``: what an attacker makes of one scheme, as evasion error against spoofing error.

Evasion error is the share of marked pictures that read as unmarked after the attack; spoofing error the share of unmarked
ones that read as marked after it, whether the attack means to forge or only brings both kinds together, as purification
does. One payload is put into all pictures, as an owner would; pictures that averaging and the substitute learn from are not
tested. Each answer is kept as it comes, so a run that was stopped goes on.

Paper: Saberi et al. 2024 (robustness of detectors: the trade-off of evasion and spoofing errors).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version as installed_version
from math import log10
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from veriscope import models
from veriscope.batch import open_json_lines
from veriscope.errors import VeriscopeError
from veriscope.lab.attacks.attack import SIMPLE, Attack
from veriscope.lab.attacks.averaging import averaging
from veriscope.lab.attacks.spoofing import spoofing
from veriscope.lab.attacks.substitution import substituting, train_substitute
from veriscope.lab.benchmark.watermark_answers import Answer, Answers
from veriscope.lab.benchmark.watermark_bench import LEAST_SIDE, drawn_payload
from veriscope.lab.data.augmentation import resized
from veriscope.lab.data.manifest import Row, load_pixels, read_manifests, spread
from veriscope.lab.recipes.recipe import write_json
from veriscope.lab.watermarks.schemes import DEFAULT_KEY, Scheme, agreeing, schemes, test_p
from veriscope.watermarks.strength import psnr

FAMILIES = ("simple", "averaging", "substitution", "spoofing")  # those that need no model
SIMPLE_NAMES = ("none", "JPEG 70", "JPEG 50", "WebP 60", "resize to 50 %", "crop to 25 % of the area", "rotate 15°")
RATES = (1e-6, 1e-3)  # false-positive rates of the detector's threshold
THRESHOLDS = tuple(round(-0.25 * step, 2) for step in range(81))  # log10 p of the curve
CLEAN = "unmarked"
Pixels = NDArray[np.uint8]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Order:
    """What a run is asked for.

    Attributes:
        data: the manifests; real pictures are used.
        out: the folder of results and of what is kept to resume.
        scheme: its name, or ``rooted=DIR``.
        split: whose pictures.
        most: the most pictures that are tested.
        learned: as many more, marked and unmarked each, that averaging and the substitute learn from.
        side: pixels of the longer side, to which larger pictures are brought first.
        bits: of the payload.
        families: of ``FAMILIES``.
        with_models: attacks that need a model: regeneration, purification, paraphrase.
        key: of the schemes that take one.
        command: that prints these figures again.
    """

    data: tuple[Path, ...]
    out: Path
    scheme: str = "learned"
    split: str = "test"
    most: int = 50
    learned: int = 60
    side: int = 512
    bits: int = 64
    families: tuple[str, ...] = FAMILIES
    with_models: tuple[Attack, ...] = field(default=(), compare=False)
    key: str = DEFAULT_KEY
    command: str = ""


class AttackRun:
    """One run over a folder.

    Args:
        order: what is asked for.
        say: called with lines of progress.
    Raises:
        VeriscopeError: the scheme is absent, or there are too few pictures.
    """

    def __init__(self, order: Order, say: Say) -> None:
        self.order = order
        self.say = say
        found, absent = schemes(order.bits, (order.scheme,), order.key)
        if not found:
            raise VeriscopeError(f"{order.scheme}: {absent[order.scheme]}")
        self.scheme: Scheme = found[0]
        self.payload = drawn_payload("owner", order.bits) if self.scheme.fixed is None else self.scheme.fixed
        rows = [row for row in read_manifests(order.data, (order.split,)) if row.label == "real"]
        if not rows:
            named = ", ".join(map(str, order.data))
            raise VeriscopeError(f"{named}: no real picture is in split {order.split!r}; --split names another")
        self.rows = spread(rows, len(rows))
        self.answers = Answers(order.out / "answers.jsonl")
        self.notes: dict[str, Any] = {}

    def run(self) -> dict[str, Any]:
        """Attack what was not attacked yet, write ``attacks.json``, and return what it holds.

        Raises:
            VeriscopeError: there are too few pictures, or a file cannot be written.
        """
        pictures = self._pictures()
        tested = [pair for _, pair in zip(range(self.order.most), pictures, strict=False)]
        if not tested:
            raise VeriscopeError(f"no picture of split {self.order.split!r} is at least {LEAST_SIDE} px a side")
        mark = self._mark()
        attacks = self._attacks(pictures)
        asked = []
        with open_json_lines(self.answers.path) as out:
            for done, (row, rgb) in enumerate(tested, 1):
                names = [f"{attack.name}{kind}" for attack in attacks for kind in ("", f" {CLEAN}")]
                of = [(self.scheme.name, mark, len(self.payload), row.key, name) for name in names]
                asked += of
                if not all(self.answers.holds(one) for one in of):
                    self._attack(row, rgb, attacks, mark, out)
                if done % 5 == 0:
                    self.say(f"{done} of {len(tested)} pictures")
        tables = {
            "scheme": self.scheme.name,
            "bits": len(self.payload),
            "pictures": len(tested),
            "attacks": figures(self.answers.of(asked), attacks),
            **self.notes,
            "about": {
                "data": ["/".join(path.parts[-2:]) for path in self.order.data],
                "split": self.order.split,
                "side": self.order.side,
                "veriscope": installed_version("veriscope"),
                "weights": models.fingerprint(),
                "command": self.order.command,
            },
        }
        write_json(self.order.out / "attacks.json", tables)
        return tables

    def _pictures(self) -> Iterator[tuple[Row, Pixels]]:
        for row in self.rows:
            try:
                rgb = load_pixels(row)
            except VeriscopeError as error:
                self.say(f"left out: {error}")
                continue
            rgb = resized(rgb, min(1.0, self.order.side / max(rgb.shape[:2])))
            if min(rgb.shape[:2]) >= LEAST_SIDE:
                yield row, np.ascontiguousarray(rgb)

    def _mark(self) -> str:
        kept = [self.order.side, self.order.key, self.order.learned, models.fingerprint(), self.payload.tolist()]
        return hashlib.sha256(json.dumps(kept).encode()).hexdigest()[:12]

    def _attacks(self, more: Iterator[tuple[Row, Pixels]]) -> list[Attack]:
        """All attacks that are asked for; what some learn from is taken from ``more`` pictures."""
        families = self.order.families
        found = [SIMPLE[name] for name in SIMPLE_NAMES] if "simple" in families else []
        found += self.order.with_models
        if "averaging" in families or "substitution" in families:
            given = [rgb for _, (_, rgb) in zip(range(2 * self.order.learned), more, strict=False)]
            if len(given) < 20:
                raise VeriscopeError(
                    f"averaging and substitution learn from other pictures than those tested, and {len(given)} are left: "
                    "give more data, or --attacks without them"
                )
            self.say(f"marking {len(given) // 2} pictures that attackers learn from")
            marked = [self.scheme.embed(rgb, self.payload) for rgb in given[::2]]
            unmarked = given[1::2]
            if "averaging" in families:
                found += averaging(marked, unmarked)
            if "substitution" in families:
                trained = train_substitute(marked, unmarked, say=self.say)
                self.notes["substitute_accuracy"] = round(trained.accuracy, 4)
                found += substituting(trained)
        if "spoofing" in families and self.scheme.fixed is None:
            found += spoofing(lambda rgb: self.scheme.embed(rgb, self.payload))
        return found

    def _attack(self, row: Row, rgb: Pixels, attacks: Sequence[Attack], mark: str, out: TextIO) -> None:
        marked = self.scheme.embed(rgb, self.payload)
        for attack in attacks:
            pairs = ((f"{attack.name}", marked, attack.on_marked), (f"{attack.name} {CLEAN}", rgb, attack.on_unmarked))
            for name, before, change in pairs:
                of = (self.scheme.name, mark, len(self.payload), row.key, name)
                if self.answers.holds(of):
                    continue
                after = change(before, row.key)
                reading = self.scheme.detect(after)
                near = round(psnr(before, after, 255), 2) if after.shape == before.shape else None
                self.answers.add(
                    Answer(
                        *of,
                        agreeing(reading, self.payload),
                        test_p(reading, self.payload),
                        reading.p_value,
                        psnr=None if near is None or near > 200 else near,
                    ),
                    out,
                )


def figures(answers: Sequence[Answer], attacks: Sequence[Attack]) -> list[dict[str, Any]]:
    """One line an attack: both errors at the detector's thresholds, their least sum over all thresholds, and the curve.

    Args:
        answers: to marked and to unmarked pictures, the latter's attack ending in ``CLEAN``.
        attacks: in the order of the lines.
    """
    lines = []
    for attack in attacks:
        marked = [one for one in answers if one.attack == attack.name]
        clean = [one for one in answers if one.attack == f"{attack.name} {CLEAN}"]
        if not marked or not clean:
            continue
        curve = [
            [threshold, _share(clean, 10**threshold), round(1 - _share(marked, 10**threshold), 4)]
            for threshold in THRESHOLDS
        ]
        line: dict[str, Any] = {
            "attack": attack.name,
            "family": attack.family,
            "forges": attack.forges,
            "pictures": len(marked),
            "bit_accuracy": round(float(np.mean([one.matched / one.bits for one in marked])), 4),
            "psnr_marked": _mean([one.psnr for one in marked]),
            "psnr_unmarked": _mean([one.psnr for one in clean]),
        }
        for rate in RATES:
            line[f"evasion_error_at_{rate:.0e}"] = round(1 - _share(marked, rate), 4)
            line[f"spoofing_error_at_{rate:.0e}"] = _share(clean, rate)
        line["least_sum"] = round(min(spoofed + evaded for _, spoofed, evaded in curve), 4)
        line["curve"] = {"columns": ["log10_p", "spoofing_error", "evasion_error"], "points": curve}
        lines.append(line)
    return lines


def _share(answers: Sequence[Answer], rate: float) -> float:
    return round(float(np.mean([log10(max(one.p_value, 1e-300)) <= log10(rate) + 1e-9 for one in answers])), 4)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(float(np.mean(known)), 2) if known else None
