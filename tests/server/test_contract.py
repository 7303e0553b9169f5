"""The API keeps what its OpenAPI document says, whatever is sent: schemathesis finds no server error."""

import json

import pytest

from tests.server.conftest import running
from veriscope.evidence import Report
from veriscope.reporting import json_schema
from veriscope.server.app import create_app
from veriscope.server.settings import Settings

schemathesis = pytest.importorskip("schemathesis", reason="needs the extra: test")
from hypothesis import HealthCheck, settings  # noqa: E402

EXAMPLES = 8  # requests an operation, of each phase


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """A server whose jobs wait, so that requests for one examination soon say that it is not done."""
    made = Settings(
        tmp_path_factory.mktemp("contract"), workers=0, wait_seconds=0.0, rate=100_000, hosts=("testserver",)
    )
    with running(made, work=False) as client:
        yield client


@pytest.fixture
def contract(client):
    """The API's schema as schemathesis reads it."""
    return schemathesis.openapi.from_asgi("/api/v1/openapi.json", client.app)


schema = schemathesis.pytest.from_fixture("contract")


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_no_server_error(case):
    response = case.call()
    assert response.status_code < 500 or response.status_code in (501, 503, 504), response.text
    if response.status_code >= 400:
        problem = json.loads(response.content)
        assert {"type", "title", "status", "detail", "code"} <= problem.keys()
        assert problem["status"] == response.status_code


def test_the_report_in_the_document_is_the_report_of_the_command_line(client):
    document = client.get("/api/v1/openapi.json").json()
    schemas = document["components"]["schemas"]
    own = json_schema()
    for name, found in (("Report", own), *own["$defs"].items()):
        assert schemas[name]["properties"].keys() == found["properties"].keys()
    answer = document["paths"]["/api/v1/examine"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer == {"$ref": "#/components/schemas/Report"}
    assert set(Report.model_json_schema(by_alias=True)["properties"]) == set(schemas["Report"]["properties"])


def test_every_route_is_described_and_told_apart(tmp_path):
    app = create_app(Settings(tmp_path, workers=0))
    document = app.openapi()
    names = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names))
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (path, method)
            if path.startswith("/api"):
                assert {"4XX", "5XX"} <= operation["responses"].keys()
    assert {
        ("/api/v1/examine", "post"),
        ("/api/v1/jobs", "post"),
        ("/api/v1/index/search", "post"),
        ("/api/v1/index/add", "post"),
        ("/api/v1/watermark/embed", "post"),
        ("/api/v1/watermark/detect", "post"),
    } <= {(path, method) for path, operations in document["paths"].items() for method in operations}
    app.state.service.database.close()
