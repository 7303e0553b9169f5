import os
import time

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


def test_nothing_to_do():
    assert list(in_processes([], _work, 2, _crashed)) == []
