"""The bundled detector on real photographs: no accusation, the same word after saving again, and silence when too small."""

import cv2
import numpy as np
import pytest
from skimage import data

from veriscope import plugins
from veriscope.evidence import Question
from veriscope.examination import examine
from veriscope.lab.data.variants import REENCODINGS, VARIANTS
from veriscope.models import panels
from veriscope.picture import open_picture
from veriscope.synthetic import backbone, depths, scoring, views
from veriscope.weighing import weigh

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")
ASKED = [detector for detector in plugins.asked() if detector.question == Question.GENERATED]
PANEL = next(
    panel for panel in panels() if {name.partition("@")[0] for name in panel.members} == {d.name for d in ASKED}
)


def file(pixels, variant="JPEG 95"):
    return open_picture(VARIANTS[variant](pixels), name=f"{variant}.jpg")


def sum_of(items):
    return PANEL.fused({f"{item.detector}@{item.version}": item.score for item in items})


@pytest.fixture(scope="module")
def evidence():
    """Of each photograph, what all detectors that speak by default say of each way of saving it."""
    files = {name: [file(getattr(data, name)(), variant) for variant in REENCODINGS] for name in PHOTOGRAPHS}
    return {name: [[detector(one) for detector in ASKED] for one in those] for name, those in files.items()}


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_a_photograph_is_not_called_generated(evidence, name):
    for items in evidence[name]:
        assert weigh(Question.GENERATED, items, panels()).state != "yes"


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_saving_again_does_not_turn_the_word(evidence, name):
    assert len({sum_of(items) > PANEL.threshold(0.05) for items in evidence[name]}) == 1
    states = {weigh(Question.GENERATED, items, panels()).state for items in evidence[name]}
    assert not {"yes", "no"} <= states


def test_different_pictures_score_differently(evidence):
    means = [np.mean([sum_of(items) for items in versions]) for versions in evidence.values()]
    assert max(means) - min(means) > 0.3


def test_too_small_a_picture_is_not_judged():
    small = cv2.resize(data.astronaut(), (40, 40), interpolation=cv2.INTER_AREA)
    report = examine(file(small, "PNG"))
    verdict = report.pixels["generated"]
    assert verdict.state == "cannot tell"
    assert "40 px" in verdict.says


def test_a_heavily_compressed_picture_is_trusted_less():
    detector = depths.Depths()
    strong = detector(file(data.coffee(), "JPEG 10"))
    light = detector(file(data.coffee(), "JPEG 95"))
    assert strong.reliability < light.reliability == 1.0
    assert "quality 10" in strong.reason


def test_the_view_is_a_square_whatever_the_shape():
    for shape in ((1, 900, 3), (900, 30, 3), (224, 224, 3), (1000, 2000, 3)):
        square = views.whole(np.full(shape, 77, np.uint8))
        assert square.shape == (224, 224, 3)
        assert (square == 77).all()
    assert views.normalised([data.astronaut()[:224, :224]]).shape == (1, 3, 224, 224)


def test_the_backbone_runs_once_a_picture(monkeypatch):
    calls = []
    original = backbone.pass_of
    monkeypatch.setattr(backbone, "pass_of", lambda squares: calls.append(1) or original(squares))
    picture = file(data.chelsea())
    assert np.array_equal(backbone.readings(picture), backbone.readings(picture))
    assert backbone.readings(picture).shape == (8, 2, 768)
    assert backbone.tokens(picture).shape == (197, 768)
    np.testing.assert_allclose(backbone.tokens(picture)[0], backbone.readings(picture)[7, 0], rtol=1e-5)
    assert calls == [1]


def test_reliability_falls_with_size_and_quality_and_names_the_reason():
    whole = scoring.reliability(1000, None, depths.SIZES, depths.QUALITIES)
    assert whole == (1.0, "")
    assert scoring.reliability(20, 90, depths.SIZES, depths.QUALITIES)[0] == 0
    both = scoring.reliability(100, 15, depths.SIZES, depths.QUALITIES)
    assert 0 < both[0] < 0.6
    assert "100 px" in both[1]
    assert "quality 15" in both[1]
