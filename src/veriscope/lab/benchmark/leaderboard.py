"""The results as Parquet and as one static page: every detector in one table, with what the papers reported beside it.

The page holds its style, its plots and the script that sorts its tables; it asks for nothing from any network.
"""

from __future__ import annotations

import os
import tomllib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
from jinja2 import PackageLoader
from markupsafe import Markup
from pyarrow import parquet

from veriscope.errors import VeriscopeError
from veriscope.lab.benchmark import plots
from veriscope.lab.benchmark.areas import BINS, UNKNOWN
from veriscope.lab.benchmark.cheats import PREFIX
from veriscope.lab.benchmark.figures import ENSEMBLE
from veriscope.lab.benchmark.perturbations import AS_IS, PERTURBATIONS
from veriscope.lab.benchmark.protocols import EVERYTHING
from veriscope.lab.benchmark.refitting import DEGRADED
from veriscope.reporting.files import write_atomically
from veriscope.reporting.page import asset, content_policy, environment

HIGHLIGHTED = 6  # detectors whose lines have a colour
SWEPT = ("JPEG", "WebP", "resize", "blur", "noise", "crop")  # families drawn as lines; the others are a table
RISING = ("blur", "noise")  # where larger amounts are harsher
SHIPPED_NAME = "Veriscope, as shipped"
FEW = 200  # pictures, below which the page says that its figures are a trial

Table = dict[str, Any]


