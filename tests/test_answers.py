"""What a report says of edits: the answer, the explanation, a user's own explainer, and a quick examination."""

import veriscope as vs
from veriscope import examination, plugins
from veriscope.evidence import Evidence, Question
from veriscope.reporting.html import render_html


class Pointing:
    """A detector of edits that points at the upper left."""

    name = "pointing"
    version = "1"
    question = Question.EDITED

    def __call__(self, picture):
        return Evidence(self.name, self.version, self.question, 0.5, 0.0, 1.0, "It points.", weighed=False)


class Slow(Pointing):
    """One that says of itself that it takes long."""

    name = "slow"
    quick = False


def examined(monkeypatch, **options):
    monkeypatch.setattr(plugins, "detectors", lambda: (Pointing(), Slow()))
    return vs.examine("examples/photograph.jpg", **options)


def test_without_a_calibrated_answer_the_report_does_not_decide(monkeypatch):
    report = examined(monkeypatch)
    assert report.answer == "cannot tell"
    assert "could not be weighed" in report.explanation.says
    assert vs.Report.from_json(report.to_json()).explanation == report.explanation


def test_a_quick_examination_leaves_out_what_takes_long(monkeypatch):
    assert [row.detector for row in examined(monkeypatch).evidence] == ["pointing", "slow"]
    assert [row.detector for row in examined(monkeypatch, quick=True).evidence] == ["pointing"]


def test_where_nothing_looks_for_edits_nothing_is_explained():
    assert vs.examine("examples/photograph.jpg", declared_only=True).explanation is None


def test_a_users_explainer_is_quoted_and_a_failing_one_says_so(monkeypatch):
    def fails(picture, report):
        raise RuntimeError("no model here")

    explainers = {"mine": lambda picture, report: f"{picture.width} px wide, {report.answer}", "broken": fails}
    monkeypatch.setattr(examination.plugins, "explainers", lambda: explainers)
    monkeypatch.setattr(plugins, "detectors", lambda: (Pointing(),))
    report = vs.examine("examples/photograph.jpg")
    words = report.explanation.by_user_model
    assert words["mine"].endswith("px wide, cannot tell")
    assert "no model here" in words["broken"]
    assert report.preview is not None
    assert "which nobody checked" in render_html(report)
