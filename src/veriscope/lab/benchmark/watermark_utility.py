"""``veriscope lab watermark-utility``: does marking pictures change what a downstream classifier makes of them?

Two tasks: rendered slices whose nodule is smooth or spiculated, told apart by a small network trained here, and photographs
that show a face or not, told apart by a linear head on the frozen backbone. Each classifier learns from unmarked or from
marked pictures and is asked about both; answers to the same test pictures are compared, so the interval is of the
difference itself: a bootstrap over test pictures, over several trainings. Marked and unmarked arms differ in nothing but
the mark.

Paper: Xu et al. 2024 (efficacy of invisible watermarks in generated medical images: utility for classification).
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from veriscope.errors import VeriscopeError
from veriscope.lab.benchmark.metrics import auc
from veriscope.lab.benchmark.watermark_bench import LEAST_SIDE, drawn_payload
from veriscope.lab.data.augmentation import resized
from veriscope.lab.data.manifest import load_pixels, read_manifests, spread
from veriscope.lab.data.phantoms import phantoms
from veriscope.lab.data.samples import write_whole
from veriscope.lab.recipes.recipe import write_json
from veriscope.lab.watermarks.schemes import DEFAULT_KEY, Scheme, schemes
from veriscope.synthetic import backbone, views

TASKS = ("phantoms", "pictures")
ARMS = (("unmarked", "unmarked"), ("unmarked", "marked"), ("marked", "marked"))  # learned from, asked about
TEST_SHARE = 1 / 3
ROUNDS = 2000  # of the bootstrap
EPOCHS, BATCH, RATE = 14, 32, 3e-3  # of the small network
PHANTOM_SIDE = 256  # pixels: what the comparison packages need at least
LONGEST = 640  # pixels of a photograph
Say = Callable[[str], None]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Order:
    """What a run is asked for.

    Attributes:
        data: manifests with a column ``face``, for the task ``pictures``.
        out: the folder of results and of what is kept to resume.
        scheme: its name.
        tasks: of ``TASKS``.
        count: pictures of each task; a third of them tests.
        repeats: trainings of each classifier.
        bits: of the payload.
        key: of the schemes that take one.
        seed: of phantoms, splits and trainings.
        command: that prints these figures again.
    """

    data: tuple[Path, ...]
    out: Path
    scheme: str = "learned"
    tasks: tuple[str, ...] = TASKS
    count: int = 600
    repeats: int = 3
    bits: int = 64
    key: str = DEFAULT_KEY
    seed: int = 0
    command: str = ""


def utility(order: Order, say: Say) -> dict[str, Any]:
    """Measure, write ``utility.json``, and return what it holds; run again it resumes.

    Raises:
        VeriscopeError: the scheme is absent, pictures are too few, or a file cannot be written.
    """
    found, absent = schemes(order.bits, (order.scheme,), order.key)
    if not found:
        raise VeriscopeError(f"{order.scheme}: {absent[order.scheme]}")
    order.out.mkdir(parents=True, exist_ok=True)
    lines = []
    for task in order.tasks:
        makes = _phantoms if task == "phantoms" else _pictures
        inputs, labels = _kept(order, found[0], task, makes, say)
        tested = np.random.default_rng(order.seed).permutation(len(labels)) < round(len(labels) * TEST_SHARE)
        lines.append(_compared(task, inputs, labels, tested, order, say))
    tables = {"scheme": found[0].name, "tasks": lines, "command": order.command, "seed": order.seed}
    write_json(order.out / "utility.json", tables)
    return tables


def difference(before: Floats, after: Floats, seed: int = 0) -> tuple[float, float, float]:
    """The mean of ``after - before``, both ``(N,)`` of the same pictures, and its 95 % bootstrap interval over pictures.

    >>> difference(np.ones(4), np.ones(4))
    (0.0, 0.0, 0.0)
    """
    change = np.asarray(after - before, np.float64)
    drawn = np.random.default_rng(seed).integers(0, len(change), (ROUNDS, len(change)))
    low, high = np.quantile(change[drawn].mean(1), [0.025, 0.975])
    return float(change.mean()), float(low), float(high)


def _compared(
    task: str,
    inputs: dict[str, NDArray[Any]],
    labels: NDArray[np.int64],
    tested: NDArray[np.bool_],
    order: Order,
    say: Say,
) -> dict[str, Any]:
    fit = _network if task == "phantoms" else _head
    right: dict[tuple[str, str], Floats] = {}
    areas: dict[tuple[str, str], list[float]] = {arm: [] for arm in ARMS}
    totals: dict[tuple[str, str], list[Floats]] = {arm: [] for arm in ARMS}
    for repeat in range(order.repeats):
        for learned in dict.fromkeys(arm[0] for arm in ARMS):
            say(f"{task}: training {repeat + 1} of {order.repeats} on {learned} pictures")
            scored = fit(inputs[learned][~tested], labels[~tested], order.seed + repeat)
            for arm in ARMS:
                if arm[0] == learned:
                    scores = scored(inputs[arm[1]][tested])
                    totals[arm].append(((scores > 0) == (labels[tested] == 1)).astype(np.float64))
                    areas[arm].append(auc(scores, labels[tested]))
    for arm in ARMS:
        right[arm] = np.mean(totals[arm], 0)
    line: dict[str, Any] = {
        "task": task,
        "learned_from": int((~tested).sum()),
        "asked_about": int(tested.sum()),
        "trainings": order.repeats,
    }
    for arm in ARMS:
        name = f"learned_{arm[0]}_asked_{arm[1]}"
        line[name] = {"accuracy": round(float(right[arm].mean()), 4), "auc": round(float(np.mean(areas[arm])), 4)}
        if arm != ARMS[0]:
            change, low, high = difference(right[ARMS[0]], right[arm], order.seed)
            line[name] |= {"accuracy_change": round(change, 4), "interval": [round(low, 4), round(high, 4)]}
    return line


def _kept(
    order: Order, scheme: Scheme, task: str, makes: Callable[[Order, Say], tuple[Any, NDArray[np.int64]]], say: Say
) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64]]:
    """What classifiers are given of a task's pictures, unmarked and marked, kept in the folder of the run."""
    named = json.dumps(
        [task, order.count, order.seed, order.bits, order.key, scheme.name, [str(path) for path in order.data]]
    )
    stem = f"{task}-{hashlib.sha256(named.encode()).hexdigest()[:12]}"
    paths = {name: order.out / f"{stem}.{name}.npy" for name in ("unmarked", "marked", "labels")}
    if not all(path.exists() for path in paths.values()):
        pictures, labels = makes(order, say)
        given: dict[str, list[NDArray[Any]]] = {"unmarked": [], "marked": []}
        for number, rgb in enumerate(pictures):
            payload = scheme.fixed if scheme.fixed is not None else drawn_payload(f"{task} {number}", order.bits)
            for name, pixels in (("unmarked", rgb), ("marked", scheme.embed(rgb, payload))):
                given[name].append(_reading(pixels) if task == "pictures" else pixels)
            if number % 50 == 49:
                say(f"{task}: {number + 1} of {len(pictures)} pictures marked")
        for name, arrays in given.items():
            write_whole(paths[name], np.stack(arrays))
        write_whole(paths["labels"], labels)
    return {name: np.load(paths[name]) for name in ("unmarked", "marked")}, np.load(paths["labels"])


