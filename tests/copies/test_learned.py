"""The learned vector: copies are near, strangers are not, parts find crops, and the crowd and new patterns do what they say."""

import numpy as np
import pytest
from skimage import data

from veriscope.copies import asking, normalisation, patterns
from veriscope.copies.descriptor import Statistics
from veriscope.copies.learned import SIDE, Learned, square
from veriscope.copies.parts import OF_QUERIES, OF_REFERENCES, windows
from veriscope.errors import ModelError, VeriscopeError
from veriscope.lab.data.copy_patterns import copied_for

NAMES = ("chelsea", "coffee", "astronaut", "rocket", "immunohistochemistry", "retina")


@pytest.fixture(scope="module")
def pictures():
    return {name: np.ascontiguousarray(getattr(data, name)()[..., :3]) for name in NAMES}


@pytest.fixture(scope="module")
def learned():
    return Learned()


def test_copies_are_nearer_to_their_original_than_to_any_other(pictures, learned):
    vectors = np.stack([learned(rgb) for rgb in pictures.values()])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    for number, rgb in enumerate(pictures.values()):
        for pattern in ("jpeg heavy", "brighter", "border", "crop most"):
            copy = copied_for(rgb, pictures["coffee"], pattern, str(number))
            assert int((vectors @ learned(copy)).argmax()) == number, pattern


def test_parts_bring_a_crop_nearer_and_the_mirror_image_is_asked_too(pictures, learned):
    rgb = pictures["astronaut"]
    crop = np.ascontiguousarray(rgb[: rgb.shape[0] // 2, : rgb.shape[1] // 2])
    kept, asked = learned.of_reference(rgb), learned.of_query(crop)
    assert kept.shape == (len(OF_REFERENCES), 256)
    assert asked.shape == (len(OF_QUERIES) + 1, 256)
    assert kept[2] @ asked[0] > 0.99 > kept[0] @ asked[0]
    mirror = learned.of_query(np.ascontiguousarray(rgb[:, ::-1]))
    assert mirror[1] @ kept[0] == pytest.approx(1, abs=2e-3)


def test_parts_of_a_picture_too_small_for_them_are_the_whole():
    tiny = np.zeros((20, 40, 3), np.uint8)
    assert all(part.shape == tiny.shape for part in windows(tiny, OF_REFERENCES))
    assert square(tiny).shape == (SIDE, SIDE, 3)


def test_the_crowd_is_taken_off_and_a_background_survives_packing(tmp_path, learned, pictures):
    background = normalisation.background(version=learned.version)
    assert background.shape[1] == 256
    assert np.allclose(np.linalg.norm(background, axis=1), 1, atol=1e-5)
    crowds = normalisation.crowd(background[:5], background, nearest=1)
    assert np.allclose(crowds, 1, atol=1e-5)
    similarities = np.ones((5, 3), np.float32)
    assert np.allclose(normalisation.normalised(similarities, crowds), 0, atol=1e-5)
    (tmp_path / "some.npz").write_bytes(normalisation.packed(background[:20]))
    again = normalisation.read_background(tmp_path / "some.npz")
    assert ((again * background[:20]).sum(1) > 0.999).all()
    (tmp_path / "some.npz").write_bytes(b"damaged")
    with pytest.raises(ModelError, match=r"some\.npz"):
        normalisation.read_background(tmp_path / "some.npz")


def _pairs(count, seed=0, size=64):
    generator = np.random.default_rng(seed)
    originals = generator.normal(size=(count, size)).astype(np.float32)
    displaced = originals + 2.0 * np.eye(size, dtype=np.float32)[3] * np.sqrt(size) / 2
    displaced += 0.1 * generator.normal(size=originals.shape).astype(np.float32)
    return [vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in (displaced, originals)]


def test_a_pattern_is_learned_from_pairs_and_helps_with_others(tmp_path):
    background = _pairs(300, 9)[1]
    replicas, originals = _pairs(20)
    found = patterns.learn("red tint", "some 1", replicas, originals, background)
    assert found.gain > 0.05
    others, wanted = _pairs(30, 1)
    near = (found(others) * wanted).sum(1) - normalisation.crowd(found(others), background)
    plain = (others * wanted).sum(1) - normalisation.crowd(others, background)
    assert near.mean() > plain.mean() + 0.05
    patterns.save(tmp_path, found)
    (again,) = patterns.read(tmp_path, "some 1")
    assert np.array_equal(again(others), found(others))
    assert (again.name, again.pairs) == ("red tint", 20)
    with pytest.raises(VeriscopeError, match="some 1"):
        patterns.read(tmp_path, "other 2")
    with pytest.raises(VeriscopeError, match="there are: red tint"):
        patterns.remove(tmp_path, "blue tint")
    patterns.remove(tmp_path, "red tint")
    assert patterns.read(tmp_path, "some 1") == []


def test_pairs_that_teach_nothing_are_refused_and_so_are_too_few(tmp_path):
    background = _pairs(300, 9)[1]
    _, replicas = _pairs(20, 2)
    _, others = _pairs(20, 3)
    with pytest.raises(VeriscopeError, match="no map helps"):
        patterns.learn("nothing", "some 1", replicas, others, background)
    with pytest.raises(VeriscopeError, match="between 5 and 50"):
        patterns.learn("few", "some 1", replicas[:4], others[:4], background)
    with pytest.raises(VeriscopeError, match="a name is of"):
        patterns.check("../elsewhere", 10)
    (tmp_path / "patterns").mkdir()
    (tmp_path / "patterns" / "bad.npz").write_bytes(b"damaged")
    with pytest.raises(VeriscopeError, match=r"bad\.npz"):
        patterns.read(tmp_path, "some 1")


def test_an_index_is_asked_by_all_views_and_through_learned_patterns(tmp_path, pictures):
    unlearned = Statistics()
    plain = asking.questions(pictures["coffee"], unlearned, tmp_path)
    assert plain.crowds.tolist() == [0.0, 0.0]
    replicas, originals = _pairs(20, size=unlearned.size)
    found = patterns.learn("tint", asking.identity(unlearned), replicas, originals, _pairs(300, 9, unlearned.size)[1])
    patterns.save(tmp_path, found)
    more = asking.questions(pictures["coffee"], unlearned, tmp_path)
    assert len(more.vectors) == len(plain.vectors) + 1
    assert np.allclose(more.vectors[-1], found(plain.vectors[:1])[0], atol=1e-6)
