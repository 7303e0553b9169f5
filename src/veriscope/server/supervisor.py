"""Starts the worker processes, watches them, and replaces those that end.

A worker that takes too long or too much memory is killed; so is nothing else, for each has one job at a time. What it held goes
back to the queue at once. A worker that keeps dying before it is ready is started again ever more slowly.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from veriscope.processes import BLAS
from veriscope.server.queue import LAST_STRAW, TRIES, Queue
from veriscope.server.settings import Settings

LOOK = 0.2  # seconds between two looks at the workers
SLOWEST = 30.0  # seconds between two starts of a worker that dies as it starts

log = logging.getLogger("veriscope.server.supervisor")
Told = Callable[[dict[str, Any]], None]


@dataclass
class Slot:
    """The place of one worker, and the process that is in it."""

    number: int
    process: subprocess.Popen[str] | None = None
    name: str = ""
    ready: bool = False
    job: dict[str, Any] | None = None
    since: float = 0.0
    killed: str = ""  # why it was killed by this supervisor
    failures: int = 0  # deaths in a row before it was ready
    start_at: float = 0.0
    threads: list[threading.Thread] = field(default_factory=list)


class Supervisor:
    """The workers of one server."""

    def __init__(self, settings: Settings, queue: Queue, told: Told = lambda _: None) -> None:
        self.settings = settings
        self.queue = queue
        self.told = told
        self.slots = [Slot(number) for number in range(settings.workers)]
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def start(self) -> None:
        """Start all workers."""
        self._thread.start()

    def wake(self) -> None:
        """Let idle workers look into the queue now."""
        for slot in self.slots:
            if slot.job is None:
                _write(slot, "look")

    @property
    def ready(self) -> int:
        """How many workers take jobs."""
        return sum(slot.ready for slot in self.slots)

    def memory(self) -> int:
        """Resident bytes of all workers."""
        return sum(resident(slot.process.pid) for slot in self.slots if slot.process is not None)

    def drain(self) -> None:
        """Let each worker finish what it has and take nothing more."""
        self._stopping.set()
        for slot in self.slots:
            _write(slot, "stop")

    def stop(self, seconds: float) -> None:
        """Drain, and kill what has not ended after ``seconds``; its job goes back to the queue and counts as no try."""
        self.drain()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and any(_alive(slot) for slot in self.slots):
            time.sleep(0.05)
        for slot in self.slots:
            if _alive(slot):
                self._kill(slot, "stopped")
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.is_set():
            for slot in self.slots:
                try:
                    self._look(slot)
                except Exception:
                    log.exception("supervising failed")
            self._ended.wait(LOOK)
        for slot in self.slots:
            if slot.process is not None:
                slot.process.wait()
                self._bury(slot)

    def _look(self, slot: Slot) -> None:
        if slot.process is not None and slot.process.poll() is not None:
            self._bury(slot)
        if slot.process is None:
            if not self._stopping.is_set() and time.monotonic() >= slot.start_at:
                self._begin(slot)
            return
        job = slot.job
        if resident(slot.process.pid) > self.settings.worker_bytes:
            self._kill(slot, "memory")
        elif job is not None and time.monotonic() - slot.since > self.settings.job_seconds:
            self._kill(slot, "time")

    def _begin(self, slot: Slot) -> None:
        threads = str(max(1, (os.cpu_count() or 1) // max(1, self.settings.workers)))
        environment = {**os.environ, **dict.fromkeys((*BLAS, "VERISCOPE_THREADS"), threads)}
        environment["PYTHONPATH"] = os.pathsep.join([str(_source()), *filter(None, [os.environ.get("PYTHONPATH")])])
        slot.process = subprocess.Popen(
            [sys.executable, "-m", "veriscope.server.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # Ctrl-C in the terminal is for the server, which stops the workers in order
        )
        slot.name = f"{socket.gethostname()[:64]}:{slot.process.pid}"
        slot.ready, slot.job, slot.killed = False, None, ""
        slot.threads = [
            threading.Thread(target=self._hear, args=(slot, slot.process), daemon=True),
            threading.Thread(target=_log_errors, args=(slot.process,), daemon=True),
        ]
        for thread in slot.threads:
            thread.start()
        _write(slot, json.dumps({"settings": self.settings.to_values(), "name": slot.name}))
        assert slot.process.stdin is not None
        os.set_blocking(slot.process.stdin.fileno(), False)

    def _hear(self, slot: Slot, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            try:
                said = json.loads(line)
            except ValueError:
                continue
            if said["event"] == "ready":
                slot.ready, slot.failures = True, 0
            elif said["event"] == "start":
                slot.job, slot.since = said, time.monotonic()
            elif said["event"] == "end":
                slot.job = None
            elif said["event"] == "trouble":
                log.warning("worker in trouble", extra={"worker": slot.name, "error": said["error"]})
            self.told({**said, "worker": slot.name})

    def _kill(self, slot: Slot, why: str) -> None:
        if slot.process is not None and not slot.killed:
            slot.killed = why
            slot.process.kill()

    def _bury(self, slot: Slot) -> None:
        """A worker has ended: give back what it held."""
        assert slot.process is not None
        for thread in slot.threads:
            thread.join(5)
        code, job, why = slot.process.returncode, slot.job, slot.killed or "crashed"
        for pipe in (slot.process.stdin, slot.process.stdout, slot.process.stderr):
            with contextlib.suppress(OSError):
                pipe.close() if pipe is not None else None
        if not slot.ready:
            slot.failures += 1
            slot.start_at = time.monotonic() + min(SLOWEST, 0.5 * 2**slot.failures)
        slot.process, slot.job, slot.ready = None, None, False
        state = ""
        if job is not None:
            state = self.queue.interrupted(job["job"], job["lease"], why, self._said(why))
        if code or job is not None:
            extra = {"worker": slot.name, "code": code, "why": why, "job": job and job["job"], "then": state}
            log.warning("worker ended", extra=extra)
        self.told({"event": "died", "worker": slot.name, "why": why if (code or job) else "replaced"})
        if job is not None:
            self.told({"event": "end", "job": job["job"], "kind": job["kind"], "state": state, "worker": slot.name})

    def _said(self, why: str) -> str:
        return {
            "memory": f"its examination took more than {self.settings.worker_bytes / 1e6:,.0f} MB of memory",
            "time": f"its examination took more than {self.settings.job_seconds:g} s",
        }.get(why, LAST_STRAW.format(tries=TRIES))


def resident(pid: int) -> int:
    """Resident memory of a process, bytes; 0 where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _alive(slot: Slot) -> bool:
    return slot.process is not None and slot.process.poll() is None


def _write(slot: Slot, line: str) -> None:
    if slot.process is None or slot.process.stdin is None:
        return
    with contextlib.suppress(OSError, ValueError):  # a signal's handler may say "stop": no buffer, no lock, no waiting
        os.write(slot.process.stdin.fileno(), f"{line}\n".encode())


def _log_errors(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        log.info("worker said", extra={"said": line.rstrip()[:500]})


def _source() -> Path:
    """The folder from which this package was imported."""
    return Path(__file__).parent.parent.parent
