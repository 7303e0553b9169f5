"""Who gets in, from where, and how often."""

import io
import json
import logging
import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.server.conftest import running
from tests.server.test_api import send
from veriscope.cli import main
from veriscope.errors import VeriscopeError
from veriscope.server import fetching
from veriscope.server.accounts import Accounts
from veriscope.server.app import create_app
from veriscope.server.database import Database
from veriscope.server.guards import POLICY
from veriscope.server.problems import ProblemError
from veriscope.server.settings import Settings
from veriscope.server.storage import Storage

TOKEN = "a-long-enough-token-for-tests"
PASSWORD = "correct horse battery"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def team(settings):
    """A server with three users; their cookies are those of the fixture's ``sign_in``."""
    database = Database(settings.made().url)
    database.migrate()
    for role in ("viewer", "examiner", "admin"):
        Accounts(database).add_user(role, PASSWORD, role)
    database.close()
    with running(settings, work=False) as client:
        yield client


def sign_in(client, name, password=PASSWORD, **fields):
    csrf = client.app.state.service.csrf
    return client.post("/login", data={"name": name, "password": password, "csrf": csrf, **fields})


def session_csrf(client):
    (cookie,) = client.cookies.jar
    return client.app.state.service.accounts.session(cookie.value).csrf


# Who may reach it


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.2", "::", "example.org", ""])
def test_off_loopback_it_needs_users_or_a_token(tmp_path, host, capsys):
    with pytest.raises(VeriscopeError, match="neither users nor a token"):
        create_app(Settings(tmp_path, host=host))
    assert main(["serve", "--host", host, "--port", "0", "--data", str(tmp_path), "--no-browser"]) == 2
    assert "neither users nor a token" in capsys.readouterr().err
    create_app(Settings(tmp_path, host=host, token=TOKEN)).state.service.database.close()
    with pytest.raises(VeriscopeError, match="at least 16"):
        create_app(Settings(tmp_path, host=host, token="short"))


def test_a_token_lets_in_and_nothing_else_does(tmp_path, photograph):
    with running(Settings(tmp_path, workers=0, token=TOKEN), work=False) as client:
        assert client.get("/api/v1/jobs").status_code == 401
        assert client.get("/api/v1/jobs").headers["www-authenticate"].startswith("Bearer")
        assert client.get("/metrics").status_code == 401
        for wrong in ("Bearer wrong", "Basic " + TOKEN, "Bearer", "Bearer " + TOKEN[:-1]):
            answer = client.get("/api/v1/jobs", headers={"Authorization": wrong})
            assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in")
        assert client.get("/api/v1/jobs", headers=BEARER).status_code == 200
        assert send(client, photograph, "/api/v1/jobs").status_code == 401
        assert send(client, photograph, "/api/v1/jobs", headers=BEARER).status_code == 202
        assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "evil.example:8000", ""])
def test_another_name_for_loopback_is_refused(idle, host):
    answer = idle.get("/api/v1/jobs", headers={"host": host})
    assert (answer.status_code, answer.json()["code"]) == (421, "wrong_host")
    for known in ("localhost:1", "127.0.0.1", "[::1]:8000"):
        assert idle.get("/api/v1/jobs", headers={"host": known}).status_code == 200


def test_a_page_of_another_site_changes_nothing(idle, photograph):
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        answer = send(idle, photograph, "/api/v1/jobs", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "cross_site")
    assert idle.get("/api/v1/jobs").json()["jobs"] == []
    own = {"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"}
    assert send(idle, photograph, "/api/v1/jobs", headers=own).status_code == 202


def test_every_answer_carries_its_policy(idle):
    for path in ("/api/v1/jobs", "/nowhere", "/healthz", "/api/v1/openapi.json"):
        headers = idle.get(path).headers
        assert headers["content-security-policy"] == POLICY
        assert "unsafe" not in POLICY
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in headers


# Accounts


def test_roles(team, photograph):
    assert team.get("/api/v1/jobs").status_code == 401
    may_send = {"viewer": 403, "examiner": 202, "admin": 202}
    for role, status in may_send.items():
        team.cookies.clear()
        answer = sign_in(team, role, next="/cases?page=2")
        assert (answer.status_code, answer.headers["location"]) == (303, "/cases?page=2")
        assert team.get("/api/v1/jobs").status_code == 200
        csrf = {"X-CSRF-Token": session_csrf(team)}
        assert send(team, photograph, "/api/v1/jobs", headers=csrf).status_code == status


