"""A report in a terminal of 80 columns: three separate answers, then the evidence, then the file.

Everything a stranger may have written is cleaned by ``plain`` and printed as ``Text``, never as markup.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from veriscope.evidence import Declaration, EvidenceRow, Report, Sighting, Verdict
from veriscope.reporting import wording

_STATE_STYLES = {"yes": "bold red", "no": "bold green", "cannot tell": "bold cyan"}
_DECLARED_STYLES = {"contradiction": "bold red", "invalid": "bold red", "trusted": "bold green"}
_WIDTH = 80
_SCALE_CELLS = 33


def print_report(report: Report, console: Console | None = None) -> None:
    """Print a report.

    Args:
        report: what to print.
        console: where to; standard output by default. At most 80 of its columns are used.
    """
    page = _Page(console or Console())
    file = report.file
    page.line(Text(wording.plain(file.name, 200), "bold"))
    page.line(
        Text(
            f"{wording.plain(file.format, 40)}, {file.width} × {file.height} px, {wording.byte_size(file.bytes)}", "dim"
        )
    )
    page.gap()
    page.line(Text(wording.plain(report.headline, 600), "bold"), indent=2)

    page.title(wording.ANSWERS["declares"])
    for declaration in report.declares:
        _declaration(page, declaration)
    if not report.declares:
        page.line(Text(wording.NOTHING_DECLARED), indent=2)

    page.title(wording.ANSWERS["seen"])
    for sighting in report.seen or ():
        _sighting(page, sighting)
    if not report.seen:
        page.line(Text(wording.NOT_COMPARED if report.seen is None else wording.NOT_SEEN), indent=2)

    page.title(wording.ANSWERS["pixels"])
    for number, (question, verdict) in enumerate(report.pixels.items()):
        if number:
            page.gap()
        _verdict(page, question, verdict)
        if question == "edited" and report.explanation is not None:
            page.line(Text(wording.plain(report.explanation.says, 1200)), indent=4)
            for name, words in report.explanation.by_user_model.items():
                told = f"In the words of {wording.plain(name, 60)}, which nobody checked: {wording.plain(words, 2000)}"
                page.line(Text(told, "dim"), indent=4)
    if not report.pixels:
        page.line(Text(wording.NOT_ASKED), indent=2)

    _evidence(page, "Evidence that was weighed", [row for row in report.evidence if row.weighed])
    _evidence(
        page, "Exhibits (for your eye; they carry no weight)", [row for row in report.evidence if not row.weighed]
    )

    page.title("File and software")
    rows = [*wording.facts(report), ("Veriscope", wording.plain(report.software.veriscope, 40))]
    rows += [
        (f"Model {wording.plain(name, 40)}", wording.plain(version, 80))
        for name, version in report.software.models.items()
    ]
    if report.software.command:
        rows.append(("Command", wording.plain(report.software.command, 400)))
    rows.append(("Examined", f"{wording.moment(report.created)}, in {report.seconds:.1f} s"))
    for name, value in rows:
        page.line(Text.assemble((f"{name}: ", "dim"), value), indent=2, hanging=2)


def _declaration(page: _Page, declaration: Declaration) -> None:
    state = wording.plain(declaration.state, 30)
    page.line(
        Text.assemble(
            f"{wording.plain(wording.kind_title(declaration.kind), 40)} ",
            (f"[{state}]", _DECLARED_STYLES.get(state, "bold")),
            f" {wording.plain(declaration.says, 400)}",
        ),
        indent=2,
        hanging=4,
    )


def _sighting(page: _Page, sighting: Sighting) -> None:
    reference = (wording.plain(sighting.reference, 200), "bold")
    page.line(Text.assemble(reference, f" (score {sighting.score:.3g})"), indent=2, hanging=4)
    page.line(Text(wording.level(sighting)), indent=4)
    page.line(Text(wording.plain(sighting.says, 800)), indent=4)


def _verdict(page: _Page, question: str, verdict: Verdict) -> None:
    title = wording.plain(wording.question_title(question), 80)
    answer = wording.STATES[verdict.state]
    page.line(Text.assemble(f"{title} ", (answer.upper(), _STATE_STYLES[verdict.state])), indent=2)
    page.line(Text(wording.plain(verdict.says, 600)), indent=4)
    page.line(_scale(verdict.log10_lr, _STATE_STYLES[verdict.state]), indent=4)
    page.line(
        Text(
            f"log10 LR {wording.signed(verdict.log10_lr)}: {wording.support(verdict.log10_lr, question)}; "
            f"reliability {verdict.reliability:.2f}; {wording.operating_point(verdict)}".replace("\u00a0", "")
        ),
        indent=4,
    )


def _scale(log10_lr: float, style: str) -> Text:
    """The scale as a line: against on the left, for on the right, a mark where the ratio stands."""
    cells = ["─"] * _SCALE_CELLS
    for tick in range(0, _SCALE_CELLS, _SCALE_CELLS // 8):
        cells[tick] = "┬"
    cells[_SCALE_CELLS // 2] = "┼"
    mark = round(wording.scale_position(log10_lr) * (_SCALE_CELLS - 1))
    before, after = "".join(cells[:mark]), "".join(cells[mark + 1 :])
    return Text.assemble("against −4 ", (before, "dim"), ("●", style), (after, "dim"), " +4 for")


def _evidence(page: _Page, title: str, rows: Iterable[EvidenceRow]) -> None:
    listed = list(rows)
    if not listed:
        return
    page.title(title)
    for row in listed:
        figures = f"reliability {row.reliability:.2f}; score {row.score:.4g}"
        if row.weighed:
            figures = (
                f"log10 LR {wording.signed(row.log10_lr)}, {wording.support(row.log10_lr, row.question)}; {figures}"
            )
        if row.seconds and math.isfinite(row.seconds):
            figures += f"; {row.seconds:.2f} s"
        if row.map:
            figures += "; has a map"
        page.line(
            Text.assemble(
                (wording.plain(row.detector, 60), "bold"),
                f" {wording.plain(row.version, 40)}, {wording.plain(wording.question_word(row.question), 40)}",
            ),
            indent=2,
        )
        page.line(Text(wording.plain(row.says, 400)), indent=4)
        page.line(Text(figures, "dim"), indent=4)
        if row.reason:
            page.line(Text(f"Reliability: {wording.plain(row.reason, 300)}", "dim"), indent=4)


class _Page:
    """A console that takes whole paragraphs and never more columns or characters than it can show."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._width = max(20, min(_WIDTH, console.width))

    def line(self, text: Text, *, indent: int = 0, hanging: int | None = None) -> None:
        """One wrapped paragraph; its later lines stand at ``hanging`` where that is given."""
        text = self._encodable(text)
        hanging = indent if hanging is None else hanging
        lines = text.wrap(self._console, max(10, self._width - max(indent, hanging)))
        for number, line in enumerate(lines):
            line.rstrip()
            margin = Text(" " * (hanging if number else indent))
            self._console.print(
                margin + line, highlight=False, markup=False, emoji=False, no_wrap=True, overflow="fold"
            )

    def title(self, words: str) -> None:
        self.gap()
        self.line(Text(words.upper(), "bold"))

    def gap(self) -> None:
        self._console.print()

    def _encodable(self, text: Text) -> Text:
        encoding = self._console.encoding
        if "utf" in encoding.lower():
            return text
        swaps = str.maketrans(
            {"─": "-", "┬": "+", "┼": "|", "●": "O", "−": "-", "×": "x", "…": "~", "“": '"', "”": '"'}
        )
        safe = text.plain.translate(swaps).encode(encoding, "replace").decode(encoding)
        return Text(safe, text.style, spans=text.spans)
