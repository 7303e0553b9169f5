"""The ranking of all queries together gives the challenge's figures, and a run over real pictures resumes."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

from veriscope.errors import VeriscopeError
from veriscope.lab.benchmark import copies_bench
from veriscope.lab.benchmark.copies_bench import (
    CopiesBench,
    Described,
    Order,
    Ranking,
    joined,
    measured,
    micro_average_precision,
    phash,
    ranked,
    recall_at_precision,
)
from veriscope.lab.benchmark.metrics import average_precision
from veriscope.lab.data.manifest import write_manifest

PICTURES = (
    "chelsea",
    "coffee",
    "astronaut",
    "rocket",
    "retina",
    "hubble_deep_field",
    "immunohistochemistry",
    "colorwheel",
)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    table = []
    for name in PICTURES:
        rgb = np.ascontiguousarray(getattr(data, name)()[..., :3])
        for part, split in ((rgb[:, : rgb.shape[1] // 2], "test"), (rgb[:, rgb.shape[1] // 2 :], "train")):
            small = cv2.resize(part, (96, 128), interpolation=cv2.INTER_AREA)
            Image.fromarray(small).save(folder / f"{name}-{split}.png")
            table.append({"path": f"{name}-{split}.png", "label": "real", "source": "skimage", "split": split})
            table[-1]["group"] = f"{name}-{split}"
    write_manifest(folder / "manifest.csv", table)
    return folder / "manifest.csv"


def test_the_common_ranking_gives_the_average_precision_of_all_pairs():
    generator = np.random.default_rng(0)
    scores, right = generator.normal(size=200), generator.random(200) < 0.2
    ranking = Ranking(scores, right, np.arange(200))
    assert micro_average_precision(ranking, int(right.sum())) == pytest.approx(average_precision(scores, right))
    assert micro_average_precision(ranking, 2 * int(right.sum())) == pytest.approx(average_precision(scores, right) / 2)


def test_recall_is_read_where_precision_still_holds():
    right = np.array([True] * 9 + [False] + [False] * 20 + [True])
    ranking = Ranking(np.linspace(1, 0, 31), right, np.arange(31))
    assert recall_at_precision(ranking, 10) == pytest.approx(0.9)
    tied = Ranking(np.ones(31), right, np.arange(31))
    assert recall_at_precision(tied, 10) == 0.0


def test_hashes_and_vectors_are_ranked_alike_and_strangers_count_as_wrong():
    bits = np.random.default_rng(1).integers(0, 256, (20, 8), dtype=np.uint8)
    ranking = ranked(bits[:4], bits, np.array([0, 1, 2, -1]), nearest=3)
    assert measured((ranking, 3))["first_is_right"] == 1.0
    assert 0 < measured((ranking, 3))["micro_ap"] < 1  # the stranger's score ties with those of the right ones
    vectors = np.eye(20, dtype=np.float32)
    both, positives = joined([(ranked(vectors[:4], vectors, np.arange(4)), 4), (ranking, 3)])
    assert positives == 7
    assert len(np.unique(both.queries)) == 8


def test_phash_keeps_through_saving_and_differs_between_pictures():
    cat, coffee = phash(data.chelsea()), phash(data.coffee())
    saved = phash(cv2.GaussianBlur(data.chelsea(), (0, 0), 1.5))
    assert np.bitwise_count(cat ^ saved).sum() <= 6
    assert np.bitwise_count(cat ^ coffee).sum() > 16


def test_a_run_measures_every_pattern_and_resumes(manifest, tmp_path):
    calls = []

    def tiny(rgb):
        calls.append(rgb.shape)
        small = cv2.resize(rgb, (8, 8), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
        small -= small.mean()
        return small / max(float(np.linalg.norm(small)), 1e-6)

    order = Order(manifest, tmp_path, distractors=20, most=8, patterns=("jpeg heavy", "crop tenth", "swirl"))
    tables = CopiesBench(order, [Described("tiny", "1", tiny)], lambda line: None).run()
    about = tables["about"]
    assert (about["originals"], about["strangers"]) == (6, 2)
    assert (about["photographed_distractors"], about["rendered_distractors"]) == (8, 12)
    figures = {line["patterns"]: line for line in tables["figures"]}
    assert figures["all"]["positives"] == 18
    assert figures["jpeg heavy"]["micro_ap"] > 0.9
    assert figures["jpeg heavy"]["micro_ap"] > figures["crop tenth"]["micro_ap"]
    assert figures["held out patterns"] == figures["swirl"] | {"patterns": "held out patterns"}
    assert json.loads((tmp_path / "copies.json").read_text())["figures"] == tables["figures"]
    done = len(calls)
    assert done == 6 + 8 + 12 + 3 * 8
    assert CopiesBench(order, [Described("tiny", "1", tiny)], lambda line: None).run()["figures"] == tables["figures"]
    assert len(calls) == done


def test_an_unknown_pattern_and_too_few_pictures_are_said(manifest, tmp_path):
    with pytest.raises(VeriscopeError, match="no tamper pattern melt"):
        CopiesBench(Order(manifest, tmp_path, patterns=("melt",)), [])
    with pytest.raises(VeriscopeError, match="has 0 pictures"):
        CopiesBench(Order(manifest, tmp_path, split="val"), [])


def test_the_descriptors_that_can_be_measured_give_one_vector_each():
    known = copies_bench.descriptors()
    assert {"pdq", "phash", "tower"} <= set(known)
    for name, one in known.items():
        if name != "tower":  # opens a large model
            found = one.describe(np.ascontiguousarray(data.chelsea()))
            assert found.ndim == 1
            assert found.dtype == (np.uint8 if one.kind == "hash" else np.float32)
