"""Pretrain the trunk of the pixel networks without labels: two views of one picture are to lie near each other, and no others.

Trace: none; what is learned is edges, textures and their layout, which a forensic network may start from. Whether that helps
one is for ``two-stage`` and ``bench`` to say. Views differ in crop, mirror, brightness, colour and sharpness, so a trunk that
was pretrained long heeds fine noise less. One file serves all: networks with fewer stages take those they have.

Papers: Baradad et al. 2022 (procedural image programs); Chen et al. 2020 (SimCLR).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from veriscope.errors import VeriscopeError
from veriscope.lab.data.manifest import Row
from veriscope.lab.generators.crops import crops as squares_of
from veriscope.lab.generators.training import Schedule, learn
from veriscope.lab.networks.contrastive import crops
from veriscope.lab.networks.residual import Trunk
from veriscope.lab.networks.rine import supervised_contrast
from veriscope.lab.recipes.recipe import Say, write_json

VIEW = 96  # pixels a side of a view
EMBEDDED = 64  # numbers of an embedding
TEMPERATURE = 0.2
BRIGHTER, COLOURED = (0.6, 1.4), (0.75, 1.25)  # factors of all channels, and of each
GREY, BLURRED = 0.2, 0.3  # shares of the views
CHECKED = 256  # squares kept aside on which finding the other view is measured


class Contrast(nn.Module):
    """The trunk, and the projection that serves the loss alone."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk()
        with torch.no_grad():
            width = self.trunk(torch.zeros(1, 3, VIEW, VIEW)).shape[1]
        self.project = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, EMBEDDED))

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels ``(N, 3, H, W)`` in [0, 1] to unit vectors ``(N, EMBEDDED)``."""
        return F.normalize(self.project(self.trunk(pixels - 0.5)), dim=1)


def view_of(pixels: Tensor) -> Tensor:
    """A random view of each picture of ``(N, 3, H, W)`` in [0, 1], ``(N, 3, VIEW, VIEW)``; draws on torch's chance."""
    cut = crops(pixels, VIEW)
    count = len(cut)
    mirrored = torch.rand(count, 1, 1, 1) < 0.5
    cut = torch.where(mirrored, cut.flip(3), cut)
    factor = torch.empty(count, 1, 1, 1).uniform_(*BRIGHTER) * torch.empty(count, 3, 1, 1).uniform_(*COLOURED)
    cut = (cut * factor).clamp(0, 1)
    cut = torch.where(torch.rand(count, 1, 1, 1) < GREY, cut.mean(1, keepdim=True).expand_as(cut), cut)
    soft = F.avg_pool2d(cut, 3, 1, 1, count_include_pad=False)
    return torch.where(torch.rand(count, 1, 1, 1) < BLURRED, soft, cut)


