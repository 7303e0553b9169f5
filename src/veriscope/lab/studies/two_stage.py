"""From fake to real: fit a detector first on aligned pairs, then on the real training data, and see what that is worth.

In pairs both classes show the same content, so the first stage cannot learn subject, size or format; the second stage starts
from it. Four arms are tested on the same sources kept aside: the data alone, the pairs alone, both at once, the two stages. A
linear head's second stage is drawn to the first's weights by its penalty; a network's starts from the first's weights.

Limits: pairs hold the traces of their own generators alone. Heads that are not one linear fit have no stages here.
Paper: Qraitem et al. 2024 (From Fake to Real: Pretraining on Balanced Synthetic Images).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from veriscope.errors import VeriscopeError
from veriscope.lab.benchmark.metrics import auc, balanced_accuracy, bootstrap_interval
from veriscope.lab.benchmark.protocols import TESTED
from veriscope.lab.benchmark.refitting import LEAST_TESTED, ROUNDS, Refit, Refits
from veriscope.lab.data.manifest import Row, balanced_weights
from veriscope.lab.data.samples import Samples
from veriscope.lab.recipes.depths import DECAY, STEPS, Linear, fit_linear
from veriscope.lab.recipes.heads import Features, Fold, HeadRecipe
from veriscope.lab.recipes.networks import NetworkRecipe, fit_most
from veriscope.lab.recipes.recipe import Say, Settings, recipe
from veriscope.lab.studies.contents import content_of
from veriscope.lab.studies.material import apart, dealt, table

DATA, PAIRS, BOTH, STAGES = "data alone", "pairs alone", "both at once", "pairs, then data"
PULL = DECAY  # factor of the penalty on the distance to the first stage's weights, that of the one-stage fit on the weights


def toward(fold: Fold, first: Linear, *, pull: float = PULL, steps: int = STEPS) -> Linear:
    """A weighted logistic regression whose penalty is the distance of its weights to those of another, by L-BFGS.

    Args:
        fold: features (N, D), labels, weights; its changes are not used.
        first: the first stage.
        pull: the factor of the penalty, on weights of standardised features; the larger the nearer to ``first``.
        steps: the most iterations.
    """
    mean, spread = fold.features.mean(0), fold.features.std(0) + 1e-6
    x = torch.from_numpy(np.ascontiguousarray((fold.features - mean) / spread))
    y, w = torch.from_numpy(fold.labels), torch.from_numpy(fold.weights.astype(np.float32))
    start = first.weights * torch.from_numpy(spread)
    slope = start.clone().requires_grad_(True)
    offset = torch.tensor([first.offset + float(first.weights @ torch.from_numpy(mean))], requires_grad=True)
    optimiser = torch.optim.LBFGS([slope, offset], max_iter=steps, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = (w * F.binary_cross_entropy_with_logits(x @ slope + offset, y, reduction="none")).sum()
        value = value + pull * (slope - start).square().sum()
        value.backward()
        return value.detach()

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    scaled = slope.detach() / torch.from_numpy(spread)
    return Linear(scaled, float(offset.detach()[0]) - float(scaled @ torch.from_numpy(mean)))


@dataclass(frozen=True)
class Staged:
    """A recipe in two stages, as the protocols refit it: of what it is to be fitted on, the pairs come first."""

    recipe: HeadRecipe | NetworkRecipe
    pairs: frozenset[str]  # their keys

    @property
    def name(self) -> str:
        """As in tables."""
        return f"{self.recipe.name}, {STAGES}"

    def refit(
        self, samples: Samples, fitted: NDArray[np.bool_], work: Path, settings: Settings, say: Say
    ) -> NDArray[np.float64]:
        """Scores ``(N,)`` of all samples by the second stage."""
        of_pairs = np.array([row.key in self.pairs for row in samples.rows])
        first, second = fitted & of_pairs, fitted & ~of_pairs
        if isinstance(self.recipe, HeadRecipe):
            features = self.recipe.features(samples, say)
            start = fit_linear(_fold(samples, features, first), invariance=0)
            return toward(_fold(samples, features, second), start)(features)
        start_at = work / "first-stage.safetensors"
        network = fit_most(self.recipe, samples, first, work / "first-stage", settings, say)
        _keep(network, start_at)
        return self.recipe.refit(samples, second, work, replace(settings, start=str(start_at)), say)


@dataclass(frozen=True)
class Once:
    """A recipe in one stage; a linear head without the penalty on savings, which the second stage has not either."""

    recipe: HeadRecipe | NetworkRecipe

    @property
    def name(self) -> str:
        """As in tables."""
        return f"{self.recipe.name}, one stage"

    def refit(
        self, samples: Samples, fitted: NDArray[np.bool_], work: Path, settings: Settings, say: Say
    ) -> NDArray[np.float64]:
        """Scores ``(N,)`` of all samples."""
        if isinstance(self.recipe, HeadRecipe):
            features = self.recipe.features(samples, say)
            return fit_linear(_fold(samples, features, fitted), invariance=0)(features)
        return self.recipe.refit(samples, fitted, work, settings, say)


def staged(name: str) -> HeadRecipe | NetworkRecipe:
    """A recipe that can be fitted in two stages.

    Raises:
        VeriscopeError: there is none of that name, or it cannot.
    """
    made = recipe(name)
    if isinstance(made, NetworkRecipe) or (isinstance(made, HeadRecipe) and made.fit is fit_linear):
        return made
    raise VeriscopeError(
        f"{name} cannot be fitted in two stages: it is neither one linear score, as depths and closeup are, nor a network on "
        "squares of the picture, as npr is"
    )


def two_stage(
    made: HeadRecipe | NetworkRecipe,
    samples: Samples,
    pairs: Sequence[Row],
    work: Path,
    settings: Settings,
    *,
    say: Say,
) -> dict[str, Any]:
    """The four arms, each picture scored by trainings without its source and without pairs of its source or group.

    Args:
        made: of ``staged``.
        samples: of the data and of the pairs.
        pairs: rows of a manifest of ``make-pairs``.
        work: where trainings are kept and resumed.
        settings: of each training.
        say: called with lines of progress.
    Returns:
        ``recipe``, ``folds``, ``pairs`` (pictures), and ``arms``, rows with ``arm``, ``auc`` and its ``interval`` over sources,
        ``worst_sources`` (the lowest AUC of a pair of sources) and ``worst_pair``, ``worst_group`` (the lowest accuracy, at
        even odds, of a class and content) and ``group``, ``accuracy`` (balanced); and ``groups``, the accuracy of each by arm.
    Raises:
        VeriscopeError: there are too few sources, or a fold leaves no pairs.
    """
    keys = frozenset(row.key for row in pairs)
    of_pairs = np.array([row.key in keys for row in samples.rows])
    data = [row for row, paired in zip(samples.rows, of_pairs, strict=True) if not paired]
    folds = dealt(data, settings.folds)
    fold = np.array([-1 if row.key in keys else folds[row.source] for row in samples.rows])
    refits = Refits(samples, work, settings, say)
    once, stages = Once(made), Staged(made, keys)
    places: list[NDArray[np.int64]] = []
    found: dict[str, list[NDArray[np.float64]]] = {arm: [] for arm in (DATA, PAIRS, BOTH, STAGES)}
    for number in range(settings.folds):
        aside = fold == number
        tested = aside & (samples.turns == TESTED)
        out = [row for row, away in zip(samples.rows, aside, strict=True) if away]
        free = apart(pairs, out)
        paired = np.array([row.key in free for row in samples.rows])
        if len({row.label for row, used in zip(samples.rows, paired, strict=True) if used}) < 2:
            raise VeriscopeError(
                f"all pairs are of the sources kept aside in fold {number + 1}: make pairs of more sources, or "
                "ask for more folds"
            )
        rest = ~aside & ~of_pairs
        plans: dict[str, tuple[Refit, NDArray[np.bool_]]] = {
            DATA: (once, rest),
            PAIRS: (once, paired),
            BOTH: (once, rest | paired),
            STAGES: (stages, rest | paired),
        }
        for arm, (what, fitted) in plans.items():
            scores, seconds = refits.scores(what, fitted, tested)
            found[arm].append(scores)
            say(f"fold {number + 1} of {settings.folds}: {made.name}, {arm}: {seconds:.0f} s")
        places.append(np.flatnonzero(tested))
    those = samples.chosen(np.concatenate(places))
    arms = {arm: _figures(those, np.concatenate(scores)) for arm, scores in found.items()}
    return {
        "recipe": made.name,
        "folds": settings.folds,
        "seed": settings.seed,
        "pairs": len(keys),
        "arms": [{"arm": arm, **figures} for arm, (figures, _) in arms.items()],
        "groups": [
            {"group": name, **{arm: groups[name] for arm, (_, groups) in arms.items()}} for name in arms[DATA][1]
        ],
    }


def _figures(those: Samples, scores: NDArray[np.float64]) -> tuple[dict[str, Any], dict[str, float]]:
    labels, sources = those.labels == 1, those.sources
    worst, pair = _worst_pair(scores, labels, sources)
    groups = group_accuracy(those.rows, scores)
    lowest = min(groups, key=lambda name: groups[name], default=None)
    return {
        "auc": auc(scores, labels),
        "interval": list(bootstrap_interval(scores, labels, sources=sources, rounds=ROUNDS)),
        "worst_sources": worst,
        "worst_pair": pair,
        "accuracy": balanced_accuracy(scores, labels),
        "worst_group": None if lowest is None else groups[lowest],
        "group": lowest,
    }, groups


def group_accuracy(rows: Sequence[Row], scores: NDArray[np.float64]) -> dict[str, float]:
    """The share of each class and content, of at least four pictures, whose score ``(N,)`` lies on the right side of 0."""
    right = (scores > 0) == np.array([row.generated == 1 for row in rows])
    names = np.array([f"{row.label}, {content}" for row, content in zip(rows, content_of(rows), strict=True)])
    return {
        str(name): float(right[names == name].mean())
        for name in np.unique(names)
        if (names == name).sum() >= LEAST_TESTED
    }


def _worst_pair(
    scores: NDArray[np.float64], labels: NDArray[np.bool_], sources: NDArray[np.str_]
) -> tuple[float | None, str | None]:
    sides: tuple[dict[str, NDArray[np.float64]], ...] = ({}, {})
    for label in (0, 1):
        for name in np.unique(sources[labels == label]):
            own = scores[(sources == name) & (labels == label)]
            if len(own) >= LEAST_TESTED:
                sides[label][str(name)] = own
    found = {
        f"{generated} and {real}": auc(np.r_[x, y], np.r_[np.ones(len(x)), np.zeros(len(y))])
        for generated, x in sides[1].items()
        for real, y in sides[0].items()
    }
    if not found:
        return None, None
    name = min(found, key=lambda pair: found[pair])
    return found[name], name


def _fold(samples: Samples, features: Features, used: NDArray[np.bool_]) -> Fold:
    rows = [row for row, one in zip(samples.rows, used, strict=True) if one]
    return Fold(features[used], samples.labels[used], balanced_weights(rows), features[:0])


def _keep(network: nn.Module, path: Path) -> None:
    from safetensors.torch import save_file

    save_file({name: value.cpu().contiguous() for name, value in network.state_dict().items()}, path)


def page(figures: dict[str, Any]) -> str:
    """The arms and groups as Markdown."""
    lines = [f"# {figures['recipe']} in two stages", ""]
    lines += [
        f"{figures['folds']} folds of whole sources, seed {figures['seed']}, {figures['pairs']} pictures in pairs. Every "
        "picture is scored by trainings without its source. Accuracies are at even odds; a group is a class and a content.",
        "",
        table(figures["arms"]),
        table(figures["groups"]),
    ]
    return "\n".join(lines)
