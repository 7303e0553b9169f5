"""Train the learned descriptor of copies: a picture and its copies are drawn together, all other pictures pushed away.

No label is used. Copies are made by one to three tamper patterns each; the ten held-out ones are never seen. A batch holds
pictures beside copies of them, parts of both among them; earlier vectors push too, so that it has many strangers.

Papers: Pizzi et al. 2022 (SSCD); Wang et al. 2024 (AnyPattern); Wang et al. 2020 (cross-batch memory).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Timer
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

from veriscope.copies.learned import SIZE, Inputs, Look, as_inputs, look, part
from veriscope.copies.normalisation import packed
from veriscope.errors import VeriscopeError
from veriscope.lab.benchmark.copies_protocol import micro_average_precision, ranked
from veriscope.lab.benchmark.copies_vectors import rendered
from veriscope.lab.data.copy_patterns import HELD_OUT, TRAINING
from veriscope.lab.data.copy_views import make_views, random_window, regenerated, some_points, unpacked
from veriscope.lab.data.manifest import Row
from veriscope.lab.generators.methods import methods
from veriscope.lab.networks.descriptor import ENTROPY, CopyDescriptor, Seen, copy_contrast, neighbour_entropy
from veriscope.lab.recipes.export import OPSET, shrink
from veriscope.lab.recipes.fitting import Learning, fit_module
from veriscope.lab.recipes.recipe import Say, Settings, card, entry, write_json
from veriscope.lab.recipes.reconstruction import named
from veriscope.reporting.files import write_atomically

PICTURES = 64  # in a batch
SHOWN = 2  # copies of each in a batch
VIEWS = 1 + SHOWN
OF_PART = 0.35  # chance that a copy is shown in part, and the same for the picture itself
LEAST_PART = 0.5  # of a side, that such a part has
LEAST_POINTS = 0.5  # share of points that stay
WARM_UNTIL = 0.03  # of the training, while the rate rises
REMEMBERED = 8192  # earlier vectors that push
FROM_MEMORY = 0.1  # of the training from which they do: before, vectors change too fast
ASIDE = 240  # pictures, with two copies each, that decide which epoch was best
LEAST = 16  # pictures to train on, and to keep aside
REGENERATED = 500  # pictures that the autoencoders re-generate
BACKGROUND, RENDERED = 2000, 200  # pictures and rendered textures whose vectors normalise scores
RENDERED_FROM = 1 << 24  # number of the first of these textures; the benchmark's are far below
DECAY = 0.01
NAMES = ("points", "sizes", "present", "pixels")
Kept = Sequence[NDArray[np.uint8]]  # a picture's looks, packed, its own first


class Views(Dataset[tuple[tuple[Tensor, ...], Tensor]]):
    """Batches of the network's inputs for ``3 P`` views, and the number of each one's picture, ``int64 (3 P,)``.

    A batch holds P pictures and then a copy of each, twice. It depends on its index and the seed alone.

    Args:
        pictures: their looks, as ``make_views`` keeps them.
        count: batches in an epoch; there are others after them, by any index.
        seed: of the draws.
    """

    def __init__(self, pictures: Kept, count: int, seed: int) -> None:
        self.pictures, self.count, self.seed = pictures, count, seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[tuple[Tensor, ...], Tensor]:
        generator = np.random.default_rng((self.seed, index))
        chosen = generator.permutation(len(self.pictures))[:PICTURES]
        drawn = [1 + generator.permutation(len(self.pictures[place]) - 1)[:SHOWN] for place in chosen]
        views = [(place, 0) for place in chosen]
        views += [
            (place, int(copies[turn])) for turn in range(SHOWN) for place, copies in zip(chosen, drawn, strict=True)
        ]
        looks = [varied(unpacked(self.pictures[place][view]), generator) for place, view in views]
        return tensors(as_inputs(looks)), torch.from_numpy(np.tile(chosen, VIEWS))


def varied(seen: Look, generator: np.random.Generator) -> Look:
    """A look as a batch shows it: sometimes a part, some of the points missing."""
    if generator.random() < OF_PART:
        seen = part(seen, random_window(generator, LEAST_PART))
    return some_points(seen, generator, LEAST_POINTS)


def tensors(given: Inputs) -> tuple[Tensor, ...]:
    """The network's inputs in the order of its arguments."""
    return tuple(torch.from_numpy(getattr(given, name)) for name in NAMES)