def _phantoms(order: Order, say: Say) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    say(f"rendering {order.count} phantoms")
    return phantoms(order.count, order.seed, PHANTOM_SIDE)


def _pictures(order: Order, say: Say) -> tuple[list[NDArray[np.uint8]], NDArray[np.int64]]:
    if not order.data:
        raise VeriscopeError("the task pictures needs --data, a manifest with the column face")
    rows = [row for row in read_manifests(order.data) if row.label == "real"]
    found: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    for label in (0, 1):
        kind = [row for row in rows if (row.face == "1") == bool(label)]
        taken = 0
        for row in spread(kind, len(kind)):
            if taken >= order.count // 2:
                break
            try:
                rgb = load_pixels(row)
            except VeriscopeError as error:
                say(f"left out: {error}")
                continue
            rgb = resized(rgb, min(1.0, LONGEST / max(rgb.shape[:2])))
            if min(rgb.shape[:2]) >= LEAST_SIDE:
                found.append(np.ascontiguousarray(rgb))
                labels.append(label)
                taken += 1
    if min(labels.count(0), labels.count(1)) < 10:
        raise VeriscopeError(
            f"--data holds {labels.count(1)} real pictures with a face and {labels.count(0)} without; "
            "at least 10 of each are needed"
        )
    return found, np.array(labels, np.int64)


def _reading(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(backbone.readings_of([views.whole(rgb)])[0, -1, 0], np.float32)


def _head(inputs: NDArray[np.float32], labels: NDArray[np.int64], seed: int) -> Callable[[NDArray[np.float32]], Floats]:
    """A linear head; every training draws its pictures again with replacement, as it has no other chance in it."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    drawn = np.random.default_rng(seed).integers(0, len(labels), len(labels))
    fitted = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500)).fit(inputs[drawn], labels[drawn])
    return lambda asked: np.asarray(fitted.decision_function(asked), np.float64)


class _Network(nn.Module):
    def __init__(self, width: int = 16) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for after in (width, 2 * width, 3 * width, 4 * width):
            layers += [nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
            before = after
        self.layers = nn.Sequential(*layers)
        self.leave = nn.Linear(before, 1)

    def forward(self, grey: Tensor) -> Tensor:
        scores: Tensor = self.leave(self.layers(grey).amax((2, 3)))[:, 0]
        return scores


def _network(inputs: NDArray[np.uint8], labels: NDArray[np.int64], seed: int) -> Callable[[NDArray[np.uint8]], Floats]:
    """A small network on the green channel; mirrored by chance in training."""
    torch.manual_seed(seed)
    generator = np.random.default_rng(zlib.crc32(f"utility {seed}".encode()))
    network = _Network().train()
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-2)
    steps = EPOCHS * -(-len(labels) // BATCH)
    plan = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    for _ in range(steps):
        taken = generator.integers(0, len(labels), BATCH)
        grey = _grey(inputs[taken])
        grey = grey.flip(3) if generator.random() < 0.5 else grey
        loss = F.binary_cross_entropy_with_logits(network(grey), torch.from_numpy(labels[taken]).float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        plan.step()
    network.eval().requires_grad_(False)

    def scored(asked: NDArray[np.uint8]) -> Floats:
        parts = [network(_grey(asked[at : at + BATCH])).numpy() for at in range(0, len(asked), BATCH)]
        return np.concatenate(parts).astype(np.float64)

    return scored


def _grey(pictures: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pictures[:, None, :, :, 1])).float() / 127.5 - 1
