"""Train a network on squares of pictures with Lightning: the part that all network recipes share.

A recipe gives the network and says which square it looks at. The rest is here: balanced drawing, resume, early stop on sources
kept aside, a progress bar, TensorBoard, a limit in minutes, export to ONNX, calibration. A GPU is used when there is one.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, WeightedRandomSampler
from torchmetrics.classification import BinaryAUROC

from veriscope.lab.data.manifest import Row, balanced_weights, deal
from veriscope.lab.data.samples import Samples, Shards, prepare
from veriscope.lab.recipes import fitting
from veriscope.lab.recipes.export import export_network
from veriscope.lab.recipes.recipe import Say, Settings, checked, finish
from veriscope.lab.recipes.starting import start_from

STOPPING, CALIBRATING = 0, 1  # folds
MOST_STOPPING = 900  # samples that decide whether to stop
Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]


def cross_entropy(network: nn.Module, pixels: Tensor, labels: Tensor) -> Tensor:
    """Binary cross entropy of the network's scores ``(N,)`` for ``pixels (N, 3, H, W)`` in [0, 1] and ``labels (N,)``."""
    return F.binary_cross_entropy_with_logits(network(pixels), labels)


def pixels_of(square: NDArray[np.uint8]) -> Tensor:
    """A square ``uint8 (H, W, C)`` as a network sees it, ``float32 (C, H, W)`` in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(square.transpose(2, 0, 1))).float() / 255


@dataclass(frozen=True)
class NetworkRecipe:
    """A detector that is a network on squares of a picture.

    Attributes:
        name, about, papers: as in ``Recipe``.
        network: makes the untrained network, ``pixels float32 (N, 3, H, W) in [0, 1]`` to ``scores (N,)``.
        view: which square it looks at: "detail" (native resolution) or "whole".
        side: pixels of the random part of the square, mirrored by chance, that is used in training; the whole square is used
            afterwards, and always where it is 0.
        channels: of the square that the network reads; those of the view after them are for the loss alone.
        loss: what is minimised; called as ``loss(network, pixels, labels)``.
        augment: optionally changes a training square ``uint8 (H, W, 3)`` further.
        tensor: a square as the network's input, ``(channels, ...)``.
        reads: the name of that input in the exported file.
    """

    name: str
    about: str
    papers: tuple[str, ...]
    network: Callable[[], nn.Module]
    view: str = "detail"
    side: int = 192
    channels: int = 3
    loss: Loss = cross_entropy
    augment: Callable[[NDArray[np.uint8], np.random.Generator], NDArray[np.uint8]] | None = field(default=None)
    tensor: Callable[[NDArray[Any]], Tensor] = pixels_of
    reads: str = "pixels"

    def train(self, rows: Sequence[Row], work: Path, out: Path, settings: Settings, say: Say) -> dict[str, Any]:
        """Train on all folds but two; stop on the one, calibrate on the other; export."""
        checked(rows, settings.folds)
        samples, _ = prepare(rows, work / "samples", seed=settings.seed, say=say)
        return self.learn(samples, work, out, settings, say)

    def learn(self, samples: Samples, work: Path, out: Path, settings: Settings, say: Say) -> dict[str, Any]:
        """As ``train``, on samples that there are."""
        folds = deal(samples.rows, settings.folds)
        fitted = ~np.isin(folds, (STOPPING, CALIBRATING))
        network = fit(self, samples, fitted, folds == STOPPING, work / self.name, settings, say)
        out.mkdir(parents=True, exist_ok=True)
        example = torch.rand(2, self.channels, *self.tensor(getattr(samples, self.view)[0]).shape[1:])
        export_network(network, (example,), out / f"{self.name}.onnx", (self.reads,))
        aside = samples.chosen(folds == CALIBRATING)
        scores = scored(network, getattr(aside, self.view), settings, self.tensor)
        return finish(
            self,
            aside.rows,
            scores,
            out,
            settings,
            data=f"{len(aside)} samples of sources that neither trained the network nor stopped its training, "
            "each after a random history",
            trained_on=[row for row, used in zip(samples.rows, fitted, strict=True) if used],
            turns=aside.turns,
        )

    def refit(
        self, samples: Samples, fitted: NDArray[np.bool_], work: Path, settings: Settings, say: Say
    ) -> NDArray[np.float64]:
        """Scores of all samples by a network trained on those under ``fitted``, a sixth of which stop the training."""
        network = fit_most(self, samples, fitted, work / f"{self.name}-{key(fitted)}", settings, say)
        return scored(network, getattr(samples, self.view), settings, self.tensor)


def key(mask: NDArray[np.bool_]) -> str:
    """Ten hexadecimal digits of which samples a mask chooses."""
    return hashlib.sha256(np.packbits(mask).tobytes()).hexdigest()[:10]


def fit_most(
    recipe: NetworkRecipe, samples: Samples, fitted: NDArray[np.bool_], work: Path, settings: Settings, say: Say
) -> nn.Module:
    """As ``fit``, on the samples under ``fitted`` alone: a sixth of each class's groups, at least one, stop the training."""
    groups = np.array([f"{row.source}/{row.group}" for row in samples.rows])
    generated = np.array([row.generated for row in samples.rows])
    stops: set[str] = set()
    for label in (0, 1):
        dealt = sorted(set(groups[fitted & (generated == label)]), key=lambda name: (zlib.crc32(name.encode()), name))
        stops.update(dealt[: -(-len(dealt) // 6)])
    stopping = fitted & np.isin(groups, sorted(stops))
    return fit(recipe, samples, fitted & ~stopping, stopping, work, settings, say)


def fit(
    recipe: NetworkRecipe,
    samples: Samples,
    fitted: NDArray[np.bool_],
    stopping: NDArray[np.bool_],
    work: Path,
    settings: Settings,
    say: Say,
) -> nn.Module:
    """The network trained on the samples under ``fitted``, as it was when it was best on those under ``stopping``.

    An interrupted call resumes from the last complete checkpoint in ``work``; a finished one only loads.
    """
    lightning.seed_everything(settings.seed, workers=True, verbose=False)
    trained = _Training(recipe, settings)
    of = {"samples": int(fitted.sum())}
    if not fitting.finished(work, settings, of):
        if settings.start:
            start_from(trained.network, Path(settings.start), say)
        train, stop = samples.chosen(fitted), samples.chosen(_few(stopping, settings.seed))
        sampler = WeightedRandomSampler(
            balanced_weights(train.rows).tolist(),
            settings.draws,
            generator=torch.Generator().manual_seed(settings.seed),
        )
        fitting.train(
            trained,
            DataLoader(_Squares(train, recipe, settings.seed, training=True), settings.batch, sampler=sampler),
            DataLoader(_Squares(stop, recipe, settings.seed, training=False), settings.batch),
            work,
            settings,
            lambda line: say(f"{recipe.name}: {line}"),
            monitor="aside_auc",
            of=of,
        )
    fitting.load_best(trained, work)
    return trained.network.eval()


def _few(mask: NDArray[np.bool_], seed: int) -> NDArray[np.int64]:
    places = np.flatnonzero(mask)
    if len(places) <= MOST_STOPPING:
        return places
    return np.sort(np.random.default_rng(seed).choice(places, MOST_STOPPING, replace=False))


@torch.inference_mode()
def scored(
    network: nn.Module, squares: Shards, settings: Settings, tensor: Callable[[NDArray[Any]], Tensor] = pixels_of
) -> NDArray[np.float64]:
    """The network's scores ``(N,)`` of squares, each made its input by ``tensor``."""
    device = "cuda" if settings.device in ("auto", "cuda", "gpu") and torch.cuda.is_available() else "cpu"
    network = network.to(device).eval()
    found = []
    for at in range(0, len(squares), settings.batch):
        batch = [tensor(squares[index]) for index in range(at, min(at + settings.batch, len(squares)))]
        found.append(network(torch.stack(batch).to(device)).float().cpu().numpy())
    network.to("cpu")
    return np.concatenate(found).astype(np.float64)


class _Squares(Dataset[tuple[Tensor, Tensor]]):
    def __init__(self, samples: Samples, recipe: NetworkRecipe, seed: int, *, training: bool) -> None:
        self.squares: Shards = getattr(samples, recipe.view)
        self.labels = torch.from_numpy(samples.labels)
        self.recipe = recipe
        self.training = training
        self.generator = np.random.default_rng(seed)

    def __len__(self) -> int:
        return len(self.squares)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        square = self.squares[index]
        if self.training and self.recipe.side:
            side = min(self.recipe.side, len(square))
            top, left = self.generator.integers(0, len(square) - side + 1, 2)
            square = square[top : top + side, left : left + side]
            if self.generator.random() < 0.5:
                square = square[:, ::-1]
            if self.recipe.augment is not None:
                square = self.recipe.augment(np.ascontiguousarray(square), self.generator)
        return self.recipe.tensor(square), self.labels[index]


class _Training(fitting.Learning):
    def __init__(self, recipe: NetworkRecipe, settings: Settings) -> None:
        super().__init__(recipe.network(), settings)
        self.recipe = recipe
        self.aside = BinaryAUROC()

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        loss = self.recipe.loss(self.network, *batch)
        self.log("loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        pixels, labels = batch
        self.aside.update(self.network(pixels), labels.int())
        self.log("aside_auc", self.aside, on_epoch=True, prog_bar=True)
