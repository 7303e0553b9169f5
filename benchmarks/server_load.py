"""Loads a real server on this machine and prints what came of it.

    python benchmarks/server_load.py --minutes 10     20 concurrent uploads of 1-megapixel JPEGs, beside the plain folder run
    python benchmarks/server_load.py --pages          how soon pages answer while all workers are busy (p95)
    python benchmarks/server_load.py --uploads 2000   the same for at least so many uploads, and resident memory over them
    python benchmarks/server_load.py --kill 200       kill -9 of a worker and of the server in the middle of so many jobs

Pictures are one photograph, changed a little each time, so that no two files are the same. All traffic stays on loopback.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from veriscope.client import Client, ClientError

ROOT = Path(__file__).parent.parent
WIDTH, HEIGHT = 1152, 868  # 1 megapixel
FOLDER_PICTURES = 60  # in the plain run that the server is compared with
SAMPLED = 50  # uploads between two looks at the memory
UP = 60.0  # seconds in which the server must answer
WARM = 120.0  # seconds in which its workers must be ready


def picture(number: int) -> bytes:
    """The photograph at one megapixel, as a JPEG like no other."""
    base = cv2.imread(str(ROOT / "examples" / "photograph.jpg"))
    pixels = cv2.resize(base, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    pixels[:8, :8] = np.random.default_rng(number).integers(0, 256, (8, 8, 3))
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


class Server:
    """A server process on a free port, over one data folder."""

    def __init__(self, data: Path, options: argparse.Namespace) -> None:
        self.words = [
            sys.executable,
            "-m",
            "veriscope.cli",
            "serve",
            "--port",
            "0",
            "--data",
            str(data),
            "--no-browser",
        ]
        self.words += ["--workers", str(options.workers), "--rate", "100000", "--concurrent", "500"]
        self.words += [] if options.full else ["--quick"]
        self.log = data.parent / "log.jsonl"

    def start(self) -> float:
        """Start; gives the seconds until it answered."""
        began = time.perf_counter()
        with self.log.open("a") as log:
            self.process = subprocess.Popen(self.words, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().split()[3]
        self.client = Client(self.url)
        self.wait(lambda: self.client._get("/healthz") is not None, UP)
        return time.perf_counter() - began

    def warm(self) -> None:
        """Wait until the workers take jobs."""
        self.wait(lambda: b'"ready":true' in self.client._get("/readyz"), WARM)

    def wait(self, right: Callable[[], bool], seconds: float) -> None:
        """Until something holds."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if right():
                    return
            except ClientError:
                pass
            if time.monotonic() > deadline:
                raise SystemExit(f"the server was not ready after {seconds:g} s; see {self.log}")
            time.sleep(0.1)

    def children(self) -> list[int]:
        """The worker processes."""
        told = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True)
        return [int(pid) for pid in told.stdout.split()]

    def resident(self) -> dict[str, float]:
        """Resident megabytes of the server and of its workers together."""
        return {"server": resident(self.process.pid), "workers": sum(map(resident, self.children()))}

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> None:
        """Stop, and wait until it has."""
        self.process.send_signal(sig)
        self.process.wait(120)


def resident(pid: int) -> float:
    """Resident megabytes of a process; 0 where it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:
        return 0.0


def upload(server: Server, threads: int, more: Callable[[int], bool]) -> tuple[int, list[str], list[float]]:
    """Examine pictures from so many threads for as long as ``more`` says; gives how many were done, errors, and seconds."""
    errors: list[str] = []
    seconds: list[float] = []
    numbers = iter(range(10**9))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                number = next(numbers)
            if not more(number):
                return
            began = time.perf_counter()
            try:
                server.client.examine((f"{number:06}.jpg", picture(number)))
                seconds.append(time.perf_counter() - began)
            except ClientError as error:
                errors.append(str(error))

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return len(seconds), errors, seconds


def folder_run(options: argparse.Namespace, folder: Path) -> float:
    """Pictures a second of ``veriscope examine FOLDER`` with as many processes, less what starting them takes."""
    rates = []
    for count in (options.workers * 2, FOLDER_PICTURES):
        pictures = folder / f"pictures-{count}"
        pictures.mkdir()
        for number in range(count):
            (pictures / f"{number}.jpg").write_bytes(picture(number))
        words = [sys.executable, "-m", "veriscope.cli", "examine", str(pictures), "--out", str(folder / f"out-{count}")]
        words += ["--jobs", str(options.workers), *([] if options.full else ["--quick"])]
        began = time.perf_counter()
        subprocess.run(words, check=True, capture_output=True)
        rates.append((count, time.perf_counter() - began))
    (few, short), (many, long) = rates
    return (many - few) / (long - short)


def throughput(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Concurrent uploads for some minutes, and for at least so many uploads, against the plain folder run; and memory."""
    plain = folder_run(options, folder)
    server = Server(folder / "data", options)
    started = server.start()
    server.warm()
    end = time.monotonic() + options.minutes * 60
    samples: list[tuple[int, dict[str, float]]] = []

    def more(number: int) -> bool:
        if number % SAMPLED == 0:
            samples.append((number, server.resident()))
        return time.monotonic() < end or number < int(options.uploads)

    began = time.perf_counter()
    done, errors, seconds = upload(server, options.concurrent, more)
    rate = done / (time.perf_counter() - began)
    server.stop()
    return {
        "seconds to the first answer": round(started, 2),
        "pictures": done,
        "minutes": round((time.perf_counter() - began) / 60, 1),
        "errors": len(errors),
        "first error": errors[0] if errors else None,
        "pictures a second": round(rate, 3),
        "plain folder run, pictures a second": round(plain, 3),
        "share of the plain run": round(rate / plain, 3),
        "seconds an upload, median": round(statistics.median(seconds), 2) if seconds else None,
        **memory(samples),
    }


