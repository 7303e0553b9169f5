"""The main localiser, trained on edits made here from real pictures, each after a history of its own.

Squares of real pictures are edited once, with the masks that say where, and the backbone looks at each once; both are kept.
The last history (sizes, saves, sites) is drawn anew whenever a square is asked for, for edited and untouched ones alike.

Papers: Guillaro et al. 2023 (TruFor); Wu et al. 2022 (histories in training localisers).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from veriscope.errors import VeriscopeError
from veriscope.lab.benchmark.metrics import auc
from veriscope.lab.data.augmentation import INTERPOLATIONS, resized
from veriscope.lab.data.histories import history
from veriscope.lab.data.manifest import Row, load_pixels, source_weights
from veriscope.lab.data.samples import BATCH, Shards, kept
from veriscope.lab.generators.editing import Regenerate, edited
from veriscope.lab.networks.localiser import GRID, TOKENS, LocaliserNetwork, localisation_loss
from veriscope.lab.recipes.fitting import Fitted, Learning, fit_aside
from veriscope.lab.recipes.localising import export_dense, finish_localiser, folds_of_real, real
from veriscope.lab.recipes.recipe import Named, Say, Settings
from veriscope.lab.recipes.reconstruction import autoencoders
from veriscope.lab.recipes.windows import as_pixels
from veriscope.synthetic import backbone, views
from veriscope.tampering.scene import window

SIDE = 288  # pixels of a kept square
SIDES = (160, 192, 224, 288)  # pixels of the squares of a batch, by chance: multiples of 16
SHORT = (288, 640)  # pixels: the short side a picture is made smaller to before it is cut
UNTOUCHED = 0.3  # of the squares
KINDS = {  # and how often each is drawn
    "splice": 0.42,
    "copy_move": 0.18,
    "removal": 0.1,
    "regenerate": 0.06,
    "resample": 0.06,
    "text": 0.06,
    "blur": 0.04,
    "relight": 0.04,
    "noise": 0.04,
}
STOPPING, REPORTING = 0, 1  # folds
ASIDE = 20  # batches


@dataclass(frozen=True)
class Edits:
    """Squares of real pictures, most of them edited.

    Attributes:
        rows: (N,) the hosts.
        squares: N arrays ``uint8 (288, 288, 4)``: RGB before its last history, and the mask, 255 where edited.
        tokens: N arrays ``float16 (14, 14, 768)``, what the backbone sees in each.
    """

    rows: list[Row]
    squares: Shards
    tokens: Shards

    def __len__(self) -> int:
        return len(self.rows)

    def chosen(self, places: NDArray[Any]) -> Edits:
        """Those at ``places``."""
        return Edits([self.rows[at] for at in places], self.squares.chosen(places), self.tokens.chosen(places))


def cut(rgb: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """A random square ``uint8 (288, 288, 3)`` of a picture ``uint8 (H, W, 3)`` that was made smaller by chance."""
    short = min(rgb.shape[:2])
    wanted = generator.uniform(*SHORT)
    scale = wanted / short if short > wanted or short < SIDE else 1.0
    scale = max(scale, SIDE / short)
    if scale != 1:
        rgb = resized(rgb, scale, int(generator.choice(INTERPOLATIONS)) if scale < 1 else cv2.INTER_CUBIC)
        rgb = rgb if min(rgb.shape[:2]) >= SIDE else np.asarray(cv2.resize(rgb, (SIDE, SIDE)), np.uint8)
    return views.random_detail(rgb, generator, SIDE)


def made(row: Row, donor: Row, name: str, regenerate: Regenerate | None) -> NDArray[np.uint8]:
    """One square of a host, edited or not, ``uint8 (288, 288, 4)``; the same for a name always."""
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    host = cut(load_pixels(row), generator)
    kinds = [kind for kind in KINDS if kind != "regenerate" or regenerate is not None]
    chances = np.array([KINDS[kind] for kind in kinds])
    kind = "none" if generator.random() < UNTOUCHED else str(generator.choice(kinds, p=chances / chances.sum()))
    host, mask, _ = history(host, np.zeros(host.shape[:2], bool), generator, "before")
    other = cut(load_pixels(donor), generator) if kind == "splice" else host
    pixels, mask, _ = edited(host, other, kind, generator, regenerate)
    return np.dstack([pixels, mask.astype(np.uint8) * 255])


def prepare_edits(rows: Sequence[Row], count: int, folder: Path, settings: Settings, say: Say) -> Edits:
    """``count`` squares of real pictures and what the backbone sees of each; kept in ``folder`` and resumed."""
    folds = folds_of_real(rows, settings.folds)
    generator = np.random.default_rng(settings.seed)
    weights = source_weights(rows)
    weights /= weights.sum()
    hosts = generator.choice(len(rows), count, p=weights)
    donors = []
    for host in hosts:
        chances = weights * (folds == folds[host])
        donors.append(int(generator.choice(len(rows), p=chances / chances.sum())))
    regenerate = _regenerator(settings)
    names = [
        f"{rows[host].key}#{rows[donor].key}#{number}#{settings.seed}#{len(settings.generators)}"
        for number, (host, donor) in enumerate(zip(hosts, donors, strict=True))
    ]
    there, squares = kept(
        names,
        lambda place: made(rows[hosts[place]], rows[donors[place]], names[place], regenerate),
        folder / "squares",
        "edits",
        say,
    )
    cached: dict[int, NDArray[np.float16]] = {}

    def seen(place: int) -> NDArray[np.float16]:
        if place not in cached:
            cached.clear()
            batch = range(place, min(place + BATCH, len(squares)))
            small = [views.whole(np.ascontiguousarray(squares[at][:, :, :3])) for at in batch]
            found = backbone.pass_of(small)[1][:, 1:].reshape(-1, GRID, GRID, TOKENS).astype(np.float16)
            cached.update(zip(batch, found, strict=True))
        return cached[place]

    _, tokens = kept([names[place] for place in there], seen, folder / "tokens", "the backbone's look at them", say)
    return Edits([rows[hosts[place]] for place in there], squares, tokens)


def folds_of(chosen: Sequence[Row], rows: Sequence[Row], settings: Settings) -> NDArray[np.int64]:
    """The fold of each of ``chosen``, which were drawn from ``rows``, as ``rows`` are dealt: the same for all recipes."""
    fold = {row.source: int(at) for row, at in zip(rows, folds_of_real(rows, settings.folds), strict=True)}
    return np.array([fold[row.source] for row in chosen], np.int64)


def _regenerator(settings: Settings) -> Regenerate | None:
    if not settings.generators:
        return None
    models = [method.model for method in autoencoders(settings)]
    return lambda pixels: models[int(pixels.sum()) % len(models)].reconstruct(pixels)


class EditBatches(Dataset[tuple[Tensor, Tensor, Tensor, Tensor]]):
    """Batches: pixels ``(N, 3, S, S)``, tokens ``(N, 14, 14, 768)``, masks ``(N, 1, S/4, S/4)``, edited ``(N,)``."""

    def __init__(self, edits: Edits, size: int, count: int, seed: int) -> None:
        self.edits, self.size, self.count, self.seed = edits, size, count, seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        generator = np.random.default_rng((self.seed, index))
        side = int(generator.choice(SIDES))
        squares, masks, tokens = [], [], []
        for place in generator.choice(len(self.edits), self.size, replace=len(self.edits) < self.size):
            pixels, mask, seen = aged(
                self.edits.squares[int(place)], self.edits.tokens[int(place)].astype(np.float32), side, generator
            )
            squares.append(pixels)
            masks.append(cv2.resize(mask.astype(np.float32), (side // 4, side // 4), interpolation=cv2.INTER_AREA))
            tokens.append(seen)
        told = torch.from_numpy(np.stack(masks)).float()[:, None]
        return as_pixels(squares), torch.from_numpy(np.stack(tokens)), told, (told.amax((1, 2, 3)) > 0.5).float()


def aged(
    square: NDArray[np.uint8], tokens: NDArray[np.float32], side: int, generator: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.float32]]:
    """A kept square after its last history at ``side`` pixels, perhaps mirrored; its mask and its tokens alike."""
    pixels, mask = np.ascontiguousarray(square[:, :, :3]), square[:, :, 3]
    if generator.random() < 0.5:
        pixels, mask, tokens = pixels[:, ::-1], mask[:, ::-1], tokens[:, ::-1]
    if side != len(pixels):
        if generator.random() < 0.5:  # cut
            top, left = (int(at) for at in generator.integers(0, len(pixels) - side + 1, 2))
            tokens = window(tokens, top / SIDE, left / SIDE, side / SIDE, side / SIDE)
            pixels, mask = pixels[top : top + side, left : left + side], mask[top : top + side, left : left + side]
        else:
            way = int(generator.choice(INTERPOLATIONS))
            pixels = np.asarray(cv2.resize(pixels, (side, side), interpolation=way), np.uint8)
            mask = np.asarray(cv2.resize(mask, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    pixels, told, _ = history(np.ascontiguousarray(pixels), mask > 127, generator, "after", resizing=False)
    return pixels, told, np.ascontiguousarray(tokens)


class LocaliserTraining(Learning):
    """The network with its loss; kept aside, the mean of pixel F1 at 0.5 on edited squares and of the picture AUC."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(LocaliserNetwork(), settings)
        self.network.fingerprint.requires_grad_(False)

    def training_step(self, batch: tuple[Tensor, ...], index: int) -> Tensor:  # noqa: ARG002 (Lightning's signature)
        """The loss of one batch."""
        pixels, tokens, masks, told = batch
        loss = localisation_loss(self.network(pixels, tokens), masks, told)
        self.log("loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, ...], index: int) -> None:  # noqa: ARG002
        """Logs the score of one batch."""
        figures = batch_figures(self.network, batch)
        self.log(
            "aside", (figures["pixel_f1"] + figures["picture_auc"]) / 2, on_epoch=True, prog_bar=True, batch_size=1
        )
        self.log("f1", figures["pixel_f1"], on_epoch=True, prog_bar=True, batch_size=1)


@torch.no_grad()
def batch_figures(network: torch.nn.Module, batch: tuple[Tensor, ...]) -> dict[str, float]:
    """``figures_at`` of the main localiser on a batch."""
    pixels, tokens, masks, told = batch
    found, _, score = network(pixels, tokens)
    return figures_at(found, score, masks, told)


def figures_at(odds: Tensor, score: Tensor, masks: Tensor, told: Tensor) -> dict[str, float]:
    """Mean pixel F1 and IoU at 0.5 over the edited squares of a batch, and the AUC of its scores.

    Args:
        odds: (N, 1, h, w) log odds, at any scale of the masks' shape.
        score: (N,).
        masks: (N, 1, H, W) share of each place that is edited.
        told: (N,) 1 where any part is.
    """
    if odds.shape != masks.shape:
        odds = F.interpolate(odds, size=masks.shape[2:], mode="bilinear", align_corners=False)
    called, truth = odds > 0, masks > 0.5
    both = (called & truth).sum((1, 2, 3)).float()
    total = called.sum((1, 2, 3)) + truth.sum((1, 2, 3))
    some = told > 0.5
    f1 = (2 * both / total.clamp(min=1))[some]
    iou = (both / (total - both).clamp(min=1))[some]
    mixed = bool(some.any() and (~some).any())
    return {
        "pixel_f1": float(f1.mean()) if len(f1) else 0.0,
        "iou": float(iou.mean()) if len(iou) else 0.0,
        "picture_auc": auc(score.detach().double().cpu().numpy(), told.cpu().numpy()) if mixed else 0.5,
    }


def fit_on_edits(
    make: Callable[[], Learning],
    rows: Sequence[Row],
    work: Path,
    name: str,
    settings: Settings,
    say: Say,
    *,
    aside: int,
) -> Fitted:
    """Train on edited and untouched squares of real pictures of all folds but two: one stops it, one is reported on.

    Args:
        make: the untrained module, made after the seed is set.
        rows: of the manifests; the real ones are used.
        work, settings, say: as for every recipe; ``settings.most`` is half the number of squares.
        name: of the recipe, and of the folder of its training.
        aside: batches of each fold kept aside.
    """
    rows = real(rows)
    edits = prepare_edits(rows, 2 * settings.most, work / "edits", settings, say)
    folds = folds_of(edits.rows, rows, settings)
    fitted, stopping, reporting = (
        edits.chosen(np.flatnonzero(mask))
        for mask in (~np.isin(folds, (STOPPING, REPORTING)), folds == STOPPING, folds == REPORTING)
    )
    size = settings.batch
    return fit_aside(
        make,
        EditBatches(fitted, size, max(1, settings.draws // size), settings.seed + 1),
        EditBatches(stopping, 2 * size, aside, settings.seed),
        EditBatches(reporting, 2 * size, aside, settings.seed + 2),
        fitted.rows,
        work / name,
        settings,
        say,
    )


def finish_on_edits(
    made: Named, out: Path, settings: Settings, fitted: Fitted, told: Sequence[dict[str, float]]
) -> dict[str, Any]:
    """As ``finish_localiser``, with the mean of the figures ``told`` of each batch kept aside."""
    return finish_localiser(
        made,
        out,
        settings,
        {name: round(float(np.mean([each[name] for each in told])), 4) for name in told[0]},
        data=f"{len(told)} batches of {2 * settings.batch} squares, three in ten untouched, of real sources that neither "
        "trained it nor stopped its training, each after a random history",
        trained_on=fitted.rows,
    )


@dataclass(frozen=True)
class LocaliserRecipe:
    """How the main localiser is trained."""

    name: str = "localiser"
    about: str = "The main localiser of edits: colour, noise fingerprint and the backbone's view of the scene."
    papers: tuple[str, ...] = ("Guillaro et al. 2023 (TruFor)",)

    def train(self, rows: Sequence[Row], work: Path, out: Path, settings: Settings, say: Say) -> dict[str, Any]:
        """Train on all folds of real sources but two; stop on the one, report on the other; export.

        ``settings.most`` is half the number of squares; ``settings.start`` the fingerprint's safetensors, which
        ``veriscope lab train fingerprint`` writes beside its ONNX file (in ``out`` by default).

        Raises:
            VeriscopeError: the fingerprint is missing.
        """
        start = Path(settings.start or out / "fingerprint.safetensors")
        if not start.is_file():
            raise VeriscopeError(
                f"{start} is missing: run veriscope lab train fingerprint first, or name it by --start"
            )

        def make() -> LocaliserTraining:
            training = LocaliserTraining(settings)
            training.network.fingerprint.load_state_dict(load_file(start))
            return training

        fitted = fit_on_edits(make, rows, work, self.name, settings, say, aside=ASIDE)
        network = fitted.training.network
        out.mkdir(parents=True, exist_ok=True)
        export_dense(
            network,
            (torch.rand(1, 3, 128, 160), torch.rand(1, GRID, GRID + 4, TOKENS)),
            out / f"{self.name}.onnx",
            ("pixels", "tokens"),
            ("map", "trust", "score"),
        )
        told = [batch_figures(network, batch) for batch in fitted.aside]
        return finish_on_edits(self, out, settings, fitted, told)


RECIPE = LocaliserRecipe()
