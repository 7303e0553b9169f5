from __future__ import annotations

import doctest
import math
import re

from hypothesis import given
from hypothesis import strategies as st

from veriscope.reporting import wording


def test_doctests() -> None:
    result = doctest.testmod(wording)
    assert result.attempted >= 5
    assert result.failed == 0


@given(st.text(st.characters(codec=None)) | st.text("\x1b\x9b[]0;m\x07\\a\u202e\x00"))
def test_plain_is_one_harmless_line(text: str) -> None:
    shown = wording.plain(text)
    assert not re.search("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", shown)
    assert wording.plain(shown) == shown
    shown.encode()


def test_plain_keeps_ordinary_scripts() -> None:
    text = "Žluťoučký عربى 中文 हिन्दी 👩‍👧"
    assert wording.plain(text) == text


@given(st.floats())
def test_every_ratio_has_words_and_a_place(value: float) -> None:
    assert wording.signed(value)
    assert 0 <= wording.scale_position(value) <= 1
    words = wording.support(value)
    if math.isfinite(value) and abs(value) > 1:
        assert words.endswith("for" if value > 0 else "against")
        assert words.split(" support")[0] == wording.support(-value).split(" support")[0]


def test_the_words_are_those_of_the_enfsi_scale() -> None:
    ratios = {1.5: "no support either way", 5: "weak", 50: "moderate", 500: "moderately strong", 5000: "strong"}
    for ratio, words in {**ratios, 1e5: "very strong", 1e7: "extremely strong"}.items():
        assert wording.support(math.log10(ratio)).removesuffix(" support for") == words


def test_details_are_flat_and_bounded() -> None:
    rows = wording.detail_rows({"a": {"b": [1, 2]}, "c": [{"d": None}], "e": True})
    assert rows == [("a.b", "1, 2"), ("c 1.d", "none"), ("e", "yes")]
    assert len(wording.detail_rows({str(number): number for number in range(10_000)})) == 61
