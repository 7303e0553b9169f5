"""What all recipes share: their settings, the list of them, and how a training ends.

A recipe turns manifests into a detector that ``veriscope examine --with NAME`` can ask: weights as ONNX, a calibration measured
on sources that the weights never saw, figures, a model card and an entry for the registry of models. Folds are whole sources.
Fold 0 stops a network's training, fold 1 calibrates it; heads on frozen readings are fitted once a fold and calibrate on all.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow
from numpy.typing import NDArray
from pyarrow import parquet

from veriscope.errors import VeriscopeError
from veriscope.evidence import Question
from veriscope.lab.benchmark.metrics import auc, mean_source_pair_auc, tpr_at_fpr
from veriscope.lab.data.manifest import LABELS, Row, balanced_weights, deal
from veriscope.lab.data.samples import Samples
from veriscope.weighing import fit_panel

RECIPES = {  # name of the detector: where its recipe is
    "aedetect": "veriscope.lab.recipes.aedetect:RECIPE",
    "clip_mlp": "veriscope.lab.recipes.clip_mlp:RECIPE",
    "closeup": "veriscope.lab.recipes.closeup:RECIPE",
    "cnndetection": "veriscope.lab.recipes.cnndetection:RECIPE",
    "code": "veriscope.lab.recipes.code:RECIPE",
    "consistency": "veriscope.lab.recipes.consistency:RECIPE",
    "depths": "veriscope.lab.recipes.depths:RECIPE",
    "descriptor": "veriscope.lab.recipes.descriptor:RECIPE",
    "dire": "veriscope.lab.recipes.dire:RECIPE",
    "distildire": "veriscope.lab.recipes.distildire:RECIPE",
    "effort": "veriscope.lab.recipes.effort:RECIPE",
    "fingerprint": "veriscope.lab.recipes.fingerprint:RECIPE",
    "fused": "veriscope.lab.recipes.fused:RECIPE",
    "geometry": "veriscope.lab.recipes.geometry:RECIPE",
    "laundering": "veriscope.lab.recipes.laundering:RECIPE",
    "localiser": "veriscope.lab.recipes.localiser:RECIPE",
    "npr": "veriscope.lab.recipes.npr:RECIPE",
    "patchcraft": "veriscope.lab.recipes.patchcraft:RECIPE",
    "rigid": "veriscope.lab.recipes.rigid:RECIPE",
    "rine": "veriscope.lab.recipes.rine:RECIPE",
    "selfcon": "veriscope.lab.recipes.selfcon:RECIPE",
    "sfld": "veriscope.lab.recipes.sfld:RECIPE",
    "text_tampering": "veriscope.lab.recipes.text_tampering:RECIPE",
    "warps": "veriscope.lab.recipes.warps:RECIPE",
    "watermark": "veriscope.lab.recipes.watermark:RECIPE",
    "weak": "veriscope.lab.recipes.weak:RECIPE",
}
Say = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """What one training is made of. A recipe ignores what it has no use for."""

    version: str = "1"
    seed: int = 0
    folds: int = 6
    minutes: float = 20.0  # the most a network trains; heads need less
    epochs: int = 40  # the most; an epoch of a network is ``draws`` samples
    draws: int = 6000  # samples an epoch, drawn so that classes weigh alike and sources by the root of their size
    batch: int = 32
    rate: float = 1e-3  # the optimiser's learning rate
    patience: int = 4  # epochs without a better score on sources kept aside before training stops
    device: str = "auto"  # a GPU when there is one
    still: int = (
        1_000_000  # pictures, from the manifests' first on, whose two saved-again turns a head learns from as well
    )
    most: int = 1500  # pictures of each class that slow methods are trained on
    generators: list[str] = field(default_factory=list)  # for pairs, as veriscope lab make-pairs takes them
    start: str = ""  # safetensors that a network starts from, as veriscope lab pretrain writes them


class Named(Protocol):
    """What a model card and the registry's entry need to know of a recipe."""

    @property
    def name(self) -> str:
        """Of the detector."""
        ...

    @property
    def about(self) -> str:
        """One sentence."""
        ...

    @property
    def papers(self) -> tuple[str, ...]:
        """Authors, year and short title of each."""
        ...


