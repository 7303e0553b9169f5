"""The weighing keeps its promised error rates on data it never saw, and abstains where it cannot."""

import numpy as np
import pytest

from veriscope.errors import ModelError
from veriscope.evidence import Evidence, Question
from veriscope.weighing import LEAST_RELIABILITY, Panel, fit_panel, strength, weigh


def sample(seed, count=4000, gap=2.5):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, count)
    return generator.normal(gap * labels, 1.0), labels


def a_panel(seed=0, **options):
    scores, labels = sample(seed)
    return fit_panel(Question.GENERATED, {"d@1": 1.0}, scores, labels, np.ones(len(scores)), data="made", **options)


def evidence(score, reliability=1.0, reason="", detector="d", weighed=True):
    return Evidence(detector, "1", Question.GENERATED, score, 0.0, reliability, "says", reason, weighed=weighed)


def test_operating_points_hold_on_fresh_data():
    panel = a_panel()
    scores, labels = sample(1, 20000)
    verdicts = [weigh(Question.GENERATED, [evidence(score)], [panel]) for score in scores[:6000]]
    real = labels[:6000] == 0
    yes = np.array([verdict.state == "yes" for verdict in verdicts])
    at_one = np.array([verdict.fpr == 0.01 for verdict in verdicts])
    no = np.array([verdict.state == "no" for verdict in verdicts])
    assert yes[real].mean() < 0.065
    assert at_one[real].mean() < 0.02
    assert no[~real].mean() < 0.065
    assert yes[~real].mean() > 0.7
    assert 0 < np.mean([verdict.state == "cannot tell" for verdict in verdicts]) < 0.5


def test_log_likelihood_ratio_is_the_true_one():
    panel = a_panel()
    for score in (0.5, 1.25, 2.0):
        truth = (2.5 * score - 2.5**2 / 2) / np.log(10)
        assert panel.log10_lr(score) == pytest.approx(truth, abs=0.15)


def test_claims_no_ratio_that_the_sample_cannot_carry():
    panel = a_panel(limit=2.0)
    assert panel.log10_lr(1e9) <= 2.0
    small = fit_panel(
        Question.GENERATED, {"d@1": 1.0}, *[values[:60] for values in sample(2)], np.ones(60), data="made", limit=6.0
    )
    assert small.log10_lr(1e9) < 3.0


def test_useless_scores_never_get_a_verdict():
    generator = np.random.default_rng(0)
    scores, labels = generator.normal(size=2000), generator.integers(0, 2, 2000)
    panel = fit_panel(Question.GENERATED, {"d@1": 1.0}, scores, labels, np.ones(2000), data="made")
    assert abs(panel.log10_lr(3.0)) < 0.35


def test_low_reliability_abstains_with_its_reason():
    panel = a_panel()
    verdict = weigh(Question.GENERATED, [evidence(9.0, LEAST_RELIABILITY / 2, "only 40 px")], [panel])
    assert verdict.state == "cannot tell"
    assert "only 40 px" in verdict.says


def test_uncalibrated_evidence_is_not_counted():
    panel = a_panel()
    alone = weigh(Question.GENERATED, [evidence(9.0, detector="stranger")], [panel])
    assert alone.state == "cannot tell"
    assert "clear skies" not in weigh(Question.GENERATED, [evidence(9.0, 0.5, "clear skies", "stranger")], [panel]).says
    without = weigh(Question.GENERATED, [evidence(0.1)], [panel])
    beside = weigh(Question.GENERATED, [evidence(0.1), evidence(99.0, detector="stranger")], [panel])
    assert beside == without
    assert weigh(Question.GENERATED, [evidence(9.0, weighed=False)], [panel]).state == "cannot tell"


def test_the_larger_fitting_panel_is_used_and_nothing_is_a_maximum():
    single = a_panel()
    both = Panel(**{**single.__dict__, "members": {"d@1": 0.5, "e@1": 0.5}})
    high, low = evidence(4.0), evidence(-1.0, detector="e")
    together = weigh(Question.GENERATED, [high, low], [single, both])
    assert together.log10_lr == pytest.approx(single.log10_lr(1.5), abs=1e-3)
    assert weigh(Question.GENERATED, [high], [single, both]).log10_lr == pytest.approx(single.log10_lr(4.0), abs=1e-3)


def test_sources_count_by_weight_not_by_size():
    generator = np.random.default_rng(3)
    scores = np.r_[generator.normal(0, 1, 3000), generator.normal(5, 1, 30), generator.normal(6, 1, 500)]
    labels = np.r_[np.zeros(3030), np.ones(500)]
    weights = np.r_[np.full(3000, 1 / 3000), np.full(30, 1 / 30), np.ones(500)]
    weighted = fit_panel(Question.GENERATED, {"d@1": 1.0}, scores, labels, weights, data="made")
    plain = fit_panel(Question.GENERATED, {"d@1": 1.0}, scores, labels, np.ones(3530), data="made")
    assert weighted.threshold(0.05) > plain.threshold(0.05) + 1


def test_a_few_odd_sources_make_the_threshold_cautious():
    generator = np.random.default_rng(4)
    sources = np.repeat(np.arange(40), 50)
    offsets = generator.normal(0, 1.0, 40)[sources]
    scores = np.r_[offsets + generator.normal(0, 1, 2000), generator.normal(6, 1, 2000)]
    labels = np.repeat([0, 1], 2000)
    names = np.r_[sources, 100 + sources]
    pooled = fit_panel(Question.GENERATED, {"d@1": 1.0}, scores, labels, np.ones(4000), data="made")
    grouped = fit_panel(Question.GENERATED, {"d@1": 1.0}, scores, labels, np.ones(4000), data="made", sources=names)
    assert grouped.threshold(0.05) > pooled.threshold(0.05) + 0.1
    false_alarms = []
    for seed in range(50):  # fresh sources, ten at a time
        fresh = np.random.default_rng(100 + seed)
        real = fresh.normal(0, 1.0, 10).repeat(200) + fresh.normal(0, 1, 2000)
        false_alarms.append((real > grouped.threshold(0.05)).mean())
    assert np.mean(false_alarms) < 0.055


def test_saved_panel_is_the_same_and_damage_is_named(tmp_path):
    panel = a_panel()
    panel.save(tmp_path / "p.json")
    assert Panel.load(tmp_path / "p.json") == panel
    (tmp_path / "p.json").write_text("{}")
    with pytest.raises(ModelError, match=r"p\.json"):
        Panel.load(tmp_path / "p.json")


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="both classes"):
        fit_panel(Question.GENERATED, {"d@1": 1.0}, [1.0, 2.0], [1, 1], [1, 1], data="made")


def test_verbal_scale():
    assert [strength(value) for value in (0, 0.5, -1.5, 2.5, 3.5, 5, 9)] == [
        "no",
        "weak",
        "moderate",
        "moderately strong",
        "strong",
        "very strong",
        "extremely strong",
    ]
