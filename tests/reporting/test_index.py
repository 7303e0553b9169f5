from __future__ import annotations

import re
import time
from pathlib import Path

from tests.reporting import samples
from tests.reporting.test_html import Page
from veriscope.evidence import Verdict
from veriscope.reporting import IndexRow, index_row, save_index
from veriscope.reporting.index import CANNOT_TELL, DECLARED_GENERATED, GENERATED_AT_1, GENERATED_AT_5, NOTHING_FOUND
from veriscope.reporting.overlay import jpeg, read_preview


def row(name: str, concern: float, log10_lr: float | None = 0.0, **more: object) -> IndexRow:
    values: dict[str, object] = {"headline": f"About {name}.", "state": "cannot tell", "declared": "", **more}
    return IndexRow(name=name, concern=concern, log10_lr=log10_lr, **values)  # type: ignore[arg-type]


def names(html: str) -> list[str]:
    return re.findall(r'<td class="name">.*?<bdi>(.*?)</bdi>', html)


def written(rows: list[IndexRow], folder: Path) -> str:
    save_index(rows, folder / "index.html")
    return (folder / "index.html").read_text(encoding="utf-8")


def test_most_concerning_first_and_errors_apart(tmp_path: Path) -> None:
    rows = [
        row("f no", NOTHING_FOUND, -2.0, state="no"),
        row("e cannot", CANNOT_TELL),
        row("d declared", DECLARED_GENERATED),
        row("broken", 0, None, error="It is not a picture."),
        row("c five", GENERATED_AT_5, 1.0, state="yes"),
        row("b one", GENERATED_AT_1, 1.5, state="yes"),
        row("a one, more", GENERATED_AT_1, 3.0, state="yes"),
    ]
    html = written(rows, tmp_path)
    assert names(html) == ["a one, more", "b one", "c five", "d declared", "e cannot", "f no"]
    failed = html[html.index('id="failed"') :]
    assert "broken" in failed
    assert "It is not a picture." in failed
    counts = [int(count) for count in re.findall(r"<li><(?:label|a)[^>]*><b>(\d+)</b>", html)]
    assert counts == [2, 1, 0, 1, 1, 1, 1]


def test_a_fraction_orders_within_a_level_and_does_not_leave_it(tmp_path: Path) -> None:
    rows = [
        row("less", GENERATED_AT_1 - 0.1, 5.0),
        row("more", GENERATED_AT_1 + 0.1),
        row("five", GENERATED_AT_5 + 0.1),
    ]
    html = written(rows, tmp_path)
    assert names(html) == ["more", "less", "five"]
    assert re.findall(r'data-group="(\d)"', html) == ["0", "0", "1"]


def test_rows_of_reports_are_ordered_by_what_they_say() -> None:
    order = [index_row(report).concern for report in (samples.generated(), samples.edited(), samples.cannot_tell())]
    order.append(index_row(samples.pristine()).concern)
    assert order == sorted(order, reverse=True)
    assert len(set(order)) == 4
    five = samples.cannot_tell()
    five.pixels["generated"] = Verdict(log10_lr=1.0, reliability=0.5, state="yes", fpr=0.05, says="")
    assert index_row(five).concern == GENERATED_AT_5
    declared = samples.generated()
    declared.pixels["generated"] = five.pixels["edited"]
    assert index_row(declared).concern == DECLARED_GENERATED
    assert index_row(declared).declared == "Generator tag: generated"


def test_hostile_rows_stay_text_and_links_stay_in_the_folder(tmp_path: Path) -> None:
    attacks = list(samples.HOSTILE_STRINGS.values())
    rows = [
        row(text, 1, headline=text, declared=text, state=text, href=text, thumbnail=b"<svg onload=x>")
        for text in attacks
    ]
    rows += [row(text, 1, error=text) for text in attacks]
    rows.append(row("x", 1, href="//attacker.example/x"))
    page = Page(written(rows, tmp_path))
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert len(page.scripts) == 1
    assert not {"svg", "img", "link"} & {tag for tag, _ in page.tags}
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert all(re.fullmatch(r"#failed|\./[\w%./~-]*", link) for link in links)
    assert "./attacker.example/x" in links


def test_links_and_thumbnails(tmp_path: Path) -> None:
    picture = read_preview(samples.pristine().preview)
    assert picture is not None
    html = written([row("a", 1, href="reports/50% #1.html", thumbnail=jpeg(picture.resize((80, 60))))], tmp_path)
    assert 'href="./reports/50%25%20%231.html"' in html
    assert 'src="data:image/jpeg;base64,' in html


def test_ten_thousand_rows(tmp_path: Path) -> None:
    rows = [
        row(f"{number:05d}.jpg", number % 5 - 1, number / 5000, thumbnail=b"\xff\xd8\xff" * 2000)
        for number in range(10_000)
    ]
    started = time.monotonic()
    html = written(rows, tmp_path)
    assert len(names(html)) == 10_000
    assert "data:image" not in html
    assert len(html) < 8_000_000
    assert time.monotonic() - started < 15


def test_an_empty_run(tmp_path: Path) -> None:
    assert "Every file could be examined." in written([], tmp_path)
