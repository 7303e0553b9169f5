"""Train the small generators on squares of real pictures, within minutes, resumed where an interruption left them.

A run of a number of steps is the same for a seed; a run of minutes goes as far as the machine does.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import cos, pi
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from veriscope.errors import VeriscopeError
from veriscope.lab.data.manifest import Row
from veriscope.lab.generators.crops import crops
from veriscope.lab.generators.diffusion import Diffusion
from veriscope.lab.generators.small import Shape, SmallAutoencoder
from veriscope.lab.networks.denoiser import Denoiser
from veriscope.lab.networks.patches import PatchCritic

LOOKED = 64  # pixels a side of the part of each square that an autoencoder sees
GRADIENTS = 1.0  # weight of the differences between neighbours, against 1 for the pixels
CRITIC_FROM, SHARPEN_FROM = 0.5, 0.6  # share of the training after which the critic learns, and after which it is heard
SHARPEN = 0.02  # weight of what the critic says
ROUGHEN = 0.05  # spread of the noise on latents in training, so that the decoder bears what the denoiser leaves
SAVED_EVERY, SAID_EVERY = 60.0, 15.0  # seconds
WARM = 50  # steps until the rate is full
CHECKED = 64  # squares of pictures not trained on that the figures are measured on
Say = Callable[[str], None]


@dataclass(frozen=True)
class Schedule:
    """How long and how a generator is trained.

    Attributes:
        minutes: at the most, over all resumed runs; the schedule is fitted to it unless ``steps`` is given.
        steps: 0, or the number after which to end.
        batch: squares a step.
        rate: the highest learning rate.
        count: squares cut from the pictures.
        seed: of squares, first weights, draws and noise.
        device: auto, cpu, gpu.
    """

    minutes: float = 6.0
    steps: int = 0
    batch: int = 16
    rate: float = 2e-3
    count: int = 4000
    seed: int = 0
    device: str = "auto"

    @property
    def torch_device(self) -> torch.device:
        """The device, a GPU when there is one and it was not refused."""
        return torch.device("cuda" if self.device != "cpu" and torch.cuda.is_available() else "cpu")


class Learner(Protocol):
    """A generator in training."""

    def step(self, batch: NDArray[Any], progress: float, rate: float) -> dict[str, float]:
        """One step on ``(N, ...)``, at a share of the training done and a learning rate; the losses by name."""
        ...

    def state(self) -> dict[str, Any]:
        """All that a resumed training needs."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a ``state``."""
        ...


class _Autoencoding:
    def __init__(self, shape: Shape, schedule: Schedule) -> None:
        self.device = schedule.torch_device
        self.model = SmallAutoencoder(shape).to(self.device).train()
        self.critic = PatchCritic().to(self.device)
        self.optimiser = torch.optim.AdamW(self.model.parameters(), schedule.rate, (0.9, 0.99), weight_decay=1e-4)
        self.critics = torch.optim.AdamW(self.critic.parameters(), schedule.rate / 2, (0.5, 0.9))

    def step(self, batch: NDArray[np.uint8], progress: float, rate: float) -> dict[str, float]:
        real = torch.from_numpy(batch).to(self.device).permute(0, 3, 1, 2).float() / 255
        latents = self.model.encode(real)
        made = self.model.raw(latents + ROUGHEN * torch.randn_like(latents))
        pixels = F.l1_loss(made, real)
        edges = sum((F.l1_loss(made.diff(dim=axis), real.diff(dim=axis)) for axis in (2, 3)), start=torch.zeros(()))
        loss = pixels + GRADIENTS * edges
        said = {"pixels": pixels.item(), "edges": edges.item()}
        if progress >= SHARPEN_FROM:
            self.critic.requires_grad_(False)
            loss = loss - SHARPEN * self.critic(made).mean()
            self.critic.requires_grad_(True)
        descend(self.optimiser, loss, rate)
        if progress >= CRITIC_FROM:
            value = F.relu(1 - self.critic(real)).mean() + F.relu(1 + self.critic(made.detach())).mean()
            descend(self.critics, value, rate / 2)
            said["critic"] = value.item()
        return said

    def state(self) -> dict[str, Any]:
        parts = (self.model, self.critic, self.optimiser, self.critics)
        return {str(number): part.state_dict() for number, part in enumerate(parts)}

    def restore(self, state: dict[str, Any]) -> None:
        for number, part in enumerate((self.model, self.critic, self.optimiser, self.critics)):
            part.load_state_dict(state[str(number)])


