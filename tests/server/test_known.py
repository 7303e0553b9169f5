"""A server with an index of known pictures: pictures are added, found again, and named in reports."""

from dataclasses import replace

import pytest

from tests.server.conftest import EXAMPLES, running

pytest.importorskip("lancedb", reason="needs the extra: index")


@pytest.fixture
def knowing(settings, tmp_path):
    with running(replace(settings, known=tmp_path / "known")) as made:
        yield made


def sent(client, path, name, **params):
    data = (EXAMPLES / name).read_bytes()
    answer = client.post(path, params=params, files={"file": (name, data, "image/jpeg")})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_an_added_picture_is_found_and_named_in_the_report(knowing):
    assert sent(knowing, "/api/v1/examine", "phone.jpg", declared_only=True)["seen"] is None
    added = sent(knowing, "/api/v1/index/add", "photograph.jpg", reference="the archive's copy")
    assert (added["added"], added["pictures"]) == (["the archive's copy"], 1)
    again = sent(knowing, "/api/v1/index/add", "photograph.jpg", reference="another name")
    assert (again["added"], again["pictures"]) == ([], 1)

    found = sent(knowing, "/api/v1/index/search", "spliced.jpg")
    assert found["query"] == "spliced.jpg"
    assert [match["reference"] for match in found["matches"]] == ["the archive's copy"]
    assert {"reference", "score", "level", "says"} <= set(found["matches"][0])
    assert sent(knowing, "/api/v1/index/search", "phone.jpg")["matches"] == []

    report = sent(knowing, "/api/v1/examine", "spliced.jpg", declared_only=True)
    assert [match["reference"] for match in report["seen"]] == ["the archive's copy"]
