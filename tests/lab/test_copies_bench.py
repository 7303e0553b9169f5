"""The ranking of all queries together gives the challenge's figures, and a run over real pictures resumes."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

from veriscope.errors import VeriscopeError
from veriscope.lab.benchmark.copies_bench import CopiesBench, Order
from veriscope.lab.benchmark.copies_described import Measure, described, phash
from veriscope.lab.benchmark.copies_protocol import (
    Ranking,
    likeness,
    measured,
    micro_average_precision,
    ranked,
    recall_at_precision,
    restricted,
)
from veriscope.lab.benchmark.copies_vectors import CUT_FROM_ONE, Described, copy_of, rendered
from veriscope.lab.benchmark.differences import lines, outcome, pairs
from veriscope.lab.benchmark.metrics import average_precision
from veriscope.lab.data.manifest import read_manifests, write_manifest

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
    assert measured(ranking, 3)["first_is_right"] == 1.0
    assert 0 < measured(ranking, 3)["micro_ap"] < 1  # the stranger's score ties with those of the right ones
    known = restricted(ranking, np.array([True, True, True, False]))
    assert measured(known, 3)["micro_ap"] == 1.0
    vectors = np.eye(20, dtype=np.float32)
    assert measured(ranked(vectors[:4], vectors, np.arange(4)), 4)["micro_ap"] == 1.0


def test_parts_are_compared_both_ways_and_a_crowd_is_taken_off():
    vectors = np.eye(6, dtype=np.float32)
    references = np.stack([vectors[[0, 1]], vectors[[2, 3]]])  # the whole, a part
    queries = np.stack([vectors[[3, 4]], vectors[[5, 0]], vectors[[4, 1]]])
    alike = likeness(queries, references)
    assert alike.tolist() == [[0, 1], [1, 0], [0, 0]]  # parts are not compared with parts
    crowds = np.array([[0.25, 0], [0, 0.5], [0, 0]], np.float32)
    assert likeness(queries, references, crowds)[:2].tolist() == [[0, 0.75], [0.5, 0]]


def test_rendered_distractors_differ_and_chains_stack_patterns():
    made = [rendered(number) for number in range(CUT_FROM_ONE + 1)]
    assert all(one.shape == (128, 128, 3) for one in made)
    assert min(np.abs(one.astype(int) - made[0]).mean() for one in made[1:]) > 3
    assert np.array_equal(made[3], rendered(3))
    cat, coffee = (np.ascontiguousarray(one()) for one in (data.chelsea, data.coffee))
    chain = copy_of(cat, coffee, "chain of three", "cat")
    assert np.array_equal(chain, copy_of(cat, coffee, "chain of three", "cat"))
    assert chain.shape != cat.shape or np.abs(chain.astype(int) - cat).mean() > 3


def test_phash_keeps_through_saving_and_differs_between_pictures():
    cat, coffee = phash(data.chelsea()), phash(data.coffee())
    saved = phash(cv2.GaussianBlur(data.chelsea(), (0, 0), 1.5))
    assert np.bitwise_count(cat ^ saved).sum() <= 6
    assert np.bitwise_count(cat ^ coffee).sum() > 16


CALLS = []


def tiny():
    def describe(rgb):
        CALLS.append(rgb.shape)
        small = cv2.resize(rgb, (8, 8), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
        small -= small.mean()
        return small / max(float(np.linalg.norm(small)), 1e-6)

    return {"tiny": Described("tiny", "1", describe)}


MEASURES = (Measure("tiny", "tiny"),)


def test_a_run_measures_every_pattern_and_resumes(manifest, tmp_path):
    CALLS.clear()
    patterns = ("jpeg heavy", "crop tenth", "swirl")
    order = Order((manifest,), tmp_path, distractors=20, most=8, patterns=patterns)
    tables = CopiesBench(order, MEASURES, tiny, lambda line: None).run()
    about = tables["about"]
    assert (about["originals"], about["strangers"]) == (6, 2)
    assert (about["photographed_distractors"], about["rendered_distractors"]) == (8, 12)
    figures = {line["patterns"]: line for line in tables["figures"]}
    assert figures["all"]["positives"] == 18
    assert figures["jpeg heavy"]["micro_ap"] > 0.9
    assert figures["jpeg heavy"]["micro_ap"] > figures["crop tenth"]["micro_ap"]
    assert figures["held out patterns"] == figures["swirl"] | {"patterns": "held out patterns"}
    assert json.loads((tmp_path / "copies.json").read_text())["figures"] == tables["figures"]
    assert len(CALLS) == 6 + 8 + 12 + 3 * 8
    again = CopiesBench(order, MEASURES, tiny, lambda line: None).run()
    assert again["figures"] == tables["figures"]
    assert len(CALLS) == 6 + 8 + 12 + 3 * 8


def test_an_unknown_pattern_and_too_few_pictures_are_said(manifest, tmp_path):
    with pytest.raises(VeriscopeError, match="no tamper pattern melt"):
        CopiesBench(Order((manifest,), tmp_path, patterns=("melt",)), MEASURES, tiny)
    with pytest.raises(VeriscopeError, match="has 0 pictures"):
        CopiesBench(Order((manifest,), tmp_path, split="val"), MEASURES, tiny)


def test_the_descriptors_that_can_be_measured_give_what_can_be_ranked():
    known = described()
    assert {"pdq", "phash", "tower", "learned"} <= set(known)
    cat = np.ascontiguousarray(data.chelsea())
    for name, one in known.items():
        if name != "tower":  # opens a large model
            reference, query = one.of(cat, "references"), one.of(cat, "queries")
            assert reference.shape[-1] == query.shape[-1]
            best = likeness(query[None].astype(reference.dtype), reference[None])
            assert best[0, 0] == pytest.approx(1, abs=5e-3)


def test_an_edited_region_is_found_beside_the_original(tmp_path):
    before = np.ascontiguousarray(data.coffee())
    after = before.copy()
    after[120:220, 240:360] = data.chelsea()[100:200, 150:270]
    mask = np.zeros(before.shape[:2], np.uint8)
    mask[120:220, 240:360] = 255
    for name, pixels in (("before", before), ("after", after), ("mask", mask)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    common = {"source": "skimage", "group": "coffee", "split": "test"}
    rows = [{"path": "before.png", "label": "real"} | common]
    rows += [{"path": "after.png", "label": "edited", "mask": "mask.png", "origin": "skimage/before.png"} | common]
    rows[1]["method"] = "splice"
    write_manifest(tmp_path / "manifest.csv", rows)
    original, edited = read_manifests([tmp_path / "manifest.csv"], labels=("real", "edited"))
    found = outcome(pairs([edited], [original])[0])
    assert found.aligned
    assert len(found.overlaps) == 1
    assert found.overlaps[0] > 0.6
    quiet = outcome((original, original))
    assert (quiet.overlaps, quiet.strays) == ((), 0)
    table = {line.method: line for line in lines([found, quiet])}
    assert (table["splice"].found, table["not edited"].pictures) == (1.0, 1)
    with pytest.raises(VeriscopeError, match="origin"):
        pairs([edited], [])
