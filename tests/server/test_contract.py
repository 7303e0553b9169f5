"""The API keeps what its OpenAPI document says, whatever is sent: schemathesis finds no server error."""

import contextlib
import json

import pytest

from tests.server.conftest import running
from veriscope.evidence import Report
from veriscope.reporting import json_schema
from veriscope.server.app import create_app
from veriscope.server.settings import Settings

schemathesis = pytest.importorskip("schemathesis", reason="needs the extra: test")
from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis.errors import Unsatisfiable  # noqa: E402

EXAMPLES = 8  # requests an operation, of each phase


def waiting(tmp_path_factory):
    """Settings of a server whose jobs wait, so that requests for one examination soon say that it is not done."""
    data = tmp_path_factory.mktemp("contract")
    return Settings(data, workers=0, wait_seconds=0.0, rate=100_000, hosts=("testserver",))


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with running(waiting(tmp_path_factory), work=False, base_url="http://testserver") as client:
        yield client


@pytest.fixture
def contract(tmp_path_factory):
    """The API's schema, of a server that schemathesis itself starts and stops."""
    return schemathesis.openapi.from_asgi("/api/v1/openapi.json", create_app(waiting(tmp_path_factory)))


@pytest.mark.parametrize("sent", list(schemathesis.GenerationMode), ids=lambda mode: mode.value)
def test_no_server_error(contract, sent):
    """What the document allows, and what it forbids."""
    asked, answers = set(), set()
    for result in contract.get_all_operations():
        operation = result.ok()

        @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
        @given(case=operation.as_strategy(sent))
        def keeps(case):
            asked.add(case.operation.label)
            response = case.call()
            answers.add(response.status_code)
            assert response.status_code < 500 or response.status_code in (501, 503, 504), response.text
            if response.status_code >= 400:
                problem = json.loads(response.content)
                assert {"type", "title", "status", "detail", "code"} <= problem.keys()
                assert problem["status"] == response.status_code

        with contextlib.suppress(Unsatisfiable):  # there is no wrong request of an operation that takes nothing
            keeps()
    assert len(asked) > 15
    assert answers & {200, 202}
    assert answers & {400, 404, 415, 422}


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
