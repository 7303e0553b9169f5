"""The benchmark on a small made set: it asks once and resumes, keeps failures as rows, and its splits do not leak."""

import csv
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet
from sklearn import metrics as reference

from veriscope.errors import VeriscopeError
from veriscope.evidence import Evidence, Question
from veriscope.lab.benchmark import areas, bench, cost, figures, measuring, metrics, protocols, refitting
from veriscope.lab.benchmark.bench import Bench, Order, quick
from veriscope.lab.benchmark.cheats import PREFIX
from veriscope.lab.data import samples as kept
from veriscope.lab.data.manifest import Row, read_manifest
from veriscope.lab.data.samples import prepare
from veriscope.lab.recipes.recipe import Settings
from veriscope.weighing import fit_panel

REAL, MADE = ("alpha", "beta", "gamma", "delta"), ("SD 1.5", "flux.1-dev", "dall-e-2", "StyleGAN2")


class Stub:
    """A detector whose score is what a function of the pixels gives."""

    version = "1"
    question = Question.GENERATED

    def __init__(self, name, score):
        self.name, self.score, self.asked = name, score, []

    def __call__(self, picture):
        self.asked.append(picture.name)
        score = self.score(picture)
        return None if score is None else Evidence(self.name, "1", self.question, score, score / 4, 1.0, "")


def redness(picture):
    return float(picture.rgb[..., 0].mean() - picture.rgb[..., 1].mean()) / 8 - 2


def broken(picture):
    raise RuntimeError("out of order")


@pytest.fixture
def stubs(monkeypatch):
    """Three detectors, of which the good one is the shipped one, with a calibration of its own."""
    made = [Stub("red", redness), Stub("broken", broken), Stub("mute", lambda picture: None)]
    generator = np.random.default_rng(0)
    scores, labels = generator.normal(0, 1, 400) + np.repeat([-2, 2], 200), np.repeat([0, 1], 200)
    panel = fit_panel(Question.GENERATED, {"red@1": 1.0}, scores, labels, np.ones(400), data="made up")
    monkeypatch.setattr(measuring, "installed", lambda: made)
    monkeypatch.setattr(measuring, "shipped", lambda: made[:1])
    monkeypatch.setattr(measuring.models, "panels", lambda: (panel,))
    return made


@pytest.fixture
def light(monkeypatch):
    """Recipes with a small stand-in for the backbone."""

    def readings_of(squares):
        small = np.stack([square[::16, ::16].reshape(-1)[: 2 * 196] for square in squares]) / np.float32(255)
        return np.tile(np.pad(small, ((0, 0), (0, 2 * (768 - 196)))).reshape(-1, 1, 2, 768), (1, 8, 1, 1))

    monkeypatch.setattr(kept.backbone, "readings_of", readings_of)


@pytest.fixture
def manifest(tmp_path):
    generator = np.random.default_rng(0)
    rows = []
    for split, names in (("train", ""), ("test", "new ")):
        for label, sources in (("real", REAL), ("generated", MADE)):
            for source in sources:
                for number in range(6):
                    pixels = generator.integers(0, 190, (180, 170, 3)).astype(np.uint8)
                    if label == "generated":
                        pixels[..., 0] += 50
                    path = f"{names}{source}{number}.png"
                    Image.fromarray(pixels).save(tmp_path / path)
                    rows.append(
                        {
                            "path": path,
                            "label": label,
                            "source": names + source,
                            "group": f"{names}{source}{number // 2}",
                            "split": split,
                            "generator": source if label == "generated" else "",
                        }
                    )
    for number, edge in enumerate((8, 40, 80, 170)):
        pixels = generator.integers(0, 190, (180, 170, 3)).astype(np.uint8)
        mask = np.zeros((180, 170), np.uint8)
        mask[:edge, :edge] = 255
        pixels[mask > 0, 0] += 60
        Image.fromarray(pixels).save(tmp_path / f"edit{number}.png")
        Image.fromarray(mask).save(tmp_path / f"mask{number}.png")
        rows.append(
            {
                **{"path": f"edit{number}.png", "label": "edited", "source": "edits", "group": f"e{number}"},
                **{"split": "test_edits", "mask": f"mask{number}.png", "method": ("fill", "swap")[number % 2]},
            }
        )
    path = tmp_path / "manifest.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)), restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def order(manifest, tmp_path, **changes):
    wanted = Order((manifest,), tmp_path / "work", tmp_path / "out", per_source=6, pictures=40, swept=16)
    wanted = replace(wanted, variants=("JPEG 70", "noise 5"), families=3, least=4, folds=2, refit=("depths",))
    return replace(wanted, command="veriscope lab bench", **changes)


