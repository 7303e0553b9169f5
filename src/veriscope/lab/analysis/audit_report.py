"""An audit as figures in words, as Markdown and as a plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from veriscope.lab.analysis.drawing import DPI, save

FIRST, RANDOM, LAST = "#b2182b", "#8c8c8c", "#2166ac"  # red, grey and blue stay apart for colour-blind readers
LINES = (("first", FIRST, "o"), ("random", RANDOM, "s"), ("last", LAST, "^"))
NAMES = {"first": "most relevant", "random": "random", "last": "least relevant"}


def as_markdown(figures: Mapping[str, Any]) -> str:
    """The whole audit, each table under a sentence that says how it was made."""
    counts, paper = figures["counts"], "Chandrasegaran et al. 2022"
    lines = [
        f"# Audit: {figures['detector']}",
        "",
        f"After {paper}. {counts['real']} real and {counts['generated']} generated pictures of split "
        f"{figures['split']}, each after one random history. TPR and FPR are at {figures['threshold']:g}, which 5 % of these "
        "real pictures pass in colour with all channels.",
        "",
        "## Colour",
        "",
        *table(figures["colour"]),
        "",
    ]
    if "channels" not in figures:
        return "\n".join(lines)
    found = figures["channels"]
    changed = found["changed_by_colour"]
    lines += [
        f"Colour changes {changed['of_the_first']:.0%} of the {changed['first']} most relevant channels and "
        f"{changed['of_all']:.0%} of all (Mood's median test of the largest activation, p < 0.05; 5 % by chance).",
        "",
        "## Channels silenced",
        "",
        "Ranked by forensic feature relevance on "
        f"{found['ranked_on']['pictures']} generated pictures of {found['ranked_on']['split']}; "
        + ", ".join(f"{layer['channels']} channels of `{layer['layer']}`" for layer in found["layers"])
        + ". Random choices are the mean of three. The last bring nothing to a generated picture's score, or speak for real: "
        "without these, scores and both rates may rise.",
        "",
        *table(found["silenced"]),
        "",
        "## Most relevant channels",
        "",
        *table(found["ranked"]),
        "",
    ]
    return "\n".join(lines)


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Rows with the same keys as the lines of a Markdown table."""
    lines = ["| " + " | ".join(rows[0]) + " |", "| " + " | ".join("---" for _ in rows[0]) + " |"]
    return lines + ["| " + " | ".join(cell(value) for value in row.values()) + " |" for row in rows]


def cell(value: Any) -> str:
    """A value in a table."""
    if isinstance(value, list):
        return " to ".join(f"{part:g}" for part in value)
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def draw(path: Path, figures: Mapping[str, Any]) -> None:
    """Plot scores in colour and in grey and, of a network, its channels' relevance and what silencing them costs."""
    from matplotlib.figure import Figure

    whole = "channels" in figures
    figure = Figure(figsize=(10, 7) if whole else (5.6, 4), dpi=DPI, layout="constrained")
    figure.suptitle(f"Audit: {figures['detector']}", x=0.012, ha="left", fontsize=13, fontweight="bold")
    axes: Any = figure.subplots(2, 2) if whole else [[None, figure.subplots()]]
    if whole:
        _relevances(axes[0][0], figures["channels"])
        _silenced(axes[1][0], figures["channels"]["silenced"], "auc", "AUC")
        _silenced(axes[1][1], figures["channels"]["silenced"], "tpr", "generated pictures found (TPR)")
        axes[1][0].axhline(0.5, color="0.7", lw=0.8, ls=":")
    _scores(axes[0][1], figures)
    for axis in (axis for row in axes for axis in row if axis is not None):
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    save(figure, path)


def _relevances(axis: Any, found: Mapping[str, Any]) -> None:
    rows = found["ranked"]
    changed = [row["p"] < 0.05 for row in rows]
    places = range(len(rows))
    bars = axis.bar(
        places, [100 * row["relevance"] for row in rows], color=[FIRST if one else "0.75" for one in changed]
    )
    axis.set_xticks(places, [f"{row['layer'].rpartition('.')[2]}:{row['channel']}" for row in rows], rotation=90)
    axis.set_ylabel("share of its layer's relevance, %", fontsize=8)
    axis.set_title("Most relevant channels (block:channel)", fontsize=9, loc="left")
    by_colour = dict(zip(changed, bars, strict=True))
    names = {True: "changed by colour (p < 0.05)", False: "not changed"}
    axis.legend(by_colour.values(), [names[one] for one in by_colour], fontsize=8, frameon=False)


def _silenced(axis: Any, rows: Sequence[Mapping[str, Any]], measure: str, title: str) -> None:
    before = rows[0][measure]
    for which, colour, marker in LINES:
        kept = [row for row in rows if row["silenced"] == which]
        xs, ys = [0, *(row["channels"] for row in kept)], [before, *(row[measure] for row in kept)]
        axis.plot(xs, ys, color=colour, marker=marker, ms=4, lw=1.6, label=NAMES[which])
    axis.set_title(f"{title} without so many channels", fontsize=9, loc="left")
    axis.set_xlabel("channels silenced", fontsize=8)
    axis.set_ylim(0, 1.02)
    axis.legend(fontsize=8, frameon=False)


def _scores(axis: Any, figures: Mapping[str, Any]) -> None:
    kinds = [(label, name) for label in ("real", "generated") for name in ("colour", "grey")]
    values = [figures["scores"][f"{label}_{name}"] for label, name in kinds]
    boxes = axis.boxplot(values, widths=0.55, patch_artist=True, showfliers=False, medianprops={"color": "black"})
    for box, (label, name) in zip(boxes["boxes"], kinds, strict=True):
        box.set(facecolor={"real": LAST, "generated": FIRST}[label] if name == "colour" else "0.85")
    axis.set_xticks(range(1, 5), [f"{label},\nin {name}" for label, name in kinds])
    axis.axhline(figures["threshold"], color="0.4", lw=0.8, ls="--")
    areas = ", ".join(f"{row['auc']:.3f} in {row['pictures']}" for row in figures["colour"])
    axis.set_title(f"Scores; AUC {areas}", fontsize=9, loc="left")
    axis.set_ylabel("score; dashed: 5 % of real pictures pass", fontsize=8)
