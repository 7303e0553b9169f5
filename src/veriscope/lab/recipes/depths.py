"""Train the detector ``depths``: from manifests of pictures to a bundled linear head with its calibration and figures.

Stages: (1) the backbone's reading of every picture after random histories, and of some pictures saved again in six ways, kept
on disk and resumed, (2) per fold, a head fitted without the fold's sources; its scores on those sources choose the settings
and calibrate, (3) the head fitted on all sources, exported with the calibration and the figures. Folds are whole sources, so a
fold's score is a leave-sources-out score. A head is penalised for changing its score when a picture is saved again.

Papers: Ojha et al. 2023 (a linear score on a frozen backbone generalises); Koutlis & Papadopoulos 2024 (RINE).
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from veriscope.errors import VeriscopeError
from veriscope.evidence import Question
from veriscope.lab.benchmark.metrics import auc, mean_source_pair_auc, tpr_at_fpr
from veriscope.lab.data.augmentation import random_history
from veriscope.lab.data.manifest import Row, balanced_weights, fold_of, load_pixels, read_manifest
from veriscope.lab.data.variants import REENCODINGS, VARIANTS
from veriscope.lab.recipes.export import export_linear
from veriscope.picture import open_picture
from veriscope.synthetic import backbone, depths, views
from veriscope.weighing import fit_panel

SHARD = 200  # pictures a file
SAVED_AGAIN_PER_SOURCE = 3
SAVED_AGAIN_KEPT = 20  # pictures between two writes of what was read of them


@dataclass(frozen=True)
class Settings:
    """What one training is made of; the defaults are the shipped detector's."""

    version: str = "1"
    histories: int = 1  # random histories of each picture
    folds: int = 4
    decay: float = 0.03  # L2 penalty on the standardised weights, chosen on sources kept aside
    invariance: float = 0.03  # penalty on the variance of the score when a picture is saved again, likewise
    saved_again: int = 200  # pictures, at most three a source, that are saved again
    steps: int = 80  # of L-BFGS
    seed: int = 0


