"""A server in this process, a worker in a thread of it, and pictures to send."""

import contextlib
import tempfile
import threading
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra: server")

from starlette.testclient import TestClient

from veriscope.server.app import create_app
from veriscope.server.settings import Settings
from veriscope.server.worker import Worker

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
PHOTOGRAPH = EXAMPLES / "photograph.jpg"
LOOPBACK = "http://127.0.0.1:8000"


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch):
    """Password hashes that cost little."""
    from argon2 import PasswordHasher

    from veriscope.server import accounts

    hasher = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    monkeypatch.setattr(accounts, "_hasher", hasher)
    monkeypatch.setattr(accounts, "_no_one", hasher.hash("x"))


@pytest.fixture(scope="session")
def photograph():
    """A small JPEG: some hundred bytes of header, some kilobytes of pixels."""
    import cv2
    import numpy as np

    pixels = cv2.resize(cv2.imread(str(PHOTOGRAPH)), (160, 120), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", np.ascontiguousarray(pixels))[1].tobytes()


@contextlib.contextmanager
def running(settings, *, work=True, base_url=LOOPBACK):
    """A client of a server with these settings, and jobs done by a thread unless not wanted."""
    app = create_app(settings)
    stop = threading.Event()

    def work_on():
        worker = Worker(app.state.settings, "test", app.state.service.told)
        while not stop.is_set():
            if not worker.once():
                stop.wait(0.02)
        worker.database.close()

    thread = threading.Thread(target=work_on, daemon=True)
    with TestClient(app, base_url=base_url, raise_server_exceptions=False, follow_redirects=False) as client:
        if work:
            thread.start()
        try:
            yield client
        finally:
            stop.set()
            if work:
                thread.join(30)


@pytest.fixture
def settings(tmp_path):
    """A server without processes of its own."""
    return Settings(data=tmp_path / "data", workers=0, wait_seconds=60, warm=False)


@pytest.fixture
def client(settings):
    """A client of a server whose jobs are done."""
    with running(settings) as made:
        yield made


@pytest.fixture
def idle(settings):
    """A client of a server whose jobs wait."""
    with running(settings, work=False) as made:
        yield made


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory):
    """The URL of an empty database on a PostgreSQL that was started for the tests, reached by a socket in a folder."""
    import getpass
    import os
    import shutil
    import subprocess

    missing = [name for name in ("initdb", "pg_ctl", "postgres") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"PostgreSQL is not installed (no {', '.join(missing)}): apt-get install postgresql")
    base = Path("/tmp") if os.path.isdir("/tmp") else tmp_path_factory.getbasetemp()  # sockets want a short path
    folder = Path(tempfile.mkdtemp(prefix="vs-pg-", dir=base))
    as_user, user = [], getpass.getuser()
    if os.getuid() == 0:  # the server refuses to run as root
        user = "nobody"
        as_user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        shutil.chown(folder, "nobody", "nogroup")
    environment = {**os.environ, "LC_ALL": "C", "HOME": str(folder)}

    def run(*words):
        done = subprocess.run(
            [*as_user, *words], env=environment, cwd=folder, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr

    data = folder / "data"
    run("initdb", "-D", str(data), "-U", user, "-A", "trust", "--no-sync", "-E", "UTF8")
    options = f"-k {folder} -c listen_addresses='' -c fsync=off -c max_connections=50"
    run("pg_ctl", "-D", str(data), "-l", str(folder / "log"), "-w", "-t", "90", "-o", options, "start")
    try:
        yield f"postgresql+psycopg://{user}@/postgres?host={folder}"
    finally:
        run("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder, ignore_errors=True)
