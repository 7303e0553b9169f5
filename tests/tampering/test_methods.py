"""Methods that are asked side by side: all of them, in order, whatever one of them does."""

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from veriscope import models, open_picture
from veriscope.tampering import methods
from veriscope.tampering.localisation import Localisation, Localiser

PHOTOGRAPH = Path(__file__).parents[2] / "examples" / "photograph.jpg"
HANGS = """
import sys
import time
from veriscope import open_picture
from veriscope.evidence import Question
from veriscope.examination import hear
from veriscope.tampering import methods
from veriscope.tampering.localisation import Localiser

class Stuck(Localiser):
    name = "stuck"
    def find(self, picture):
        time.sleep(600)

class Asks:
    name, version, question = "asks", "1", Question.EDITED
    def __call__(self, picture):
        return list(methods.heard(picture))

methods.usable = lambda: (Stuck(), Stuck())
((said, _),) = hear(open_picture(sys.argv[1]), [Asks()], time_limit=0.5)
print(said.reason)
"""


class Stub(Localiser):
    def __init__(self, name, quick=False, fails=False):
        self.name, self.quick, self.fails, self.thread = name, quick, fails, None

    def find(self, picture):
        self.thread = threading.get_ident()
        if self.fails:
            raise ValueError
        values = np.zeros((4, 4), np.float32)
        return Localisation(map=values, judged=values + 1, score=0.1, says="")


@pytest.fixture
def stubs(monkeypatch):
    made = (Stub("a", quick=True), Stub("b"), Stub("c", fails=True), Stub("d"))
    monkeypatch.setattr(methods, "usable", lambda: made)
    return made


def names(picture, *wanted, **how):
    return [method.name for method, _ in methods.heard(picture, *wanted, **how)]


def test_those_that_are_wanted_answer_in_the_order_of_the_report(stubs):
    def photograph():
        return open_picture(PHOTOGRAPH)

    assert names(photograph()) == ["a", "b", "d"]
    assert names(photograph(), {"b", "c"}) == ["b"]
    assert names(photograph(), quick=True) == ["a"]


def test_one_thread_does_all_where_there_is_but_one(stubs, monkeypatch):
    monkeypatch.setattr(models, "THREADS", 1)
    assert names(open_picture(PHOTOGRAPH)) == ["a", "b", "d"]
    assert {stub.thread for stub in stubs} == {threading.get_ident()}


def test_a_method_that_hangs_keeps_no_process_alive():
    done = subprocess.run([sys.executable, "-c", HANGS, str(PHOTOGRAPH)], capture_output=True, text=True, timeout=60)
    assert "did not answer within 0.5 s" in done.stdout, done.stderr
