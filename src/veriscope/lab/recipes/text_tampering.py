"""Train the detector of tampered text on documents that are rendered and tampered with as they are asked for.

Every document depends on a seed and its number alone, so an interrupted training goes on alike. Squares of real photographs,
saved as the documents are, teach what needs no alarm. The point from which a place is called is chosen on documents that were
not learned, so that next to none of their untouched twins has a region called; figures are measured on faces and layouts kept
apart, and their clean stability is the share of untouched documents with no region called.

Paper: Luo et al. 2024 (Toward Real Text Manipulation Detection).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import cos, pi
from pathlib import Path
from typing import Any

import cv2
import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Timer
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from veriscope.lab.benchmark.localisation import counts, f1, f1_of, iou
from veriscope.lab.data.manifest import Row, spread
from veriscope.lab.generators.crops import crops
from veriscope.lab.generators.text_tampering import METHODS, last_history, make
from veriscope.lab.generators.typesetting import ASIDE, TRAIN
from veriscope.lab.networks.text_tampering import TextTamperingNetwork, tampering_loss
from veriscope.lab.recipes.fitting import fit_module
from veriscope.lab.recipes.localising import export_dense, finish_localiser, folds_of_real, real
from veriscope.lab.recipes.recipe import Say, Settings
from veriscope.lab.recipes.windows import as_pixels
from veriscope.synthetic.views import random_detail
from veriscope.tampering.text_tampering import STRIDE, called

SIDE, MEASURED = 192, 256  # pixels a side of a document that is learned, and of one that is measured
PHOTOGRAPHS = 160  # real pictures at most whose squares are learned; half as many are measured
PHOTOGRAPH_SHARE = 1 / 8  # of what is learned
STOPPING, REPORTING = 0, 1  # folds of the photographs' sources; of documents, numbers added to the seed
STOP_DOCUMENTS, CALIBRATED, REPORTED = 64, 200, 240  # that stop the training, set the threshold, are reported on
MOST_CALLED = 0.01  # of the untouched documents and photographs, at the threshold
ODDS = np.linspace(-3, 8, 45)  # thresholds that are tried, log odds of the network before it is set
_Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Checked:
    """Documents that are measured: edited, their untouched twins, and the masks; alike in size."""

    edited: list[_Pixels]
    twins: list[_Pixels]
    masks: list[NDArray[np.bool_]]
    methods: list[str]


class DocumentBatches(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Batches by any index: edited pictures and their twins, ``(N, 3, S, S)``, and masks ``(N, 1, S/4, S/4)``.

    Args:
        photographs: squares ``uint8 (M, s, s, 3)``, of which some stand untouched among the documents; may be empty.
        size: pictures in a batch.
        count: batches in an epoch.
        seed: they depend on it and on their index.
    """

    def __init__(self, photographs: _Pixels, size: int, count: int, seed: int) -> None:
        self.photographs, self.size, self.count, self.seed = photographs, size, count, seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        generator = np.random.default_rng((self.seed, index))
        edited, twins, masks = [], [], []
        for _ in range(self.size):
            photograph = None
            if len(self.photographs):
                photograph = np.array(self.photographs[int(generator.integers(len(self.photographs)))])
            if photograph is not None and generator.random() < PHOTOGRAPH_SHARE:
                pixels = last_history(random_detail(photograph, generator, SIDE), SIDE, SIDE, generator)
                edited.append(pixels)
                twins.append(pixels)
                masks.append(np.zeros((SIDE // STRIDE, SIDE // STRIDE), np.float32))
            else:
                found = make(generator, SIDE, SIDE, picture=photograph)
                edited.append(found.pixels)
                twins.append(found.twin)
                masks.append(_coarse(found.mask))
        return as_pixels(edited), as_pixels(twins), torch.from_numpy(np.stack(masks))[:, None]


def _coarse(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    size = mask.shape[1] // STRIDE, mask.shape[0] // STRIDE
    return np.asarray(cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA), np.float32)


def documents(count: int, part: str, seed: int) -> Checked:
    """About ``count`` edited documents of one part, each with one method alone, the methods in turn."""
    found = Checked([], [], [], [])
    for number in range(count):
        way = list(METHODS)[number % len(METHODS)]
        made = make(np.random.default_rng((seed, number)), MEASURED, MEASURED, part=part, ways=(way,))
        if made.mask.any():
            found.edited.append(made.pixels)
            found.twins.append(made.twin)
            found.masks.append(made.mask)
            found.methods.append(way)
    return found


@torch.inference_mode()
def odds_of(network: TextTamperingNetwork, pictures: Sequence[_Pixels]) -> list[NDArray[np.float32]]:
    """The network's log odds of pictures ``uint8 (H, W, 3)`` whose sides are multiples of 16, each ``float32 (H/4, W/4)``."""
    return [network(as_pixels([pixels]))[0, 0].numpy() for pixels in pictures]


def is_clean(odds: NDArray[np.float32], threshold: float = 0.0) -> bool:
    """Whether a map of log odds has no region called at a threshold, as the detector calls them."""
    return not called((odds >= threshold).astype(np.float32), np.ones_like(odds))


def mean_f1(odds: Sequence[NDArray[np.float32]], masks: Sequence[NDArray[np.bool_]], threshold: float = 0.0) -> float:
    """Mean pixel F1 of maps of log odds, called from a threshold, against masks of four times their size."""
    return float(np.mean([f1(_full(one), mask, threshold) for one, mask in zip(odds, masks, strict=True)]))


def _full(places: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.kron(places, np.ones((STRIDE, STRIDE), np.float32))


def chosen_threshold(
    edited: Sequence[NDArray[np.float32]], masks: Sequence[NDArray[np.bool_]], untouched: Sequence[NDArray[np.float32]]
) -> float:
    """The threshold of the best mean F1 among those at which at most ``MOST_CALLED`` of the untouched have a region called.

    Args:
        edited: log odds ``float32 (h, w)`` of edited documents.
        masks: bool (4 h, 4 w), where they were edited.
        untouched: log odds of untouched ones.
    Returns:
        log odds; the highest of ``ODDS`` where none is clean enough.
    """
    clean = [np.mean([not is_clean(odds, at) for odds in untouched]) <= MOST_CALLED for at in ODDS]
    curves = [f1_of(counts(_full(odds), mask, ODDS)) for odds, mask in zip(edited, masks, strict=True)]
    allowed = np.where(clean, np.mean(curves, 0), -1.0)
    return float(ODDS[-1] if not any(clean) else ODDS[int(allowed.argmax())])


class TextTraining(lightning.LightningModule):
    """The network with its loss; kept aside, the mean of pixel F1 at 0.5 and of the share of twins with no region called."""

    def __init__(self, settings: Settings, network: TextTamperingNetwork, aside: Checked) -> None:
        super().__init__()
        self.settings, self.network, self.aside = settings, network, aside

    def training_step(self, batch: tuple[Tensor, ...], index: int) -> Tensor:  # noqa: ARG002 (Lightning's signature)
        """The loss of one batch, at a rate that falls with the steps or the minutes, whichever are nearer to their end."""
        for group in self.optimizers().param_groups:
            group["lr"] = self.settings.rate * (0.03 + 0.97 * (1 + cos(pi * self.progress())) / 2)
        loss, parts = tampering_loss(self.network, *batch)
        self.log_dict({"loss": loss, **parts}, prog_bar=True)
        return loss

    def progress(self) -> float:
        """How much of the training is done, in [0, 1]."""
        steps = self.global_step / max(1, self.trainer.estimated_stepping_batches)
        timer = next((each for each in self.trainer.callbacks if isinstance(each, Timer)), None)
        minutes = timer.time_elapsed() / 60 / self.settings.minutes if timer is not None else 0.0
        return float(min(1.0, max(steps, minutes)))

    def validation_step(self, batch: Tensor, index: int) -> None:  # noqa: ARG002 (Lightning's signature)
        """Logs the score of the documents kept aside, which are not a batch: their masks are full size."""
        device, network = self.device, self.network.cpu()
        found = mean_f1(odds_of(network, self.aside.edited), self.aside.masks)
        clean = float(np.mean([is_clean(odds) for odds in odds_of(network, self.aside.twins)]))
        network.to(device)
        score = {"f1": found, "clean": clean, "aside": (found + clean) / 2}
        self.log_dict(score, on_epoch=True, prog_bar=True, batch_size=1)

    def configure_optimizers(self) -> Any:
        """AdamW; the rate is set by each step."""
        return torch.optim.AdamW(self.parameters(), self.settings.rate, weight_decay=0.02)


@dataclass(frozen=True)
class TextTamperingRecipe:
    """How the detector of tampered text is trained.

    Attributes:
        name, about, papers: as in ``Recipe``.
        network: makes the untrained network.
        reported: documents that the figures are measured on, a fifth more than set the threshold.
    """

    name: str = "text_tampering"
    about: str = (
        "Where text in documents, receipts, cards and screens was tampered with: two streams, fused through gates."
    )
    papers: tuple[str, ...] = ("Luo et al. 2024 (Toward Real Text Manipulation Detection)",)
    network: Any = TextTamperingNetwork
    reported: int = REPORTED

    def train(self, rows: Sequence[Row], work: Path, out: Path, settings: Settings, say: Say) -> dict[str, Any]:
        """Train on documents made on the fly and on photographs of all folds but two; set the threshold; report; export.

        An epoch is ``settings.draws`` pictures and as many untouched twins.
        """
        rows = real(rows)
        folds = folds_of_real(rows, settings.folds)
        learned = spread([row for row, fold in zip(rows, folds, strict=True) if fold > REPORTING], PHOTOGRAPHS)
        squares = partial(crops, folder=work / self.name / "squares", side=MEASURED, seed=settings.seed, say=say)
        photographs = squares(learned, count=2 * PHOTOGRAPHS)
        stopping, calibrating, reporting = (settings.seed + 1_000_003 * number for number in (1, 2, 3))
        aside = documents(min(STOP_DOCUMENTS, self.reported), TRAIN, stopping)
        lightning.seed_everything(settings.seed, workers=True, verbose=False)
        training = TextTraining(settings, self.network(), aside)
        trained = fit_module(
            training,
            DocumentBatches(photographs, settings.batch, max(1, settings.draws // settings.batch), settings.seed),
            [torch.zeros(1)],
            work / self.name,
            settings,
            say,
        )
        network = trained.network.eval().cpu()
        known = documents(min(CALIBRATED, self.reported), TRAIN, calibrating)
        halves = [self._untouched(rows, folds == fold, squares) for fold in (STOPPING, REPORTING)]
        clean = [*known.twins, *halves[0]]
        threshold = chosen_threshold(odds_of(network, known.edited), known.masks, odds_of(network, clean))
        network.offset += threshold
        out.mkdir(parents=True, exist_ok=True)
        export_dense(network, (torch.rand(1, 3, 128, 160),), out / f"{self.name}.onnx", ("pixels",), ("map",))
        figures = measured(network, documents(self.reported, ASIDE, reporting), halves[1])
        figures["pixel_f1_on_known_faces"] = round(mean_f1(odds_of(network, known.edited), known.masks), 4)
        return finish_localiser(
            self,
            out,
            settings,
            figures,
            data=f"{figures['documents']} rendered documents of {MEASURED} px in faces and layouts that were not learned, each "
            "edited by one method, and their untouched twins; clean stability is the share of these with no region called, "
            "and the same of squares of photographs of sources kept aside",
            trained_on=learned,
        )

    def _untouched(self, rows: Sequence[Row], which: NDArray[np.bool_], squares: Any) -> list[_Pixels]:
        """Squares of photographs of one fold, each saved as documents are."""
        some = spread([row for row, wanted in zip(rows, which, strict=True) if wanted], PHOTOGRAPHS // 2)
        found = squares(some, count=PHOTOGRAPHS // 2)[: self.reported]
        return [
            last_history(np.array(square), MEASURED, MEASURED, np.random.default_rng(number))
            for number, square in enumerate(found)
        ]


def measured(network: TextTamperingNetwork, found: Checked, photographs: Sequence[_Pixels]) -> dict[str, Any]:
    """Pixel F1 and IoU at 0.5, both clean stabilities, and the F1 of each method alone.

    Args:
        network: with its threshold set.
        found: documents.
        photographs: untouched ones, ``uint8 (H, W, 3)``.
    """
    odds = odds_of(network, found.edited)
    overlaps = [iou(_full(one), mask, 0.0) for one, mask in zip(odds, found.masks, strict=True)]
    figures: dict[str, Any] = {
        "documents": len(odds),
        "pixel_f1": mean_f1(odds, found.masks),
        "iou": float(np.mean(overlaps)),
        "clean_stability": float(np.mean([is_clean(each) for each in odds_of(network, found.twins)])),
        "clean_stability_of_photographs": float(np.mean([is_clean(each) for each in odds_of(network, photographs)])),
    }
    for way in METHODS:
        places = [place for place, method in enumerate(found.methods) if method == way]
        if places:
            figures[f"pixel_f1_{way}"] = mean_f1([odds[at] for at in places], [found.masks[at] for at in places])
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in figures.items()}


RECIPE = TextTamperingRecipe()
