"""CIFAKE's protocol in minutes: can small networks tell 32 px pictures from fakes of the same content, and where do they look?

A benchmark to try an idea on, not a measure of detectors in use: the fakes are those of one small generator, and it is in the
training. Networks are chosen on pictures that neither trained them nor test them; what tests is of other groups and, where the
manifest keeps them aside, of other sources. The interval is a bootstrap over whole sources.

Paper: Bird & Lotfi 2024 (CIFAKE: Image Classification and Explainable Identification of AI-Generated Synthetic Images).
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from veriscope.lab.analysis import drawing
from veriscope.lab.analysis.audit_report import table
from veriscope.lab.analysis.drawing import Panel
from veriscope.lab.analysis.gradcam import gradcam
from veriscope.lab.benchmark.cifake_pictures import Mirrored, generators, mirrored, parts_of
from veriscope.lab.benchmark.metrics import auc, balanced_accuracy, bootstrap_interval, rate_above
from veriscope.lab.data.manifest import Row
from veriscope.lab.networks.cifake import SmallCNN

PUBLISHED = 0.9298  # accuracy of the paper's best network of 36
TOPOLOGIES = ((1, 32, 64), (2, 32, 64), (3, 32, 64))  # layers, filters, neurons; the second is the paper's best
GENERATOR_SHARE = 0.4  # of the minutes, where a generator is trained
PAIRS = 32  # real pictures, and their fakes, of a step
RATE = 1e-3
LOOKS = 10  # times that a network is measured while it trains
SHOWN = 6  # pairs in the figure
ENLARGED = 8
Floats = NDArray[np.float64]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Schedule:
    """What one run is made of.

    Attributes:
        minutes: of all trainings together.
        count: real squares, about.
        seed: of cuts, first weights and draws.
        generators: as ``veriscope lab make-pairs`` takes them; none for one that is trained on the spot.
    """

    minutes: float = 2.0
    count: int = 3000
    seed: int = 0
    generators: tuple[str, ...] = ()


def run(
    rows: Sequence[Row], work: Path, schedule: Schedule, say: Say
) -> tuple[dict[str, Any], list[tuple[Panel, Panel]]]:
    """Make the pictures, train the networks, measure them, explain the chosen one.

    Args:
        rows: pictures; the real ones are used.
        work: where squares and the generator are kept.
        schedule: how long and how much.
        say: called with each line of progress.
    Returns:
        the figures; and some real pictures, each with its fake, under the chosen network's maps.
    Raises:
        VeriscopeError: there are too few pictures, or a generator cannot be opened.
    """
    began = time.monotonic()
    parts = parts_of(rows, schedule.seed, say)
    each = -(-schedule.count // sum(map(len, parts.values())))
    share = 0.0 if schedule.generators else GENERATOR_SHARE
    by = generators(schedule.generators, parts["train"], work, share * schedule.minutes, schedule.seed, say)
    sets = {name: mirrored(part, each, by, work, schedule.seed, say) for name, part in parts.items()}
    say(", ".join(f"{len(found.real)} pairs to {name}" for name, found in sets.items()))
    seconds = 60 * (1 - share) * schedule.minutes / len(TOPOLOGIES)
    networks = [fit(SmallCNN(*shape), sets["train"], sets["val"], seconds, schedule.seed, say) for shape in TOPOLOGIES]
    table_of = [_figures(*pair, sets, schedule.seed) for pair in zip(TOPOLOGIES, networks, strict=True)]
    chosen = int(np.argmax([row["val_accuracy"] for row in table_of]))
    scores, made = scored(networks[chosen], sets["test"].real), scored(networks[chosen], sets["test"].made)
    of = np.array(sets["test"].by)
    figures = {
        "networks": table_of,
        "chosen": table_of[chosen],
        "generators": {
            method.name: {
                "what": method.generator,
                "accuracy": round(_accuracy(scores[of == method.name], made[of == method.name]), 4),
            }
            for method in by
            if (of == method.name).any()
        },
        "trained_on_the_spot": not schedule.generators,
        "pictures": {name: 2 * len(found.real) for name, found in sets.items()},
        "sources_tested": len({row.source for row in sets["test"].rows}),
        "published_accuracy": PUBLISHED,
        "seed": schedule.seed,
        "seconds": round(time.monotonic() - began, 1),
    }
    return figures, examples(networks[chosen], sets["test"])


def tensor(pictures: NDArray[np.uint8]) -> Tensor:
    """``uint8 (N, H, W, 3)`` as ``float32 (N, 3, H, W)`` in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))).float() / 255


def fit(network: nn.Module, train: Mirrored, val: Mirrored, seconds: float, seed: int, say: Say) -> nn.Module:
    """The network trained for so long on pairs, as it was when most accurate on ``val``; each step sees both of a pair."""
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    for part in network.modules():
        if isinstance(part, (nn.Conv2d, nn.Linear)):
            part.reset_parameters()
    real, made = tensor(train.real), tensor(train.made)
    optimiser = torch.optim.Adam(network.parameters(), RATE)
    best, state, looked = -1.0, network.state_dict(), 0
    began = time.monotonic()
    while looked < LOOKS:
        network.train()
        places = torch.from_numpy(generator.integers(0, len(real), PAIRS))
        batch = torch.cat([real[places], made[places]])
        scores = network(batch.flip(3) if generator.random() < 0.5 else batch)
        loss = F.binary_cross_entropy_with_logits(scores, torch.arange(2.0).repeat_interleave(PAIRS))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if time.monotonic() - began > seconds * (looked + 1) / LOOKS:
            looked += 1
            accuracy = _accuracy(scored(network, val.real), scored(network, val.made))
            if accuracy > best:
                best, state = accuracy, copy.deepcopy(network.state_dict())
    network.load_state_dict(state)
    say(f"{sum(value.numel() for value in network.parameters())} parameters: accuracy {best:.3f} on val")
    return network.eval()


