"""The HTTP API on real pictures."""

import json
import sqlite3

import pytest

from tests.server.conftest import PHOTOGRAPH, running
from veriscope.evidence import Report
from veriscope.server.worker import work_once

DECLARED = {"declared_only": "true"}


def send(client, data, path="/api/v1/examine", name="cat.jpg", params=DECLARED, **more):
    return client.post(path, params=params, files={"file": (name, data, "image/jpeg")}, **more)


def test_examine_gives_the_report_of_the_command_line(client, capsys):
    from veriscope.cli import main

    assert main(["examine", str(PHOTOGRAPH), "--with", "error_level", "--with", "grid", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    answer = send(client, PHOTOGRAPH.read_bytes(), name="photograph.jpg", params={"detectors": ["error_level", "grid"]})
    assert answer.status_code == 200
    given = answer.json()
    Report.model_validate(given)
    for values in (told, given):
        for varying in ("seconds", "created"):
            del values[varying]
        del values["software"]["command"]
        for row in values["evidence"]:
            del row["seconds"]
    assert given == told
    assert any(row["map"] for row in given["evidence"])
    again = client.get(answer.headers["location"])
    assert again.json() == answer.json()
    number = 1 + [row["map"] is not None for row in given["evidence"] if row["map"]].index(True)
    found = client.get(f"{answer.headers['location']}/maps/{number}")
    assert found.headers["content-type"] == "image/png"
    assert found.content.startswith(b"\x89PNG")
    assert client.get(f"{answer.headers['location']}/html").text.lower().startswith("<!doctype html>")
    assert client.get(f"{answer.headers['location']}/pdf").content.startswith(b"%PDF")


def test_a_picture_can_be_the_body_itself(client, photograph):
    answer = client.post(
        "/api/v1/examine",
        params={**DECLARED, "name": "dog.jpg"},
        content=photograph,
        headers={"content-type": "image/jpeg"},
    )
    assert answer.status_code == 200
    assert answer.json()["file"]["name"] == "dog.jpg"
    assert answer.json()["file"]["bytes"] == len(photograph)


def test_what_is_not_a_picture_is_a_problem_with_a_code(client):
    answer = send(client, b"no picture at all", name="x<y>.jpg")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == "unreadable_picture"
    assert problem["status"] == 422
    assert "text, not a picture" in problem["detail"]
    job = client.get(f"/api/v1/jobs/{problem['job']}").json()
    assert (job["state"], job["code"], job["tries"]) == ("failed", "unreadable_picture", 1)


def test_jobs_for_many(idle, photograph):
    files = [("files", (f"{number}.jpg", photograph, "image/jpeg")) for number in range(3)]
    answer = idle.post("/api/v1/jobs", params=DECLARED, files=files)
    assert answer.status_code == 202
    jobs = answer.json()["jobs"]
    assert [job["name"] for job in jobs] == ["0.jpg", "1.jpg", "2.jpg"]
    assert {job["state"] for job in jobs} == {"waiting"}
    assert [idle.get(f"/api/v1/jobs/{job['id']}").json()["position"] for job in jobs] == [0, 1, 2]
    while work_once(idle.app.state.settings):
        pass
    done = [idle.get(f"/api/v1/jobs/{job['id']}").json() for job in jobs]
    assert {job["state"] for job in done} == {"done"}
    assert [idle.get(job["report"]).json()["file"]["name"] for job in done] == ["0.jpg", "1.jpg", "2.jpg"]


def test_lists_are_paged_by_cursor(idle, photograph):
    files = [("files", (f"{number}.jpg", photograph, "image/jpeg")) for number in range(5)]
    batch = idle.post("/api/v1/jobs", params=DECLARED, files=files).json()["batch"]
    seen, cursor = [], ""
    while cursor is not None:
        page = idle.get("/api/v1/jobs", params={"limit": 2, "cursor": cursor, "batch": batch}).json()
        assert len(page["jobs"]) <= 2
        seen += [job["name"] for job in page["jobs"]]
        cursor = page["next"]
    assert seen == [f"{number}.jpg" for number in (4, 3, 2, 1, 0)]
    assert idle.get("/api/v1/jobs", params={"limit": 0}).json()["code"] == "invalid_request"
    work_once(idle.app.state.settings)
    assert [row["name"] for row in idle.get("/api/v1/reports").json()["reports"]] == ["0.jpg"]


def test_an_idempotency_key_repeats_no_work(client, photograph):
    headers = {"Idempotency-Key": "k1"}
    first, second = (send(client, photograph, headers=headers) for _ in range(2))
    assert first.status_code == second.status_code == 200
    assert first.headers["location"] == second.headers["location"]
    assert len(client.get("/api/v1/jobs").json()["jobs"]) == 1
    other = send(client, photograph + b"more", headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert len(client.get("/api/v1/jobs").json()["jobs"]) == 1


def test_deleting_leaves_nothing(client, photograph, settings):
    location = send(client, photograph).headers["location"]
    job = location.rpartition("/")[2]
    assert list(settings.data.glob(f"pictures/*/{job}/original"))
    assert client.delete(f"/api/v1/jobs/{job}").status_code == 204
    assert client.get(location).json()["code"] == "no_such_report"
    assert client.get(f"/api/v1/jobs/{job}").json()["code"] == "no_such_job"
    assert not [path for path in settings.data.glob("pictures/**/*") if path.is_file()]
    rows = sqlite3.connect(settings.data / "veriscope.sqlite3")
    for table in ("pictures", "jobs", "reports", "maps"):
        assert rows.execute(f"select count(*) from {table}").fetchone() == (0,)


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        ({"files": {"file": ("a.jpg", b"x" * 2000)}}, 413, "too_large"),
        ({"files": [("files", (f"{n}.jpg", b"x")) for n in range(4)]}, 413, "too_many_files"),
        ({"data": {"quick": "true"}}, 422, "no_file"),
        ({"files": {"file": ("a.jpg", b"x")}, "data": {"colour": "red"}}, 422, "invalid_request"),
        ({"files": {"file": ("a.jpg", b"x")}, "data": {"quick": "perhaps"}}, 422, "invalid_request"),
        ({"content": b"{}", "headers": {"content-type": "text/csv"}}, 415, "unsupported_media_type"),
        (
            {"content": b"--b\r\nbroken", "headers": {"content-type": "multipart/form-data; boundary=b"}},
            400,
            "malformed_body",
        ),
        ({"content": b"", "headers": {"content-type": "multipart/form-data"}}, 400, "malformed_body"),
    ],
)
def test_bad_uploads_are_refused_and_leave_nothing(tmp_path, request_, status, code):
    from veriscope.server.settings import Settings

    settings = Settings(data=tmp_path, workers=0, max_bytes=1000, max_files=3)
    with running(settings, work=False) as client:
        answer = client.post("/api/v1/jobs", **request_)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert client.get("/api/v1/jobs").json()["jobs"] == []
    assert not list((tmp_path / "incoming").iterdir())
    assert not list((tmp_path / "pictures").iterdir())


def test_a_full_queue_says_when_to_come_again(tmp_path, photograph):
    from veriscope.server.settings import Settings

    with running(Settings(data=tmp_path, workers=0, waiting=2), work=False) as client:
        for _ in range(2):
            assert send(client, photograph, "/api/v1/jobs").status_code == 202
        answer = send(client, photograph, "/api/v1/jobs")
        assert (answer.status_code, answer.json()["code"]) == (429, "queue_full")
        assert int(answer.headers["retry-after"]) > 0


def test_names_lose_folders_and_control_characters(client, photograph):
    answer = send(client, photograph, name="../../etc/pass\twd.jpg")
    assert answer.json()["file"]["name"] in ("passwd.jpg", "pass%09wd.jpg")