def ran(manifest, tmp_path, said=None, **changes):
    return Bench(order(manifest, tmp_path, **changes), (said if said is not None else []).append).run()


def test_installed_detectors_are_asked_once_and_failures_are_rows(stubs, manifest, tmp_path):
    tables = ran(manifest, tmp_path, protocols=("installed", "sweeps"))
    lines = {line["detector"]: line for line in tables["installed"]}
    assert {"veriscope", "red", "broken", "mute", PREFIX + "metadata only"} <= set(lines)
    assert lines["red"]["auc"] > 0.95
    assert lines["red"]["auc"] == lines["veriscope"]["auc"]
    assert (lines["red"]["real"], lines["red"]["generated"]) == (20, 20)
    assert lines["broken"]["failed"] == 40
    assert "out of order" in lines["broken"]["remark"]
    assert "auc" not in lines["mute"]
    assert lines[PREFIX + "metadata only"]["auc"] == 0.5  # all files are PNGs without metadata
    assert {line["variant"] for line in tables["robustness"]} >= {"JPEG 70", "noise 5", "75 % + JPEG 70", "PNG"}
    assert {line["detector"]: line["pictures"] for line in tables["flips"]}["red"] == 16

    asked = len(stubs[0].asked)
    again = ran(manifest, tmp_path, protocols=("installed", "sweeps"))
    assert len(stubs[0].asked) == asked
    assert again["installed"] == tables["installed"]
    stored = parquet.read_table(tmp_path / "out" / "answers.parquet").to_pylist()
    of_red = [row for row in stored if row["detector"] == "red"]
    assert len(of_red) == asked
    assert {"score", "log10_lr", "reliability", "seconds", "variant", "key"} <= set(of_red[0])
    assert next(row for row in stored if row["detector"] == "broken")["score"] is None


def test_sweeps_may_ask_some_detectors_and_keep_what_the_others_said(stubs, manifest, tmp_path):
    said = []
    tables = ran(manifest, tmp_path, said, protocols=("installed", "sweeps"), swept_by=("red",), swept=4)
    assert {line["detector"] for line in tables["robustness"] if line["variant"] == "noise 5"} >= {"red"}
    assert "mute" not in {line["detector"] for line in tables["robustness"]}
    lines = {line["detector"]: line for line in tables["installed"]}
    assert {name: lines[name]["answered"] for name in ("red", "veriscope")} == {"red": 40, "veriscope": 40}
    assert lines["broken"]["failed"] == 40


def test_a_stopped_run_loses_nothing(stubs, manifest, tmp_path):
    whole = stubs[0].score

    def stopped(picture):
        if len(stubs[0].asked) == 30:
            raise KeyboardInterrupt
        return whole(picture)

    # Ctrl-C reaches the main thread between two pictures
    pictures = []
    say = pictures.append

    def interrupt(line):
        if line.startswith("asked about 20"):
            raise KeyboardInterrupt
        say(line)

    with pytest.raises(KeyboardInterrupt):
        Bench(order(manifest, tmp_path, protocols=("installed",)), interrupt).run()
    before = len(stubs[0].asked)
    assert before == 40
    ran(manifest, tmp_path, protocols=("installed",))
    assert len(stubs[0].asked) == 80


def test_a_retrained_detector_is_asked_again_and_the_others_are_not(stubs, manifest, tmp_path, monkeypatch):
    ran(manifest, tmp_path, protocols=("installed",))
    asked = [len(stub.asked) for stub in stubs]
    whole = measuring.mark_of
    monkeypatch.setattr(measuring, "mark_of", lambda item: "new" if item.name == "red" else whole(item))
    ran(manifest, tmp_path, protocols=("installed",))
    assert [len(stub.asked) for stub in stubs] == [2 * asked[0], *asked[1:]]


def test_training_protocols_fill_their_cells_and_resume(stubs, light, manifest, tmp_path):
    said = []
    names = ("matrix", "grid", "loso", "dff")
    tables = ran(manifest, tmp_path, said, protocols=names)
    cells = tables["cells"]
    matrix = [cell for cell in cells if (cell["protocol"], cell["detector"]) == ("matrix", "depths")]
    assert len(matrix) == (3 + 1) * 3
    assert {cell["trained_on"] for cell in matrix} == {cell["tested_on"] for cell in matrix} | {protocols.EVERYTHING}
    assert all(cell["auc"] is None or 0 <= cell["auc"] <= 1 for cell in cells)
    assert sum(cell["protocol"] == "grid" and cell["detector"] == "depths" for cell in cells) == 2 * 4
    dff = [cell for cell in cells if cell["protocol"] == "dff" and cell["detector"] == "depths"]
    assert {cell["variant"] for cell in dff} == set(refitting.DEGRADED)
    (left,) = [line for line in tables["loso"] if line["detector"] == "depths"]
    assert left["auc"] > 0.6
    assert left["pictures"] == {"real": 24, "generated": 24}
    assert {item["source"] for item in left["sources"]} == {*REAL, *MADE}
    assert {line["detector"] for line in tables["loso"]} >= {PREFIX + "size and JPEG quality only"}

    started = time.monotonic()
    again = ran(manifest, tmp_path, said, protocols=names)
    assert again["cells"] == cells
    assert again["loso"] == tables["loso"]
    assert time.monotonic() - started < 60
    assert json.loads((tmp_path / "out" / "leaderboard.json").read_text())["cells"] == cells


