"""The results of ``bench-watermarks`` and ``attack-watermark`` as JSON, and of the first as one static page without network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from veriscope.lab.benchmark.leaderboard import rendered
from veriscope.lab.benchmark.watermark_figures import UNMARKED
from veriscope.lab.recipes.recipe import write_json
from veriscope.reporting.files import write_atomically

FEW = 100  # pictures, below which the page says that its figures are a trial
Table = dict[str, Any]


def publish(tables: Table, out: Path) -> None:
    """Write ``watermarks.json`` and ``watermarks.html``.

    Raises:
        VeriscopeError: a file cannot be written.
    """
    write_json(out / "watermarks.json", tables)
    write_atomically(out / "watermarks.html", render(tables).encode("utf-8", "replace"))


def render(tables: Table) -> str:
    """The page of a run's tables."""
    return rendered("watermarks.html.j2", tables, _View(tables))


class _View:
    """A run's tables as the page shows them."""

    def __init__(self, tables: Table) -> None:
        self.tables = tables
        self.absent: list[Table] = tables["absent"]
        self.left_out: list[str] = tables["left_out"]
        self.lengths: list[int] = list(dict.fromkeys(line["bits"] for line in tables["schemes"]))
        self.few = max((line["pictures"] for line in tables["schemes"]), default=0) < FEW

    def schemes(self, bits: int) -> list[Table]:
        """The schemes of one payload length."""
        return [line for line in self.tables["schemes"] if line["bits"] == bits]

    def rows(self, bits: int) -> list[tuple[str, int, list[Table | None]]]:
        """By attack: its name, how many pictures, and the line of each scheme."""
        names = [line["scheme"] for line in self.schemes(bits)]
        lines = {(line["attack"], line["scheme"]): line for line in self.tables["attacks"] if line["bits"] == bits}
        found = []
        for attack in dict.fromkeys(attack for attack, _ in lines):
            here = [lines.get((attack, name)) for name in names]
            found.append((attack, max(line["pictures"] for line in here if line), here))
        return found

    def is_marked(self, attack: str) -> bool:
        """Whether the pictures of this row carry a mark."""
        return attack != UNMARKED
