"""``veriscope lab bench-tampering``: every localiser over edited pictures with masks and over authentic ones.

Each picture is judged as it is and after a few ways of sharing it; the mask follows. Only measures are kept, one JSON line a
picture and condition, so a run that was stopped goes on, and each carries the mark of the weights that gave it. A picture or
mask that cannot be read is named and the others go on. A method that does not apply to a picture, or fails on it, calls
nothing there and scores 0, as a user would see it; tables say of how many it spoke.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from veriscope import models, plugins
from veriscope.batch import open_json_lines
from veriscope.errors import PictureError, VeriscopeError
from veriscope.examination import hear
from veriscope.lab.benchmark import localisation, tampering_figures, tampering_page
from veriscope.lab.benchmark.measuring import SILENT, mark_of, versions
from veriscope.lab.benchmark.perturbations import AS_IS
from veriscope.lab.benchmark.tampering_answers import Answer, Entry, Results
from veriscope.lab.benchmark.tampering_figures import AUTHENTIC, CALLED_SHARE, EDITED, FUSED
from veriscope.lab.data.manifest import Row, read_lines, spread, without_signature
from veriscope.picture import Picture, open_picture
from veriscope.plugins import Detector
from veriscope.reporting.files import write_atomically
from veriscope.reporting.overlay import over_picture
from veriscope.tampering.localisation import Localiser, resized
from veriscope.tampering.regions import regions

CONDITIONS = {"none": AS_IS, "jpeg80": "JPEG 80", "jpeg60": "JPEG 60", "resize75": "size 75 %"}  # perturbations by name
TIME_LIMIT = 300.0  # seconds for each method on one picture
EXAMPLES = 8  # edited pictures whose maps the page shows
EXAMPLE_SIDE = 300  # pixels
SHAPES_DIFFER = 0.03  # relative difference of aspect ratios, from which picture and mask do not belong together


@dataclass(frozen=True)
class Order:
    """What a run is asked for.

    Attributes:
        data: the manifest; column ``mask`` names each edited picture's mask, white where edited.
        out: the folder of results and of what is kept to resume.
        split: of the edited pictures.
        authentic: split of the authentic pictures, those labelled "real".
        methods: names of localisers; all that are installed where empty.
        conditions: of ``CONDITIONS``.
        most: the most pictures of each kind, taken from the sources in turn; 0 for all.
        seed: of the bootstrap.
        command: that prints these figures again.
    """

    data: Path
    out: Path
    split: str = "test_tampering"
    authentic: str = "test"
    methods: tuple[str, ...] = ()
    conditions: tuple[str, ...] = tuple(CONDITIONS)
    most: int = 0
    seed: int = 0
    command: str = ""


def localisers(names: Sequence[str] = ()) -> list[Localiser]:
    """The installed localisers of these names, or all; the fused one last, as it uses what the others found.

    Raises:
        VeriscopeError: a name is not a detector's, or its detector gives no map of edits.
    """
    found = plugins.named(list(names)) if names else plugins.detectors()
    others = [detector.name for detector in found if not isinstance(detector, Localiser)]
    if names and others:
        raise VeriscopeError(f"not a localiser of edits: {', '.join(others)}; there are: {', '.join(_all_names())}")
    return sorted((one for one in found if isinstance(one, Localiser)), key=lambda one: one.name == FUSED)


def _all_names() -> list[str]:
    return [detector.name for detector in plugins.detectors() if isinstance(detector, Localiser)]


def marks_of(methods: Sequence[Localiser]) -> dict[str, str]:
    """By method, what changes when its version or weights do; the fused one's changes with any localiser's."""
    found = {method.name: mark_of(cast(Detector, method)) for method in methods}
    if FUSED in found:
        members = [found[FUSED], *(mark_of(cast(Detector, method)) for method in localisers())]
        found[FUSED] = hashlib.sha256(" ".join(members).encode()).hexdigest()[:12]
    return found


def read_mask(row: Row) -> NDArray[np.bool_]:
    """The mask of an edited picture: bool (h, w), true where edited, upright, at the mask's own size.

    Raises:
        PictureError: there is none, it cannot be read, or nothing is white in it.
    """
    if not row.mask:
        raise PictureError(row.key, "it has no mask")
    opened = open_picture(row.mask)
    mask = without_signature(opened.rgb, row).mean(2) >= 128
    if not mask.any():
        raise PictureError(row.key, f"its mask {Path(row.mask).name} marks nothing as edited")
    return np.asarray(mask, np.bool_)


def following(mask: NDArray[np.bool_], scale: float) -> NDArray[np.bool_]:
    """A mask ``bool (h, w)`` at ``scale`` times its size, at least one pixel a side; true where half or more was."""
    if scale == 1:
        return mask
    height, width = (max(1, round(side * scale)) for side in mask.shape)
    return np.asarray(resized(mask.astype(np.float32), height, width) >= 0.5)


def measured(values: NDArray[np.float32], mask: NDArray[np.bool_]) -> dict[str, Any]:
    """The measures of a map ``float32 (h, w)``, brought to the size of its mask ``bool (H, W)``, as ``Answer`` keeps them."""
    at_size = resized(np.clip(np.nan_to_num(values), 0, 1).astype(np.float32), *mask.shape)
    counted = localisation.counts(at_size, mask)
    auc = localisation.pixel_auc(at_size, mask)
    return {
        "f1_at": tuple(np.round(localisation.f1_of(counted), 4).tolist()),
        "iou": round(float(localisation.iou_of(counted)[localisation.AT_FIXED]), 4),
        "auc": None if auc is None else round(auc, 4),
    }


def ask(method: Localiser, picture: Picture, mask: NDArray[np.bool_], mark: str) -> tuple[Answer, NDArray[np.float32]]:
    """What one method finds in a picture, measured against its mask, and the map; an empty map where it says nothing."""
    nothing = np.zeros((1, 1), np.float32)
    silent = {"method": method.name, "version": str(method.version), "mark": mark, **measured(nothing, mask)}
    heard = hear(picture, [cast(Detector, method)], time_limit=TIME_LIMIT)
    if not heard:
        return Answer(**silent, reason=SILENT), nothing
    evidence, seconds = heard[0]
    found = None if evidence.map is None else method.locate(picture)
    if found is None:  # it failed or took too long
        return Answer(**silent, reason=evidence.reason, failed=True, seconds=round(seconds, 3)), nothing
    values = np.where(found.judged > 0, found.map, 0).astype(np.float32)
    called = regions(values, found.judged, least=CALLED_SHARE)
    answer = Answer(
        **silent | measured(values, mask),
        score=round(float(evidence.score), 5),
        reliability=evidence.reliability,
        weighed=evidence.weighed,
        reason=evidence.reason,
        seconds=round(seconds, 3),
        judged=round(float((found.judged > 0).mean()), 4),
        largest=round(called[0].share, 4) if called else 0.0,
    )
    return answer, values


class TamperingBench:
    """One run: ``run`` asks what is missing and publishes."""

    def __init__(self, order: Order, say: Callable[[str], None] = print) -> None:
        """Read the manifest and find the methods.

        Raises:
            VeriscopeError: the manifest, a method's or a condition's name is wrong, or no picture is of these splits.
        """
        self.order, self.say = order, say
        unknown = [name for name in order.conditions if name not in CONDITIONS]
        if unknown:
            raise VeriscopeError(f"no condition is called {', '.join(unknown)}; there are: {', '.join(CONDITIONS)}")
        rows = [line.row for line in read_lines(order.data)]
        edited = [row for row in rows if row.split == order.split and row.label == EDITED]
        self.without_mask = [row for row in edited if not row.mask]
        self.edited = self._few([row for row in edited if row.mask])
        self.authentic = self._few([row for row in rows if row.split == order.authentic and row.label == AUTHENTIC])
        if not self.edited and not self.authentic:
            raise VeriscopeError(
                f"{order.data}: no edited picture with a mask is in split {order.split!r}, and no authentic one in "
                f"split {order.authentic!r}"
            )
        self.methods = localisers(order.methods)
        if not self.methods:
            raise VeriscopeError("no localiser of edits is installed")
        self.marks = marks_of(self.methods)
        self.results = Results(order.out / "answers.jsonl")
        self.examples = {row.key for row in spread(self.edited, EXAMPLES)}
        self.left_out = [f"{row.key}: it has no mask" for row in self.without_mask]

    def _few(self, rows: Sequence[Row]) -> list[Row]:
        return spread(rows, self.order.most or len(rows))

    def run(self) -> dict[str, Any]:
        """Ask every method about every picture that it has not answered about, publish, and return the tables.

        Raises:
            VeriscopeError: a file cannot be written.
        """
        todo = [(row, wanted) for row in (*self.edited, *self.authentic) if any((wanted := self._wanted(row)).values())]
        started = time.monotonic()
        with open_json_lines(self.results.path) as out:
            for done, (row, wanted) in enumerate(todo, 1):
                try:
                    for entry in self._asked(row, wanted):
                        self.results.add(entry, out)
                except PictureError as error:
                    self.left_out.append(f"{row.key}: {error.reason}")
                    self.say(f"left out: {self.left_out[-1]}")
                if done % 20 == 0 or done == len(todo):
                    pace = (time.monotonic() - started) / done
                    left = pace * (len(todo) - done) / 60
                    self.say(
                        f"asked about {done} of {len(todo)} pictures, {pace:.1f} s each, about {left:.0f} min left"
                    )
        return self.publish()

    def _wanted(self, row: Row) -> dict[str, set[str]]:
        """By condition, the methods to ask about a picture."""
        wanted = {name: self.results.missing(row.key, name, self.marks) for name in self.order.conditions}
        if row.key in self.examples and "none" in wanted:
            wanted["none"] |= {name for name in self.marks if not self._example(row.key, name).exists()}
        return wanted

    def _asked(self, row: Row, wanted: Mapping[str, set[str]]) -> Iterator[Entry]:
        mask = read_mask(row) if row.label == EDITED else None
        conditions = [name for name in self.order.conditions if wanted[name]]
        names = [AS_IS, *(CONDITIONS[name] for name in conditions if name != "none")]
        pictures = versions(row, names)
        untouched = next(pictures)[1]
        if mask is None:
            mask = np.zeros((untouched.height, untouched.width), bool)
        elif abs(mask.shape[0] / mask.shape[1] * untouched.width / untouched.height - 1) > SHAPES_DIFFER:
            raise PictureError(row.key, f"its mask {Path(row.mask).name} is of another shape than the picture")
        if "none" in conditions:
            yield self._entry(row, "none", untouched, mask, wanted["none"])
        for condition, (_, picture) in zip((name for name in conditions if name != "none"), pictures, strict=True):
            scale = picture.height / untouched.height
            yield self._entry(row, condition, picture, following(mask, scale), wanted[condition])

    def _entry(self, row: Row, condition: str, picture: Picture, mask: NDArray[np.bool_], wanted: set[str]) -> Entry:
        shown = row.key in self.examples and condition == "none"
        if shown:
            self._draw(self._example(row.key, ""), mask.astype(np.float32), picture)
        answers = {}
        for method in self.methods:
            if method.name in wanted:
                answers[method.name], values = ask(method, picture, mask, self.marks[method.name])
                if shown:
                    self._draw(self._example(row.key, method.name), values, picture)
        share = round(float(mask.mean()), 5)
        return Entry(row.key, row.label, row.source, condition, picture.width, picture.height, share, answers)

    def _example(self, key: str, method: str) -> Path:
        """The file of an example's map; of its mask where no method is named."""
        name = f"{hashlib.sha256(key.encode()).hexdigest()[:12]}.{method or 'mask'}.{self.marks.get(method, '')}"
        return self.order.out / "examples" / f"{name.rstrip('.')}.jpg"

    def _drawn(self, key: str) -> dict[str, Path]:
        """By method, the files of an example that there are; the mask under an empty name."""
        paths = {name: self._example(key, name) for name in ("", *self.marks)}
        return {name: path for name, path in paths.items() if path.exists()}

    def _draw(self, path: Path, values: NDArray[np.float32], picture: Picture) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        scale = min(1.0, EXAMPLE_SIDE / max(values.shape))
        small = cv2.resize(values, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else values
        heat = np.rint(np.clip(np.nan_to_num(small), 0, 1) * 255).astype(np.uint8)
        size = picture.width, picture.height
        write_atomically(path, over_picture(heat, Image.fromarray(picture.rgb), size, EXAMPLE_SIDE))

    @cached_property
    def _about(self) -> dict[str, Any]:
        order = {name: value for name, value in asdict(self.order).items() if name not in ("data", "out", "command")}
        return {
            "data": "/".join(self.order.data.parts[-2:]),
            "command": self.order.command,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "veriscope": installed_version("veriscope"),
            "weights": models.fingerprint(),
            "order": order,
        }

    def publish(self) -> dict[str, Any]:
        """Write what there is, Parquet, JSON and the page, each whole or not at all; returns the tables."""
        entries = self.results.entries([*self.edited, *self.authentic], self.order.conditions, self.marks)
        tables = tampering_figures.tables(entries, seed=self.order.seed)
        tables |= {"about": self._about, "left_out": sorted(set(self.left_out))}
        tables["examples"] = [
            {"key": key, "maps": {name: path.name for name, path in self._drawn(key).items()}}
            for key in sorted(self.examples)
        ]
        tampering_page.publish(tables, entries, self.order.out)
        return tables
