"""Model substitution: a classifier of one's own learns marked from unmarked, and pictures are perturbed until it is fooled.

The attacker does not have the detector, only pictures of both kinds. What fools the substitute may fool the detector, and a
small perturbation is seen by nobody. Marked pictures are pushed towards unmarked (evasion), unmarked ones towards marked
(spoofing), by projected gradient descent within a few levels. It works as far as the substitute learned the mark: its
accuracy is reported beside.

Papers: Saberi et al. 2024 (substitution attack on robust watermarks); Madry et al. 2018 (projected gradient descent).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from veriscope.errors import VeriscopeError
from veriscope.lab.attacks.attack import Attack, Change, Pixels

LEVELS = (2.0, 4.0, 8.0)  # the most that a pixel is changed by
TURNS = 20  # of the descent
SIDE = 128  # pixels a side of what the substitute learns from
STEPS = 400
BATCH = 16
RATE = 2e-3


class Substitute(nn.Module):
    """A small classifier of fine detail: pixels ``(N, 3, H, W) in [0, 1]`` of any size to a logit, positive for marked."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for after, stride in ((width, 1), (width, 2), (2 * width, 2), (2 * width, 2)):
            layers += [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
            before = after
        self.layers = nn.Sequential(*layers)
        self.leave = nn.Linear(before, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Scores ``(N,)``."""
        fine = pixels - F.avg_pool2d(F.pad(pixels, (2, 2, 2, 2), mode="reflect"), 5, 1)
        scores: Tensor = self.leave(self.layers(10 * fine).mean((2, 3)))[:, 0]
        return scores


@dataclass(frozen=True)
class Trained:
    """A substitute and its accuracy on pairs that it did not learn from."""

    network: Substitute
    accuracy: float


def train_substitute(
    marked: Sequence[Pixels],
    unmarked: Sequence[Pixels],
    *,
    steps: int = STEPS,
    seed: int = 0,
    say: Callable[[str], None] = lambda _: None,
) -> Trained:
    """A substitute trained on pictures of both kinds; the last fifth of each tests it.

    Args:
        marked, unmarked: pictures ``uint8 (H, W, 3)`` RGB, at least 5 of each; they need not be of the same scenes.
        steps: of the training.
        seed: of weights and draws.
        say: called with lines of progress.
    Raises:
        VeriscopeError: there are too few.
    """
    if min(len(marked), len(unmarked)) < 5:
        raise VeriscopeError("a substitute needs at least 5 marked and 5 unmarked pictures to learn from")
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    network = Substitute().train()
    optimiser = torch.optim.AdamW(network.parameters(), RATE)
    held = [max(1, len(kind) // 5) for kind in (unmarked, marked)]
    learned = [kind[:-count] for kind, count in zip((unmarked, marked), held, strict=True)]
    labels = torch.arange(BATCH).remainder(2).float()
    for step in range(steps):
        squares = [_square(learned[place % 2], generator) for place in range(BATCH)]
        loss = F.binary_cross_entropy_with_logits(network(_tensor(squares)), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 50 == 49:
            say(f"substitute: step {step + 1} of {steps}, loss {loss.item():.3f}")
    network.eval().requires_grad_(False)
    right = []
    for label, (kind, count) in enumerate(zip((unmarked, marked), held, strict=True)):
        for rgb in kind[-count:]:
            scores = network(_tensor([_square([rgb], generator) for _ in range(4)]))
            right.append(float(((scores > 0) == bool(label)).float().mean()))
    return Trained(network, float(np.mean(right)))


def substituting(trained: Trained, levels: Sequence[float] = LEVELS) -> list[Attack]:
    """Attacks by a substitute, with perturbations of at most so many levels."""
    network = trained.network
    return [
        Attack(
            f"substitution {most:g}",
            "substitution",
            _pushed(network, most, -1.0),
            _pushed(network, most, 1.0),
            forges=True,
        )
        for most in levels
    ]


def _pushed(network: Substitute, most: float, towards: float) -> Change:
    def change(rgb: Pixels, generator: np.random.Generator) -> Pixels:
        before = _tensor([rgb])
        edge = most / 255
        start = generator.uniform(-edge, edge, before.shape).astype(np.float32)
        moved = (before + torch.from_numpy(start)).clamp(0, 1)
        for _ in range(TURNS):
            moved = moved.detach().requires_grad_(True)
            (slope,) = torch.autograd.grad(network(moved).sum(), moved)
            moved = moved + towards * 2.5 * edge / TURNS * slope.sign()
            moved = torch.minimum(torch.maximum(moved, before - edge), before + edge).clamp(0, 1)
        made = (moved.detach()[0] * 255).round().to(torch.uint8).permute(1, 2, 0)
        return np.ascontiguousarray(made.numpy())

    return change


def _square(pictures: Sequence[Pixels], generator: np.random.Generator) -> Pixels:
    rgb = pictures[int(generator.integers(len(pictures)))]
    side = min(SIDE, *rgb.shape[:2])
    top, left = (int(generator.integers(0, length - side + 1)) for length in rgb.shape[:2])
    cut = rgb[top : top + side, left : left + side]
    if side < SIDE:
        cut = np.pad(cut, ((0, SIDE - side), (0, SIDE - side), (0, 0)), mode="symmetric")
    return np.ascontiguousarray(cut[:, ::-1] if generator.random() < 0.5 else cut)


def _tensor(pictures: Sequence[Pixels]) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
