"""Train the learned mark: encoder and extractor together, through the noise of ``networks/watermark_noise.py``.

Squares of pictures at one and a half times the canonical resolution are marked at a fixed PSNR with random bits, go through a
random channel, and are read back. Training starts from spread spectrum that already works; it learns the patterns, where to
put the energy and how to see past the picture. Papers: Zhu et al. 2018 (HiDDeN); Bui et al. 2023 (TrustMark).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from veriscope.lab.data.augmentation import resized
from veriscope.lab.data.manifest import Row, deal, load_pixels
from veriscope.lab.data.samples import Shards, kept
from veriscope.lab.networks import watermark_noise as noise
from veriscope.lab.networks.watermark import Encoder, Extractor, to_rgb
from veriscope.lab.recipes.fitting import Learning, fit_module
from veriscope.lab.recipes.localising import export_dense, finish_localiser
from veriscope.lab.recipes.recipe import Say, Settings
from veriscope.lab.recipes.starting import start_from
from veriscope.synthetic import views
from veriscope.watermarks import tiling
from veriscope.watermarks.payload import RAW_BITS

FINER = 1.5  # times the canonical resolution: the pictures that are marked and changed
SIDE = 2 * tiling.TILE  # canonical pixels a side of what is learned from
NATIVE = round(SIDE * FINER)
CUT = NATIVE + 48  # pixels a side of what is kept of a picture
PSNR = 42.0  # dB
VISIBLE = 0.02  # weight of the mark's energy over the local activity, in the loss
ASIDE = 4  # batches that decide which epoch was best
STOPPING = 0  # fold
TRIALS = ("none", "jpeg 70", "jpeg 50", "half size", "half the area", "blur", "noise", "webp 60", "turned")


def prepare_cuts(rows: Sequence[Row], folder: Path, seed: int, say: Say) -> tuple[list[Row], Shards]:
    """A square of each picture, at the resolution of training where it is large enough; kept in ``folder`` and resumed."""
    names = [f"{row.key}#{seed}" for row in rows]

    def make(place: int) -> NDArray[np.uint8]:
        generator = np.random.default_rng(zlib.crc32(names[place].encode()))
        rgb = load_pixels(rows[place])
        scale = max(CUT / min(rgb.shape[:2]), FINER * tiling.SIDE / float(np.sqrt(rgb.shape[0] * rgb.shape[1])))
        return views.random_detail(resized(rgb, min(scale, 1.0)), generator, CUT)

    places, squares = kept(names, make, folder, "cuts", say)
    return [rows[place] for place in places], squares


class MarkBatches(Dataset[dict[str, Tensor]]):
    """Batches of squares and bits; each follows from its index and a seed alone.

    Args:
        squares: N arrays uint8 (CUT, CUT, 3).
        size: of a batch.
        count: batches in an epoch.
        seed: of what is drawn.
    """

    def __init__(self, squares: Shards, size: int, count: int, seed: int) -> None:
        self.squares, self.size, self.count, self.seed = squares, size, count, seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        generator = np.random.default_rng((self.seed, index))
        pixels = np.zeros((self.size, NATIVE, NATIVE, 3), np.uint8)
        for at, place in enumerate(generator.integers(0, len(self.squares), self.size)):
            top, left = generator.integers(0, CUT - NATIVE + 1, 2)
            square = self.squares[int(place)][top : top + NATIVE, left : left + NATIVE]
            pixels[at] = square[:, ::-1] if generator.random() < 0.5 else square
        bits = generator.integers(0, 2, (self.size, RAW_BITS)).astype(np.float32)
        return {
            "pixels": torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255,
            "bits": torch.from_numpy(bits),
            "draw": torch.tensor(int(generator.integers(2**31))),
        }


def marked(encoder: Encoder, pixels: Tensor, bits: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures with their mark at ``PSNR``, and the mark's mean energy over the local activity.

    Args:
        encoder: what marks.
        pixels: (N, 3, H, H) in [0, 1], ``FINER`` times the canonical resolution.
        bits: (N, RAW_BITS), 0 or 1.
    """
    small = F.interpolate(pixels, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
    seen = torch.cat([small, torch.ones_like(small[:, :1])], 1)
    residual = encoder(seen, 2 * bits - 1)
    wide = to_rgb(F.interpolate(residual, pixels.shape[2:], mode="bicubic", align_corners=False))
    strength = 10 ** (-PSNR / 20) / wide.square().mean((1, 2, 3), keepdim=True).sqrt()
    activity = encoder.view(seen)[1][:, :1]
    visible = (255 * strength * residual[:, :1] / (activity + 3)).square().mean()
    shown = (pixels + strength * wide).clamp(0, 1)
    return noise.straight(shown, (shown * 255).round() / 255), visible


class WatermarkTraining(Learning):
    """How encoder and extractor learn together."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(Encoder(Extractor(RAW_BITS)), settings, decay=0.0)

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:  # noqa: ARG002 (Lightning's signature)
        """The loss of one batch after one random channel."""
        generator = torch.Generator().manual_seed(int(batch["draw"]))
        shown, visible = marked(self.network, batch["pixels"], batch["bits"])
        odds = self.network.extractor(noise.Channel(generator)(shown, SIDE))
        loss = F.binary_cross_entropy_with_logits(odds, batch["bits"])
        accuracy = ((odds > 0) == (batch["bits"] > 0)).float().mean()
        self.log_dict({"loss": loss, "visible": visible, "accuracy": accuracy}, prog_bar=True)
        return loss + VISIBLE * visible

    def validation_step(self, batch: dict[str, Tensor], index: int) -> None:  # noqa: ARG002 (Lightning's signature)
        """Bit accuracy after each of the trials; their mean decides."""
        read = tried(self.network, batch)
        self.log_dict({name.replace(" ", "_"): value for name, value in read.items()})
        self.log("aside", sum(read.values()) / len(read), prog_bar=True)


@torch.no_grad()
def tried(encoder: Encoder, batch: dict[str, Tensor]) -> dict[str, float]:
    """Bit accuracy of one batch after each of ``TRIALS``, the way back being known."""
    shown, _ = marked(encoder, batch["pixels"], batch["bits"])
    generator = torch.Generator().manual_seed(int(batch["draw"]))
    count = len(shown)
    changes = {
        "jpeg 70": lambda x: noise.jpeg(x, 70),
        "jpeg 50": lambda x: noise.jpeg(x, 50),
        "half size": lambda x: noise.rescale(x, 0.5),
        "blur": lambda x: noise.blur(x, 1.5),
        "noise": lambda x: noise.noise(x, 10, generator).clamp(0, 1),
        "webp 60": lambda x: noise.webp(x, 60),
    }
    accuracy = {}
    for name in TRIALS:
        there = changes[name](shown) if name in changes else shown
        valid = torch.ones(count, 1, SIDE, SIDE)
        if name == "turned":
            matrix = noise.turn(count, 15, 1.05, 0.0, generator)
            there = noise.moved(there, matrix[:, :2], tuple(there.shape[2:]))
            small = F.interpolate(there, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
            back = torch.linalg.inv(matrix)[:, :2]
            small = noise.moved(small, back, (SIDE, SIDE))
            valid = (noise.moved(torch.ones_like(there[:, :1]), back, (SIDE, SIDE)) > 0.999).float()
        else:
            small = F.interpolate(there, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
        if name == "half the area":
            valid[:, :, : round(SIDE * 0.29)] = 0
            valid[:, :, :, : round(SIDE * 0.29)] = 0
        odds = encoder.extractor(torch.cat([small * valid + 0.5 * (1 - valid), valid], 1))
        accuracy[name] = float(((odds > 0) == (batch["bits"] > 0)).float().mean())
    return accuracy


@dataclass(frozen=True)
class WatermarkRecipe:
    """How the learned mark is trained."""

    name: str = "watermark"
    about: str = "An invisible mark of 64 bits: what puts it into a picture, and what reads it."
    papers: tuple[str, ...] = ("Zhu et al. 2018 (HiDDeN)", "Bui et al. 2023 (TrustMark)")

    def train(self, rows: Sequence[Row], work: Path, out: Path, settings: Settings, say: Say) -> dict[str, Any]:
        """Train on all folds of sources but one, which decides the best epoch and gives the figures; export both networks."""
        rows, squares = prepare_cuts(rows, work / self.name / "cuts", settings.seed, say)
        folds = deal(rows, settings.folds)
        fitted, stopping = np.flatnonzero(folds != STOPPING), np.flatnonzero(folds == STOPPING)
        lightning.seed_everything(settings.seed, workers=True, verbose=False)
        aside = MarkBatches(squares.chosen(stopping), settings.batch, ASIDE, settings.seed)
        batches = max(1, settings.draws // settings.batch)
        held = [aside[index] for index in range(ASIDE)]
        learning = WatermarkTraining(settings)
        if settings.start:
            start_from(learning.network, Path(settings.start), say)
        trained = fit_module(
            learning,
            MarkBatches(squares.chosen(fitted), settings.batch, batches, settings.seed + 1),
            held,
            work / self.name,
            replace(settings, patience=settings.epochs),
            say,
        )
        encoder = trained.network.cpu().eval()
        encoder.extractor.freeze()
        out.mkdir(parents=True, exist_ok=True)
        save_file(encoder.state_dict(), out / f"{self.name}.safetensors")  # what a later training may start from
        example = torch.rand(1, 4, SIDE, SIDE)
        files = (f"{self.name}.onnx", f"{self.name}.encoder.onnx")
        export_dense(encoder.extractor, (example,), out / files[0], ("pixels",), ("odds",))
        export_dense(encoder, (example, torch.ones(1, RAW_BITS)), out / files[1], ("pixels", "signs"), ("residual",))
        figures = [tried(encoder, batch) for batch in held]
        return finish_localiser(
            self,
            out,
            settings,
            {name: round(float(np.mean([row[name] for row in figures])), 4) for name in TRIALS},
            data=(
                f"accuracy of the {RAW_BITS} raw bits at PSNR {PSNR:g} dB on {ASIDE * settings.batch} squares of {SIDE} "
                "canonical pixels, a quarter of a picture, of sources kept aside, the way back being known"
            ),
            trained_on=[rows[place] for place in fitted],
            files=files,
            kind="pictures",
        )


RECIPE = WatermarkRecipe()