def test_a_session_without_its_csrf_token_changes_nothing(team, photograph):
    sign_in(team, "admin")
    for headers in ({}, {"X-CSRF-Token": "wrong"}, {"X-CSRF-Token": team.app.state.service.csrf}):
        answer = send(team, photograph, "/api/v1/jobs", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "csrf")


def test_the_cookie_is_for_this_server_alone(team):
    cookie = sign_in(team, "admin").headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert sign_in(team, "admin", next="//evil.example").headers["location"] == "/"
    assert sign_in(team, "admin", next="https://evil.example").headers["location"] == "/"


def test_wrong_passwords_are_told_apart_from_nobody_and_end_in_a_pause(team):
    wrong = sign_in(team, "admin", "wrong password")
    nobody = sign_in(team, "nobody", "wrong password")
    assert wrong.headers["location"] == nobody.headers["location"] == "/login?failed=1&next=%2F"
    answers = [sign_in(team, "admin", "wrong password") for _ in range(12)]
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) > 0
    rows, total = team.app.state.service.audit.page()
    assert total >= 10
    assert {row.what for row in rows} == {"failed to sign in"}


def test_passwords_are_argon2_and_secrets_are_hashed(team):
    sign_in(team, "admin")
    (cookie,) = team.cookies.jar
    token = team.app.state.service.accounts.make_token("admin")
    assert team.get("/api/v1/jobs", headers={"Authorization": f"Bearer {token}"}, cookies=None).status_code == 200
    path = team.app.state.settings.data
    stored = b"".join(file.read_bytes() for file in path.glob("veriscope.sqlite3*"))
    assert b"$argon2id$" in stored
    for secret in (PASSWORD, cookie.value, token):
        assert secret.encode() not in stored


def test_sessions_end(team):
    accounts = team.app.state.service.accounts
    sign_in(team, "viewer")
    assert team.get("/api/v1/jobs").status_code == 200
    accounts.set_password("viewer", "another password")
    assert team.get("/api/v1/jobs").status_code == 401
    sign_in(team, "viewer", "another password")
    accounts.disable("viewer")
    assert team.get("/api/v1/jobs").status_code == 401
    with pytest.raises(VeriscopeError, match="nobody would be left"):
        accounts.set_role("admin", "viewer")
    with pytest.raises(VeriscopeError, match="nobody would be left"):
        accounts.remove("admin")


def test_signing_out(team):
    sign_in(team, "viewer")
    csrf = session_csrf(team)
    assert team.post("/logout", data={"csrf": "wrong"}).status_code == 403
    (cookie,) = team.cookies.jar
    assert team.post("/logout", data={"csrf": csrf}).status_code == 303
    assert team.app.state.service.accounts.session(cookie.value) is None


def test_users_on_the_command_line(tmp_path, monkeypatch, capsys):
    data = ["--data", str(tmp_path)]

    def users(*words, typed=""):
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        code = main(["users", *words, *data])
        out = capsys.readouterr()
        return code, out.out + out.err

    assert users("add", "ada", "--role", "admin", typed=PASSWORD + "\n")[0] == 0
    assert users("add", "ada", typed=PASSWORD)[1].endswith("there is such a user already\n")
    assert users("add", "bob", typed="short")[0] == 2
    assert users("add", "../x", typed=PASSWORD)[0] == 2
    assert users("add", "bob", typed=PASSWORD)[0] == 0
    assert re.search(r"ada\tadmin.*\nbob\texaminer", users("list")[1])
    assert users("role", "bob", "viewer")[0] == 0
    token = users("token", "bob")[1].strip()
    assert users("remove", "nobody")[0] == 2
    with running(Settings(tmp_path, workers=0, host="0.0.0.0"), work=False) as client:
        headers = {"Authorization": f"Bearer {token}"}
        assert client.get("/api/v1/jobs").status_code == 401
        assert client.get("/api/v1/jobs", headers=headers).status_code == 200
        assert send(client, b"x", "/api/v1/jobs", headers=headers).status_code == 403
        assert users("remove", "bob")[0] == 0
        assert client.get("/api/v1/jobs", headers=headers).status_code == 401


# How often, and what is said of it


def test_too_many_uploads_are_told_to_wait(tmp_path, photograph):
    with running(Settings(tmp_path, workers=0, rate=6, concurrent=3), work=False) as client:
        codes = [send(client, photograph, "/api/v1/jobs").status_code for _ in range(5)]
        assert codes == [202, 202, 202, 429, 429]
        answer = send(client, photograph, "/api/v1/jobs")
        assert answer.json()["code"] == "rate_limited"
        assert int(answer.headers["retry-after"]) >= 1


