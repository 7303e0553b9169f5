"""What the HTML pages share: a Jinja environment that cleans and escapes everything, and the content policy."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from veriscope.reporting import answers, wording

_TEMPLATES = "templates"


def _clean(value: object) -> object:
    """Text without control characters and bidi overrides; markup of our own as it is."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return wording.plain(value, 20_000)
    return value


@cache
def environment(*packages: str) -> Environment:
    """The environment of all pages: autoescape on, every expression cleaned, no undefined names.

    Args:
        packages: further packages with a folder of templates, looked in first.
    """
    made = Environment(
        loader=ChoiceLoader([PackageLoader(name, _TEMPLATES) for name in (*packages, "veriscope.reporting")]),
        autoescape=True,
        finalize=_clean,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for function in (
        wording.plain,
        wording.signed,
        wording.support,
        wording.percent,
        wording.operating_point,
        wording.question_title,
        wording.question_word,
        wording.kind_title,
        wording.byte_size,
        wording.moment,
        wording.detail_rows,
        wording.level,
        wording.part,
        wording.level_chances,
        wording.match_dates,
        wording.scale_position,
    ):
        made.filters[function.__name__] = function
    made.globals["words"] = wording
    made.globals["brief"] = answers
    made.filters["trusted"] = Markup
    return made


@cache
def asset(*names: str) -> Markup:
    """Stylesheets or scripts of the package, joined, as they may stand in a page."""
    folder = resources.files("veriscope.reporting") / _TEMPLATES
    text = "\n".join((folder / name).read_text(encoding="utf-8") for name in names)
    return Markup(text.replace("\r\n", "\n"))  # noqa: S704 (the package's own files)


def content_policy(script: str) -> str:
    """A content security policy that allows one inline script, inline styles and data pictures, and no network."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )


def json_island(text: str) -> Markup:
    """JSON that can stand inside ``<script type="application/json">`` whatever its strings hold."""
    escapes: dict[str, str | int | None] = {
        "<": "\\u003c",
        ">": "\\u003e",
        "&": "\\u0026",
        "\u2028": "\\u2028",
        "\u2029": "\\u2029",
    }
    return Markup(text.translate(str.maketrans(escapes)))  # noqa: S704 (no character that HTML could act on is left)
