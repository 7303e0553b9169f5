"""Train the detector ``warps``: pictures warped as by liquify brushes told from untouched ones, place by place.

Cuts of real pictures are kept; warps and histories are drawn anew whenever a square is asked for. Warped and untouched squares
go through the same draws of size and saving, before and after, so that the warp alone tells them apart. The calibration is
that of whole pictures of sources kept aside, each once as it is and once warped, read by the same function as in use.

Paper: Wang et al. 2019 (Detecting Photoshopped Faces by Scripting Photoshop).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import lightning
import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from veriscope.evidence import Question
from veriscope.lab.benchmark.localisation import f1
from veriscope.lab.benchmark.metrics import auc
from veriscope.lab.data.augmentation import INTERPOLATIONS, resized
from veriscope.lab.data.histories import history
from veriscope.lab.data.manifest import Row, balanced_weights, load_pixels, spread
from veriscope.lab.data.samples import Shards, kept
from veriscope.lab.generators.warping import Box, random_warp
from veriscope.lab.networks.warps import LEAST, Warps, end_points, pooled, warp_loss
from veriscope.lab.recipes.fitting import Learning, fit_module
from veriscope.lab.recipes.localising import export_dense, finish_localiser, folds_of_real, real
from veriscope.lab.recipes.recipe import Say, Settings, figures_of
from veriscope.lab.recipes.windows import as_pixels
from veriscope.synthetic import views
from veriscope.tampering import flow as flows
from veriscope.tampering import warps
from veriscope.tampering.dense import chance
from veriscope.tampering.flow import Flow
from veriscope.weighing import fit_panel

CUT = 288  # pixels a side, before the warp
SIDE = 192  # pixels a side of what the network learns from
SMALLEST = 0.7  # times each side: to which a picture is made smaller after the warp
CUT_SMALLEST = 0.5  # as above, before it: a large picture is cut at a random size
STOPPING, REPORTING = 0, 1  # folds
ASIDE = 10  # batches that decide when to stop
MOST_REPORTED = 250  # pictures kept aside, each read twice


@dataclass(frozen=True)
class Cuts:
    """Cuts of real pictures.

    Attributes:
        rows: (N,) the pictures.
        squares: N arrays ``uint8 (288, 288, 3)``.
    """

    rows: list[Row]
    squares: Shards

    def __len__(self) -> int:
        return len(self.rows)

    def chosen(self, places: NDArray[np.int64]) -> Cuts:
        """Those at ``places``."""
        return Cuts([self.rows[at] for at in places], self.squares.chosen(places))


def portraits_first(rows: Sequence[Row], most: int) -> list[Row]:
    """At most ``most`` pictures: those of faces first, which retouching is about, then others of all sources in turn."""
    faces = spread([row for row in rows if row.face == "1"], most)
    return faces + spread([row for row in rows if row.face != "1"], most - len(faces))


def prepare_cuts(rows: Sequence[Row], folder: Path, seed: int, say: Say) -> Cuts:
    """A cut of each picture that can be opened, made smaller by chance where it is large; kept in ``folder`` and resumed."""
    names = [f"{row.key}#{seed}" for row in rows]

    def make(place: int) -> NDArray[np.uint8]:
        generator = np.random.default_rng(zlib.crc32(names[place].encode()))
        rgb = load_pixels(rows[place])
        least = min(1.0, max(CUT_SMALLEST, CUT / min(rgb.shape[:2])))
        return views.random_detail(resized(rgb, generator.uniform(least, 1.0)), generator, CUT)

    places, squares = kept(names, make, folder, "cuts", say)
    return Cuts([rows[place] for place in places], squares)


def face_box(row: Row, height: int, width: int) -> Box | None:
    """Where the face of a portrait probably is: its middle. None for other pictures."""
    return (width * 0.3, height * 0.25, width * 0.7, height * 0.75) if row.face == "1" else None


def square_of(
    cut: NDArray[np.uint8], row: Row, generator: np.random.Generator, *, warped: bool
) -> tuple[NDArray[np.uint8], Flow]:
    """One square to learn from, and its flow.

    Args:
        cut: uint8 (288, 288, 3) of a picture.
        row: that picture.
        generator: of the draws, which are the same for warped and untouched squares but for the warp.
        warped: whether it is warped.
    Returns:
        uint8 (192, 192, 3) after a warp, made smaller and saved; float32 (192, 192, 2) in its pixels, zero if untouched.
    """
    if generator.random() < 0.5:
        cut = np.ascontiguousarray(cut[:, ::-1])
    side = len(cut)
    cut, _, _ = history(cut, np.zeros((side, side), bool), generator, "before")
    pixels, flow = cut, np.zeros((side, side, 2), np.float32)
    centre = generator.integers(0, side, 2)
    if warped:
        pixels, flow = random_warp(cut, generator, face_box(row, side, side))
        far = flows.lengths(flow).argmax()
        centre = np.array(np.divmod(far, side))
    part = round(SIDE / max(generator.uniform(SMALLEST, 1.0), SIDE / side))
    top, left = (int(at) for at in np.clip(centre - generator.integers(part // 4, part - part // 4, 2), 0, side - part))
    pixels, flow = pixels[top : top + part, left : left + part], flow[top : top + part, left : left + part]
    return _aged(pixels, flow, SIDE, SIDE, generator)


def _aged(
    pixels: NDArray[np.uint8], flow: Flow, height: int, width: int, generator: np.random.Generator
) -> tuple[NDArray[np.uint8], Flow]:
    """A picture and its flow made smaller to a size, and saved as editors and sites save."""
    way = int(generator.choice(INTERPOLATIONS))
    if pixels.shape[:2] != (height, width):
        pixels = np.asarray(cv2.resize(pixels, (width, height), interpolation=way), np.uint8)
        flow = flows.resized(flow, height, width)
    still = np.zeros((height, width), bool)
    pixels, _, _ = history(np.ascontiguousarray(pixels), still, generator, "after", resizing=False)
    return pixels, np.ascontiguousarray(flow)


class WarpBatches(Dataset[tuple[Tensor, Tensor]]):
    """Batches, every other square warped: pixels ``(N, 3, 192, 192)`` and flows ``(N, 2, 48, 48)`` in pixels.

    Args:
        cuts: what squares are made of; sources are drawn by the root of their size.
        size: of a batch.
        count: batches in an epoch; there are others after them, by any index.
        seed: they depend on it and on their index.
    """

    def __init__(self, cuts: Cuts, size: int, count: int, seed: int) -> None:
        self.cuts, self.size, self.count, self.seed = cuts, size, count, seed
        self.chances = balanced_weights(cuts.rows)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        generator = np.random.default_rng((self.seed, index))
        places = generator.choice(len(self.cuts), self.size, p=self.chances)
        made = [
            square_of(self.cuts.squares[place], self.cuts.rows[place], generator, warped=number % 2 == 1)
            for number, place in enumerate(places)
        ]
        flow = torch.from_numpy(np.stack([flow for _, flow in made]).transpose(0, 3, 1, 2).copy())
        return as_pixels([pixels for pixels, _ in made]), F.avg_pool2d(flow, warps.CELL)


class WarpsTraining(Learning):
    """The network with its loss; kept aside, the mean of the AUC of squares and of that of places."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(Warps(), settings)

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:  # noqa: ARG002 (Lightning's signature)
        """The loss of one batch."""
        pixels, truth = batch
        flow, logits = self.network(pixels)
        loss = warp_loss(flow, logits, truth)
        self.log("loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:  # noqa: ARG002
        """Logs the figures of one batch."""
        for name, value in batch_figures(self.network, *batch).items():
            self.log(name, value, on_epoch=True, prog_bar=True, batch_size=1)


@torch.no_grad()
def batch_figures(network: torch.nn.Module, pixels: Tensor, truth: Tensor) -> dict[str, float]:
    """AUC of pictures and of places, their mean, and the end-point error in pixels where something was moved."""
    flow, logits = network(pixels)
    moved = truth.square().sum(1) > LEAST**2
    told = moved.flatten(1).any(1).cpu().numpy()
    mixed = bool(told.any() and not told.all())
    squares = auc(pooled(logits).double().cpu().numpy(), told) if mixed else 0.5
    places = auc(logits.flatten().double().cpu().numpy(), moved.flatten().cpu().numpy()) if bool(moved.any()) else 0.5
    error = float(end_points(flow, truth)[moved].mean()) if bool(moved.any()) else 0.0
    return {"aside": (squares + places) / 2, "square_auc": squares, "place_auc": places, "end_point": error}


def read_aside(rows: Sequence[Row], network: Path, settings: Settings, say: Say) -> dict[str, NDArray[Any]]:
    """What an exported network sees in whole pictures, each once untouched and once warped, after a history.

    Args:
        rows: (N,) pictures that it did not learn from; those that cannot be opened are left out.
        network: the ONNX file.
        settings: the seed.
        say: called with a line of progress.
    Returns:
        arrays (M,): "score", "warped" (0 or 1), "row" (a place in ``rows``), and of warped ones, else no number:
        "end_point" and "standing_still", the mean error in pixels over what was moved of the flow and of none at all, and
        "pixel_f1", of the places called at even odds.
    """
    session = onnxruntime.InferenceSession(str(network), providers=["CPUExecutionProvider"])
    found: list[tuple[float, ...]] = []
    for place, row in enumerate(rows):
        for warped in (False, True):
            generator = np.random.default_rng(zlib.crc32(f"{row.key}#{warped}#{settings.seed}".encode()))
            pixels, truth = _whole(row, generator, warped=warped)
            flow, logits = warps.seen(pixels, lambda part: session.run(list(warps.OUTPUTS), {"pixels": part}))
            truth = cv2.resize(truth, flow.shape[1::-1], interpolation=cv2.INTER_AREA)
            moved = flows.lengths(truth) > LEAST
            told = (np.nan,) * 3
            if moved.any():
                moved_there = chance(logits)
                error, still = flows.lengths(flow - truth)[moved].mean(), flows.lengths(truth)[moved].mean()
                told = float(error), float(still), f1(moved_there, moved)
            found.append((warps.pooled(logits), float(warped), float(place), *told))
        if place % 50 == 49:
            say(f"read: {place + 1} of {len(rows)} pictures kept aside")
    columns = np.array(found, np.float64).reshape(-1, 6).T
    names = ("score", "warped", "row", "end_point", "standing_still", "pixel_f1")
    return dict(zip(names, columns, strict=True))


def _whole(row: Row, generator: np.random.Generator, *, warped: bool) -> tuple[NDArray[np.uint8], Flow]:
    rgb = load_pixels(row)
    height, width = rgb.shape[:2]
    rgb, _, _ = history(rgb, np.zeros((height, width), bool), generator, "before")
    flow = np.zeros((height, width, 2), np.float32)
    if warped:
        rgb, flow = random_warp(rgb, generator, face_box(row, height, width))
    scale = generator.uniform(SMALLEST, 1.0)
    return _aged(rgb, flow, max(64, round(height * scale)), max(64, round(width * scale)), generator)


@dataclass(frozen=True)
class WarpsRecipe:
    """How the detector of local warps is trained."""

    name: str = warps.NAME
    about: str = "Local warps, as liquify brushes make to faces and bodies: where, and from where each place was moved."
    papers: tuple[str, ...] = ("Wang et al. 2019 (Detecting Photoshopped Faces by Scripting Photoshop)",)

    def train(self, rows: Sequence[Row], work: Path, out: Path, settings: Settings, say: Say) -> dict[str, Any]:
        """Train on all folds of real sources but two; stop on the one, calibrate on the other; export.

        ``settings.most`` is the number of pictures, portraits first.
        """
        cuts = prepare_cuts(portraits_first(real(rows), settings.most), work / self.name / "cuts", settings.seed, say)
        folds = folds_of_real(cuts.rows, settings.folds)
        fitted, stopping, reporting = (
            np.flatnonzero(mask)
            for mask in (~np.isin(folds, (STOPPING, REPORTING)), folds == STOPPING, folds == REPORTING)
        )
        lightning.seed_everything(settings.seed, workers=True, verbose=False)
        aside = WarpBatches(cuts.chosen(stopping), 2 * settings.batch, ASIDE, settings.seed)
        batches = max(1, settings.draws // settings.batch)
        trained = fit_module(
            WarpsTraining(settings),
            WarpBatches(cuts.chosen(fitted), settings.batch, batches, settings.seed + 1),
            [aside[index] for index in range(ASIDE)],
            work / self.name,
            settings,
            say,
        )
        out.mkdir(parents=True, exist_ok=True)
        network = out / f"{self.name}.onnx"
        export_dense(trained.network.cpu(), (torch.rand(1, 3, 128, 160),), network, ("pixels",), warps.OUTPUTS)
        told = spread([cuts.rows[at] for at in reporting], MOST_REPORTED)
        return self._finish(told, read_aside(told, network, settings, say), out, settings, cuts.chosen(fitted).rows)

    def _finish(
        self,
        aside: Sequence[Row],
        read: dict[str, NDArray[Any]],
        out: Path,
        settings: Settings,
        trained_on: Sequence[Row],
    ) -> dict[str, Any]:
        rows = [aside[int(place)] for place in read["row"]]
        sources = np.array([row.source for row in rows])
        data = (
            f"{len(rows)} pictures of real sources that neither trained the network nor stopped its training, half of them "
            "warped at random, each after a random history"
        )
        panel = fit_panel(
            Question.EDITED,
            {f"{self.name}@{settings.version}": 1.0},
            read["score"],
            read["warped"],
            balanced_weights(rows),
            data=data,
            sources=sources,
        )
        panel.save(out / f"{self.name}.panel.json")
        return finish_localiser(
            self,
            out,
            settings,
            {
                **figures_of(read["warped"], read["score"], sources),
                **{
                    name: round(float(np.nanmean(read[name])), 4)
                    for name in ("pixel_f1", "end_point", "standing_still")
                },
            },
            data=data,
            trained_on=trained_on,
            files=(f"{self.name}.onnx", f"{self.name}.panel.json"),
        )


RECIPE = WarpsRecipe()
