from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from pypdf import PdfReader

from tests.reporting import samples
from veriscope.evidence import Report
from veriscope.reporting import save_pdf


def read(report: Report, folder: Path) -> PdfReader:
    save_pdf(report, folder / "report.pdf")
    return PdfReader(io.BytesIO((folder / "report.pdf").read_bytes()))


@pytest.mark.parametrize("name", ["generated", "cannot_tell", "pristine", "edited"])
def test_holds_the_report(name: str, tmp_path: Path) -> None:
    report = samples.every()[name]
    reader = read(report, tmp_path)
    pages = [re.sub(r"\s+", " ", page.extract_text()) for page in reader.pages]
    text = " ".join(pages)
    said = [report.headline, *(v.says for v in report.pixels.values()), *(row.says for row in report.evidence)]
    for sentence in [*said, *(item.says for item in report.declares), report.software.command]:
        assert sentence in text
    for number, page in enumerate(pages, 1):
        assert f"SHA-256 {report.file.sha256}" in page
        assert f"page {number} of {len(pages)}" in page
    assert sum(len(page.images) for page in reader.pages) == 1 + sum(row.map is not None for row in report.evidence)


def test_hostile_text_becomes_text(tmp_path: Path) -> None:
    reader = read(samples.hostile(), tmp_path)
    text = "".join(page.extract_text() for page in reader.pages)
    assert "<script>alert('veriscope-attack')</script>" in text
    assert "□" in text
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e]", text)
    assert not [page for page in reader.pages if page.get("/Annots")]
    assert len(reader.pages) < 15
