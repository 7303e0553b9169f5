"""The studies on small made sets: each finds what was put in, keeps sources apart, and writes what it prints."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from veriscope.cli import main
from veriscope.errors import VeriscopeError
from veriscope.lab.benchmark.metrics import auc
from veriscope.lab.benchmark.refitting import DEGRADED, degraded_samples
from veriscope.lab.data import samples as kept
from veriscope.lab.data.manifest import Row, read_manifest, write_manifest
from veriscope.lab.data.samples import prepare
from veriscope.lab.recipes.depths import fit_linear
from veriscope.lab.recipes.heads import Fold
from veriscope.lab.recipes.recipe import Settings
from veriscope.lab.studies import scaling, selecting, two_stage
from veriscope.lab.studies.attribution import folds_of, told_apart, trusted
from veriscope.lab.studies.contents import ART, FACE, PHOTOGRAPH, UNCATEGORISED, by_content, content_of
from veriscope.lab.studies.material import apart, origins, table, whole_pairs
from veriscope.lab.studies.two_stage import DATA, STAGES, group_accuracy, toward

SOURCES, PICTURES = 6, 5  # of each class; of each source
TINT = {f"generated{number}": 2 * (number % 2) for number in range(SOURCES)}  # the channel that each raises


@pytest.fixture(autouse=True)
def light(monkeypatch):
    """A small stand-in for the backbone: mean colours of a coarse grid."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)

    def readings_of(squares):
        small = np.stack([square.reshape(4, 56, 4, 56, 3).mean((1, 3)).reshape(-1) for square in squares]) / 255
        padded = np.pad(small.astype(np.float32), ((0, 0), (0, 768 - small.shape[1])))
        return np.tile(padded[:, None, None], (1, 8, 2, 1))

    monkeypatch.setattr(kept.backbone, "readings_of", readings_of)
    yield
    torch.set_num_threads(before)


