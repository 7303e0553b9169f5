"""What a report looks like as JSON, for programs that read it."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from veriscope.evidence import Report


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of what ``Report.to_json`` writes."""
    schema = Report.model_json_schema(by_alias=True, mode="serialization", schema_generator=_AllKeysWritten)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Veriscope report, version 1"}


class _AllKeysWritten(GenerateJsonSchema):
    """A report is written with all its keys, those with defaults too."""

    def field_is_required(self, field: Any, total: bool) -> bool:  # noqa: ARG002
        """Always."""
        return True