class DescriptorTraining(Learning):
    """Contrast among views and memory, and the entropy of neighbours; kept aside, the micro-average precision of copies."""

    remembered: Tensor
    whose: Tensor

    def __init__(self, settings: Settings) -> None:
        super().__init__(CopyDescriptor(), settings, DECAY)
        self.register_buffer("remembered", torch.zeros(REMEMBERED, SIZE))
        self.register_buffer("whose", torch.full((REMEMBERED,), -1))
        self.vectors: list[Tensor] = []

    def configure_optimizers(self) -> Any:
        """AdamW; ``on_train_batch_start`` sets its rate."""
        return torch.optim.AdamW(self.network.parameters(), self.settings.rate, weight_decay=self.decay)

    @property
    def progress(self) -> float:
        """The share of the training that is done, by its limit in minutes or by its epochs, whichever is further."""
        steps = self.global_step / max(1.0, float(self.trainer.estimated_stepping_batches))
        timers = [one for one in self.trainer.callbacks if isinstance(one, Timer)]  # type: ignore[attr-defined]
        passed = [one.time_elapsed() / max(1.0, 60 * self.settings.minutes) for one in timers]
        return min(1.0, max([steps, *passed]))

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:  # noqa: ARG002 (Lightning's signature)
        """Set the rate: a short rise, then a cosine to nothing."""
        done = self.progress
        share = min(1.0, done / WARM_UNTIL + 0.02) * 0.5 * (1 + np.cos(np.pi * done))
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.settings.rate * float(share)

    def training_step(self, batch: tuple[tuple[Tensor, ...], Tensor], index: int) -> Tensor:  # noqa: ARG002
        """The loss of one batch."""
        views = Seen(self.network(*batch[0]), batch[1])
        held = self.whose >= 0 if self.progress > FROM_MEMORY else torch.zeros_like(self.whose, dtype=torch.bool)
        memory = Seen(self.remembered[held], self.whose[held])
        contrast, entropy = copy_contrast(views, memory), neighbour_entropy(views, memory)
        kept = REMEMBERED - len(views.pictures)
        self.remembered.copy_(torch.cat([views.vectors.detach(), self.remembered[:kept]]))
        self.whose.copy_(torch.cat([views.pictures, self.whose[:kept]]))
        self.log("contrast", contrast, prog_bar=True)
        self.log("entropy", entropy)
        return contrast + ENTROPY * entropy

    def validation_step(self, batch: tuple[tuple[Tensor, ...], Tensor], index: int) -> None:  # noqa: ARG002
        """Vectors of one batch that was kept aside."""
        self.vectors.append(self.network(*batch[0]).cpu())

    def on_validation_epoch_end(self) -> None:
        """Logs the micro-average precision of all of them."""
        self.log("aside", micro_ap(self.vectors), prog_bar=True)
        self.vectors = []


def micro_ap(batches: Sequence[Tensor]) -> float:
    """The micro-average precision of copies among the originals of all batches.

    Args:
        batches: vectors ``(3 P, D)`` each, originals first.
    """
    split = [batch.numpy().reshape(VIEWS, -1, batch.shape[1]) for batch in batches]
    references = np.concatenate([views[0] for views in split])
    queries = np.concatenate([np.concatenate([views[copy] for views in split]) for copy in range(1, VIEWS)])
    known = np.tile(np.arange(len(references)), VIEWS - 1)
    return micro_average_precision(ranked(queries, references, known), len(queries))


