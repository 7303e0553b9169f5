"""Train the learned descriptor of copies: a picture and its copies are drawn together, all other pictures pushed away.

No label is used. A batch holds pictures beside copies by one to three tamper patterns; the ten held-out ones are never seen.
Earlier vectors push too, so that a small batch has many strangers. The first half looks at smaller squares, which is faster.

Papers: Pizzi et al. 2022 (SSCD); Wang et al. 2024 (AnyPattern); Wang et al. 2020 (cross-batch memory); Touvron et al. 2019
(training at a lower resolution first).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Timer
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from veriscope.copies.learned import SIDE, square
from veriscope.copies.normalisation import packed
from veriscope.errors import VeriscopeError
from veriscope.lab.benchmark.copies_protocol import micro_average_precision, ranked
from veriscope.lab.data.copy_patterns import HELD_OUT, TRAINING
from veriscope.lab.data.copy_views import VIEWS, Views, middles, pixels_of, regenerated
from veriscope.lab.data.manifest import Row
from veriscope.lab.data.procedural import telling
from veriscope.lab.data.samples import Shards
from veriscope.lab.generators.methods import methods
from veriscope.lab.networks.descriptor import ENTROPY, CopyDescriptor, Seen, copy_contrast, neighbour_entropy
from veriscope.lab.recipes.export import export_network
from veriscope.lab.recipes.fitting import Learning, fit_module
from veriscope.lab.recipes.recipe import Say, Settings, card, entry, write_json
from veriscope.lab.recipes.reconstruction import named
from veriscope.reporting.files import write_atomically

PICTURES = 40  # in a batch
SMALL_SIDE = 96  # pixels of the squares in the first half
SMALL_UNTIL = 0.55  # of the training
WARM_UNTIL = 0.03  # of the training, while the rate rises
REMEMBERED = 6000  # earlier vectors that push
FROM_MEMORY = 0.08  # of the training from which they do: before, vectors change too fast
ASIDE = 240  # pictures, with two copies each, that decide which epoch was best
LEAST = 16  # pictures to train on, and to keep aside
REGENERATED = 500  # pictures that the autoencoders re-generate
BACKGROUND, RENDERED = 2000, 200  # pictures and rendered textures whose vectors normalise scores
DECAY = 0.02


class DescriptorTraining(Learning):
    """Contrast among views and memory, and the entropy of neighbours; kept aside, the micro-average precision of copies."""

    remembered: Tensor
    whose: Tensor

    def __init__(self, settings: Settings) -> None:
        super().__init__(CopyDescriptor(), settings, DECAY)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # half the time on a CPU
        self.register_buffer("remembered", torch.zeros(REMEMBERED, 256))
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

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:  # noqa: ARG002
        """The loss of one batch."""
        done = self.progress
        pixels = pixels_of(batch[0].cpu()).to(self.device)
        if done < SMALL_UNTIL:
            pixels = F.interpolate(pixels, (SMALL_SIDE, SMALL_SIDE), mode="area")
        views = Seen(self.network(pixels.contiguous(memory_format=torch.channels_last)), batch[1])
        held = self.whose >= 0 if done > FROM_MEMORY else torch.zeros_like(self.whose, dtype=torch.bool)
        memory = Seen(self.remembered[held], self.whose[held])
        contrast, entropy = copy_contrast(views, memory), neighbour_entropy(views, memory)
        kept = REMEMBERED - len(views.pictures)
        self.remembered.copy_(torch.cat([views.vectors.detach(), self.remembered[:kept]]))
        self.whose.copy_(torch.cat([views.pictures, self.whose[:kept]]))
        self.log("contrast", contrast, prog_bar=True)
        self.log("entropy", entropy)
        return contrast + ENTROPY * entropy

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:  # noqa: ARG002
        """Vectors of one batch that was kept aside."""
        self.vectors.append(self.network(pixels_of(batch[0].cpu()).to(self.device)).cpu())

    def on_validation_epoch_end(self) -> None:
        """Logs the micro-average precision of all of them."""
        self.log("aside", micro_ap(self.vectors), prog_bar=True)
        self.vectors = []


def micro_ap(batches: Sequence[Tensor]) -> float:
    """The micro-average precision of copies among the originals of all batches.

    Args:
        batches: vectors ``(3 P, D)`` each, originals first, as ``Views`` orders them.
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
        learned, squares = middles(learned, work / "copies" / "train", say)
        _, stopping = middles(aside, work / "copies" / "val", say)
        made = regenerated(learned, squares, by, REGENERATED, work / "copies" / "regenerated", say)
        settings = replace(
            settings, patience=settings.epochs, generators=named(settings)
        )  # a falling rate needs no stop
        lightning.seed_everything(settings.seed, workers=True, verbose=False)
        trained = fit_module(
            DescriptorTraining(settings),
            Views(squares, made, PICTURES, max(1, settings.draws // (PICTURES * VIEWS)), settings.seed),
            kept_aside(stopping, settings.seed),
            work / self.name,
            settings,
            lambda line: say(f"{self.name}: {line}"),
            workers=1,
        )
        network = trained.network.cpu().to(memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
        assert isinstance(network, CopyDescriptor)
        out.mkdir(parents=True, exist_ok=True)
        export_network(network, (torch.rand(2, 3, SIDE, SIDE),), out / f"{self.name}.onnx")
        write_atomically(out / f"{self.name}.background.npz", packed(background(network, squares)))
        views = [vectors(network, batch.numpy()) for batch, _ in kept_aside(stopping, settings.seed)]
        figures = {"micro_ap": round(micro_ap(views), 4), "originals": min(len(stopping), ASIDE)}
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
    for part, split in zip(parts, ("train", "val"), strict=True):
        if len(part) < LEAST:
            raise VeriscopeError(f"split {split} has {len(part)} pictures; this recipe needs at least {LEAST} there")
    return parts


def kept_aside(squares: Shards, seed: int) -> list[tuple[Tensor, Tensor]]:
    """Whole batches of at most ``ASIDE`` different pictures and copies of them, always the same."""
    views = Views(squares, {}, len(squares), 1, seed)
    everything = np.arange(len(squares))
    parts = np.array_split(everything[:ASIDE], max(2, min(len(squares), ASIDE) // PICTURES))
    return [
        views.batch(part, np.setdiff1d(everything, part), np.random.default_rng((seed, 1, number)))
        for number, part in enumerate(parts)
    ]


def background(network: CopyDescriptor, squares: Shards) -> NDArray[np.float32]:
    """Vectors ``(N, 256)`` of pictures of the training and of rendered textures."""
    places = np.linspace(0, len(squares) - 1, min(BACKGROUND, len(squares))).astype(int)
    pictures = [square(squares[int(place)]) for place in places]
    pictures += [telling(np.random.default_rng((11, number)), SIDE).picture(SIDE) for number in range(RENDERED)]
    return np.concatenate([vectors(network, np.stack(pictures[at : at + 64])) for at in range(0, len(pictures), 64)])


@torch.inference_mode()
def vectors(network: CopyDescriptor, squares: NDArray[np.uint8]) -> Any:
    """Vectors of squares ``uint8 (N, 128, 128, 3)``."""
    return network(pixels_of(torch.from_numpy(squares)))


RECIPE = DescriptorRecipe()
