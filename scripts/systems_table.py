"""Write docs/systems.md: the systems of the field beside what this project has of each.

    python scripts/systems_table.py --systems systems.tsv

What the field has comes from the TSV (columns n, short name, pillar, headline result, ...), which is no part of the
repository; what this project has from docs/systems_state.csv (n, state, command, ours, data_difference), which is.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"
STATES = ("works", "partial", "context only", "later")
INTRODUCTION = """\
# The systems of the field, and what is here of each

One row for each published system, data set or study that this project means to answer to. Most are not here yet, and
the table says so. Written by `python scripts/systems_table.py --systems PATH` from the project's list of systems and
from [systems_state.csv](systems_state.csv); edit that file, not this one.

| state | what it means | rows |
| --- | --- | --- |
{counts}

The paper's figure is the paper's, on its own data: it is quoted for orientation and is never ours. "–" stands where a
paper's abstract gives none, and where there is no figure of ours.

Some of what works today is on no row, because it is older than these systems or is a standard: what the file declares
(`veriscope examine PATH --declared-only`: content credentials, generator tags, metadata), the JPEG history, and the
map of double quantisation (`veriscope examine PATH --with double_quantisation`).

| n | system | pillar | state | command | our figure | the paper's figure | how the data differ; what is missing |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""
MEANINGS = {
    "works": "a user can run it, and our figure stands beside the paper's",
    "partial": "part of its idea is in something a user can run; it is not a reproduction",
    "context only": "read, and nothing to build: a survey, a policy paper, or a generator outside this tool's questions",
    "later": "a later version, in the pillar that is named",
}


def cell(text: str) -> str:
    """Text that stays inside one cell of a Markdown table.

    >>> cell(" a | b\\n<c> ")
    'a \\\\| b &lt;c>'
    """
    return " ".join(text.split()).replace("<", "&lt;").replace("|", "\\|") or "–"


def paper_figure(headline: str) -> str:
    """The headline result; a dash alone, or before a remark in brackets, says that there is none."""
    remark = headline.removeprefix("-").strip()
    return f"– {remark}" if headline.startswith("-") and remark else remark


def table(systems: Path, states: Path) -> str:
    """The whole page.

    Raises:
        SystemExit: the two files do not list the same systems, or a state is unknown.
    """
    with systems.open(newline="", encoding="utf-8") as file:
        field = {row["n"]: row for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)}
    with states.open(newline="", encoding="utf-8") as file:
        ours = {row["n"]: row for row in csv.DictReader(file)}
    if field.keys() != ours.keys():
        raise SystemExit(f"not in both files: {sorted(field.keys() ^ ours.keys(), key=int)}")
    if unknown := {row["state"] for row in ours.values()} - set(STATES):
        raise SystemExit(f"unknown states: {sorted(unknown)}")
    number = Counter(row["state"] for row in ours.values())
    counts = "\n".join(f"| {state} | {MEANINGS[state]} | {number[state]} |" for state in STATES)
    lines = []
    for n in sorted(field, key=int):
        system, own = field[n], ours[n]
        later = own["state"] == "later"
        command = own["command"] and f"`{own['command']}`"
        cells = [n, system["short name"], system["pillar"], f"later ({system['pillar']})" if later else own["state"]]
        cells += [command, own["ours"], paper_figure(system["headline result"]), own["data_difference"]]
        lines.append("| " + " | ".join(map(cell, cells)) + " |")
    return INTRODUCTION.format(counts=counts) + "\n".join(lines) + "\n"


def main() -> None:
    """Read the arguments and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--systems", type=Path, required=True, help="the list of systems, tab-separated")
    parser.add_argument("--states", type=Path, default=DOCS / "systems_state.csv")
    parser.add_argument("--out", type=Path, default=DOCS / "systems.md")
    options = parser.parse_args()
    options.out.write_text(table(options.systems, options.states), encoding="utf-8")


if __name__ == "__main__":
    main()
