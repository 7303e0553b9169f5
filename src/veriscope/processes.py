"""Run a function over many files in several processes: a crash costs one file, and stopping is in order.

Processes are spawned, each with its share of the cores. When one dies (a crash in a library, out of memory), the files that
were under way are tried again one at a time, so that only the one that kills its process is given up.
"""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")

# Read by a worker as it starts: two workers that each spin on all cores take twice the time.
BLAS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
GRACE = 10.0  # seconds that workers may take to end
AHEAD = 3  # files handed out for each process, so that none waits


def in_processes(items: Iterable[S], work: Callable[[S], T], processes: int, crashed: Callable[[S], T]) -> Iterator[T]:
    """What ``work`` gives for each file, in order of completion; closing the iterator stops the run.

    Args:
        items: the files.
        work: what is done with one; it can be pickled, as items and results can, and raises nothing.
        processes: how many at most.
        crashed: what stands in for a file that brought its process down.
    """
    todo = deque(items)
    processes = min(processes, len(todo))
    suspects: deque[S] = deque()  # were under way when a process died: tried again one at a time
    while todo or suspects:
        alone = bool(suspects)
        queue = suspects if alone else todo
        workers = 1 if alone else processes
        threads = max(1, (os.cpu_count() or 1) // workers)
        pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start, initargs=(threads,))
        running: dict[Future[T], S] = {}
        before = {name: os.environ.get(name) for name in BLAS}
        os.environ.update(dict.fromkeys(BLAS, str(threads)))
        try:
            while queue or running:
                while queue and len(running) < (1 if alone else workers * AHEAD):
                    item = queue[0]
                    running[pool.submit(work, item)] = item
                    queue.popleft()  # not before: a pool that has broken takes no more, and the file would be lost
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    result = future.result()
                    del running[future]
                    yield result
        except BrokenProcessPool:
            if alone:
                yield from map(crashed, running.values())
            else:
                suspects.extend(running.values())
        finally:
            _stop(pool)
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})


def _stop(pool: ProcessPoolExecutor) -> None:
    """End a pool: each worker may finish the file it has, for a while; one that hangs is killed."""
    processes = list((pool._processes or {}).values())  # shutdown forgets them
    pool.shutdown(wait=False, cancel_futures=True)
    deadline = time.monotonic() + GRACE
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            process.kill()


def _start(threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears Ctrl-C and stops the run in order
    os.environ["VERISCOPE_THREADS"] = str(threads)
    import cv2

    cv2.setNumThreads(threads)
