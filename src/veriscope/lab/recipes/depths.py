"""Train the detector ``depths``: from manifests of pictures to a bundled ONNX model with its calibration and card.

Stages, each resumed where it was left: (1) the frozen trunk's tokens of every picture after one random history, (2) one
network a fold, trained without the fold's sources, whose scores on them choose the settings and calibrate, (3) the network
trained on all sources, (4) calibration, export and card. Folds are whole sources, so a fold's score is a leave-sources-out
score.
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

from veriscope import models
from veriscope.errors import VeriscopeError
from veriscope.evidence import Question
from veriscope.lab.benchmark.metrics import auc, mean_source_pair_auc, tpr_at_fpr
from veriscope.lab.data.augmentation import random_history
from veriscope.lab.data.manifest import Row, balanced_weights, fold_of, load_pixels, read_manifest
from veriscope.lab.networks.clip_vit import Tower, load_from_quantised
from veriscope.lab.networks.depths import FIRST, Depths
from veriscope.synthetic import views
from veriscope.weighing import fit_panel

TOWER = "clip-vit-b16-tower"
NAME = "depths"
SHARD = 200  # pictures a file
BLOCKS = 8  # of the tower's twelve


@dataclass(frozen=True)
class Settings:
    """What one training is made of; the defaults are the shipped detector's."""

    version: str = "1"
    histories: int = 1  # random histories of each picture
    folds: int = 4
    rank: int = 8
    epochs: float = 3.0
    batch: int = 32
    patches: int = 64  # patches kept of 196 in training
    rate: float = 4e-4  # of the low-rank corrections
    head_rate: float = 1e-3
    decay: float = 0.02
    smoothing: float = 0.06
    seed: int = 0