@torch.inference_mode()
def scored(network: nn.Module, pictures: NDArray[np.uint8]) -> Floats:
    """Scores ``(N,)`` of ``uint8 (N, 32, 32, 3)``."""
    return torch.cat([network.eval()(part) for part in tensor(pictures).split(512)]).double().numpy()


def _accuracy(real: Floats, made: Floats) -> float:
    return balanced_accuracy(np.r_[real, made], np.r_[np.zeros(len(real)), np.ones(len(made))])


def _figures(
    shape: tuple[int, int, int], network: nn.Module, sets: Mapping[str, Mirrored], seed: int
) -> dict[str, Any]:
    val, test = sets["val"], sets["test"]
    real, made = scored(network, test.real), scored(network, test.made)
    scores, labels = np.r_[real, made], np.r_[np.zeros(len(real)), np.ones(len(made))]
    sources = [row.source for row in test.rows] * 2
    low, high = bootstrap_interval(scores, labels, measure=balanced_accuracy, sources=sources, seed=seed)
    found = rate_above(made, 0)
    return {
        "network": f"{shape[0]} x {shape[1]} + {shape[2]}",
        "val_accuracy": round(_accuracy(scored(network, val.real), scored(network, val.made)), 4),
        "accuracy": round(_accuracy(real, made), 4),
        "interval": None if np.isnan(low) else [round(low, 4), round(high, 4)],
        "auc": round(auc(scores, labels), 4),
        "precision": round(found / max(found + rate_above(real, 0), 1e-12), 4),
        "recall": round(found, 4),
    }


def examples(network: nn.Module, test: Mirrored) -> list[tuple[Panel, Panel]]:
    """Some real pictures, each with its fake, under Grad-CAM."""
    places = np.unique(np.linspace(0, len(test.real) - 1, SHOWN).astype(int))
    sides = []
    for name, pictures in (("real", test.real[places]), ("made", test.made[places])):
        scores, heats = gradcam(network, tensor(pictures))
        chances = 1 / (1 + np.exp(-np.clip(scores, -50, 50)))
        large = pictures.repeat(ENLARGED, 1).repeat(ENLARGED, 2)
        sides.append(
            [
                Panel(f"{name}: {chance:.0%} fake", pixels, heat)
                for chance, pixels, heat in zip(chances, large, heats, strict=True)
            ]
        )
    return list(zip(*sides, strict=True))


def sentence(figures: Mapping[str, Any]) -> str:
    """The chosen network's figures beside the paper's."""
    chosen, interval = figures["chosen"], figures["chosen"]["interval"]
    within = f" ({interval[0]:.1%} to {interval[1]:.1%} over sources)" if interval else ""
    return (
        f"{chosen['network']}: {chosen['accuracy']:.1%} accurate{within}, AUC {chosen['auc']:.3f}, "
        f"on {figures['pictures']['test']} pictures, in {figures['seconds']:.0f} s; "
        f"CIFAKE's best network: {PUBLISHED:.2%}, on CIFAKE's own pictures"
    )


def as_markdown(figures: Mapping[str, Any]) -> str:
    """The figures, and what they are not."""
    counts, names = figures["pictures"], figures["generators"]
    made_by = "; ".join(f"{name}, {about['what']}: {about['accuracy']:.1%}" for name, about in names.items())
    spot = "trained here on the training's pictures for this run" if figures["trained_on_the_spot"] else "given"
    lines = [
        "# CIFAKE's protocol on these pictures",
        "",
        f"{sentence(figures)}.",
        "",
        *table(figures["networks"]),
        "",
        "A network is layers x filters + neurons. The one most accurate on `val` is quoted. Accuracy is at a probability of "
        "1/2. Intervals are 95 %, bootstrapped over whole sources.",
        "",
        f"Accuracy by generator ({spot}): {made_by}.",
        "",
        "## How this differs from CIFAKE",
        "",
        f"- {counts['train']} pictures train, {counts['val']} choose and {counts['test']} test, of "
        f"{figures['sources_tested']} sources; CIFAKE has 100,000 and 20,000.",
        "- Real pictures are squares of the manifest's pictures made 32 px small, not CIFAR-10, and of no ten classes.",
        "- Fakes are what a generator makes of these very squares at 128 px, made small afterwards like the real ones. "
        "CIFAKE's are drawn by Stable Diffusion 1.4 from prompts that name a class. Here content is matched picture by "
        "picture, so that no subject can be learned; there a class is matched, and style can.",
        "- The fakes that test are of the generators that train, as in CIFAKE: nothing is said of others.",
        f"- {len(TOPOLOGIES)} networks of the paper's 36 are trained, within minutes.",
        "",
        f"So {PUBLISHED:.2%} is a landmark beside these figures and not a mark to beat.",
        "",
    ]
    return "\n".join(lines)


def draw(path: Path, figures: Mapping[str, Any], panels: Sequence[tuple[Panel, Panel]]) -> None:
    """Write the figure of real pictures, their fakes, and the chosen network's maps."""
    drawing.gallery(
        path,
        panels,
        title=f"CIFAKE's protocol: {figures['chosen']['accuracy']:.1%} accurate",
        note="Grad-CAM of the last maps, not rectified, each at its own strength. Red speaks for made, blue for real.",
    )