class Contrasting:
    """The network in training, as ``learn`` drives it."""

    def __init__(self, schedule: Schedule) -> None:
        self.device = schedule.torch_device
        self.model = Contrast().to(self.device).train()
        self.optimiser = torch.optim.AdamW(self.model.parameters(), schedule.rate, weight_decay=0.01)

    def step(self, batch: NDArray[np.uint8], progress: float, rate: float) -> dict[str, float]:  # noqa: ARG002 (a Learner)
        """One step on squares ``uint8 (N, S, S, 3)``; the loss by name."""
        pixels = _pixels(batch)
        both = self.model(torch.cat([view_of(pixels), view_of(pixels)]).to(self.device))
        loss = supervised_contrast(both, torch.arange(len(pixels), device=self.device).repeat(2), TEMPERATURE)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return {"contrast": loss.item()}

    def state(self) -> dict[str, Any]:
        """All that a resumed training needs."""
        return {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a ``state``."""
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])


def pretrain(rows: Sequence[Row], work: Path, out: Path, schedule: Schedule, say: Say) -> dict[str, Any]:
    """Pretrain a trunk and write it as safetensors; run again over the same ``work`` it resumes. Returns its figures.

    Args:
        rows: pictures of any label; those of the split "val" are kept aside to measure on.
        work: where squares and the checkpoint are kept.
        out: the file; beside it a JSON of the same name with the figures.
        schedule: how long; ``batch`` pictures a step, each in two views.
        say: called with lines of progress.
    Returns:
        ``steps``, ``squares``, ``seed``, ``pictures`` and, where pictures were kept aside, ``found_at_first`` and ``found``:
        the share of their views whose nearest is the other view of the same square, by the untrained and the trained network,
        and ``chance`` of it.
    Raises:
        VeriscopeError: there are too few pictures, they are too small, or something cannot be written.
    """
    if out.suffix != ".safetensors":
        raise VeriscopeError(f"{out}: the trunk is written as safetensors; name a file that ends with .safetensors")
    learned = [row for row in rows if row.split == "train"]
    aside = [row for row in rows if row.split == "val"]
    if len(learned) < 2:
        raise VeriscopeError(f"{len(learned)} pictures in the split train are too few to pretrain on")
    folder = work / "pretraining"
    squares = squares_of(learned, folder, count=schedule.count, seed=schedule.seed, say=say)
    torch.manual_seed(schedule.seed)
    learner = Contrasting(schedule)
    checked = _checked(aside, folder, schedule.seed, say)
    before = found(learner.model, checked, schedule.seed) if len(checked) > 1 else None

    def draw(generator: np.random.Generator) -> NDArray[np.uint8]:
        places = generator.choice(len(squares), min(schedule.batch, len(squares)), replace=False)
        return np.ascontiguousarray(squares[np.sort(places)])

    keys = " ".join(sorted(row.key for row in learned))
    of = json.dumps({**asdict(schedule), "data": hashlib.sha256(keys.encode()).hexdigest()}, sort_keys=True)
    steps = learn(learner, draw, schedule, folder / "trunk.ckpt", of=of, say=say)
    figures: dict[str, Any] = {
        "steps": steps,
        "squares": len(squares),
        "pictures": len(learned),
        "seed": schedule.seed,
    }
    if before is not None:
        figures["found_at_first"] = before
        figures["found"] = found(learner.model, checked, schedule.seed)
        figures["chance"] = 1 / (2 * len(checked) - 1)
    _save(learner.model.trunk, out)
    write_json(out.with_suffix(".json"), figures)
    return figures


@torch.no_grad()
def found(model: nn.Module, squares: NDArray[np.uint8], seed: int) -> float:
    """The share of two views each of squares ``uint8 (N, S, S, 3)`` whose nearest of all is the other view of its square."""
    device = next(model.parameters()).device
    was = model.training
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pixels = _pixels(squares)
        views = [view_of(pixels), view_of(pixels)]
    both = torch.cat([model.eval()(view.to(device)) for view in views]).cpu()
    model.train(was)
    near = (both @ both.T).fill_diagonal_(-2)
    count = len(squares)
    wanted = torch.arange(2 * count).roll(count)
    return float((near.argmax(1) == wanted).float().mean())


def _checked(rows: Sequence[Row], folder: Path, seed: int, say: Say) -> NDArray[np.uint8]:
    if not rows:
        return np.zeros((0, VIEW, VIEW, 3), np.uint8)
    squares = squares_of(rows, folder, count=min(len(rows), CHECKED), seed=seed, say=say)
    return np.array(squares[:CHECKED])


def _pixels(squares: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(squares)).permute(0, 3, 1, 2).float() / 255


def _save(trunk: nn.Module, path: Path) -> None:
    from safetensors.torch import save_file

    partial = path.with_name(f"{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({f"trunk.{name}": value.cpu().contiguous() for name, value in trunk.state_dict().items()}, partial)
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise VeriscopeError(f"{path}: cannot be written: {error.strerror}") from error
