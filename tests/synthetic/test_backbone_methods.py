"""The detectors that read the frozen backbone: what they take from a picture, before any head."""

import numpy as np
import pytest
from skimage import data

from veriscope.errors import ModelError
from veriscope.picture import open_picture
from veriscope.synthetic import backbone, clip_mlp, rigid, rine, sfld


@pytest.fixture
def passes(monkeypatch):
    """A stand-in for the backbone: noise that depends on the square; how many squares each pass took."""
    calls = []

    def readings_of(squares):
        calls.append(len(squares))
        seeds = [int(square.astype(np.uint64).sum()) for square in squares]
        return np.stack([np.random.default_rng(seed).normal(0, 1, (8, 2, 768)) for seed in seeds]).astype(np.float32)

    monkeypatch.setattr(backbone, "readings_of", readings_of)
    monkeypatch.setattr(backbone, "pass_of", lambda squares: (readings_of(squares), np.zeros((len(squares), 197, 768))))
    return calls


def test_features_are_the_class_tokens():
    readings = np.arange(8 * 2 * 768, dtype=np.float32).reshape(8, 2, 768)
    assert np.array_equal(clip_mlp.features(readings), readings[7, 0])
    assert np.array_equal(rine.features(readings), readings[:, 0])


@pytest.mark.parametrize("patch", sfld.PATCHES)
def test_a_shuffle_keeps_every_patch_and_its_pixels(patch):
    square = data.astronaut()[:224, :224]
    mixed = sfld.shuffled(square, patch)

    def patches(rgb):
        cut = [rgb[y : y + patch, x : x + patch] for y in range(0, 224, patch) for x in range(0, 224, patch)]
        return [piece.tobytes() for piece in cut]

    assert sorted(patches(mixed)) == sorted(patches(square))
    moved = sum(here != there for here, there in zip(patches(mixed), patches(square), strict=True))
    assert moved > len(patches(square)) / 2
    assert np.array_equal(mixed, sfld.shuffled(square, patch))


def test_the_places_do_not_depend_on_the_pixels():
    one, other = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3)).astype(np.uint8)
    both = sfld.shuffled(one, 32).astype(int) - sfld.shuffled(other, 32)
    difference = one.astype(int) - other
    assert np.array_equal(both, sfld.shuffled(difference, 32))


def test_noise_is_faint_and_belongs_to_the_picture():
    square = np.full((224, 224, 3), 128, np.uint8)
    copies = rigid.noisy(square)
    assert len(copies) == rigid.REPEATS
    assert all(np.array_equal(here, there) for here, there in zip(copies, rigid.noisy(square), strict=True))
    assert not np.array_equal(copies[0], copies[1])
    spread = np.std([copy.astype(float) - 128 for copy in copies])
    assert spread == pytest.approx(rigid.NOISE, rel=0.02)
    changed = square.copy()
    changed[0, 0, 0] = 129
    assert not np.array_equal(copies[0], rigid.noisy(changed)[0])


def test_the_farther_noise_moves_a_picture_the_higher_it_scores(monkeypatch):
    clean = np.zeros((1, 8, 2, 768), np.float32)
    clean[..., 0] = 1

    def moved_by(distance):
        def readings_of(squares):
            moved = np.repeat(clean, len(squares), 0)
            moved[..., 1] = distance * (len(squares) > 1)
            return moved

        monkeypatch.setattr(backbone, "readings_of", readings_of)
        monkeypatch.setattr(backbone, "pass_of", lambda squares: (readings_of(squares), squares))
        return rigid.RIGID().score(open_picture(_png(data.chelsea())))

    scores = [moved_by(distance) for distance in (0.01, 0.1, 1.0)]
    assert scores == sorted(scores)
    assert scores[2] == pytest.approx(np.log10(1 - 0.5**0.5), abs=1e-5)


def test_the_pass_of_the_whole_picture_is_shared(passes, monkeypatch):
    picture = open_picture(_png(data.chelsea()))
    given = []
    monkeypatch.setattr(sfld.scoring, "run", lambda name, features: given.append((name, features.shape)) or [0.0])
    detectors = clip_mlp.CLIPMLP(), rine.RINE(), sfld.SFLD(), rigid.RIGID()
    scores = [detector.score(picture) for detector in detectors]
    assert np.isfinite(scores).all()
    assert sorted(passes) == [1, len(sfld.PATCHES), rigid.REPEATS]
    assert given == [("clip_mlp", (1, 768)), ("rine", (1, 8, 768)), ("sfld", (1, 3 * 5 * 2 * 768))]


@pytest.mark.parametrize("detector", [clip_mlp.CLIPMLP(), rine.RINE(), sfld.SFLD(), rigid.RIGID()])
def test_without_weights_it_says_so(detector, passes, monkeypatch, tmp_path):
    from veriscope import models

    (tmp_path / "models.toml").write_text("")
    monkeypatch.setattr(models, "WEIGHTS", tmp_path)
    monkeypatch.setenv("VERISCOPE_MODELS", str(tmp_path))
    for cached in (models.registry, models.panels):
        cached.cache_clear()
    try:
        assert detector.version == "untrained"
        with pytest.raises(ModelError, match=detector.name):
            detector(open_picture(_png(data.chelsea())))
    finally:
        monkeypatch.undo()
        for cached in (models.registry, models.panels):
            cached.cache_clear()


def _png(pixels):
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