def train(
    manifests: Sequence[Path], work: Path, out: Path, settings: Settings, *, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Run all stages.

    Args:
        manifests: CSV files; rows of splits ``train`` and ``val`` are used.
        work: folder for features; a second run over it resumes.
        out: folder for the finished models, their calibration and their figures.
        settings: what to train.
        say: called with each line of progress.
    Returns:
        the figures, as they are also written to ``out``.
    Raises:
        VeriscopeError: a manifest is wrong, or holds one class only or too few sources.
    """
    rows = [row for manifest in manifests for row in read_manifest(manifest, ("train", "val"))]
    folds = np.array([fold_of(row.source, settings.folds) for row in rows])
    for fold in range(settings.folds):
        for members in (folds == fold, folds != fold):
            if {row.generated for row, member in zip(rows, members, strict=True) if member} != {0, 1}:
                raise VeriscopeError(
                    f"{manifests[0]}: each of {settings.folds} folds by source needs real and generated pictures on both sides"
                )
    kept, features = cache_features(rows, work, settings, say)
    labels = np.array([row.generated for row in kept], np.float32)
    folds = np.array([fold_of(row.source, settings.folds) for row in kept])
    changes, changed = cache_changes(rows, work, settings, say)
    changed_folds = np.array([fold_of(row.source, settings.folds) for row in changed])
    scores = np.zeros(len(kept))
    for fold in range(settings.folds):
        aside = folds == fold
        weights = balanced_weights([row for row, held in zip(kept, aside, strict=True) if not held])
        head, offset = fit_linear(
            features[~aside],
            labels[~aside],
            weights,
            settings.decay,
            settings.steps,
            changes[changed_folds != fold],
            settings.invariance,
        )
        scores[aside] = features[aside] @ head.numpy() + offset
        say(f"fold {fold}: AUC {auc(scores[aside], labels[aside]):.4f} on {aside.sum()} pictures of sources kept aside")
    return finish(kept, labels, features, changes, scores, out, settings)


def cache_features(
    rows: Sequence[Row], folder: Path, settings: Settings, say: Callable[[str], None]
) -> tuple[list[Row], NDArray[np.float32]]:
    """The detector's features ``float32 (N, D)`` of every readable picture after its histories, kept in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {f"{row.key}#{turn}#{settings.seed}": row for row in rows for turn in range(settings.histories)}
    held: dict[str, tuple[Path, int]] = {}
    for shard in sorted(folder.glob("*.json")):
        for place, key in enumerate(json.loads(shard.read_text(encoding="utf-8"))):
            held[key] = (shard.with_suffix(".npy"), place)
    keys: list[str] = []
    made: list[NDArray[np.float16]] = []
    started = time.monotonic()

    def flush() -> None:
        if not keys:
            return
        stem = folder / hashlib.sha256("".join(keys).encode()).hexdigest()[:16]
        partial = stem.with_suffix(".partial.npy")
        np.save(partial, np.stack(made))
        os.replace(partial, stem.with_suffix(".npy"))
        stem.with_suffix(".json").write_text(json.dumps(keys), encoding="utf-8")
        held.update({key: (stem.with_suffix(".npy"), place) for place, key in enumerate(keys)})
        keys.clear()
        made.clear()

    todo = [key for key in wanted if key not in held]
    for done, key in enumerate(todo, 1):
        try:
            rgb = load_pixels(wanted[key])
        except VeriscopeError as error:
            say(f"left out: {error}")
            continue
        rgb = random_history(rgb, np.random.default_rng(zlib.crc32(key.encode())))
        made.append(backbone.readings_of([views.whole(rgb)])[0].astype(np.float16))
        keys.append(key)
        if len(keys) == SHARD:
            flush()
            say(f"features: {done} of {len(todo)}, {(time.monotonic() - started) / done:.2f} s a picture")
    flush()
    kept = [key for key in wanted if key in held]
    shards = {path: np.load(path) for path in {held[key][0] for key in kept}}
    readings = (shards[held[key][0]][held[key][1]].astype(np.float32) for key in kept)
    return [wanted[key] for key in kept], np.stack([depths.features(reading) for reading in readings])


def cache_changes(
    rows: Sequence[Row], folder: Path, settings: Settings, say: Callable[[str], None]
) -> tuple[NDArray[np.float32], list[Row]]:
    """How features change when a picture is saved again, kept in ``folder``: each copy's difference from their mean.

    Returns:
        differences ``float32 (M, D)`` and the row behind each.
    """
    path = folder / "saved_again.npz"
    chosen: list[Row] = []
    per_source: dict[str, int] = {}
    for row in sorted(rows, key=lambda row: zlib.crc32((row.key + "n").encode())):
        if per_source.get(row.source, 0) < SAVED_AGAIN_PER_SOURCE and len(chosen) < settings.saved_again:
            per_source[row.source] = per_source.get(row.source, 0) + 1
            chosen.append(row)
    held = dict(np.load(path)) if path.exists() else {}
    for done, row in enumerate(chosen, 1):
        if row.key in held:
            continue
        try:
            rgb = load_pixels(row)
        except VeriscopeError as error:
            say(f"left out: {error}")
            continue
        squares = [views.whole(open_picture(VARIANTS[name](rgb)).rgb) for name in REENCODINGS]
        held[row.key] = np.concatenate([backbone.readings_of([square]) for square in squares]).astype(np.float16)
        if done % SAVED_AGAIN_KEPT == 0:
            _save(held, path)
            say(f"saved again: {done} of {len(chosen)}")
    _save(held, path)
    used = [row for row in chosen if row.key in held]
    copies = [np.stack([depths.features(reading.astype(np.float32)) for reading in held[row.key]]) for row in used]
    changes = [copy - copy.mean(0) for copy in copies]
    return np.concatenate(changes), [row for row in used for _ in REENCODINGS]


def _save(arrays: dict[str, NDArray[Any]], path: Path) -> None:
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, **arrays)  # type: ignore[arg-type]
    os.replace(partial, path)


