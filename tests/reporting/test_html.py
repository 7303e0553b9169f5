from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.reporting import samples
from veriscope.evidence import Report, Sighting
from veriscope.reporting import render_html, save_html

SOURCES = {"src", "href", "srcset", "action", "formaction", "data", "poster", "background", "xlink:href", "ping"}
OUR_ELEMENTS = """html head meta title style body div strong span main header p bdi h1 h2 h3 fieldset svg path legend img label
    input output i section ul li details summary table tbody tr th td figure figcaption b article button dl dt dd pre
    code footer script"""


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.scripts: list[tuple[dict[str, str], str]] = []
        self.styles = self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.tags.append((tag, attributes))
        if tag in ("script", "style"):
            self._open.append(tag)
        if tag == "script":
            self.scripts.append((attributes, ""))

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1] == tag:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open == ["script"]:
            attributes, text = self.scripts[-1]
            self.scripts[-1] = attributes, text + data
        elif self._open == ["style"]:
            self.styles += data
        else:
            self.text += data

    def policy(self) -> str:
        return next(
            a["content"] for t, a in self.tags if t == "meta" and a.get("http-equiv") == "Content-Security-Policy"
        )


@pytest.fixture(scope="module", params=list(samples.every()))
def case(request: pytest.FixtureRequest) -> tuple[Report, Page, str]:
    report = samples.every()[request.param]
    html = render_html(report)
    return report, Page(html), html


def test_only_our_own_elements_and_no_handlers(case: tuple[Report, Page, str]) -> None:
    _, page, _ = case
    assert {tag for tag, _ in page.tags} <= set(OUR_ELEMENTS.split())
    assert not [a for _, attributes in page.tags for a in attributes if a.startswith("on")]
    assert [attributes.get("type") for attributes, _ in page.scripts] == ["application/json", None]


def test_loads_nothing_but_data_pictures(case: tuple[Report, Page, str]) -> None:
    _, page, _ = case
    for tag, attributes in page.tags:
        for name in SOURCES & set(attributes):
            assert tag == "img"
            assert re.fullmatch(r"data:image/(png|jpeg);base64,[A-Za-z0-9+/=]+", attributes[name])
        assert "url(" not in attributes.get("style", "")
    assert "url(" not in page.styles
    assert "@import" not in page.styles


def test_the_policy_allows_the_one_script_and_no_network(case: tuple[Report, Page, str]) -> None:
    _, page, _ = case
    digest = base64.b64encode(hashlib.sha256(page.scripts[1][1].encode()).digest()).decode()
    rules = dict(rule.strip().split(" ", 1) for rule in page.policy().split(";"))
    assert rules == {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": "'unsafe-inline'",
        "script-src": f"'sha256-{digest}'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_embedded_json_is_the_report(case: tuple[Report, Page, str]) -> None:
    report, page, _ = case
    again = Report.from_json(page.scripts[0][1])
    assert again.to_json() == report.to_json()


def test_says_what_the_report_says(case: tuple[Report, Page, str]) -> None:
    report, page, _ = case
    if report.file.name.startswith("\u202e"):
        return
    for words in (
        report.headline,
        report.file.name,
        report.file.sha256,
        report.software.command,
        *(verdict.says for verdict in report.pixels.values()),
        *(row.says for row in report.evidence),
        *(row.reason for row in report.evidence),
        *(item.says for item in report.declares),
    ):
        assert words in page.text
    assert page.text.count("Cannot tell") >= sum(v.state == "cannot tell" for v in report.pixels.values())
    maps = [row for row in report.evidence if row.map]
    assert sum("heat" in a.get("class", "").split() for _, a in page.tags) == len(maps)


def test_hostile_text_is_shown_but_neither_controls_nor_reorders() -> None:
    html = render_html(samples.hostile())
    page = Page(html)
    assert samples.HOSTILE_STRINGS["script"] in page.text
    assert samples.HOSTILE_STRINGS["template"] in page.text
    shown = html[: html.index('<script type="application/json"')]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
    assert "A" * 1001 not in page.text


def test_maps_that_are_not_png_are_named_not_shown() -> None:
    page = Page(render_html(samples.hostile()))
    assert page.text.count("Its map cannot be shown") == 3


def test_without_preview_the_maps_still_stand() -> None:
    report = Report.from_json(samples.edited().to_json())
    page = Page(render_html(report))
    assert "The picture itself is not part of this report" in page.text
    assert not [a for t, a in page.tags if t == "img" and a.get("class") == "photo"]


def test_every_control_has_a_label() -> None:
    page = Page(render_html(samples.edited()))
    labelled = {a["for"] for t, a in page.tags if t == "label" and "for" in a}
    for tag, attributes in page.tags:
        if tag == "input" and attributes["id"] != "grey":
            assert attributes["id"] in labelled


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_contrast_meets_wcag_aa(scheme: str) -> None:
    css = Page(render_html(samples.cannot_tell())).styles
    light, dark = re.findall(r":root \{(.*?)\}", css, re.S)[:2]
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", light))
    if scheme == "dark":
        colours |= dict(re.findall(r"--([\w-]+): (#\w{6})", dark))
    pairs = [(text, ground) for text in ("ink", "soft", "link") for ground in ("paper", "card", "well")]
    pairs += [(state, ground) for state in ("yes", "no", "open") for ground in (f"{state}-ground", "card", "paper")]
    for text, ground in pairs:
        assert _contrast(colours[text], colours[ground]) >= 4.5, (text, ground)


def _contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_saved_file_is_what_was_rendered(tmp_path: Path) -> None:
    save_html(samples.pristine(), tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == render_html(samples.pristine())


def test_a_match_has_its_difference_map_over_the_picture() -> None:
    report = samples.edited()
    drawn = next(row.map for row in report.evidence if row.map)
    match = Sighting(reference="archive/x.jpg", score=0.8, says="Known.", details={"difference_map": drawn, "level": 4})
    seen = report.model_copy(update={"seen": [match]})
    page, before = Page(render_html(seen)), Page(render_html(report))
    assert "Difference to archive/x.jpg" in page.text
    assert "Show the difference on the picture" in page.text
    assert "data:image" not in page.text
    heats = [sum("heat" in a.get("class", "").split() for _, a in one.tags) for one in (page, before)]
    assert heats[0] == heats[1] + 1


def test_what_saving_again_has_hidden_is_said_with_the_detectors_that_it_silenced() -> None:
    report = samples.edited()
    row = report.evidence[0].model_copy(
        update={"detector": "grain", "reliability": 0.1, "reason": "it was saved as JPEG at quality 30"}
    )
    other = row.model_copy(update={"detector": "shape", "reliability": 0.6})
    text = " ".join(Page(render_html(report.model_copy(update={"evidence": [row, other]}))).text.split())
    assert "It was saved as JPEG at quality 30. Nothing left to read for grain. Trusted less: shape." in text
