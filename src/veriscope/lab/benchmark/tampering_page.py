"""The results of ``veriscope lab bench-tampering`` as Parquet, JSON and one static page that asks for no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from veriscope.lab.benchmark.leaderboard import rendered, share, write_parquet
from veriscope.lab.benchmark.tampering_answers import Entry, Table
from veriscope.lab.benchmark.tampering_figures import EVERYWHERE, FUSED
from veriscope.lab.recipes.recipe import write_json
from veriscope.reporting.files import write_atomically
from veriscope.reporting.overlay import data_uri

FEW = 100  # edited pictures, below which the page says that its figures are a trial
CASIA = "casia1"  # the source of a manifest that holds pictures of CASIA v1
CONDITIONS = {  # for a reader
    "none": "As is",
    "jpeg80": "After JPEG 80",
    "jpeg60": "After JPEG 60",
    "resize75": "After a resize to 75 %",
}
PUBLISHED = (  # figures of papers on CASIA v1, pixel F1 at the fixed threshold 0.5, as the paper's
    {
        "name": "TruFor",
        "by": "Guillaro et al., CVPR 2023",
        "figure": "0.737",
        "data": "trained on corpora of many thousand edits, CASIA v2 among them, and tested on more of CASIA v1 than we hold; "
        "our localiser saw neither",
    },
    {
        "name": "classical methods, one trace each",
        "by": "as surveys and comparisons report them",
        "figure": "0.1 to 0.25",
        "data": "nothing trained; a range over methods and papers whose treatment of empty maps and thresholds differs",
    },
)


def publish(tables: Table, entries: Sequence[Entry], out: Path) -> None:
    """Write ``answers.parquet``, ``figures.parquet``, ``alarms.parquet``, ``tampering.json`` and ``tampering.html``.

    Raises:
        VeriscopeError: a file cannot be written.
    """
    rows = answer_rows(entries)
    for name, lines in (("answers", rows), ("figures", tables["figures"]), ("alarms", tables["alarms"])):
        if lines:
            write_parquet(out / f"{name}.parquet", lines)
    write_json(out / "tampering.json", tables)
    write_atomically(out / "tampering.html", render(tables, out / "examples").encode("utf-8", "replace"))


def answer_rows(entries: Sequence[Entry]) -> list[Table]:
    """One flat row a picture, condition and method."""
    return [
        {
            "key": entry.key,
            "label": entry.label,
            "source": entry.source,
            "condition": entry.condition,
            "width": entry.width,
            "height": entry.height,
            "edited_share": entry.edited_share,
            **asdict(answer),
        }
        for entry in entries
        for answer in entry.answers.values()
    ]


def render(tables: Table, examples: Path) -> str:
    """The page of a run's tables; maps of examples are read from the folder ``examples``."""
    return rendered("tampering.html.j2", tables, _View(tables, examples))


class _View:
    """A run's tables as the page shows them."""

    def __init__(self, tables: Table, examples: Path) -> None:
        self.folder = examples
        self.figures: list[Table] = tables["figures"]
        self.methods: list[str] = tables["methods"]
        self.left_out: list[str] = tables["left_out"]
        self.alarm_lines: list[Table] = tables["alarms"]
        self.example_lines: list[Table] = tables["examples"]
        self.names: dict[str, str] = {name: CONDITIONS.get(name, name) for name in tables["conditions"]}
        self.first = next(iter(self.names), "")
        self.published = PUBLISHED

    def lines(self, condition: str, source: str = EVERYWHERE) -> list[Table]:
        """The lines of one condition and source, the best pixel F1 first, the fused method before all."""
        found = [line for line in self.figures if (line["condition"], line["source"]) == (condition, source)]
        return sorted(found, key=lambda line: (line["method"] != FUSED, -(line["f1"] or 0), line["method"]))

    @property
    def overall(self) -> list[Table]:
        """All sources together, under the first condition."""
        return self.lines(self.first)

    @property
    def few(self) -> bool:
        """Whether the pictures are too few for the figures to be a result."""
        return max((line["pictures"] for line in self.overall), default=0) < FEW

    @property
    def sources(self) -> list[tuple[str, int]]:
        """Sources of edited pictures, and how many of each there are."""
        counts: dict[str, int] = {}
        for line in self.figures:
            if line["source"] != EVERYWHERE:
                counts[line["source"]] = max(counts.get(line["source"], 0), line["pictures"])
        return list(counts.items())

    @property
    def alarms(self) -> tuple[list[tuple[str, int]], list[tuple[str, list[Table | None]]]]:
        """Sources of authentic pictures, and for each method its alarms on them, as they are."""
        here = [line for line in self.alarm_lines if line["condition"] == self.first]
        sources = {line["source"]: line["untouched"] for line in here}
        of = {(line["method"], line["source"]): line for line in here}
        return list(sources.items()), [(name, [of.get((name, source)) for source in sources]) for name in self._ordered]

    @property
    def _ordered(self) -> list[str]:
        return [line["method"] for line in self.overall]

    @property
    def casia(self) -> list[Table]:
        """Our lines on pictures of CASIA v1, as they are."""
        return self.lines(self.first, CASIA)

    @property
    def examples(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """Examples: a picture's key, and its mask and maps as name and data URI."""
        found = []
        for example in self.example_lines:
            named = [("", "the mask"), *((name, name) for name in self._ordered)]
            files = [(shown, self.folder / example["maps"][name]) for name, shown in named if name in example["maps"]]
            maps = [(shown, data_uri(file.read_bytes(), "image/jpeg")) for shown, file in files if file.exists()]
            if maps:
                found.append((example["key"], maps))
        return found

    @property
    def standfirst(self) -> str:
        """What was found, in two sentences."""
        measured = [line for line in self.overall if line["f1"] is not None]
        if not measured:
            return "No edited picture with a mask was measured in this run."
        best = measured[0] if measured[0]["method"] == FUSED else max(measured, key=lambda line: line["f1"])
        text = (
            f"On {best['pictures']} edited pictures as they are, {best['method']} reaches a pixel F1 of {best['f1']:.2f} at "
            f"the fixed threshold 0.5 (95 % interval {best['f1_low']:.2f} to {best['f1_high']:.2f} over pictures)."
        )
        if best["alarms"] is not None:
            text += f" It calls an edit in {share(best['alarms'], 1)} of {best['authentic']} authentic pictures."
        return text
