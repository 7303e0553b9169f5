import os
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from veriscope import processes
from veriscope.processes import in_processes


def _work(item):
    if item == "crash":
        os._exit(9)
    time.sleep(0.05)
    return item.upper()


def _crashed(item):
    return f"{item} ended its process"


def test_a_crash_costs_one_item():
    items = ["a", "b", "crash", "c"]
    assert sorted(in_processes(items, _work, 2, _crashed)) == ["A", "B", "C", "crash ended its process"]


class _Refusing(ProcessPoolExecutor):
    """A pool that has broken by the time of the second item."""

    asked = 0

    def submit(self, *call):
        _Refusing.asked += 1
        if _Refusing.asked == 2:
            raise BrokenProcessPool("it broke")
        return super().submit(*call)


def test_a_pool_that_takes_no_more_costs_no_item(monkeypatch):
    monkeypatch.setattr(processes, "ProcessPoolExecutor", _Refusing)
    assert sorted(in_processes(["a", "b", "c"], _work, 1, _crashed)) == ["A", "B", "C"]


def test_nothing_to_do():
    assert list(in_processes([], _work, 2, _crashed)) == []