def write_parquet(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as Parquet, whole or not at all; a row may lack columns that others have.

    Raises:
        VeriscopeError: it cannot be written.
    """
    columns = list(dict.fromkeys(column for row in rows for column in row))
    table = pyarrow.table({column: pyarrow.array([row.get(column) for row in rows]) for column in columns})
    partial = path.with_name(f"{path.name}.partial")
    try:
        parquet.write_table(table, partial)
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise VeriscopeError(f"{path}: cannot be written: {error.strerror or error}") from error


def published() -> list[Table]:
    """What each paper reports, from ``published.toml``: row, title, by, detectors, figure, data, ours."""
    text = (resources.files("veriscope.lab.benchmark") / "published.toml").read_text(encoding="utf-8")
    papers: list[Table] = tomllib.loads(text)["paper"]
    return papers


def save(tables: Table, path: Path) -> None:
    """Write the page.

    Raises:
        VeriscopeError: it cannot be written.
    """
    write_atomically(path, render(tables).encode("utf-8", "replace"))


def render(tables: Table) -> str:
    """The page of a run's tables, as ``bench.Bench`` fills them; a protocol that was not run has no section."""
    return rendered("leaderboard.html.j2", tables, _View(tables))


def rendered(template: str, tables: Table, view: object) -> str:
    """A page of the benchmark: a template of this package with its style and script in it, given ``about`` and ``view``."""
    folder = resources.files("veriscope.lab.benchmark") / "templates"
    style = Markup((folder / "leaderboard.css").read_text(encoding="utf-8"))  # noqa: S704 (the package's own file)
    script = Markup((folder / "leaderboard.js").read_text(encoding="utf-8"))  # noqa: S704 (likewise)
    made = environment().overlay(loader=PackageLoader("veriscope.lab.benchmark", "templates"))
    made.filters = {**made.filters, "called": called, "share": share, "figure": figure}
    return made.get_template(template).render(
        style=asset("base.css") + style,
        script=script,
        policy=content_policy(script),
        about=tables["about"],
        view=view,
    )


def called(name: str) -> str:
    """A detector's name for a reader.

    >>> called("veriscope"), called("cheat: metadata only"), called("npr")
    ('Veriscope, as shipped', 'Cheat: metadata only', 'npr')
    """
    return SHIPPED_NAME if name == ENSEMBLE else name.replace(PREFIX, PREFIX.capitalize(), 1)


def share(value: float | None, digits: int = 0) -> str:
    """A share as a percentage.

    >>> share(0.256), share(None)
    ('26 %', '–')
    """
    return "–" if value is None or value != value else f"{100 * value:.{digits}f} %"


def figure(value: float | None, digits: int = 3) -> str:
    """A number, or a dash where there is none.

    >>> figure(0.91268), figure(None)
    ('0.913', '–')
    """
    return "–" if value is None or value != value else f"{value:.{digits}f}"


def shade(value: float | None, middle: float = 0.5) -> tuple[str, float]:
    """How a cell of a heat map is coloured: "over" or "under" the middle, and how strongly, in [0, 1].

    >>> shade(0.75), shade(0.25), shade(None)
    (('over', 0.5), ('under', 0.5), ('', 0.0))
    """
    if value is None:
        return "", 0.0
    if value >= middle:
        return "over", round((value - middle) / (1 - middle), 3) if middle < 1 else 1.0
    return "under", round((middle - value) / middle, 3)


class _View:
    """A run's tables as the page shows them."""

    def __init__(self, tables: Table) -> None:
        self.tables = tables
        self.lines: list[Table] = tables.get("installed", [])
        self.shared = {line["detector"]: line for line in tables.get("shared", [])}
        self.costs: list[Table] = tables.get("costs", [])
        self.flips = {line["detector"]: line for line in tables.get("flips", [])}
        self.cheats = [line["detector"] for line in self.lines if line["kind"] == "cheat"]
        best = [line["detector"] for line in self.lines if line["kind"] == "detector" and "auc" in line]
        first = [line["detector"] for line in self.lines if line["kind"] == "ensemble"]
        self.highlighted = [*first, *best][:HIGHLIGHTED]
        self.look = plots.looks([line["detector"] for line in self.lines], self.highlighted, self.cheats)
        self.shade = shade

    @property
    def few(self) -> bool:
        """Whether the pictures are too few for the figures to be a result."""
        counts = self.tables["about"]["pictures"]
        return sum(counts[label]["pictures"] for label in counts) < FEW

    @property
    def standfirst(self) -> str:
        """What was found, in two or three sentences."""
        ranked = [line for line in self.lines if line["kind"] != "cheat" and "auc" in line]
        if not ranked:
            return "No installed detector was asked about pictures of both classes in this run."
        best = ranked[0]
        text = (
            f"Of {len(ranked)} detectors, {called(best['detector'])} ranks generated above real pictures most often: "
            f"{100 * best['auc']:.0f} times in a hundred (AUC {best['auc']:.3f}, 95 % interval {best['low']:.3f} to "
            f"{best['high']:.3f} over {best['over']})."
        )
        cheats = [line for line in self.lines if line["kind"] == "cheat" and "auc" in line]
        if cheats:
            beaten = sum(line["auc"] > cheats[0]["auc"] for line in ranked)
            known = cheats[0]["detector"].removeprefix(PREFIX).removesuffix(" only")
            text += (
                f" A cheat that sees no pixel and knows only {known} "
                f"reaches {cheats[0]['auc']:.3f}; {beaten} of the detectors do better than that."
            )
        failing = [line for line in ranked if line["low"] <= 0.5]
        if failing:
            names = ", ".join(called(line["detector"]) for line in failing)
            text += f" Not told from chance here: {names}."
        return text

    @property
    def legend(self) -> list[tuple[str, str]]:
        """Names and looks of the lines in plots."""
        found = [(called(name), self.look[name]) for name in [*self.highlighted, *self.cheats]]
        if any(look == "rest" for look in self.look.values()):
            found.append(("the other detectors, with their names as tooltips", "rest"))
        return found

    @property
    def papers(self) -> list[Table]:
        """Published beside ours: each paper with our lines of its detectors."""
        ours = {line["detector"]: line for line in self.lines}
        left = {line["detector"]: line for line in self.tables.get("loso", [])}
        found = []
        for paper in published():
            name = next((name for name in paper["detectors"] if name in ours or name in left), None)
            found.append({**paper, "name": name, "line": ours.get(name or ""), "left": left.get(name or "")})
        return found

    @property
    def roc(self) -> Markup | None:
        """The ROC curves."""
        found = self.tables.get("roc")
        return plots.roc(found, self.look) if found else None

    @property
    def reliability(self) -> list[tuple[str, Markup]]:
        """Reliability diagrams of the highlighted detectors."""
        found = self.tables.get("reliability", {})
        return [
            (called(name), plots.reliability(found[name], self.look[name], called(name)))
            for name in self.highlighted
            if name in found
        ]

    @property
    def sweeps(self) -> list[tuple[str, Markup]]:
        """A plot for each sweep."""
        lines = self.tables.get("robustness", [])
        found = []
        for family in SWEPT:
            those = [line for line in lines if line["family"] == family]
            if those:
                found.append((family, plots.sweep(those, self.look, rising=family in RISING)))
        return found

    @property
    def robustness(self) -> tuple[list[str], list[Table]]:
        """Variants, and for each detector the AUC after each of them."""
        lines = self.tables.get("robustness", [])
        present = {line["variant"] for line in lines}
        variants = [name for name in PERTURBATIONS if name in present]
        of = {(line["detector"], line["variant"]): line for line in lines}
        found = []
        for name in dict.fromkeys(line["detector"] for line in self.lines):
            mine = [of.get((name, variant)) for variant in variants]
            values = [line["auc"] for line in mine if line]
            if values:
                start = next(line["auc_as_is"] for line in mine if line)
                found.append(
                    {
                        "detector": name,
                        "start": start,
                        "mean": float(np.mean(values)),
                        "worst": min(values),
                        "cells": mine,
                    }
                )
        return variants, found

    @property
    def left_out(self) -> tuple[list[Table], list[str], list[Table]]:
        """Leave-sources-out: a line a detector, the detectors with figures, and for each source the AUC of each."""
        lines: list[Table] = sorted(self.tables.get("loso", []), key=lambda line: -line.get("auc", -1.0))
        names = [line["detector"] for line in lines if "auc" in line]
        of = {(line["detector"], item["source"]): item for line in lines for item in line.get("sources", [])}
        sources = sorted({(item["label"], item["source"], item["pictures"]) for item in of.values()})
        each = [
            {
                "source": source,
                "label": label,
                "pictures": pictures,
                "cells": [of.get((name, source)) for name in names],
            }
            for label, source, pictures in sources
        ]
        return lines, names, each

    @property
    def matrices(self) -> list[Table]:
        """A heat map a detector: trained on, tested on, AUC; with the means on and off the diagonal."""
        found = []
        for name, cells in self._of("matrix").items():
            rows = list(dict.fromkeys(cell["trained_on"] for cell in cells))
            columns = list(dict.fromkeys(cell["tested_on"] for cell in cells))
            of = {(cell["trained_on"], cell["tested_on"]): cell for cell in cells}
            found.append(
                {
                    "detector": name,
                    "columns": columns,
                    "rows": [(row, [of.get((row, column)) for column in columns]) for row in rows],
                    "same": _mean(cell for cell in cells if cell["trained_on"] == cell["tested_on"]),
                    "others": _mean(
                        cell for cell in cells if cell["trained_on"] not in (cell["tested_on"], EVERYTHING)
                    ),
                    "everything": _mean(cell for cell in cells if cell["trained_on"] == EVERYTHING),
                    "worst": _worst(
                        cell for cell in cells if cell["trained_on"] not in (cell["tested_on"], EVERYTHING)
                    ),
                    "reason": next((cell["reason"] for cell in cells if cell["reason"]), ""),
                }
            )
        return sorted(found, key=lambda one: -(one["others"] or -1))

    @property
    def grid(self) -> tuple[list[str], list[Table]]:
        """The four cells, each the mean of the deals, and how far the deals lie apart."""
        columns: list[str] = []
        found = []
        for name, cells in self._of("grid").items():
            columns = list(dict.fromkeys(cell["tested_on"] for cell in cells))
            values = [[cell["auc"] for cell in cells if cell["tested_on"] == column] for column in columns]
            known = [[value for value in group if value is not None] for group in values]
            found.append(
                {
                    "detector": name,
                    "cells": [(float(np.mean(group)), max(group) - min(group)) if group else None for group in known],
                    "reason": next((cell["reason"] for cell in cells if cell["reason"]), ""),
                }
            )
        return columns, sorted(found, key=lambda one: -(one["cells"][-1] or (-1,))[0])

    @property
    def dff(self) -> tuple[list[str], list[Table]]:
        """Trained on one family and tested on the others: the mean AUC for each degradation."""
        found = []
        for name, cells in self._of("dff").items():
            others = [cell for cell in cells if cell["trained_on"] not in (cell["tested_on"], EVERYTHING)]
            means = [_mean(cell for cell in others if cell["variant"] == variant) for variant in DEGRADED]
            reason = next((cell["reason"] for cell in cells if cell["reason"]), "")
            found.append({"detector": name, "cells": means, "reason": reason})
        return list(DEGRADED), sorted(found, key=lambda one: -(one["cells"][0] or -1))

    def _of(self, protocol: str) -> dict[str, list[Table]]:
        held: dict[str, list[Table]] = defaultdict(list)
        for cell in self.tables.get("cells", []):
            if cell["protocol"] == protocol:
                held[cell["detector"]].append(cell)
        return held

    @property
    def areas(self) -> list[tuple[str, list[tuple[str, int]], list[Table]]]:
        """Recall by area and by method: the bins with their pictures, and each detector's recalls."""
        lines = self.tables.get("areas", [])
        found = []
        for by in ("area", "method"):
            mine = [line for line in lines if line["by"] == by]
            order = [*dict(BINS), UNKNOWN] if by == "area" else sorted({line["name"] for line in mine})
            count = {
                name: max((line["pictures"] for line in mine if line["name"] == name), default=0) for name in order
            }
            bins = [(name, count[name]) for name in order if count[name]]
            of = {(line["detector"], line["name"]): line for line in mine}
            names = list(dict.fromkeys(line["detector"] for line in mine))
            order_of = {line["detector"]: place for place, line in enumerate(self.lines)}
            names.sort(key=lambda name: order_of.get(name, len(order_of)))
            rows = [{"detector": name, "cells": [of.get((name, bin_)) for bin_, _ in bins]} for name in names]
            if rows:
                found.append((by, bins, rows))
        return found

    @property
    def area_plot(self) -> Markup | None:
        """Recall over the edited area."""
        lines = [line for line in self.tables.get("areas", []) if line["by"] == "area" and line["name"] != UNKNOWN]
        present = [name for name, _ in BINS if any(line["name"] == name for line in lines)]
        if len(present) < 2:
            return None
        place = {name: number / (len(present) - 1) for number, name in enumerate(present)}
        drawn: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for line in sorted(lines, key=lambda line: place[line["name"]]):
            drawn[line["detector"]].append((place[line["name"]], line["recall"]))
        look = {name: self.look.get(name, "rest") for name in drawn}
        ticks = [(at, name) for name, at in place.items()]
        return plots.curves(
            drawn, ticks, look, "edited share of the picture", bottom=0.0, y_title="recall at FPR 5 %", size=(560, 320)
        )

    @property
    def unavailable(self) -> list[tuple[str, str]]:
        """Detectors and recipes that have no figure, and why."""
        found = dict(self.tables.get("unavailable", {}))
        found |= {line["detector"]: line["reason"] for line in self.lines if "auc" not in line}
        found |= self.tables.get("broken", {})
        return sorted(found.items())

    @property
    def untouched(self) -> str:
        """What the files are called before any perturbation."""
        return AS_IS


def _mean(cells: Any) -> float | None:
    values = [cell["auc"] for cell in cells if cell["auc"] is not None]
    return float(np.mean(values)) if values else None


def _worst(cells: Any) -> Table | None:
    known = [cell for cell in cells if cell["auc"] is not None]
    return min(known, key=lambda cell: cell["auc"], default=None)
