"""Real servers with real worker processes: what is killed, crashes, hangs or swells loses nothing and harms nothing else."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest

from veriscope.client import Client, ClientError

pytestmark = pytest.mark.timeout(600)  # processes start slowly on a busy machine
SOURCE = Path(__file__).parent.parent.parent / "src"
START = "import sys, json; from veriscope.server.settings import Settings; from veriscope.server.running import serve; "
START += "serve(Settings.from_values(json.loads(sys.argv[1])), browser=False)"

# A detector of another package, which does what the picture's width says.
DETECTOR = """
import os, time
import numpy as np
from veriscope import Evidence, Question

class Bad:
    name, version, question = "bad", "1", Question.EDITED

    def __call__(self, picture):
        open(os.path.join(os.environ["BAD_TRIES"], picture.name), "a").write("x")
        if picture.width == 101:
            os.kill(os.getpid(), 9)
        if picture.width == 102:
            time.sleep(600)
        if picture.width == 103:
            kept = []
            while True:
                kept.append(np.ones(20_000_000, np.uint8))
                time.sleep(0.02)
        time.sleep(float(os.environ.get("BAD_SECONDS", "0")))
        return Evidence("bad", "1", self.question, 0.0, 0.0, 0.5, "It is there.", weighed=False)
"""


def png(width):
    return cv2.imencode(".png", np.full((80, width, 3), 128, np.uint8))[1].tobytes()


class Server:
    """A server process, and a client of it."""

    def __init__(self, folder, **settings):
        self.folder = folder
        self.values = {"data": str(folder / "data"), "port": 0, "warm": False, "lease_seconds": 5.0, **settings}
        package = folder / "package"
        if not package.exists():
            info = package / "bad-1.0.dist-info"
            info.mkdir(parents=True)
            (folder / "tries").mkdir()
            (package / "bad.py").write_text(textwrap.dedent(DETECTOR))
            (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad\nVersion: 1.0\n")
            (info / "entry_points.txt").write_text("[veriscope.detectors]\nbad = bad:Bad\n")
        self.process = None

    def start(self, **environment):
        paths = os.pathsep.join([str(SOURCE), str(self.folder / "package")])
        environment = {**os.environ, "PYTHONPATH": paths, "BAD_TRIES": str(self.folder / "tries"), **environment}
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, json.dumps(self.values)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=(self.folder / "log").open("a"),
            text=True,
        )
        line = self.process.stdout.readline()
        assert line.startswith("Veriscope is at http://127.0.0.1:"), (self.folder / "log").read_text()
        self.url = line.split()[3]
        self.client = Client(self.url, timeout=120)
        return self

    def send(self, names_and_widths):
        return self.client.submit([(name, png(width)) for name, width in names_and_widths], detectors=["bad"])

    def workers(self):
        found = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True, check=False
        )
        return [int(pid) for pid in found.stdout.split()]

    def tries(self, name):
        path = self.folder / "tries" / name
        return len(path.read_text()) if path.exists() else 0

    def reports(self):
        return [row["name"] for row in self.client.list_reports()]

    def stop(self, sig=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(sig)
        code = self.process.wait(60)
        self.process.stdout.close()
        return code


def until(condition, seconds=240):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def server(tmp_path):
    made = Server(tmp_path, workers=2, job_seconds=12.0, worker_bytes=700_000_000)
    yield made
    if made.process is not None:
        made.stop(signal.SIGKILL)


def test_a_picture_that_crashes_hangs_or_swells_harms_no_other(server):
    server.start()
    bad = [("crash.png", 101), ("hang.png", 102), ("swell.png", 103)]
    good = [(f"good-{number}.png", 90) for number in range(6)]
    batch = server.send([*bad, *good])
    ended = {job["name"]: job for job in server.client.wait(batch)}
    assert {ended[name]["state"] for name, _ in good} == {"done"}
    assert sorted(server.reports()) == sorted(name for name, _ in good)
    assert {name: ended[name]["code"] for name, _ in bad} == {
        "crash.png": "crashed",
        "hang.png": "time",
        "swell.png": "memory",
    }
    assert {name: server.tries(name) for name, _ in bad} == {"crash.png": 3, "hang.png": 2, "swell.png": 2}
    assert "more than 700 MB" in ended["swell.png"]["error"]
    assert "more than 12 s" in ended["hang.png"]["error"]
    with pytest.raises(ClientError) as caught:
        server.client.report(ended["crash.png"]["id"])
    assert (caught.value.status, caught.value.code) == (404, "no_such_report")


def test_killing_workers_and_the_server_loses_no_job_and_repeats_none(server):
    server.start(BAD_SECONDS="0.2")
    names = [f"{number:02}.png" for number in range(20)]
    batch = server.send([(name, 90) for name in names])
    until(lambda: len(server.reports()) >= 3)
    for pid in server.workers():
        os.kill(pid, signal.SIGKILL)
    until(lambda: len(server.reports()) >= 7)
    workers = server.workers()
    server.stop(signal.SIGKILL)
    until(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() and alive(pid) for pid in workers), 20)
    server.start()
    jobs = server.client.wait(batch)
    assert [job["state"] for job in jobs] == ["done"] * 20
    assert sorted(server.reports()) == names
    assert sum(server.tries(name) for name in names) <= 20 + 4  # only what was under way was begun again
    folders = list((server.folder / "data" / "pictures").glob("*/*/*/report.json"))
    assert len(folders) == 20


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_it_starts_soon_stops_in_order_and_goes_on_later(server):
    server.start(BAD_SECONDS="0.5")
    with urllib.request.urlopen(f"{server.url}/healthz") as answer:
        assert answer.status == 200
    until(lambda: len(server.workers()) == 2)
    batch = server.send([(f"{number}.png", 90) for number in range(8)])
    until(lambda: server.reports())
    assert server.stop() == 0
    log = [json.loads(line) for line in (server.folder / "log").read_text().splitlines() if line[:1] == "{"]
    assert not [line for line in log if line["level"] == "error"]
    server.start()
    states = [job["state"] for job in server.client.jobs(batch)]
    assert states.count("running") <= 2
    assert "waiting" in states
    assert [job["tries"] for job in server.client.wait(batch)] == [1] * 8
