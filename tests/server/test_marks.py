"""Watermarks over HTTP: what one request embeds, another reads; secrets never stand in an address."""

from tests.server.conftest import PHOTOGRAPH


def test_a_mark_is_embedded_and_read_again(client):
    sent = {"file": ("a.jpg", PHOTOGRAPH.read_bytes(), "image/jpeg")}
    marked = client.post("/api/v1/watermark/embed", files=sent, data={"message": "id 4711", "key": "a secret"})
    assert marked.status_code == 200, marked.text
    assert marked.content != sent["file"][1]

    copy = {"file": ("b.jpg", marked.content)}
    found = client.post("/api/v1/watermark/detect", files=copy, data={"key": "a secret"}).json()
    assert found["message"] == "id 4711"
    assert found["p_value"] < 1e-6
    other = client.post("/api/v1/watermark/detect", files=copy, data={"key": "another"}).json()
    assert other["message"] is None
    assert other["p_value"] > 1e-6


def test_a_message_that_does_not_fit_is_a_clear_refusal(client, photograph):
    sent = {"file": ("a.jpg", PHOTOGRAPH.read_bytes(), "image/jpeg")}
    answer = client.post("/api/v1/watermark/embed", files=sent, data={"message": "far too long a message", "key": "k"})
    assert 400 <= answer.status_code < 500
    assert "too long" in answer.text


def test_a_key_in_the_address_is_refused(client, photograph):
    answer = client.post("/api/v1/watermark/detect?key=secret", files={"file": ("a.jpg", photograph)})
    assert answer.json()["code"] == "secret_in_address"