def memory(samples: list[tuple[int, dict[str, float]]]) -> dict[str, Any]:
    """How far resident memory moved over the uploads, from a tenth of them on."""
    settled = [values for number, values in samples if number >= samples[-1][0] // 10]
    spread = {name: [round(min(v[name] for v in settled)), round(max(v[name] for v in settled))] for name in settled[0]}
    third = max(1, len(settled) // 3)
    growth = {
        name: round(
            statistics.median(v[name] for v in settled[-third:]) - statistics.median(v[name] for v in settled[:third])
        )
        for name in settled[0]
    }
    return {"MB, least and most": spread, "MB, last third less first": growth}


def pages(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """How soon pages and the API answer while the workers are busy."""
    server = Server(folder / "data", options)
    server.start()
    server.warm()
    report_of = server.client.examine(("first.jpg", picture(0)))
    first = next(server.client.list_reports())["id"]
    assert server.client.report(first).file.sha256 == report_of.file.sha256
    stop = threading.Event()
    busy = threading.Thread(target=upload, args=(server, options.concurrent, lambda _: not stop.is_set()))
    busy.start()
    paths = ["/", "/cases", "/api/v1/jobs", f"/api/v1/reports/{first}"]
    found: dict[str, list[float]] = {path: [] for path in paths}
    time.sleep(3)
    for _ in range(options.requests):
        for path in paths:
            began = time.perf_counter()
            server.client._get(path)
            found[path].append(1000 * (time.perf_counter() - began))
            time.sleep(0.02)
    stop.set()
    busy.join()
    server.stop()
    shown = {
        path.replace(first, "ID"): round(statistics.quantiles(times, n=20)[18], 1) for path, times in found.items()
    }
    return {"p95 in milliseconds while workers are busy": shown, "requests of each": options.requests}


def kill(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Kill a worker, then the server, in the middle of many jobs; count what was lost or stored twice."""
    server = Server(folder / "data", options)
    server.start()
    server.warm()
    names = [f"{number:06}.jpg" for number in range(options.kill)]
    batches = [
        server.client.submit([(name, picture(int(name[:6]))) for name in names[start : start + 50]])
        for start in range(0, len(names), 50)
    ]

    def reports() -> list[str]:
        return [row["name"] for row in server.client.list_reports()]

    server.wait(lambda: len(reports()) >= options.kill // 4, 3600)
    os.kill(server.children()[0], signal.SIGKILL)
    server.wait(lambda: len(reports()) >= options.kill // 2, 3600)
    server.stop(signal.SIGKILL)
    server.start()
    jobs = [job for batch in batches for job in server.client.wait(batch)]
    stored = reports()
    folders = len(list((folder / "data" / "pictures").glob("*/*/*/report.json")))
    server.stop()
    return {
        "jobs": len(jobs),
        "done": sum(job["state"] == "done" for job in jobs),
        "failed": sum(job["state"] == "failed" for job in jobs),
        "lost": len(set(names) - set(stored)),
        "reports stored twice": len(stored) - len(set(stored)),
        "report folders": folders,
        "begun again": sum(job["tries"] - 1 for job in jobs),
    }


def main() -> None:
    """Run what was asked for and print its figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="of uploads (10)")
    parser.add_argument("--concurrent", type=int, default=20, help="uploads at once (20)")
    parser.add_argument("--workers", type=int, default=2, help="processes that examine (2)")
    parser.add_argument("--requests", type=int, default=200, help="of each page, for --pages (200)")
    parser.add_argument("--full", action="store_true", help="examine with everything on, not quickly")
    parser.add_argument("--pages", action="store_true", help="measure how soon pages answer")
    parser.add_argument("--uploads", type=int, default=0, metavar="N", help="at least, however long they take (0)")
    parser.add_argument("--kill", type=int, default=0, metavar="N", help="kill a worker and the server among N jobs")
    options = parser.parse_args()
    run = kill if options.kill else pages if options.pages else throughput
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(run(options, Path(folder)), indent=2))


if __name__ == "__main__":
    main()