def fit_linear(
    features: NDArray[np.float32],
    labels: NDArray[np.float32],
    weights: NDArray[np.float64],
    decay: float,
    steps: int,
    changes: NDArray[np.float32] | None = None,
    invariance: float = 0.0,
) -> tuple[torch.Tensor, float]:
    """A weighted logistic regression with an L2 penalty on standardised features, by L-BFGS.

    The score is further penalised for its variance over ``changes``, which are differences that should not matter.

    Args:
        features: (N, D).
        labels: (N,) 1 or 0.
        weights: (N,) summing to 1.
        decay: the penalty's factor.
        steps: the most iterations.
        changes: (M, D) differences of features between copies of one picture; none by default.
        invariance: the factor of the penalty on them.
    Returns:
        weights ``float32 (D,)`` and an offset for the features as they come: ``features @ weights + offset`` is the log odds.
    """
    mean, spread = features.mean(0), features.std(0) + 1e-6
    x = torch.from_numpy(np.ascontiguousarray((features - mean) / spread))
    y, w = torch.from_numpy(labels), torch.from_numpy(weights.astype(np.float32))
    still = None if changes is None or not len(changes) else torch.from_numpy(changes / spread)
    slope = torch.zeros(x.shape[1], requires_grad=True)
    offset = torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.LBFGS([slope, offset], max_iter=steps, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = (w * F.binary_cross_entropy_with_logits(x @ slope + offset, y, reduction="none")).sum()
        value = value + decay * slope.square().sum()
        if still is not None:
            value = value + invariance * (still @ slope).square().mean()
        value.backward()
        return value.detach()

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    scaled = slope.detach() / torch.from_numpy(spread)
    return scaled, float(offset.detach()[0]) - float(scaled @ torch.from_numpy(mean))


def finish(
    rows: Sequence[Row],
    labels: NDArray[np.float32],
    features: NDArray[np.float32],
    changes: NDArray[np.float32],
    scores: NDArray[np.float64],
    out: Path,
    settings: Settings,
) -> dict[str, Any]:
    """Calibrate on the scores of sources kept aside, fit the head on all sources, export, and write the figures."""
    out.mkdir(parents=True, exist_ok=True)
    sources = np.array([row.source for row in rows])
    weights = balanced_weights(rows)
    data = (
        f"{len(rows)} pictures of {len(set(sources))} sources, each scored by a head fitted without its source, "
        "after one random history of crop, resize and saving"
    )
    members = {f"{depths.MODEL}@{settings.version}": 1.0}
    fit_panel(Question.GENERATED, members, scores, labels, weights, data=data, sources=sources).save(
        out / f"{depths.MODEL}.panel.json"
    )
    head, offset = fit_linear(features, labels, weights, settings.decay, settings.steps, changes, settings.invariance)
    export_linear(head, offset, out / f"{depths.MODEL}.onnx")
    figures = {
        "settings": asdict(settings),
        "pictures": {"real": int((labels == 0).sum()), "generated": int(labels.sum())},
        "sources": {
            label: sorted({row.source for row in rows if row.label == label}) for label in ("real", "generated")
        },
        "sources_kept_aside": {
            "auc": round(auc(scores, labels), 4),
            "mean_source_pair_auc": round(mean_source_pair_auc(scores, labels, sources), 4),
            "tpr_at_fpr_0.05": round(tpr_at_fpr(scores, labels, 0.05), 4),
            "tpr_at_fpr_0.01": round(tpr_at_fpr(scores, labels, 0.01), 4),
        },
    }
    (out / f"{depths.MODEL}.figures.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return figures
