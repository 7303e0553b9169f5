from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.reporting import samples
from veriscope.evidence import Report
from veriscope.reporting import json_schema
from veriscope.reporting.schema import schema_text

DOCS = Path(__file__).parents[2] / "docs"
MEND = "run: python -m veriscope.reporting.schema docs/report.schema.json"


def test_the_committed_schema_is_current() -> None:
    assert (DOCS / "report.schema.json").read_text(encoding="utf-8") == schema_text(), MEND


def test_the_command_writes_it(tmp_path: Path) -> None:
    target = tmp_path / "schema.json"
    command = [sys.executable, "-W", "error", "-m", "veriscope.reporting.schema", str(target)]
    subprocess.run(command, check=True, timeout=60)
    assert json.loads(target.read_text(encoding="utf-8")) == json_schema()


def test_every_key_of_a_report_is_in_the_schema() -> None:
    written = json.loads(samples.generated().to_json())
    schema = json_schema()
    assert set(written) == set(schema["properties"]) == set(schema["required"])
    assert written["schema"] == 1


def test_the_example_in_the_guide_is_a_report() -> None:
    guide = (DOCS / "report.md").read_text(encoding="utf-8")
    example = guide.split("```json\n")[1].split("```")[0]
    assert json.loads(Report.from_json(example).to_json()) == json.loads(example)


def test_the_guide_names_every_key() -> None:
    guide = (DOCS / "report.md").read_text(encoding="utf-8")
    schema = json_schema()
    keys = set(schema["properties"])
    for part in schema["$defs"].values():
        keys |= set(part.get("properties", {}))
    assert not {key for key in keys if f"`{key}`" not in guide}