@dataclass(frozen=True)
class DescriptorRecipe:
    """How the learned descriptor is trained."""

    name: str = "descriptor"
    about: str = "Which known picture is this a copy of? A vector of 256 floats that copies share with their original."
    papers: tuple[str, ...] = ("Pizzi et al. 2022 (SSCD)", "Wang et al. 2024 (AnyPattern)")

    def train(self, rows: Sequence[Row], work: Path, out: Path, settings: Settings, say: Say) -> dict[str, Any]:
        """Train on pictures of the split train, stop by those of val, export the network and the background."""
        learned, aside = parted(rows)
        by = methods(settings.generators)
        wrong = [method.name for method in by if method.way != "reconstruct"]
        if wrong:
            raise VeriscopeError(f"--generators: {', '.join(wrong)} makes more than a reconstruction")
        again = regenerated(learned, by, REGENERATED, work / "copies" / "regenerated", say)
        settings = replace(
            settings, patience=settings.epochs, generators=named(settings)
        )  # a falling rate needs no stop
        folder, processes = work / "copies" / "views", os.cpu_count() or 1
        pictures = make_views(learned, again, folder, settings.seed, processes, say)
        stopping = kept_aside(make_views(aside[:ASIDE], {}, folder, settings.seed, processes, say))
        lightning.seed_everything(settings.seed, workers=True, verbose=False)
        trained = fit_module(
            DescriptorTraining(settings),
            Views(pictures, max(1, settings.draws // (PICTURES * VIEWS)), settings.seed),
            stopping,
            work / self.name,
            settings,
            lambda line: say(f"{self.name}: {line}"),
            workers=1,
        )
        network = trained.network.cpu().eval()
        out.mkdir(parents=True, exist_ok=True)
        example = tensors(as_inputs([unpacked(pictures[place][0]) for place in (0, 1)]))
        export(network, example, out / f"{self.name}.onnx")
        write_atomically(out / f"{self.name}.background.npz", packed(background(network, pictures)))
        with torch.inference_mode():
            views = [network(*batch) for batch, _ in stopping]
        figures = {"micro_ap": round(micro_ap(views), 4), "originals": sum(len(one) for one in views) // VIEWS}
        return self._finish(out, settings, learned, figures)

    def _finish(self, out: Path, settings: Settings, rows: Sequence[Row], aside: dict[str, Any]) -> dict[str, Any]:
        sources = sorted({row.source for row in rows})
        figures = {
            "settings": asdict(settings),
            "pictures": len(rows),
            "sources": sources,
            "patterns": list(TRAINING),
            "held_out_patterns": list(HELD_OUT),
            "sources_kept_aside": aside,
        }
        write_json(out / f"{self.name}.figures.json", figures)
        autoencoders = f", and re-generated by {', '.join(settings.generators)}" if settings.generators else ""
        training = (
            f"{len(rows)} pictures of {len(sources)} sources, without labels, copied by one to three of {len(TRAINING)} "
            f"tamper patterns{autoencoders}; settings, sources and patterns are in `{self.name}.figures.json`."
        )
        data = f"{aside['originals']} pictures of the split val, two copies of each by one to three training patterns"
        told = {name.replace("_", " "): value for name, value in aside.items()}
        text = card(self, training, "Figures on what was kept aside", data, told)
        (out / f"{self.name}.md").write_text(text, encoding="utf-8")
        files = (f"{self.name}.onnx", f"{self.name}.background.npz")
        (out / f"{self.name}.model.toml").write_text(entry(self, out, settings, files), encoding="utf-8")
        return figures


def parted(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """The pictures to learn from and those kept aside: the splits train and val.

    Raises:
        VeriscopeError: one of them is too small.
    """
    parts = [row for row in rows if row.split == "train"], [row for row in rows if row.split == "val"]
    for some, split in zip(parts, ("train", "val"), strict=True):
        if len(some) < LEAST:
            raise VeriscopeError(f"split {split} has {len(some)} pictures; this recipe needs at least {LEAST} there")
    return parts


def kept_aside(pictures: Kept) -> list[tuple[tuple[Tensor, ...], Tensor]]:
    """Whole batches of different pictures and the first copies of each, shown as they are."""
    parts = np.array_split(np.arange(len(pictures)), max(2, len(pictures) // PICTURES))
    return [
        (
            tensors(as_inputs([unpacked(pictures[place][view]) for view in range(VIEWS) for place in some])),
            torch.from_numpy(np.tile(some, VIEWS)),
        )
        for some in parts
    ]


def export(network: nn.Module, example: tuple[Tensor, ...], path: Path) -> None:
    """Write the network for any number of views and of points; the file is whole or not there."""
    partial = path.with_suffix(".partial.onnx")
    points = {name: {0: "views", 1: "points"} for name in NAMES[:3]}
    torch.onnx.export(
        network,
        example,
        str(partial),
        input_names=list(NAMES),
        output_names=["vectors"],
        dynamic_axes={**points, "pixels": {0: "views"}, "vectors": {0: "views"}},
        opset_version=OPSET,
        dynamo=False,
    )
    shrink(partial)
    os.replace(partial, path)


@torch.inference_mode()
def background(network: nn.Module, pictures: Kept) -> NDArray[np.float32]:
    """Vectors ``(N, 256)`` of pictures of the training and of rendered textures."""
    places = np.linspace(0, len(pictures) - 1, min(BACKGROUND, len(pictures))).astype(int)
    looks = [unpacked(pictures[place][0]) for place in places]
    looks += [look(rendered(RENDERED_FROM + 8 * number)) for number in range(RENDERED)]
    batches = [looks[start : start + PICTURES] for start in range(0, len(looks), PICTURES)]
    return np.concatenate([network(*tensors(as_inputs(some))).numpy() for some in batches])


RECIPE = DescriptorRecipe()