def test_a_recipe_that_fails_is_a_row_with_its_reason(stubs, manifest, tmp_path):
    class Failing:
        name = "failing"

        def refit(self, samples, fitted, work, settings, say):
            raise ValueError("no memory left")

    samples, _ = prepare(read_manifest(manifest, ("train",)), tmp_path / "s", say=lambda line: None)
    refits = refitting.Refits(samples, tmp_path / "t", Settings(), lambda line: None)
    found = refitting.cells(refits, Failing(), protocols.grid(samples))
    assert len(found) == 8
    assert {cell.reason for cell in found} == {"ValueError: no memory left"}
    assert refitting.left_out(refits, Failing(), protocols.leave_sources_out(samples, 2))["reason"].endswith("left")


def test_no_plan_tests_what_it_trained_on(manifest, tmp_path):
    samples, _ = prepare(read_manifest(manifest, ("train",)), tmp_path / "s", say=lambda line: None)
    groups = np.array([row.group for row in samples.rows])
    families = protocols.largest_families(samples.rows, 8, 4)
    assert len(families) == 4
    plans = [*protocols.matrix(samples, families), *protocols.grid(samples), *protocols.leave_sources_out(samples, 0)]
    real = samples.labels == 0
    for plan in plans:
        assert plan.fitted.any()
        assert plan.tested.any()
        assert not set(groups[plan.fitted]) & set(groups[plan.tested])
        assert set(samples.turns[plan.tested]) == {protocols.TESTED}
        for group in set(groups[plan.fitted]):  # all turns of a picture together
            assert plan.fitted[groups == group].all()
        if plan.protocol == "matrix":
            assert not set(samples.sources[plan.fitted & real]) & set(samples.sources[plan.tested & real])
    for plan in protocols.grid(samples):
        for name, which in plan.tests.items():
            for side, mask in ((name.split(" real")[0], real), (name.split()[-2], ~real)):
                known = np.isin(samples.sources[which & mask], samples.sources[plan.fitted & mask])
                assert known.all() if side == protocols.SEEN else not known.any()
    left = protocols.leave_sources_out(samples, 0)
    assert len(left) == 8
    assert np.array_equal(np.sum([plan.tested for plan in left], 0), samples.turns == protocols.TESTED)


def test_recall_by_edited_area_and_method(stubs, manifest, tmp_path):
    tables = ran(manifest, tmp_path, protocols=("installed", "area"))
    by_area = {line["name"]: line for line in tables["areas"] if (line["detector"], line["by"]) == ("red", "area")}
    assert {name: line["pictures"] for name, line in by_area.items()} == {
        **{"under 1 %": 1, "5 to 15 %": 1, "15 to 40 %": 1, "over 40 %": 1},
    }
    assert by_area["over 40 %"]["recall"] == 1.0
    assert by_area["under 1 %"]["recall"] == 0.0
    assert {line["name"] for line in tables["areas"] if line["by"] == "method"} == {"fill", "swap"}


def test_recall_is_measured_at_the_score_that_five_percent_of_real_pictures_pass():
    rows = [Row(Path(f"{number}.png"), "edited", "s", str(number), "test", method="fill") for number in range(4)]
    scores = {"one": {row.key: value for row, value in zip(rows, (1.0, 3.0, 5.0, 7.0), strict=True)}}
    found = areas.recalls(rows, scores, {"one": list(np.linspace(0, 4, 101))}, lambda row: 0.5)
    (line,) = [item for item in found if item.by == "area"]
    assert (line.name, line.pictures, line.recall) == ("over 40 %", 4, 0.5)
    assert line.low < 0.5 < line.high


def test_cost_is_measured_in_another_process_and_a_failure_is_told(manifest, tmp_path):
    path = sorted(tmp_path.glob("alpha*.png"))[:2]
    told = cost.cost(["double_quantisation"], path)
    assert told.reason == ""
    assert 0 < told.seconds < 30
    failed = cost.cost(["no such detector"], path)
    assert "no such detector" in failed.reason


