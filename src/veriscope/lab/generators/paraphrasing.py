"""A small diffusion model that is told what a picture shows, so that it can draw the same again from much noise: a paraphrase.

What a picture shows is its class: the nearest of a few centres, found by the project on readings of the frozen backbone, so
that no caption and no labels are needed, and nothing but the class number goes from the old picture to the new one beside
what is left of it under the noise. The denoiser starts from an unconditional one and learns what each class adds; guidance
exaggerates it.

Papers: Barman et al. 2024 (visual paraphrase by captions); Meng et al. 2022 (SDEdit); Ho & Salimans 2022 (guidance without a
classifier).
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from veriscope.errors import ModelError, VeriscopeError
from veriscope.lab.data.manifest import Row
from veriscope.lab.data.samples import write_whole
from veriscope.lab.generators import kept, small
from veriscope.lab.generators.crops import crops
from veriscope.lab.generators.diffusion import STEPS, Diffusion
from veriscope.lab.generators.small import SmallAutoencoder
from veriscope.lab.generators.training import Say, Schedule, descend, identity, learn
from veriscope.lab.networks.denoiser import ClassDenoiser, Denoiser
from veriscope.synthetic import backbone, ddim, views

KIND = "paraphraser"
CLASSES = 16
GUIDANCE = 2.0  # 1 is none
UNTOLD_SHARE = 0.15  # of the training pictures whose class is kept back
BATCH = 12  # squares in one pass of the backbone


class Paraphraser(nn.Module):
    """A diffusion model and the classes that it knows.

    Args:
        diffusion: encodes and decodes; its own denoiser is not asked.
        denoiser: that is told the class.
        centres: ``float32 (classes, 768)``, of unit length.
    """

    centres: Tensor

    def __init__(self, diffusion: Diffusion, denoiser: ClassDenoiser, centres: Tensor) -> None:
        super().__init__()
        self.diffusion = diffusion
        self.denoiser = denoiser
        self.register_buffer("centres", centres)

    def classify(self, rgb: NDArray[np.uint8]) -> int:
        """The class of a picture ``uint8 (H, W, 3) RGB``: what stands for its caption.

        Raises:
            ModelError: the backbone is missing.
        """
        meant = meanings([views.whole(rgb)])
        return int((meant @ self.centres.cpu().numpy().T)[0].argmax())

    @torch.no_grad()
    def paraphrase(
        self, rgb: NDArray[np.uint8], strength: float = 0.5, seed: int = 0, guidance: float = GUIDANCE
    ) -> NDArray[np.uint8]:
        """A picture ``uint8 (H, W, 3) RGB`` of any size drawn again from noise up to ``strength``, told its class, same shape.

        Args:
            rgb: the picture.
            strength: the time in (0, 1] up to which noise is added.
            seed: of the noise.
            guidance: how far the class is exaggerated; 1 is not at all.
        """
        label = torch.tensor([self.classify(rgb)], device=self.centres.device)
        unknown = torch.full_like(label, len(self.centres))
        latents = self.diffusion.encode(small.pixels(rgb, self.diffusion.multiple, self.centres.device))
        added = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed)).to(latents)
        time = ddim.LEAST + strength * (ddim.MOST - ddim.LEAST)

        def velocity(x: Tensor, at: float) -> Tensor:
            clock = torch.full((len(x),), at, device=x.device)
            plain = self.denoiser.told(x, clock, unknown)
            return plain + guidance * (self.denoiser.told(x, clock, label) - plain)

        made = ddim.run(ddim.noised(latents, added, time), velocity, time, ddim.LEAST, max(1, round(STEPS * strength)))
        return small.picture(self.diffusion.decode(made), rgb)

    def save(self, folder: Path, **figures: Any) -> None:
        """Write ``paraphraser.safetensors`` and ``paraphraser.json``.

        Raises:
            VeriscopeError: they cannot be written.
        """
        about = {**asdict(self.diffusion.autoencoder.shape), "classes": len(self.centres), **figures}
        kept.save(folder, KIND, self.state_dict(), about)


def load_paraphraser(folder: Path, *, device: str = "cpu") -> Paraphraser:
    """The model of a folder, frozen and in evaluation mode.

    Raises:
        ModelError: there is none, or it is damaged.
    """
    if not (folder / f"{KIND}.json").is_file():
        raise ModelError(f"{folder} holds no {KIND}.json; veriscope lab train-paraphraser --out {folder} makes one")
    tensors, about = kept.load(folder, KIND)
    try:
        autoencoder = SmallAutoencoder(small.shape_of(about, folder))
        classes = int(about["classes"])
        model = Paraphraser(
            Diffusion(autoencoder, Denoiser(autoencoder.latent)),
            ClassDenoiser(autoencoder.latent, classes),
            torch.zeros(classes, 768),
        )
        model.load_state_dict(tensors)
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise ModelError(f"{folder}: {KIND} is damaged ({error!r}); train it again or copy it again") from error
    return model.to(device).eval().requires_grad_(False)


def meanings(squares: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """What squares ``uint8 (224, 224, 3)`` show, as directions ``float32 (N, 768)``: the last block's class token.

    Raises:
        ModelError: the backbone is missing.
    """
    read = backbone.readings_of(squares)[:, -1, 0]
    return np.asarray(read / (np.linalg.norm(read, axis=1, keepdims=True) + 1e-9), np.float32)


class _Learner:
    """A denoiser learning what classes add."""

    def __init__(self, denoiser: ClassDenoiser, schedule: Schedule) -> None:
        self.device = schedule.torch_device
        self.denoiser = denoiser.to(self.device).train()
        self.optimiser = torch.optim.AdamW(self.denoiser.parameters(), schedule.rate, weight_decay=1e-4)

    def step(self, batch: NDArray[np.float32], progress: float, rate: float) -> dict[str, float]:  # noqa: ARG002 (a Learner)
        rows = torch.from_numpy(batch).to(self.device)
        side = int(np.sqrt((rows.shape[1] - 1) // self.denoiser.enter.in_channels))
        clean = rows[:, 1:].reshape(len(rows), -1, side, side)
        labels = rows[:, 0].round().long()
        untold = torch.rand(len(rows), device=self.device) < UNTOLD_SHARE
        labels = torch.where(untold, self.denoiser.classes.num_embeddings - 1, labels)
        time = torch.rand(len(rows), device=self.device)
        angle = (time * np.pi / 2)[:, None, None, None]
        added = torch.randn_like(clean)
        wanted = angle.cos() * added - angle.sin() * clean
        loss = F.mse_loss(self.denoiser.told(angle.cos() * clean + angle.sin() * added, time, labels), wanted)
        descend(self.optimiser, loss, rate)
        return {"velocity": loss.item()}

    def state(self) -> dict[str, Any]:
        return {"denoiser": self.denoiser.state_dict(), "optimiser": self.optimiser.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        self.denoiser.load_state_dict(state["denoiser"])
        self.optimiser.load_state_dict(state["optimiser"])


def train_paraphraser(
    diffusion: Diffusion,
    rows: Sequence[Row],
    work: Path,
    out: Path,
    schedule: Schedule,
    say: Say,
    classes: int = CLASSES,
) -> dict[str, Any]:
    """Find classes, train a denoiser that is told them, and write it into ``out``; run again it resumes. Returns its figures.

    Args:
        diffusion: whose latents and first weights are used.
        rows: real pictures to learn from.
        work: where squares, their meanings and the checkpoint are kept.
        out: the folder of the finished model.
        schedule: how long.
        say: called with lines of progress.
        classes: how many there are.
    Raises:
        VeriscopeError: there are too few pictures, or something cannot be written.
    """
    squares = crops(rows, work, count=schedule.count, seed=schedule.seed, say=say)
    if not 2 <= classes <= len(squares) // 4:
        raise VeriscopeError(f"--classes must be 2 to {len(squares) // 4}, a quarter of the squares, not {classes}")
    labels, centres = _classes(squares, work, classes, schedule.seed, say)
    latents = _latents(diffusion, squares)
    torch.manual_seed(schedule.seed)
    denoiser = ClassDenoiser(diffusion.autoencoder.latent, classes)
    denoiser.load_state_dict(diffusion.denoiser.state_dict(), strict=False)
    table = np.concatenate([labels[:, None].astype(np.float32), latents.reshape(len(latents), -1)], 1)

    def draw(generator: np.random.Generator) -> NDArray[np.float32]:
        return table[generator.integers(0, len(table), schedule.batch)]

    weights = hashlib.sha256(b"".join(value.cpu().numpy().tobytes() for value in diffusion.state_dict().values()))
    of = identity(schedule, rows, {"classes": classes, "diffusion": weights.hexdigest()})
    learner = _Learner(denoiser, schedule)
    steps = learn(learner, draw, schedule, work / f"paraphraser-{classes}.ckpt", of=of, say=say)
    made = Paraphraser(copy.deepcopy(diffusion), learner.denoiser, torch.from_numpy(centres)).eval()
    figures = {"steps": steps, "squares": len(squares), "seed": schedule.seed}
    made.save(out, **figures)
    return figures


def _classes(
    squares: NDArray[np.uint8], work: Path, classes: int, seed: int, say: Say
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The class of each square, and the centres."""
    from sklearn.cluster import KMeans

    name = hashlib.sha256(json.dumps([len(squares), seed]).encode() + squares[:4].tobytes()).hexdigest()[:12]
    path = work / f"meanings-{name}.npy"
    if not path.exists():
        found = []
        for at in range(0, len(squares), BATCH):
            found.append(meanings([views.whole(np.asarray(one)) for one in squares[at : at + BATCH]]))
            if at % (20 * BATCH) == 0:
                say(f"meanings: {at} of {len(squares)} squares")
        write_whole(path, np.concatenate(found))
    meant = np.load(path)
    fitted = KMeans(classes, n_init=4, random_state=seed).fit(meant)
    centres = fitted.cluster_centers_ / np.linalg.norm(fitted.cluster_centers_, axis=1, keepdims=True)
    return (meant @ centres.T).argmax(1).astype(np.int64), centres.astype(np.float32)


@torch.no_grad()
def _latents(diffusion: Diffusion, squares: NDArray[np.uint8]) -> NDArray[np.float32]:
    found = []
    for at in range(0, len(squares), 64):
        pixels = torch.from_numpy(np.array(squares[at : at + 64])).permute(0, 3, 1, 2).float() / 255
        found.append(diffusion.encode(pixels.to(diffusion.mean.device)).cpu().numpy())
    return np.concatenate(found)