@runtime_checkable
class Recipe(Named, Protocol):
    """How one detector is trained."""

    def train(self, rows: Sequence[Row], work: Path, out: Path, settings: Settings, say: Say) -> dict[str, Any]:
        """Train, calibrate and export; the files that ``finish`` names are in ``out``. Returns the figures.

        Run again over the same ``work`` it resumes.
        """
        ...


@runtime_checkable
class Refittable(Recipe, Protocol):
    """A recipe that the benchmark can train again on parts of the samples: those that answer "is it generated?"."""

    def refit(
        self, samples: Samples, fitted: NDArray[np.bool_], work: Path, settings: Settings, say: Say
    ) -> NDArray[np.float64]:
        """Scores ``(N,)`` of all samples by a model fitted on those under ``fitted``, for the protocols of the benchmark."""
        ...


def recipe(name: str) -> Recipe:
    """The recipe of a detector.

    Raises:
        VeriscopeError: there is none of that name.
    """
    if name not in RECIPES:
        raise VeriscopeError(f"no recipe is called {name!r}; there are: {', '.join(sorted(RECIPES))}")
    module, _, attribute = RECIPES[name].partition(":")
    found = getattr(import_module(module), attribute)
    assert isinstance(found, Recipe)
    return found


def refittable(name: str) -> Refittable:
    """The recipe of a detector that can be trained again on parts of the samples.

    Raises:
        VeriscopeError: there is none of that name, or it does not answer whether a picture was generated.
    """
    found = recipe(name)
    if not isinstance(found, Refittable):
        raise VeriscopeError(f"recipe {name} does not answer whether a picture was generated")
    return found


def checked(rows: Sequence[Row], folds: int) -> NDArray[np.int64]:
    """The fold of each row.

    Raises:
        VeriscopeError: a class has too few sources to be in every fold.
    """
    for label in LABELS:
        sources = sorted({row.source for row in rows if row.label == label})
        if len(sources) < folds:
            raise VeriscopeError(
                f"{folds} folds of whole sources need as many {label} sources, and there are {len(sources)} "
                f"({', '.join(sources) or 'none'}): add some, or ask for fewer folds"
            )
    return deal(rows, folds)


