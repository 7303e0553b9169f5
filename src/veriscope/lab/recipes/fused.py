"""What each localiser weighs beside the others, and what the sum means: fitted on made edits and untouched files.

Fitted last, when the methods are trained, on files that ``veriscope lab make-edits`` wrote and on untouched pictures as they
were published. Every method speaks once of each file, and what it said is kept. Coefficients come from logistic fits, of
places and of whole pictures; the calibration from sums by coefficients that were fitted without that picture's source.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from veriscope import models
from veriscope.errors import VeriscopeError
from veriscope.evidence import Question
from veriscope.lab.benchmark.metrics import auc, tpr_at_fpr
from veriscope.lab.data.manifest import Row, deal, source_weights
from veriscope.lab.data.samples import kept
from veriscope.lab.recipes.localising import finish_localiser
from veriscope.lab.recipes.recipe import Say, Settings, write_json
from veriscope.picture import open_picture
from veriscope.tampering import fused
from veriscope.tampering.methods import METHODS, usable
from veriscope.weighing import fit_panel

PLACES = 300  # of each picture that the fit of places looks at; half of them edited where there are such
NAMES = tuple(method.name for method in METHODS)
QUICK = fused.FusedQuick.name
OFFSETS = np.arange(-5, 2.01, 0.25)  # log odds
STRENGTH = 1.0  # inverse of the ridge's


def observed(row: Row) -> NDArray[np.float32]:
    """What all methods say of a file: ``float32 (1 + PLACES, methods + 1)``, the whole picture first; the last column is true.

    Raises:
        VeriscopeError: the picture or its mask cannot be read.
    """
    picture = open_picture(row.path)
    said = fused.all_heard(picture)
    height, width = said.judged.shape
    mask = np.zeros((height, width), np.float32)
    if row.mask:
        read = cv2.imread(str(row.mask), cv2.IMREAD_GRAYSCALE)
        if read is None:
            raise VeriscopeError(f"{row.mask}: the mask cannot be read")
        mask = np.asarray(cv2.resize(read, (width, height), interpolation=cv2.INTER_AREA) / 255, np.float32)
    generator = np.random.default_rng(int(hashlib.sha256(row.key.encode()).hexdigest()[:8], 16))
    flat = mask.reshape(-1)
    inside, outside = np.flatnonzero(flat > 0.5), np.flatnonzero(flat <= 0.5)
    half = PLACES // 2 if len(inside) else 0
    chosen = [generator.choice(inside, half)] if half else []
    chosen.append(generator.choice(outside if len(outside) else inside, PLACES - half))
    places = np.concatenate(chosen)
    found = np.zeros((1 + PLACES, len(NAMES) + 1), np.float32)
    for column, name in enumerate(NAMES):
        if name in said.places:
            found[0, column] = said.scores[name]
            found[1:, column] = said.places[name].reshape(-1)[places]
    found[0, -1] = float(row.label == "edited")
    found[1:, -1] = flat[places] > 0.5
    return found


def edited_share(row: Row) -> float:
    """The share of the picture that its mask shows as edited; 0 without a mask."""
    mask = cv2.imread(str(row.mask), cv2.IMREAD_GRAYSCALE) if row.mask else None
    return 0.0 if mask is None else float((mask > 127).mean())


def nonnegative(
    values: NDArray[np.float32], told: NDArray[np.float32], weights: NDArray[np.float64], names: Sequence[str]
) -> dict[str, float]:
    """A logistic fit without negative coefficients: those that come out negative are dropped and the rest fitted again.

    Args:
        values: (N, D).
        told: (N,) 1 or 0.
        weights: (N,).
        names: (D,).
    Returns:
        name to coefficient, and "offset".
    """
    used = [column for column in range(len(names)) if np.ptp(values[:, column]) > 0]
    while True:
        fit = LogisticRegression(C=STRENGTH, max_iter=500).fit(values[:, used], told, sample_weight=weights)
        negative = [column for column, value in zip(used, fit.coef_[0], strict=True) if value < 0]
        if not negative or len(negative) == len(used):
            break
        used = [column for column in used if column not in negative]
    found = {
        names[column]: round(float(value), 5) for column, value in zip(used, fit.coef_[0], strict=True) if value > 0
    }
    return {"offset": round(float(fit.intercept_[0]), 5), **found}


@dataclass(frozen=True)
class Table:
    """What was observed of N pictures: ``seen float32 (N, 1 + PLACES, methods + 1)``, and the share of each that is edited."""

    rows: list[Row]
    seen: NDArray[np.float32]
    shares: NDArray[np.float64]

    @property
    def edited(self) -> NDArray[np.float32]:
        """1 where edited, (N,)."""
        return self.seen[:, 0, -1]


def fitted(table: Table, which: NDArray[np.bool_], names: Sequence[str]) -> fused.Coefficients:
    """Coefficients of the methods in ``names`` from the pictures under ``which``."""
    columns = [NAMES.index(name) for name in names]
    seen = table.seen[which]
    places = seen[:, 1:].reshape(-1, seen.shape[2])
    place = nonnegative(places[:, columns], places[:, -1], np.ones(len(places)), names)
    place["offset"] = best_offset(seen, columns, names, place, table.shares[which])
    told = seen[:, 0, -1]
    balance = np.where(told > 0.5, 0.5 / max(told.mean(), 1e-9), 0.5 / max(1 - told.mean(), 1e-9))
    return fused.Coefficients(place, nonnegative(seen[:, 0][:, columns], told, balance, names))


def best_offset(
    seen: NDArray[np.float32],
    columns: Sequence[int],
    names: Sequence[str],
    place: dict[str, float],
    shares: NDArray[np.float64],
) -> float:
    """The offset with the highest mean pixel F1 at 0.5 over the edited pictures.

    Half of the places of an edited picture were drawn inside its mask; each counts for the share of the picture that it stands
    for. Only ``OFFSETS`` are tried.
    """
    edited = (seen[:, 0, -1] > 0.5) & (shares > 0)
    odds = sum(place.get(name, 0.0) * seen[edited, 1:, column] for name, column in zip(names, columns, strict=True))
    told = seen[edited, 1:, -1] > 0.5
    share = shares[edited, None]
    area = np.where(told, share / np.maximum(told.sum(1, keepdims=True), 1), 0)
    area += np.where(~told, (1 - share) / np.maximum((~told).sum(1, keepdims=True), 1), 0)
    found = []
    for offset in OFFSETS:
        called = np.asarray(odds + offset > 0)
        both = (area * (called & told)).sum(1)
        found.append(float((2 * both / ((area * called).sum(1) + share[:, 0])).mean()))
    return float(OFFSETS[int(np.argmax(found))])


def scores(
    table: Table, which: NDArray[np.bool_], made: fused.Coefficients, names: Sequence[str]
) -> NDArray[np.float64]:
    """Fused scores of the pictures under ``which``."""
    weights = [made.picture.get(name, 0.0) for name in names]
    facts = table.seen[which][:, 0][:, [NAMES.index(name) for name in names]]
    return np.asarray(facts @ np.array(weights) + made.picture["offset"], np.float64)


@dataclass(frozen=True)
class FusedRecipe:
    """How the localisers are weighed together."""

    name: str = "fused"
    about: str = "All localisers of edits weighed together: one map and one score."
    papers: tuple[str, ...] = ("Guillaro et al. 2023 (TruFor)", "Fontani et al. 2013 (fusion of forensic tools)")
    labels: tuple[str, ...] = ("edited", "real")  # the rows that it learns from

    def train(self, rows: Sequence[Row], work: Path, out: Path, settings: Settings, say: Say) -> dict[str, Any]:
        """Ask every method of up to ``settings.most`` edited and as many untouched files, fit, calibrate, write.

        Raises:
            VeriscopeError: there is no edited or no untouched picture.
        """
        names = [method.name for method in usable()]
        chosen = _chosen(rows, settings, trained_sources(names))
        place = work / f"observed-{_versions(names)}"
        there, seen = kept([row.key for row in chosen], lambda at: observed(chosen[at]), place, "pictures asked", say)
        asked = [chosen[at] for at in there]
        table = Table(asked, seen.stacked().astype(np.float32), np.array([edited_share(row) for row in asked]))
        folds = deal([_as_classes(row) for row in table.rows], settings.folds)
        quick = [method.name for method in usable() if method.quick]
        told = table.edited
        out.mkdir(parents=True, exist_ok=True)
        held = {}
        for name, members in ((self.name, names), (QUICK, quick)):
            held[name] = np.zeros(len(table.rows))
            for fold in np.unique(folds):
                aside = folds == fold
                held[name][aside] = scores(table, aside, fitted(table, ~aside, members), members)
            panel = fit_panel(
                Question.EDITED,
                {f"{name}@{settings.version}": 1.0},
                held[name],
                told,
                source_weights(table.rows),
                data=f"{int(told.sum())} edits made here and {int((1 - told).sum())} untouched pictures, each scored by "
                "coefficients fitted without its source",
                sources=np.array([row.source for row in table.rows]),
            )
            panel.save(out / f"{name}.panel.json")
        everything = np.ones(len(table.rows), bool)
        both = {
            "all": asdict(fitted(table, everything, names)),
            "quick": asdict(fitted(table, everything, quick)),
        }
        write_json(out / "fused.json", both)
        return finish_localiser(
            self,
            out,
            settings,
            {
                "pictures": len(told),
                **rates("", held[self.name], told),
                **rates("quick_", held[QUICK], told),
            },
            data=panel.data,
            trained_on=table.rows,
            kind="files, half of them real pictures edited here and half untouched,",
            files=("fused.json", f"{self.name}.panel.json", f"{QUICK}.panel.json"),
        )


def rates(prefix: str, held: NDArray[np.float64], told: NDArray[np.float32]) -> dict[str, float]:
    """AUC and TPR at FPR 5 and 1 % of held-out scores, each name beginning with ``prefix``."""
    found = {"picture_auc": auc(held, told)}
    found |= {f"tpr_at_fpr_{rate}": tpr_at_fpr(held, told, rate) for rate in (0.05, 0.01)}
    return {f"{prefix}{name}": round(value, 4) for name, value in found.items()}


def trained_sources(names: Sequence[str]) -> set[str]:
    """The real sources that any of these methods was trained on, as their figures name them.

    Raises:
        VeriscopeError: a method's figures are missing.
    """
    found: set[str] = set()
    for name in names:
        if name in models.registry():
            figures = models.model(name).path.with_name(f"{name}.figures.json")
            if not figures.is_file():
                raise VeriscopeError(f"{figures} is missing: it says which sources {name} was trained on")
            found.update(json.loads(figures.read_text(encoding="utf-8"))["sources"]["real"])
    return found


def _chosen(rows: Sequence[Row], settings: Settings, known: set[str]) -> list[Row]:
    generator = np.random.default_rng(settings.seed)
    found: list[Row] = []
    for label in ("edited", "real"):
        some = [row for row in rows if row.label == label and (label == "real" or row.mask) and row.source not in known]
        if not some:
            raise VeriscopeError(
                f"no {label} picture in the splits train and val is of a source that no localiser was trained on: make some "
                "with veriscope lab make-edits, and name both its manifest and one of untouched pictures"
            )
        places = generator.permutation(len(some))[: settings.most]
        found += [some[place] for place in sorted(places)]
    return found


def _versions(names: Sequence[str]) -> str:
    told = [models.registry()[name].fingerprint if name in models.registry() else name for name in names]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:10]


def _as_classes(row: Row) -> Row:
    return replace(row, label="generated" if row.label == "edited" else "real")


RECIPE = FusedRecipe()