def test_too_many_at_once_are_told_to_wait(tmp_path, photograph):
    settings = Settings(tmp_path, workers=0, concurrent=1, wait_seconds=3)
    with running(settings, work=False) as client:
        first = threading.Thread(target=send, args=(client, photograph))
        first.start()
        while not client.get("/api/v1/jobs").json()["jobs"]:
            pass
        answer = send(client, photograph)
        first.join()
        assert (answer.status_code, answer.json()["code"]) == (429, "too_many_at_once")


def test_the_log_holds_neither_names_nor_pictures(idle, photograph, caplog):
    with caplog.at_level(logging.INFO, "veriscope.server"):
        send(idle, photograph, "/api/v1/jobs", name="a-secret-name.jpg", headers={"Idempotency-Key": "secret-key"})
    from veriscope.server.logs import JsonFormatter

    lines = [json.loads(JsonFormatter().format(record)) for record in caplog.records]
    (line,) = [line for line in lines if line["event"] == "request"]
    assert (line["method"], line["path"], line["status"]) == ("POST", "/api/v1/jobs", 202)
    assert "secret" not in json.dumps(lines)


# Fetching


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "100.64.0.1",
        "224.0.0.1",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
    ],
)
def test_private_addresses(address):
    assert not fetching.is_public(address)


def test_urls_are_off_unless_switched_on(idle):
    answer = idle.post("/api/v1/examine", json={"url": "http://example.org/a.jpg"})
    assert (answer.status_code, answer.json()["code"]) == (403, "urls_off")


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://127.0.0.1/a.jpg", "address_not_public"),
        ("http://localhost/a.jpg", "address_not_public"),
        ("http://[::ffff:127.0.0.1]/a.jpg", "address_not_public"),
        ("http://2130706433/a.jpg", "address_not_public"),
        ("http://169.254.169.254/latest", "address_not_public"),
        ("http://93.184.216.34:22/", "address_not_allowed"),
        ("file:///etc/passwd", "address_not_allowed"),
        ("gopher://example.org/", "address_not_allowed"),
        ("http://me:pw@93.184.216.34/", "address_not_allowed"),
        ("http://93.184.216.34/\r\nHost: x", "address_not_allowed"),
        ("nonsense", "address_not_allowed"),
    ],
)
def test_what_is_never_fetched(tmp_path, url, code):
    with running(Settings(tmp_path, workers=0, allow_urls=True), work=False) as client:
        answer = client.post("/api/v1/jobs", json={"url": url})
        assert (answer.status_code, answer.json()["code"]) == (422, code)


class _Site(BaseHTTPRequestHandler):
    def do_GET(self):
        where, _, what = self.path.partition("/to/")
        if what:
            self.send_response(302)
            self.send_header("Location", what)
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"p" * (10 if where != "/large.jpg" else 5000))

    def log_message(self, *_):
        pass


@pytest.fixture
def site(monkeypatch):
    """A site on this machine that stands for a public one: 127.0.0.1 counts as public, and nothing else does."""
    server = HTTPServer(("127.0.0.1", 0), _Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setitem(fetching.PORTS, "http", server.server_port)
    monkeypatch.setattr(fetching, "is_public", lambda address: address == "127.0.0.1")
    yield "http://127.0.0.1"
    server.shutdown()
    server.server_close()


def test_fetching(site, tmp_path):
    storage = Storage(tmp_path)
    upload = fetching.fetch(f"{site}/folder/cat.jpg?x=1", storage, 1000)
    assert (upload.name, upload.bytes, upload.path.read_bytes()) == ("cat.jpg", 10, b"p" * 10)
    assert fetching.fetch(f"{site}/to//cat.jpg", storage, 1000).name == "cat.jpg"
    for path, code in (
        ("/large.jpg", "too_large"),
        ("/to/http://10.0.0.1/x.jpg", "address_not_public"),
        ("/to/file:///etc/passwd", "address_not_allowed"),
        ("/to//to//to//to//to//cat.jpg", "not_fetched"),
    ):
        with pytest.raises(ProblemError) as caught:
            fetching.fetch(site + path, storage, 1000)
        assert caught.value.code == code
    assert len(list(storage.incoming.iterdir())) == 2


def test_a_name_that_also_leads_inside_is_refused(monkeypatch):
    rows = [(2, 1, 6, "", ("93.184.216.34", 80)), (2, 1, 6, "", ("10.0.0.1", 80))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: rows)
    with pytest.raises(ProblemError, match="not public"):
        fetching.public_address("rebinding.example", 80)
