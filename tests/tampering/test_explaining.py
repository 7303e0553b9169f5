import io

import numpy as np
import pytest
from PIL import Image
from skimage import data

from veriscope import open_picture
from veriscope.evidence import Evidence, Question, Verdict
from veriscope.tampering.explaining import explain, kind_of
from veriscope.weighing import answer


def picture(quality=95, side=400):
    file = io.BytesIO()
    Image.fromarray(data.coffee()[:side, :side]).save(file, "JPEG", quality=quality)
    return open_picture(file.getvalue())


def verdict(state):
    return Verdict(log10_lr=1.0, reliability=1.0, state=state, fpr=0.01 if state == "yes" else None, says="")


def said(detector, values):
    weighed = detector.startswith("fused")
    values = np.asarray(values, np.float32)
    return Evidence(detector, "1", Question.EDITED, 0.9, 0.0, 1.0, "", map=values, weighed=weighed)


def patch(value=1.0):
    values = np.zeros((40, 40), np.float32)
    values[2:14, 2:14] = value
    return values


def test_place_size_and_agreeing_traces_are_told():
    heard = [said("fused", patch()), said("grid", patch()), said("jpeg_ghosts", patch()), said("weak", patch(0.2))]
    found = explain(picture(), verdict("yes"), heard)
    assert found.places == ["upper left"]
    assert found.share == pytest.approx(144 / 1600, abs=0.002)
    assert "about 9" in found.says
    assert "at the upper left" in found.says
    assert found.agreeing == ["grid", "jpeg_ghosts"]
    assert found.kind == "a part from elsewhere, or made anew"
    assert "second network" not in found.says


def test_a_trace_elsewhere_does_not_agree():
    other = patch()[::-1, ::-1].copy()
    found = explain(picture(), verdict("yes"), [said("fused", patch()), said("copy_move", other)])
    assert found.agreeing == []
    assert found.kind == ""
    assert "the network that was trained on edits" in found.says


def test_a_quick_examination_is_explained_by_its_own_fused_map():
    found = explain(picture(), verdict("yes"), [said("fused_quick", patch()), said("grid", patch())])
    assert found.places == ["upper left"]
    assert found.agreeing == ["grid"]


def test_without_a_yes_no_place_is_named():
    for state in ("no", "cannot tell"):
        found = explain(picture(), verdict(state), [said("fused", patch())])
        assert found.places == []
        assert "upper left" not in found.says
    assert "does not tell" in found.says


def test_what_saving_hides_is_told_where_it_does():
    heard = [said("fused", patch())]
    assert "quality 40" in explain(picture(40), verdict("yes"), heard).says
    assert "200 × 200 px" in explain(picture(side=200), verdict("yes"), heard).says
    assert "Bear in mind" not in explain(picture(), verdict("yes"), heard).says


def test_kinds_are_named_only_where_one_fits():
    assert kind_of(["copy_move", "text_tampering"]) == ""
    assert kind_of(["warps"]).startswith("local warping")
    assert kind_of([]) == ""


def test_the_answer_joins_both_questions():
    def both(generated, edited):
        return answer({"generated": verdict(generated), "edited": verdict(edited)})

    assert both("yes", "yes") == "generated"
    assert both("no", "yes") == "edited"
    assert both("cannot tell", "yes") == "edited"
    assert both("no", "no") == "real"
    assert both("no", "cannot tell") == "cannot tell"
    assert answer({}) == "cannot tell"