def test_wrong_orders_are_refused(stubs, manifest, tmp_path):
    with pytest.raises(VeriscopeError, match="teapot"):
        Bench(order(manifest, tmp_path, protocols=("teapot",)))
    with pytest.raises(VeriscopeError, match="split 'nowhere'"):
        Bench(order(manifest, tmp_path, split="nowhere"))
    with pytest.raises(VeriscopeError, match="no detector is called 'nobody'"):
        Bench(order(manifest, tmp_path, detectors=("nobody",)))
    small = quick(order(manifest, tmp_path, pictures=5000, folds=0))
    assert small.pictures <= 60
    assert small.folds == 3


def test_measures_agree_with_the_reference():
    generator = np.random.default_rng(0)
    y = generator.integers(0, 2, 300).astype(bool)
    x = np.round(generator.normal(0, 1, 300) + y, 1)  # with ties
    assert metrics.average_precision(x, y) == pytest.approx(reference.average_precision_score(y, x))
    assert metrics.balanced_accuracy(x, y, 0.5) == pytest.approx(reference.balanced_accuracy_score(y, x > 0.5))
    false, true = metrics.roc_curve(x, y)
    assert np.trapezoid(true, false) == pytest.approx(metrics.auc(x, y))


def test_what_is_said_beside_what_is_so():
    y = np.arange(300) % 2 == 1  # bins of 30 hold one class each
    said, so, weights = metrics.reliability_diagram(np.where(y, 1.0, -1.0), y)
    np.testing.assert_allclose(weights, 0.1)
    np.testing.assert_allclose(said, np.repeat([1 / 11, 10 / 11], 5))
    np.testing.assert_array_equal(so, np.repeat([0, 1], 5))
    assert metrics.expected_calibration_error(np.where(y, 1.0, -1.0), y) == pytest.approx(1 / 11)


def test_an_interval_over_sources_is_wider_where_sources_differ():
    generator = np.random.default_rng(1)
    sources = np.repeat(np.arange(12), 40)
    y = sources < 6
    x = generator.normal(0, 1, 480) + 1.0 * y + generator.normal(0, 1.5, 12)[sources]
    low, high = metrics.bootstrap_interval(x, y, rounds=200)
    wide = metrics.bootstrap_interval(x, y, sources=sources, rounds=200)
    assert wide[1] - wide[0] > 2 * (high - low)
    assert wide[0] < metrics.auc(x, y) < wide[1]
    assert np.isnan(metrics.bootstrap_interval(x, y, sources=np.where(y, 1, 0), rounds=5)[0])


def test_flip_rates_count_pictures():
    states = [["yes", "yes"], ["yes", "no"], ["no", "cannot tell"], ["no", "no"]]
    found = metrics.flip_rates([[1, 2], [-1, 1], [-1, -2], [-3, -3]], states, 0.0)
    assert found == {"threshold_5": 0.25, "yes_and_no": 0.25, "any_change_of_state": 0.5}


def test_remarks_say_what_a_number_hides():
    line = {"detector": "d", "kind": "detector", "auc": 0.52, "low": 0.4, "high": 0.63, "answered": 9, "asked": 10}
    line |= {"failed": 1, "reason": "the detector failed: X"}
    said = figures.remark(line, [{"detector": PREFIX + "metadata only", "auc": 0.9}])
    assert "premise fails" in said
    assert "metadata only" in said
    assert "9 of 10" in said
    assert "wrong way" in figures.remark({**line, "auc": 0.3, "low": 0.2, "high": 0.4}, [])
    fine = {**line, "auc": 0.95, "low": 0.9, "high": 0.97, "answered": 10, "failed": 0}
    assert figures.remark(fine, []) == ""


def test_families_are_told_by_documented_names():
    def family(generator):
        return protocols.family(Row(Path("a.png"), "generated", "hub", "g", "train", generator))

    assert family("SD 2.1") == family("stable-diffusion-1.5") == "Stable Diffusion 1 and 2"
    assert family("sd_xl_base_1.0") == "Stable Diffusion XL"
    assert family("gpt-4o-image(presumed)") == "GPT image"
    assert family("stylegan2(thispersondoesnotexist)") == "StyleGAN"
    assert family("Karlo unCLIP") == "DALL-E 2"
    assert family("unknown") == "hub"


def test_both_classes_are_taken_from_all_sources_in_turn(manifest):
    rows = read_manifest(manifest, ("test",))
    some = bench._both(rows, 16, 3)
    assert {label: sum(row.label == label for row in some) for label in ("real", "generated")} == {
        "real": 8,
        "generated": 8,
    }
    assert len({row.source for row in some}) == 8
    assert len(bench._both(rows, 1000, 2)) == 16
