"""What is told as it happens, and what an operator asks."""

import json

from tests.server.conftest import running
from tests.server.test_api import DECLARED, send
from veriscope.server.settings import Settings


def test_a_job_as_events(client, photograph):
    job = send(client, photograph, "/api/v1/jobs").json()["jobs"][0]
    answer = client.get(f"/api/v1/jobs/{job['id']}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [block.splitlines() for block in answer.text.strip().split("\n\n")]
    assert events[-1][0] == "event: end"
    last = json.loads(events[-2][1].removeprefix("data: "))
    assert (events[-2][0], last["id"], last["state"]) == ("event: job", job["id"], "done")
    assert client.get(f"/api/v1/jobs/{'0' * 32}/events").status_code == 404


def test_results_as_lines(client, photograph):
    files = [("files", ("a.jpg", photograph)), ("files", ("b.jpg", b"broken")), ("files", ("c.jpg", photograph))]
    batch = client.post("/api/v1/jobs", params=DECLARED, files=files).json()["batch"]
    answer = client.get("/api/v1/results", params={"batch": batch})
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    lines = {line["name"]: line for line in map(json.loads, filter(None, answer.text.split("\n")))}
    assert set(lines) == {"a.jpg", "b.jpg", "c.jpg"}
    assert lines["a.jpg"]["report"]["file"]["name"] == "a.jpg"
    assert lines["b.jpg"]["code"] == "unreadable_picture"
    assert client.get("/api/v1/results", params={"batch": "0" * 32}).status_code == 404


def test_a_case_as_events(client, photograph):
    service = client.app.state.service
    case = service.cases.create("A case", "me")
    path = service.storage.receive()
    path.write_bytes(photograph)
    from veriscope.server.uploads import Upload

    picture = service.cases.add_picture(case, Upload("a.jpg", path, len(photograph), "0" * 64), "me")
    answer = client.get(f"/api/v1/cases/{case}/events")
    assert "event: end" in answer.text
    (row,) = client.get(f"/api/v1/cases/{case}/progress").json()
    assert (row["picture_id"], row["state"]) == (picture.id, "done")


def test_alive_ready_and_measured(client, photograph):
    assert client.get("/healthz").json()["status"] == "ok"
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["ready"]) == (200, True)
    send(client, photograph)
    text = client.get("/metrics").text
    for line in (
        'veriscope_jobs_ended_total{kind="examine",state="done"} 1.0',
        'veriscope_requests_total{method="POST",route="/api/v1/examine",status="200"} 1.0',
        'veriscope_jobs{state="done"} 1.0',
        f"veriscope_upload_bytes_total {float(len(photograph))}",
    ):
        assert line in text
    client.app.state.service.draining.set()
    assert client.get("/readyz").status_code == 503
    answer = send(client, photograph)
    assert (answer.status_code, answer.json()["code"]) == (503, "stopping")


def test_without_a_worker_it_is_not_ready_and_a_request_is_not_for_ever(tmp_path, photograph):
    with running(Settings(tmp_path, workers=0, wait_seconds=0.1), work=False) as client:
        client.app.state.service.supervisor.settings = Settings(tmp_path, workers=1)
        client.app.state.service.settings = Settings(tmp_path, workers=1, wait_seconds=0.1)
        assert client.get("/readyz").json()["workers"] is False
        answer = send(client, photograph)
        assert (answer.status_code, answer.json()["code"]) == (504, "not_yet")
        assert client.get(f"/api/v1/jobs/{answer.json()['job']}").json()["state"] == "waiting"


def test_what_is_not_installed_says_so(idle, photograph):
    from veriscope.server.index_routes import _installed

    answer = send(idle, photograph, "/api/v1/index/search", params={})
    assert (answer.status_code, answer.json()["code"]) == (501, "no_index" if _installed() else "index_not_installed")
