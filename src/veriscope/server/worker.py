"""A worker process: claims one job after the other, does it, stores what came of it.

It is started and watched by ``supervisor``, which kills it when it takes too long or too much memory. It reads its settings
from the first line of its standard input, hears there when to stop, and ends when the input does: a server that dies takes its
workers along. What it does is said on standard output, one JSON line each.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from veriscope.server.database import Database
from veriscope.server.queue import Claim, Queue
from veriscope.server.settings import Settings
from veriscope.server.storage import Storage

IDLE = 0.25  # seconds between two looks into an empty queue, unless woken
JOBS = 500  # after which a worker makes place for a fresh one
NICE = 5  # how far a worker stands behind the process that answers requests
ROOM = 1.5  # of the memory limit: address space beyond what is mapped when all models are open
PR_SET_PDEATHSIG = 1  # prctl(2)


class Worker:
    """One process's work: jobs from the queue into the storage."""

    def __init__(self, settings: Settings, name: str, say: Callable[[dict[str, Any]], None] = lambda _: None) -> None:
        self.settings = settings
        self.name = name
        self.say = say
        self.database = Database(settings.url)
        self.queue = Queue(self.database, settings.lease_seconds)
        self.storage = Storage(settings.data)

    def once(self) -> bool:
        """Do the next job; False where there is none."""
        claim = self.queue.claim(self.name)
        if claim is None:
            return False
        started = time.perf_counter()
        self.say({"event": "start", "job": claim.id, "lease": claim.lease, "kind": claim.kind})
        state = self._do(claim)
        seconds = round(time.perf_counter() - started, 4)
        self.say({"event": "end", "job": claim.id, "kind": claim.kind, "state": state, "seconds": seconds})
        return True

    def _do(self, claim: Claim) -> str:
        from veriscope.server.tasks import perform

        stage = [""]
        try:
            with self._renewed(claim, lambda: stage[0]):
                outcome = perform(claim, self.settings, self.storage, lambda word: stage.__setitem__(0, word))
            stored = self.queue.finish(claim, outcome, claim.lease)
        except MemoryError:
            self._discard(claim)
            error = "it needs more memory than a worker has"
            return self.queue.interrupted(claim.id, claim.lease, "memory", error) or "lost"
        if not stored:
            self._discard(claim)
            return "lost"
        if outcome.error:
            self._discard(claim)
        return "failed" if outcome.error else "done"

    def _discard(self, claim: Claim) -> None:
        shutil.rmtree(self.storage.folder(claim.picture_id) / claim.lease, ignore_errors=True)
        if not any(self.storage.folder(claim.picture_id).glob("*")):
            self.storage.delete(claim.picture_id)

    @contextlib.contextmanager
    def _renewed(self, claim: Claim, stage: Callable[[], str]) -> Iterator[None]:
        """Keep the lease alive, and the stage told, for as long as the block runs."""
        done = threading.Event()

        def renew() -> None:
            every = min(1.0, self.settings.lease_seconds / 4)
            while not done.wait(every):
                try:
                    if not self.queue.renew(claim, stage()):
                        return
                except Exception as error:  # the database may be away for a moment; the lease tells in the end
                    self.say({"event": "trouble", "error": f"{type(error).__name__}: {error}"[:300]})

        thread = threading.Thread(target=renew, name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def work_once(settings: Settings) -> bool:
    """Do one waiting job in this process; False where there is none."""
    return Worker(settings, f"here:{os.getpid()}").once()


def main() -> None:
    """The process: settings from standard input, then jobs until told to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the supervisor says when, after the job
    out = _own_output()
    _die_with_parent()
    started = json.loads(sys.stdin.readline())
    settings = Settings.from_values(started["settings"])
    os.nice(NICE)
    wake, stop = threading.Event(), threading.Event()
    threading.Thread(target=_listen, args=(wake, stop), daemon=True).start()
    lock = threading.Lock()

    def say(values: dict[str, Any]) -> None:
        with lock:
            out.write(json.dumps(values) + "\n")
            out.flush()

    _open_models(settings)
    _limit_memory(settings.worker_bytes)
    worker = Worker(settings, started["name"], say)
    say({"event": "ready"})
    done = 0
    while not stop.is_set():
        wake.clear()
        try:
            if worker.once():
                done += 1
                if done >= JOBS or _left_running():
                    break
                continue
        except Exception as error:  # of the database: a lease that is not renewed lapses, and nothing is lost
            say({"event": "trouble", "error": f"{type(error).__name__}: {error}"[:300]})
            stop.wait(1.0)
        wake.wait(IDLE)
    worker.database.close()
    out.flush()
    os._exit(0)  # a detector that was given up may still run


def _own_output() -> io.TextIOWrapper:
    """Standard output for the supervisor alone: what libraries print goes to standard error."""
    kept = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(kept, "w", encoding="utf-8")


def _die_with_parent() -> None:
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(0)


def _listen(wake: threading.Event, stop: threading.Event) -> None:
    for line in sys.stdin:
        if line.strip() == "stop":
            stop.set()
        wake.set()
    os._exit(0)  # the server is gone


def _open_models(settings: Settings) -> None:
    """Examine a small picture of noise, so that the first upload need not wait for the models."""
    import cv2
    import numpy as np

    from veriscope import plugins
    from veriscope.examination import examine

    cv2.setNumThreads(int(os.environ.get("VERISCOPE_THREADS", "0")) or (os.cpu_count() or 1))
    plugins.detectors()
    if not settings.warm:
        return
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    _, data = cv2.imencode(".png", noise)
    with contextlib.suppress(Exception):  # what is wrong will be said in each report
        examine(data.tobytes(), quick=settings.quick, preview=0)


def _limit_memory(most: int) -> None:
    """Let a single huge allocation fail as it is made; the supervisor watches what is really used."""
    if sys.platform != "linux":
        return
    import resource

    with open("/proc/self/statm", encoding="ascii") as file:
        mapped = int(file.read().split()[0]) * resource.getpagesize()
    limit = mapped + int(most * ROOM)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _left_running() -> bool:
    """Whether a detector that was given up is still running in its thread."""
    return any(thread.name.startswith("detector ") for thread in threading.enumerate())


if __name__ == "__main__":
    main()