def finish(
    made: Recipe,
    rows: Sequence[Row],
    scores: NDArray[np.float64],
    out: Path,
    settings: Settings,
    *,
    data: str,
    trained_on: Sequence[Row],
    turns: NDArray[np.int64] | None = None,
    extra: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Calibrate, and write the panel, the figures, the model card and the registry's entry beside ``NAME.onnx``.

    Args:
        made: the recipe.
        rows: (N,) the pictures of sources kept aside.
        scores: (N,) their scores.
        out: folder that holds the exported network, if the detector has one.
        settings: what it was trained with.
        data: how the scores came about, in words, for the calibration and the card.
        trained_on: the rows that the weights were fitted on; empty for a method that learns nothing.
        turns: (N,) which history each score is of, for an ensemble to match the scores of its members.
        extra: more figures to keep.
    """
    labels = np.array([row.generated for row in rows], np.float32)
    sources = np.array([row.source for row in rows])
    figures: dict[str, Any] = {
        "settings": asdict(settings),
        "pictures": {
            label: len({row.key for row in trained_on if row.label == label}) for label in ("real", "generated")
        },
        "sources": {
            label: sorted({row.source for row in trained_on if row.label == label}) for label in ("real", "generated")
        },
        "sources_kept_aside": figures_of(labels, scores, sources),
        **(extra or {}),
    }
    member = f"{made.name}@{settings.version}"
    panel = fit_panel(
        Question.GENERATED, {member: 1.0}, scores, labels, balanced_weights(rows), data=data, sources=sources
    )
    out.mkdir(parents=True, exist_ok=True)
    panel.save(out / f"{made.name}.panel.json")
    if turns is not None:
        keep_scores(out / f"{made.name}.scores.parquet", rows, turns, scores)
    (out / f"{made.name}.figures.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    (out / f"{made.name}.md").write_text(_card(made, figures, data), encoding="utf-8")
    files = [name for name in (f"{made.name}.onnx", f"{made.name}.panel.json") if (out / name).exists()]
    (out / f"{made.name}.model.toml").write_text(entry(made, out, settings, files), encoding="utf-8")
    return figures


def keep_scores(path: Path, rows: Sequence[Row], turns: NDArray[np.int64], scores: NDArray[np.float64]) -> None:
    """Write held-out scores ``(N,)`` of rows after their histories as Parquet, one line each."""
    columns = {
        "key": [row.key for row in rows],
        "turn": turns,
        "label": [row.label for row in rows],
        "source": [row.source for row in rows],
        "score": scores,
    }
    partial = path.with_suffix(".partial")
    parquet.write_table(pyarrow.table(columns), partial)
    os.replace(partial, path)


def figures_of(
    labels: NDArray[Any], scores: NDArray[np.float64], sources: NDArray[Any]
) -> dict[str, float | int | None]:
    """AUC, mean AUC over pairs of sources, and TPR at FPR 5, 1 and 0.1 % of held-out scores."""
    pairs = mean_source_pair_auc(scores, labels, sources)
    return {
        "samples": len(labels),
        "sources": len(set(sources)),
        "auc": round(auc(scores, labels), 4),
        "mean_source_pair_auc": None if pairs is None else round(pairs, 4),
        **{f"tpr_at_fpr_{rate}": round(tpr_at_fpr(scores, labels, rate), 4) for rate in (0.05, 0.01, 0.001)},
    }


def _card(made: Recipe, figures: dict[str, Any], data: str) -> str:
    aside = figures["sources_kept_aside"]
    pairs = aside["mean_source_pair_auc"]
    training = (
        f"{figures['pictures']['real']} real and {figures['pictures']['generated']} generated pictures of "
        f"{len(figures['sources']['real'])} and {len(figures['sources']['generated'])} sources, each after the histories of "
        f"`lab/data/samples.py`. Sources and settings are in `{made.name}.figures.json`."
    )
    table = {
        "samples": aside["samples"],
        "sources": aside["sources"],
        "AUC": f"{aside['auc']:.3f}",
        "mean over source pairs": "–" if pairs is None else f"{pairs:.3f}",
        "TPR at FPR 5 %": f"{aside['tpr_at_fpr_0.05']:.3f}",
        "at 1 %": f"{aside['tpr_at_fpr_0.01']:.3f}",
        "at 0.1 %": f"{aside['tpr_at_fpr_0.001']:.3f}",
    }
    return card(made, training, "Figures on sources kept aside", data, table)


def card(made: Named, training: str, heading: str, data: str, table: dict[str, Any]) -> str:
    """A model card in Markdown.

    Args:
        made: the recipe.
        training: on what it was trained, in sentences.
        heading: over the figures.
        data: what they were measured on.
        table: the figures, one row.
    """
    lines = [
        f"# Model card: {made.name}",
        "",
        made.about,
        "",
        "Papers: " + "; ".join(made.papers) + ".",
        "",
        "## Training",
        "",
        f"{training} Trained by `veriscope lab train {made.name}`.",
        "",
        f"## {heading}",
        "",
        f"{data}.",
        "",
        "| " + " | ".join(table) + " |",
        "| " + " | ".join("---" for _ in table) + " |",
        "| " + " | ".join(str(value) for value in table.values()) + " |",
        "",
    ]
    return "\n".join(lines)


def entry(made: Named, out: Path, settings: Settings, files: Sequence[str]) -> str:
    """The registry's entry of a model whose ``files`` lie in ``out``, the first being the one that is opened."""
    hashes = {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in files}
    listed = ", ".join(f'"{name}" = "{digest}"' for name, digest in hashes.items())
    return (
        f"[{made.name}]\n"
        f'version = "{settings.version}"\n'
        'licence = "Apache-2.0"\n'
        f'source = "trained by this project: veriscope lab train {made.name}"\n'
        f"about = {json.dumps(made.about)}\n"
        f'used_by = ["{made.name}"]\n'
        f"files = {{ {listed} }}\n"
    )


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as JSON so that the file is whole or not there."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, path)