def train(
    manifests: Sequence[Path], work: Path, out: Path, settings: Settings, *, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Run all stages.

    Args:
        manifests: CSV files; rows of splits ``train`` and ``val`` are used.
        work: folder for tokens and checkpoints; a second run over it resumes.
        out: folder for the finished model, its calibration and its card.
        settings: what to train.
        say: called with each line of progress.
    Returns:
        the figures that the card holds.
    Raises:
        VeriscopeError: a manifest is wrong or holds one class only.
    """
    rows = [row for manifest in manifests for row in read_manifest(manifest, ("train", "val"))]
    if len({row.generated for row in rows}) != 2:
        raise VeriscopeError(f"{manifests[0]}: training needs real and generated pictures")
    work.mkdir(parents=True, exist_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    tower = load_from_quantised(models.pull(TOWER), BLOCKS)
    kept, tokens = cache_tokens(rows, tower, work / "tokens", settings, say)
    labels = np.array([row.generated for row in kept], np.float32)
    folds = np.array([fold_of(row.source, settings.folds) for row in kept])
    scores = np.full(len(kept), np.nan)
    for fold in range(settings.folds):
        aside = folds == fold
        if not aside.any() or aside.all():
            raise VeriscopeError(f"{manifests[0]}: too few sources for {settings.folds} folds by source")
        network = fit(kept, tokens, labels, ~aside, tower, work / f"fold{fold}.pt", settings, say)
        scores[aside] = predict(network, tokens, np.flatnonzero(aside))
        say(f"fold {fold}: AUC {auc(scores[aside], labels[aside]):.4f} on {aside.sum()} pictures of sources kept aside")
    network = fit(kept, tokens, labels, np.ones(len(kept), bool), tower, work / "all.pt", settings, say)
    return finish(kept, labels, scores, network, tower, out, settings)


def cache_tokens(
    rows: Sequence[Row], tower: Tower, folder: Path, settings: Settings, say: Callable[[str], None]
) -> tuple[list[Row], NDArray[np.float16]]:
    """The trunk's tokens ``float16 (N, 197, 768)`` of each readable picture after its histories, kept in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {f"{row.key}#{turn}": (row, turn) for row in rows for turn in range(settings.histories)}
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
        np.save(stem.with_suffix(".npy"), np.stack(made))
        stem.with_suffix(".json").write_text(json.dumps(keys), encoding="utf-8")
        held.update({key: (stem.with_suffix(".npy"), place) for place, key in enumerate(keys)})
        keys.clear()
        made.clear()

    todo = [key for key in wanted if key not in held]
    for done, key in enumerate(todo, 1):
        row, _ = wanted[key]
        try:
            rgb = load_pixels(row)
        except VeriscopeError as error:
            say(f"left out: {error}")
            continue
        rgb = random_history(rgb, np.random.default_rng(zlib.crc32(f"{key}{settings.seed}".encode())))
        with torch.inference_mode():
            pixels = torch.from_numpy(views.normalised([views.whole(rgb)]))
            made.append(trunk(tower, pixels)[0].numpy().astype(np.float16))
        keys.append(key)
        if len(keys) == SHARD:
            flush()
            say(f"tokens: {done} of {len(todo)}, {(time.monotonic() - started) / done:.2f} s a picture")
    flush()
    kept = [key for key in wanted if key in held]
    shards = {path: np.load(path) for path in {held[key][0] for key in kept}}
    tokens = np.stack([shards[held[key][0]][held[key][1]] for key in kept])
    return [wanted[key][0] for key in kept], tokens


def trunk(tower: Tower, pixels: torch.Tensor) -> torch.Tensor:
    """Normalised pixels ``(N, 3, 224, 224)`` to the tokens after the frozen blocks, ``(N, 197, 768)``."""
    x = tower.embed(pixels)
    for block in tower.blocks[:FIRST]:
        x = block(x)
    return x


def fit(
    rows: Sequence[Row],
    tokens: NDArray[np.float16],
    labels: NDArray[np.float32],
    used: NDArray[np.bool_],
    tower: Tower,
    checkpoint: Path,
    settings: Settings,
    say: Callable[[str], None],
) -> Depths:
    """Train one network on the rows in ``used``; continues from ``checkpoint`` and keeps it up to date."""
    import copy

    torch.manual_seed(settings.seed)
    generator = np.random.default_rng(settings.seed)
    network = Depths(copy.deepcopy(tower), settings.rank)
    adapted = [p for name, p in network.named_parameters() if p.requires_grad and name.startswith("blocks")]
    heads = [p for name, p in network.named_parameters() if p.requires_grad and not name.startswith("blocks")]
    groups = [{"params": adapted, "lr": settings.rate}, {"params": heads, "lr": settings.head_rate}]
    optimiser = torch.optim.AdamW([group for group in groups if group["params"]], weight_decay=settings.decay)
    peaks = [group["lr"] for group in optimiser.param_groups]
    indices = np.flatnonzero(used)
    weights = balanced_weights([rows[int(index)] for index in indices])
    steps = max(1, round(settings.epochs * len(indices) / settings.batch))
    step, loss_average = 0, 0.0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(saved["network"], strict=False)
        optimiser.load_state_dict(saved["optimiser"])
        step = saved["step"]
        generator = np.random.default_rng((settings.seed, step))
    network.train()
    while step < steps:
        rise, fall = min(1.0, (step + 1) / 50), 0.5 * (1 + np.cos(np.pi * step / steps))
        for group, peak in zip(optimiser.param_groups, peaks, strict=True):
            group["lr"] = peak * rise * fall
        chosen = generator.choice(indices, settings.batch, p=weights)
        patches = 1 + generator.permutation(tokens.shape[1] - 1)[: settings.patches]
        batch = torch.from_numpy(tokens[chosen][:, np.r_[0, patches]].astype(np.float32))
        logits, _ = network(batch)
        target = torch.from_numpy(labels[chosen]) * (1 - settings.smoothing) + settings.smoothing / 2
        loss = F.binary_cross_entropy_with_logits(logits, target)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([*adapted, *heads], 1.0)
        optimiser.step()
        step += 1
        loss_average = 0.98 * loss_average + 0.02 * float(loss.detach())
        if step % 100 == 0 or step == steps:
            _save({"network": network.trainable(), "optimiser": optimiser.state_dict(), "step": step}, checkpoint)
            say(f"{checkpoint.stem}: step {step} of {steps}, loss {loss_average / (1 - 0.98**step):.3f}")
    return network.eval()


def _save(state: dict[str, Any], path: Path) -> None:
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def predict(network: Depths, tokens: NDArray[np.float16], indices: NDArray[np.int64]) -> NDArray[np.float64]:
    """Logits of the rows ``indices``, all patches kept."""
    parts = []
    with torch.inference_mode():
        for start in range(0, len(indices), 32):
            batch = torch.from_numpy(tokens[indices[start : start + 32]].astype(np.float32))
            parts.append(network(batch)[0].numpy())
    return np.concatenate(parts).astype(np.float64)


def finish(
    rows: Sequence[Row],
    labels: NDArray[np.float32],
    scores: NDArray[np.float64],
    network: Depths,
    tower: Tower,
    out: Path,
    settings: Settings,
) -> dict[str, Any]:
    """Calibrate on the scores of sources kept aside, export, and write the figures."""
    from veriscope.lab.recipes.export import export_depths, export_trunk

    sources = np.array([row.source for row in rows])
    data = (
        f"{len(rows)} pictures of {len(set(sources))} sources, each scored by a network trained without its source, "
        "after one random history of crop, resize and saving"
    )
    panel = fit_panel(
        Question.GENERATED, {f"{NAME}@{settings.version}": 1.0}, scores, labels, balanced_weights(rows), data=data
    )
    panel.save(out / f"{NAME}.panel.json")
    export_trunk(tower, out / "clip_vit_b16_trunk.onnx")
    export_depths(network, out / "depths.onnx")
    figures = {
        "settings": asdict(settings),
        "pictures": {"real": int((labels == 0).sum()), "generated": int(labels.sum())},
        "sources": {
            label: sorted({row.source for row in rows if row.label == label}) for label in ("real", "generated")
        },
        "held_out_sources": {
            "auc": round(auc(scores, labels), 4),
            "mean_source_pair_auc": round(mean_source_pair_auc(scores, labels, sources), 4),
            "tpr_at_fpr_0.05": round(tpr_at_fpr(scores, labels, 0.05), 4),
            "tpr_at_fpr_0.01": round(tpr_at_fpr(scores, labels, 0.01), 4),
        },
    }
    (out / f"{NAME}.figures.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return figures
