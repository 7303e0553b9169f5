"""The command that writes the schema: ``python -m veriscope.reporting.schema docs/report.schema.json``."""

from __future__ import annotations

import json
import sys

from veriscope.reporting.contract import json_schema
from veriscope.reporting.files import write_atomically


def schema_text() -> str:
    """The schema as it stands in the committed file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m veriscope.reporting.schema FILE")
    write_atomically(sys.argv[1], schema_text().encode())