class _Denoising:
    def __init__(self, denoiser: Denoiser, schedule: Schedule) -> None:
        self.device = schedule.torch_device
        self.denoiser = denoiser.to(self.device).train()
        self.mean = copy.deepcopy(denoiser).eval().requires_grad_(False)  # of the weights over the last steps
        self.optimiser = torch.optim.AdamW(self.denoiser.parameters(), schedule.rate, weight_decay=1e-4)
        self.steps = 0

    def step(self, batch: NDArray[np.float32], progress: float, rate: float) -> dict[str, float]:  # noqa: ARG002 (a Learner)
        value = _velocity_loss(self.denoiser, torch.from_numpy(batch).to(self.device))
        descend(self.optimiser, value, rate)
        self.steps += 1
        share = min(0.998, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            for kept, now in zip(self.mean.parameters(), self.denoiser.parameters(), strict=True):
                kept.lerp_(now, 1 - share)
        return {"velocity": value.item()}

    def state(self) -> dict[str, Any]:
        parts = (self.denoiser, self.mean, self.optimiser)
        return {"steps": self.steps, **{str(number): part.state_dict() for number, part in enumerate(parts)}}

    def restore(self, state: dict[str, Any]) -> None:
        self.steps = int(state["steps"])
        for number, part in enumerate((self.denoiser, self.mean, self.optimiser)):
            part.load_state_dict(state[str(number)])


def _velocity_loss(denoiser: nn.Module, clean: Tensor) -> Tensor:
    angle = torch.rand(len(clean), device=clean.device)
    cosine, sine = ((angle * pi / 2).cos()[:, None, None, None], (angle * pi / 2).sin()[:, None, None, None])
    noise = torch.randn_like(clean)
    return F.mse_loss(denoiser(cosine * clean + sine * noise, angle), cosine * noise - sine * clean)


def descend(optimiser: torch.optim.Optimizer, loss: Tensor, rate: float) -> None:
    """One step of an optimiser down a loss, at a learning rate; gradients are no longer than 1."""
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_([value for group in optimiser.param_groups for value in group["params"]], 1.0)
    optimiser.step()


def learn(
    learner: Learner,
    draw: Callable[[np.random.Generator], NDArray[Any]],
    schedule: Schedule,
    checkpoint: Path,
    *,
    of: str,
    say: Say,
) -> int:
    """Train until the schedule ends, keeping a checkpoint every minute; the number of steps done.

    Args:
        learner: what is trained.
        draw: a batch from a source of chance.
        schedule: how long.
        checkpoint: the file; one of another training, or one that is not whole, is passed over.
        of: says which training it is: its data and settings.
        say: called with a line of losses now and then.
    Raises:
        VeriscopeError: the checkpoint cannot be written; the last one that was complete stays.
    """
    step, spent = _resume(learner, checkpoint, of, say)
    began = saved = said = time.monotonic()

    def progress() -> float:
        minutes = (spent + time.monotonic() - began) / 60
        return step / schedule.steps if schedule.steps else minutes / schedule.minutes

    def keep() -> None:
        _keep(checkpoint, {"of": of, "step": step, "spent": spent + time.monotonic() - began, **learner.state()})

    try:
        while (done := progress()) < 1:
            torch.manual_seed(schedule.seed * 1_000_003 + step)
            rate = schedule.rate * min(1.0, (step + 1) / WARM) * (0.05 + 0.95 * (1 + cos(pi * done)) / 2)
            losses = learner.step(draw(np.random.default_rng((schedule.seed, step))), done, rate)
            step += 1
            now = time.monotonic()
            if now - said > SAID_EVERY:
                said = now
                say(f"{done:4.0%}  step {step}  " + "  ".join(f"{name} {value:.4f}" for name, value in losses.items()))
            if now - saved > SAVED_EVERY:
                saved = now
                keep()
    except KeyboardInterrupt:
        keep()
        raise
    keep()
    return step


def _resume(learner: Learner, checkpoint: Path, of: str, say: Say) -> tuple[int, float]:
    if not checkpoint.exists():
        return 0, 0.0
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling refuses in many ways; each means that it is not whole
        say(f"{checkpoint} is not whole and is passed over: {error}")
        return 0, 0.0
    if state["of"] != of:
        say(f"{checkpoint} is of another training and will be replaced")
        return 0, 0.0
    learner.restore(state)
    say(f"resuming at step {state['step']}")
    return int(state["step"]), float(state["spent"])


def _keep(checkpoint: Path, state: dict[str, Any]) -> None:
    partial = checkpoint.with_suffix(".partial")
    try:
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state, partial)
        os.replace(partial, checkpoint)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        partial.unlink(missing_ok=True)
        raise VeriscopeError(f"{checkpoint}: cannot be written: {error}; the last complete one is kept") from error