def noise(generator, channel=None, by=30):
    pixels = generator.integers(0, 190, (180, 170, 3)).astype(np.uint8)
    if channel is not None:
        pixels[..., channel] += by
    return pixels


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Noise; half of the generators redden it, half make it bluer. Each real source has a face and a painting."""
    folder, generator = tmp_path_factory.mktemp("studies"), np.random.default_rng(0)
    rows = []
    for label in ("real", "generated"):
        for source in (f"{label}{number}" for number in range(SOURCES)):
            for number in range(PICTURES):
                path = f"{source}-{number}.png"
                Image.fromarray(noise(generator, TINT.get(source))).save(folder / path)
                colour = {0: "redder", 2: "bluer"}.get(TINT.get(source), "")
                rows.append(
                    {
                        **{"path": path, "label": label, "source": source, "group": path, "split": "train"},
                        **{"face": str(int(number == 0)), "art": str(int(number == 1 and label == "real"))},
                        "generator": colour,
                    }
                )
    write_manifest(folder / "manifest.csv", rows)
    return folder / "manifest.csv"


@pytest.fixture(scope="module")
def pairs(manifest):
    """Each real picture once more, and a smooth fake of it that is both redder and bluer, as make-pairs lists them."""
    folder, rows = manifest.parent / "pairs", []
    folder.mkdir()
    for row in read_manifest(manifest):
        if row.generated:
            continue
        rgb = np.asarray(Image.open(row.path))
        fake = np.clip(cv2.blur(rgb, (3, 3)).astype(int) + np.array([18, 0, 18]), 0, 255).astype(np.uint8)
        for kind, pixels in (("real", rgb), ("generated", fake)):
            path = f"{kind}-{row.path.name}"
            Image.fromarray(pixels).save(folder / path)
            source = row.source if kind == "real" else "pairs_blur"
            rows.append(
                {
                    **{"path": path, "label": kind, "source": source, "group": row.group, "split": "train"},
                    **{"origin": row.key, "method": "real" if kind == "real" else "blur"},
                }
            )
    write_manifest(folder / "manifest.csv", rows)
    return folder / "manifest.csv"


def lab(command, manifest, *more):
    folder = manifest.parent
    return main(["lab", *command, "--data", str(manifest), "--work", str(folder / "work"), *map(str, more)])


def row(name, label="real", **more):
    values = {"source": "s", "group": name, "split": "train", **more}
    return Row(path=Path(name), label=label, **values)


class Recording:
    """A detector that scores by redness; what it was fitted on, and what it was asked about."""

    def __init__(self, name="red", sign=1.0, fails=False):
        self.name, self.sign, self.fails, self.calls = name, sign, fails, []

    def refit(self, samples, fitted, work, settings, say):
        if self.fails:
            raise RuntimeError("out of order")
        self.calls.append((samples, fitted))
        squares = samples.whole.stacked().astype(float)
        return self.sign * np.abs(squares[..., 0].mean((1, 2)) - squares[..., 2].mean((1, 2))) - 12


# scaling


def test_a_power_law_is_found_again_and_steps_grow_alike():
    counts = [4, 8, 16, 32]
    factor, exponent = scaling.power_law(counts, [0.5 * count**-0.3 for count in counts])
    assert (factor, exponent) == (pytest.approx(0.5), pytest.approx(0.3))
    assert scaling.interval([0.2]) == [None, None]
    low, high = scaling.interval([0.2, 0.3, 0.4])
    assert (low + high) / 2 == pytest.approx(0.3)
    assert high - low == pytest.approx(2 * 4.3027 * 0.1 / 3**0.5, rel=1e-3)
    assert scaling.steps(2, 5, 10) == [2, 3, 4, 5]


def test_scaling_trains_on_growing_beginnings_and_keeps_sources_apart(manifest, tmp_path):
    samples, _ = prepare(read_manifest(manifest), manifest.parent / "work" / "samples", say=str)
    made, settings = Recording(), Settings(folds=3)
    figures = scaling.scaling(made, samples, tmp_path / "w", settings, draws=2, points=3, say=str)
    assert [point["count"] for point in figures["pictures"]["points"]] == [8, 13, 20]
    assert [point["count"] for point in figures["sources"]["points"]] == [2, 3, 4]
    assert {point["pictures"] for point in figures["sources"]["points"]} == {10}
    assert figures["pictures"]["points"][-1]["auc"] > 0.95
    assert len(made.calls) == 12
    learned = []
    for seen, fitted in made.calls:
        rows = [row for row, used in zip(seen.rows, fitted, strict=True) if used]
        rest = {row.source for row, used in zip(seen.rows, fitted, strict=True) if not used}
        assert not {row.source for row in rows} & rest
        assert len({row.key for row in rows if row.label == "real"}) == 20
        learned.append({row.key for row in rows if row.generated})
    assert [len(keys) for keys in learned[:3]] == [8, 13, 20]
    assert learned[0] < learned[1] < learned[2]
    assert [len({key.split("/")[0] for key in keys}) for keys in learned[6:9]] == [2, 3, 4]
    scaling.scaling(made, samples, tmp_path / "w", settings, draws=2, points=3, say=str)
    assert len(made.calls) == 12
    few = samples.chosen(np.isin(samples.sources, ["real0", "real1", "generated0", "generated1"]))
    with pytest.raises(VeriscopeError, match="5 generated pictures are left"):
        scaling.scaling(made, few, tmp_path / "v", Settings(folds=2), draws=1, points=3, say=str)


def test_the_command_scaling_writes_the_curve(manifest, tmp_path, capsys):
    out = tmp_path / "scaling"
    assert lab(["scaling", "depths"], manifest, "--out", out, "--folds", 3, "--draws", 2, "--points", 3) == 0
    figures = json.loads((out / "scaling.json").read_text())
    assert figures["pictures"]["points"][-1]["auc"] > 0.8
    assert {point["error"] for point in figures["pictures"]["points"]} == {
        0.5 / (10 * 10)
    }  # nothing is wrong: the floor
    assert figures["pictures"]["exponent"] == pytest.approx(0)
    assert Image.open(out / "scaling.png").size[0] > 800
    assert "| 20 | 20.000 |" in (out / "scaling.md").read_text()
    assert "error = " in capsys.readouterr().out
    assert lab(["scaling", "depths"], manifest, "--out", out, "--folds", 9) == 2
    assert "9 folds of whole sources need as many real sources" in capsys.readouterr().err
    assert lab(["scaling", "nothing"], manifest, "--out", out) == 2
    assert lab(["scaling", "depths"], manifest, "--points", 1) == 2


# pairs


def test_pairs_know_their_origins_and_are_kept_apart(pairs, tmp_path):
    rows = read_manifest(pairs)
    assert {source for row, source in zip(rows, origins(rows), strict=True) if row.source == "pairs_blur"} == {
        f"real{number}" for number in range(SOURCES)
    }
    some = whole_pairs(rows, 6)
    assert len(some) == 12
    assert {row.origin for row in some if row.generated} == {row.origin for row in some if not row.generated}
    assert len(set(origins(some))) == SOURCES
    others = [row(name="x", source="real0"), row(name="y", group="real1-0.png")]
    free = apart(rows, others)
    assert len(free) == 2 * (SOURCES * PICTURES - PICTURES - 1)
    assert not [key for key in free if "real0-" in key or "real1-0" in key]
    with pytest.raises(VeriscopeError, match="no real side"):
        origins([one for one in rows if one.generated])


def test_the_second_stage_is_drawn_to_the_first(tmp_path):
    generator = np.random.default_rng(0)
    labels = np.tile([0, 1], 150).astype(np.float32)
    weights = np.full(300, 1 / 300)
    first, second = (generator.normal(0, 1, (300, 20)).astype(np.float32) for _ in range(2))
    first[:, 0] += 2 * labels
    second[:, 0] += 2 * labels  # in both
    second[:, 1] += 3 * (labels == 1)  # a bias of the second alone
    start = fit_linear(Fold(first, labels, weights, first[:0]), invariance=0)
    alone = fit_linear(Fold(second, labels, weights, second[:0]), invariance=0)
    free, near, held = (toward(Fold(second, labels, weights, second[:0]), start, pull=pull) for pull in (0, 0.03, 1e4))
    np.testing.assert_allclose(held.weights, start.weights, atol=1e-3)
    assert float(near.weights[1]) < float(alone.weights[1]) < float(free.weights[1])
    fair = generator.normal(0, 1, (300, 20)).astype(np.float32)
    fair[:, 0] += 2 * labels
    fair[:, 1] += 3 * (1 - labels)  # the bias the other way about
    assert auc(near(fair), labels) > auc(alone(fair), labels) + 0.05


def test_two_stages_of_a_linear_score(manifest, pairs, tmp_path, capsys):
    out = tmp_path / "two"
    command = ["two-stage", "depths"]
    assert lab(command, manifest, "--pairs", pairs, "--out", out, "--folds", 3) == 0
    figures = json.loads((out / "two-stage.json").read_text())
    arms = {arm["arm"]: arm for arm in figures["arms"]}
    assert len(arms) == 4
    assert arms[STAGES]["auc"] > 0.8
    assert arms[DATA]["auc"] > 0.8
    assert arms[STAGES] != arms[DATA]
    assert arms[STAGES]["worst_sources"] <= arms[STAGES]["auc"]
    assert {group["group"] for group in figures["groups"]} == {
        *("real, face", "real, art", "real, photograph", "generated, face", "generated, uncategorised")
    }
    assert arms[DATA]["worst_group"] == min(group[DATA] for group in figures["groups"])
    assert "pairs, then data" in (out / "two-stage.md").read_text()
    capsys.readouterr()
    assert lab(["two-stage", "rine"], manifest, "--pairs", pairs) == 2
    assert "cannot be fitted in two stages" in capsys.readouterr().err
    assert lab(command, manifest, "--pairs", manifest) == 2
    assert "no real side of its pair" in capsys.readouterr().err


def test_a_network_starts_its_second_stage_from_the_first(manifest, pairs, tmp_path):
    made = two_stage.staged("npr")
    few = [row for row in read_manifest(manifest) if row.source[-1] in "01"]
    paired = read_manifest(pairs)[:12]
    samples, _ = prepare([*few, *paired], manifest.parent / "work" / "samples", say=str)
    samples = samples.chosen(samples.turns == 0)
    said = []
    settings = Settings(folds=2, epochs=1, draws=8, batch=4, device="cpu", start="")
    keys = frozenset(row.key for row in paired)
    scores = two_stage.Staged(made, keys).refit(samples, np.ones(len(samples), bool), tmp_path, settings, said.append)
    assert scores.shape == (len(samples),)
    assert np.isfinite(scores).all()
    (line,) = [line for line in said if "started from" in line]
    assert line.startswith("started from first-stage.safetensors: ")
    fits, own = (int(word) for word in line.split() if word.isdigit())
    assert fits == own


def test_groups_are_of_class_and_content():
    rows = [row(str(n), face=str(int(n < 4)), art="0") for n in range(8)]
    rows += [row(f"g{n}", "generated", face="1") for n in range(3)]
    scores = np.array([-1, -1, -1, 1, 1, 1, 1, 1, 1, 1, 1.0])
    assert group_accuracy(rows, scores) == {"real, face": 0.75, "real, photograph": 0.0}


# select


def test_the_choice_is_made_on_pairs_that_neither_training_nor_test_has(manifest, pairs, tmp_path):
    paired = read_manifest(pairs)
    samples, _ = prepare([*read_manifest(manifest), *paired], manifest.parent / "work" / "samples", say=str)
    good, bad, broken = Recording("good"), Recording("bad", sign=-1.0), Recording("broken", fails=True)
    figures = selecting.select([bad, broken, good], samples, paired, tmp_path / "w", Settings(folds=3), say=str)
    assert len(good.calls) == 3
    keys = {row.key for row in paired}
    source_of = dict(zip([row.key for row in paired], origins(paired), strict=True))
    for seen, fitted in good.calls:
        learned = {row.source for row, used in zip(seen.rows, fitted, strict=True) if used}
        chosen_by = {source_of[row.key] for row in seen.rows if row.key in keys}
        field = {row.source for row, used in zip(seen.rows, fitted, strict=True) if not used and row.key not in keys}
        assert chosen_by
        assert not chosen_by & learned
        assert not chosen_by & field
        assert not learned & field
    rows = {line["recipe"]: line for line in figures["recipes"]}
    assert rows["good"]["auc_field"] > 0.9
    assert rows["bad"]["auc_field"] < 0.1
    assert "out of order" in rows["broken"]["reason"]
    assert figures["recipes"][-1]["recipe"] == "broken"
    with pytest.raises(VeriscopeError, match="two recipes"):
        selecting.select([good, broken], samples, paired, tmp_path / "w", Settings(folds=3), say=str)


def test_ranks_and_regret():
    values = {"a": (0.9, 0.7), "b": (0.8, 0.9), "c": (0.6, 0.6), "d": (0.7, 0.65)}
    rows = [{"recipe": name, "auc_pairs": x, "auc_field": y, "reason": ""} for name, (x, y) in values.items()]
    figures = selecting.compared(rows)
    assert (figures["chosen"], figures["best"]) == ("a", "b")
    assert figures["regret"] == pytest.approx(0.2)
    assert figures["regret_by_chance"] == pytest.approx(0.9 - 0.7125)
    assert figures["kendall"] == pytest.approx(2 / 3)
    assert figures["spearman"] == pytest.approx(0.8)
    assert [(row["recipe"], row["rank_pairs"]) for row in figures["recipes"]] == [
        ("b", 2),
        ("a", 1),
        ("d", 3),
        ("c", 4),
    ]


def test_the_command_select_writes_both_rankings(manifest, pairs, tmp_path, capsys):
    out = tmp_path / "select"
    more = ("--pairs", pairs, "--out", out, "--folds", 3)
    assert lab(["select", "--recipes", "depths,clip_mlp"], manifest, *more) == 0
    figures = json.loads((out / "select.json").read_text())
    assert {row["recipe"] for row in figures["recipes"]} == {"depths", "clip_mlp"}
    assert figures["regret"] >= 0
    assert "Kendall" in capsys.readouterr().out
    assert lab(["select", "--recipes", "depths"], manifest, *more) == 2
    assert "two recipes at least" in capsys.readouterr().err


# contents


def test_content_is_what_the_manifest_says():
    rows = [row("a", face="1", art="0"), row("b", face="0", art="1"), row("c", face="0", art="0"), row("d")]
    painted, plain = (row(name, "generated", face="0", art=art) for name, art in (("e", "1"), ("f", "0")))
    assert content_of(rows) == [FACE, ART, PHOTOGRAPH, UNCATEGORISED]
    assert content_of([plain]) == [UNCATEGORISED]
    assert content_of([painted, plain]) == [ART, PHOTOGRAPH]


def test_generators_are_told_apart_and_doubted_ones_are_left_out(manifest, tmp_path):
    rows = read_manifest(manifest)
    samples, _ = prepare(rows, manifest.parent / "work" / "samples", say=str)
    versions = degraded_samples(rows, manifest.parent / "work" / "studies" / "degraded", str)
    told = told_apart(samples, versions, folds=3, least=12, say=str)
    assert {row["generator"]: row["sources"] for row in told["classes"]} == {"bluer": 3, "redder": 3}
    assert {row["version"] for row in told["versions"]} == set(DEGRADED)
    assert told["versions"][0]["balanced_accuracy"] > 0.9
    assert told["confusion"]["redder"]["redder"] > 0.9
    assert sum(told["confusion"]["bluer"].values()) == pytest.approx(1)
    assert told["one_source"] == []
    assert "fewer than two" in told_apart(samples, versions, folds=3, least=16, say=str)["reason"]
    assert trusted(row("a", "generated", generator="x(presumed)")) == ""
    assert trusted(row("a", "real", generator="camera")) == ""


def test_a_group_lies_in_one_fold_and_each_generator_in_all():
    rows = [row(f"{name}{n}", "generated", group=f"{name}{n // 2}") for name in "ab" for n in range(12)]
    fold = folds_of(rows, [one.path.name[0] for one in rows], 3)
    for name in "ab":
        mine = [number for one, number in zip(rows, fold, strict=True) if one.path.name[0] == name]
        assert sorted(mine) == [0] * 4 + [1] * 4 + [2] * 4
    assert all(len({f for one, f in zip(rows, fold, strict=True) if one.group == group}) == 1 for group in ("a0", "b3"))


def test_a_detector_by_content(manifest, tmp_path):
    rows = read_manifest(manifest)
    samples, _ = prepare(rows, manifest.parent / "work" / "samples", say=str)
    versions = degraded_samples(rows, manifest.parent / "work" / "studies" / "degraded", str)
    table_of = by_content(Recording(), samples, versions, tmp_path / "w", Settings(folds=3), say=str)
    lines = {(line["version"], line["content"]): line for line in table_of}
    everything, faces, art = (lines[DEGRADED[0], content] for content in ("all", FACE, ART))
    assert (everything["real"], everything["generated"]) == (30, 30)
    assert everything["auc"] > 0.95
    assert (faces["real"], faces["generated"]) == (6, 6)
    assert faces["auc"] > 0.95
    assert (art["real"], art["generated"], art["auc"]) == (6, 0, None)
    assert art["real_auc"] > 0.95
    assert art["generated_auc"] is None
    assert {version for version, _ in lines} == set(DEGRADED)


def test_the_command_contents_writes_both_tracks(manifest, tmp_path, capsys):
    out = tmp_path / "contents"
    assert lab(["contents"], manifest, "--out", out, "--folds", 3) == 0
    figures = json.loads((out / "contents.json").read_text())
    assert figures["contents"][0]["auc"] > 0.8
    assert figures["generators"]["versions"][0]["balanced_accuracy"] > 0.8
    text = (out / "contents.md").read_text()
    assert "| redder |" in text
    assert "## Which generator" in text
    assert "which generator" in capsys.readouterr().out


def test_a_table_shows_what_there_is():
    assert table([{"a": 0.12345, "b": None, "c": [0.5, 1.0], "d": "x|y"}]).splitlines()[2] == (
        "| 0.123 |  | 0.500 to 1.000 | x/y |"
    )