def train_autoencoder(
    shape: Shape, rows: Sequence[Row], checked: Sequence[Row], work: Path, out: Path, schedule: Schedule, say: Say
) -> dict[str, Any]:
    """Train an autoencoder and write it into ``out``; run again over the same ``work`` it resumes. Returns its figures.

    Args:
        shape: which one.
        rows: real pictures to learn from.
        checked: real pictures to measure on, apart from them; may be empty.
        work: where squares and checkpoints are kept.
        out: the folder of the finished generator.
        schedule: how long.
        say: called with lines of progress.
    Raises:
        VeriscopeError: there are no pictures, or something cannot be written.
    """
    squares = crops(rows, work, count=schedule.count, seed=schedule.seed, say=say)
    torch.manual_seed(schedule.seed)
    learner = _Autoencoding(shape, schedule)

    def draw(generator: np.random.Generator) -> NDArray[np.uint8]:
        top, left = generator.integers(0, squares.shape[1] - LOOKED + 1, 2)
        places = generator.integers(0, len(squares), schedule.batch)
        part = squares[places, top : top + LOOKED, left : left + LOOKED]
        return np.ascontiguousarray(part[:, :, ::-1] if generator.random() < 0.5 else part)

    name = f"autoencoder-{shape.upsampler}-{shape.factor}-{shape.latent}"
    of = identity(schedule, rows, asdict(shape))
    steps = learn(learner, draw, schedule, work / f"{name}.ckpt", of=of, say=say)
    model = learner.model.eval()
    figures = {**_trained(schedule, steps, squares), **_fidelity(model, checked, work, schedule, say)}
    model.save(out, **figures)
    return figures


def train_diffusion(
    autoencoder: SmallAutoencoder,
    rows: Sequence[Row],
    checked: Sequence[Row],
    work: Path,
    out: Path,
    schedule: Schedule,
    say: Say,
) -> dict[str, Any]:
    """Train a latent diffusion model on an autoencoder's latents and write it into ``out``; arguments as above."""
    squares = crops(rows, work, count=schedule.count, seed=schedule.seed, say=say)
    device = schedule.torch_device
    autoencoder = autoencoder.to(device).eval()
    latents = _latents(autoencoder, squares, device, say)
    mean, spread = latents.mean((0, 2, 3)), latents.std((0, 2, 3)) + 1e-6
    clean = (latents - mean[:, None, None]) / spread[:, None, None]
    torch.manual_seed(schedule.seed)
    learner = _Denoising(Denoiser(autoencoder.latent), schedule)

    def draw(generator: np.random.Generator) -> NDArray[np.float32]:
        return clean[generator.integers(0, len(clean), schedule.batch)]

    weights = hashlib.sha256()
    for value in autoencoder.state_dict().values():
        weights.update(value.cpu().numpy().tobytes())
    of = identity(schedule, rows, {"autoencoder": weights.hexdigest()})
    steps = learn(learner, draw, schedule, work / "diffusion.ckpt", of=of, say=say)
    model = Diffusion(autoencoder, learner.mean, torch.from_numpy(mean), torch.from_numpy(spread)).to(device).eval()
    figures = {**_trained(schedule, steps, squares), **_denoised(model, checked, work, schedule, say)}
    model.save(out, **figures)
    return figures


def identity(schedule: Schedule, rows: Sequence[Row], more: dict[str, Any]) -> str:
    """Says which training it is, for ``learn``: its schedule, its pictures and ``more``."""
    keys = " ".join(sorted(row.key for row in rows))
    wanted = {**asdict(schedule), **more, "data": hashlib.sha256(keys.encode()).hexdigest()}
    return json.dumps(wanted, sort_keys=True)


def _trained(schedule: Schedule, steps: int, squares: NDArray[np.uint8]) -> dict[str, Any]:
    return {"steps": steps, "squares": len(squares), "seed": schedule.seed}


@torch.no_grad()
def _latents(
    autoencoder: SmallAutoencoder, squares: NDArray[np.uint8], device: torch.device, say: Say
) -> NDArray[np.float32]:
    found = []
    for at in range(0, len(squares), CHECKED):
        pixels = torch.from_numpy(np.array(squares[at : at + CHECKED])).to(device).permute(0, 3, 1, 2).float() / 255
        found.append(autoencoder.encode(pixels).cpu().numpy())
        if at % (16 * CHECKED) == 0:
            say(f"latents: {at + len(pixels)} of {len(squares)}")
    return np.concatenate(found)


@torch.no_grad()
def _fidelity(
    model: SmallAutoencoder, checked: Sequence[Row], work: Path, schedule: Schedule, say: Say
) -> dict[str, float]:
    if not checked:
        return {}
    squares = _few(crops(checked, work, count=CHECKED, seed=schedule.seed, say=say))
    made = np.stack([model.reconstruct(square) for square in squares])
    error = np.square(made.astype(np.float64) - squares).mean((1, 2, 3))
    return {"psnr": round(float((10 * np.log10(255**2 / np.maximum(error, 1e-3))).mean()), 2)}


@torch.no_grad()
def _denoised(model: Diffusion, checked: Sequence[Row], work: Path, schedule: Schedule, say: Say) -> dict[str, float]:
    if not checked:
        return {}
    squares = _few(crops(checked, work, count=CHECKED, seed=schedule.seed, say=say))
    pixels = torch.from_numpy(squares).to(model.mean.device).permute(0, 3, 1, 2).float() / 255
    torch.manual_seed(schedule.seed)
    return {"velocity_loss": round(float(_velocity_loss(model.denoiser, model.encode(pixels))), 4)}


def _few(squares: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.array(squares[np.linspace(0, len(squares) - 1, min(CHECKED, len(squares))).astype(int)])
