import base64

import cv2
import numpy as np
import pytest

pytest.importorskip("lancedb")

from dataclasses import replace

from skimage import data

from tests.copies.samples import DESCRIPTOR, NAMES, PICTURES, TEXTURE, known, picture
from veriscope import examine, open_picture
from veriscope.copies import pdq, searching, verification
from veriscope.copies.describing import entry
from veriscope.copies.descriptor import Statistics, describe
from veriscope.copies.searching import candidates, search
from veriscope.copies.sighting import sightings
from veriscope.copies.store import Index
from veriscope.copies.whole import verify_whole
from veriscope.errors import VeriscopeError
from veriscope.evidence import Report
from veriscope.reporting import overlay


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    made = Index.create(tmp_path_factory.mktemp("known") / "index")
    made.add([known(name, meta={"note": f"our {name}"}) for name in NAMES])
    return made


def overlaid(rgb):
    changed = rgb.copy()
    high, wide = rgb.shape[:2]
    changed[int(0.7 * high) :] = (250, 220, 0)
    cv2.putText(changed, "BREAKING", (wide // 20, int(0.9 * high)), cv2.FONT_HERSHEY_DUPLEX, wide / 250, (0, 0, 0), 3)
    return changed


COPIES = {
    "saved badly": lambda rgb: picture(rgb, quality=25),
    "small": lambda rgb: picture(cv2.resize(rgb, None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA)),
    "cropped": lambda rgb: picture(rgb[rgb.shape[0] // 5 : -rgb.shape[0] // 5, rgb.shape[1] // 4 :]),
    "overlaid": lambda rgb: picture(overlaid(rgb), quality=85),
    "mirrored": lambda rgb: picture(rgb[:, ::-1], quality=85),
    "turned": lambda rgb: picture(np.rot90(rgb), quality=85),
    "framed": lambda rgb: picture(np.pad(rgb, ((90, 40), (60, 60), (0, 0)), constant_values=255)),
}


@pytest.mark.parametrize("how", COPIES)
def test_the_original_of_a_copy_is_found_and_nothing_else(index, how):
    name = NAMES[list(COPIES).index(how) % len(NAMES)]
    (match,) = search(index, COPIES[how](PICTURES[name]))
    assert match.reference == name
    assert match.score > 0.4
    assert match.details["note"] == f"our {name}"
    assert "Known since 20" in match.says


@pytest.mark.parametrize(
    "unrelated",
    [
        TEXTURE,
        data.immunohistochemistry(),
        np.full((200, 300, 3), 90, np.uint8),
        np.repeat(data.page()[..., None], 3, 2),
    ],
    ids=["brick", "cells", "flat", "page"],
)
def test_nothing_is_listed_for_an_unrelated_picture(index, unrelated):
    assert search(index, picture(unrelated)) == []


def test_an_empty_index_lists_nothing(tmp_path):
    assert search(Index.create(tmp_path / "index"), picture(PICTURES["coffee"])) == []


def test_the_same_file_comes_first(index):
    same = picture(PICTURES["coffee"], "coffee")
    match = search(index, same)[0]
    assert (match.reference, match.score, match.level) == ("coffee", 1.0, 5)
    assert match.as_json().keys() == {"reference", "score", "level", "says"}
    assert match.says.startswith("It is the very same file.")


def test_the_homography_carries_the_original_to_the_query(tmp_path):
    """The index sees the original's small copy; what it says is of the full pictures."""
    large = cv2.resize(PICTURES["astronaut"], None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    index = Index.create(tmp_path / "index")
    index.add([entry(picture(large), DESCRIPTOR, reference="large")])
    (match,) = search(index, picture(large[300:1300, 200:1400]))
    carried = cv2.perspectiveTransform(np.array([[[700.0, 800.0]]]), np.array(match.details["homography"]))
    np.testing.assert_allclose(carried[0, 0], (500, 500), atol=4)


def test_without_a_small_copy_the_unchanged_file_is_compared(tmp_path):
    path = tmp_path / "original.png"
    cv2.imwrite(str(path), PICTURES["coffee"][:, :, ::-1])
    index = Index.create(tmp_path / "index")
    index.add([entry(open_picture(path), DESCRIPTOR, reference=str(path), preview=False)])
    crop, whole = COPIES["cropped"](PICTURES["coffee"]), COPIES["saved badly"](PICTURES["coffee"])
    assert search(index, crop)[0].details["inliers"] > 20
    cv2.imwrite(str(path), PICTURES["chelsea"][:, :, ::-1])  # the file is another one now
    assert search(index, crop) == []
    (match,) = search(index, whole)
    assert match.level is None
    assert "neither the original nor a small copy" in match.says


def test_a_whole_copy_too_blurred_for_points_is_compared_as_a_whole(index, monkeypatch):
    copy = picture(cv2.GaussianBlur(np.ascontiguousarray(PICTURES["coffee"][:, ::-1]), (0, 0), 4), quality=85)
    monkeypatch.setattr(verification, "verify_points", lambda *_: None)
    (match,) = search(index, copy)
    assert match.reference == "coffee"
    assert match.details["mirrored"] is True
    assert "as a whole, mirrored left to right" in match.says
    assert match.level in range(2, 6)
    carried = cv2.perspectiveTransform(np.array([[[100.0, 200.0]]]), np.array(match.details["homography"]))
    np.testing.assert_allclose(carried[0, 0], (499, 200), atol=4)


def test_look_alikes_by_hash_are_not_listed_where_their_pixels_disagree(index, monkeypatch):
    """Another picture's row under the hash of the query: what a hash confuses, the pixels tell apart."""
    copy = COPIES["saved badly"](PICTURES["coffee"])
    near = [replace(c, distance=4) for c in candidates(index, copy)]
    monkeypatch.setattr(searching, "candidates", lambda *_: near)
    assert [match.reference for match in search(index, copy)] == ["coffee"]
    monkeypatch.setattr(verification, "verify_points", lambda *_: None)
    assert [match.reference for match in search(index, copy)] == ["coffee"]


@pytest.mark.parametrize("turn", pdq.TURNS)
def test_a_turned_picture_is_laid_over_its_original(turn):
    rgb = PICTURES["chelsea"]
    query = np.ascontiguousarray(cv2.resize(rgb, (330, 240), interpolation=cv2.INTER_AREA))
    reference = pdq.turned(query, *pdq.TURNS[turn])
    found = verify_whole(query, reference, turn)
    assert found is not None
    assert found.agreement > 0.95
    corners = np.array([[[20.0, 50.0]]])
    x, y = np.rint(cv2.perspectiveTransform(corners, found.homography)[0, 0]).astype(int)
    assert np.abs(query[y, x].astype(int) - reference[50, 20]).max() < 25
    assert verify_whole(query, np.ascontiguousarray(PICTURES["coffee"]), turn) is None


def test_the_vector_survives_crops_and_overlays_better_than_the_hash(index):
    """Among many pictures: the place of the original in each order, over the parts of four photographs as distractors."""
    others = [part for rgb in PICTURES.values() for part in (rgb[:150, :200], rgb[-150:, -200:], rgb[100:250, 100:300])]
    vectors = np.stack([describe(rgb) for rgb in [*PICTURES.values(), *others]])
    assert vectors.shape[1] == Statistics.size <= 256
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    for how in ("cropped", "overlaid"):
        for place, rgb in enumerate(PICTURES.values()):
            copy = COPIES[how](rgb)
            cosines = vectors[:4] @ describe(copy.rgb)
            assert cosines.argmax() == place, how
            (found,) = [c for c in candidates(index, copy) if c.row == place]
            assert found.nearness == 0  # the hash would not have brought it
            assert found.similarity > 0.3


def test_a_report_lists_where_it_has_been(index):
    report = examine(COPIES["mirrored"](PICTURES["chelsea"]), declared_only=True, known=index.folder)
    (seen,) = report.seen
    assert seen.reference == "chelsea"
    assert seen.details["mirrored"] is True
    assert report.headline.endswith(" of a known picture.")
    assert Report.from_json(report.to_json()).seen == report.seen


def test_a_report_shows_the_original_and_what_differs_in_both_frames(index):
    edited = PICTURES["astronaut"].copy()
    edited[300:400, 60:180] = (200, 30, 30)
    mirrored = picture(edited[:, ::-1], quality=90)
    (seen,) = sightings(mirrored, index.folder)
    assert (seen.level in (3, 4), len(seen.levels)) == (True, 6)
    assert sum(seen.levels) == pytest.approx(1, abs=0.001)
    assert seen.added[:2] == "20"
    assert overlay.read_preview(base64.b64decode(seen.original.partition(",")[2])).size == (384, 384)
    (change,) = seen.difference.changes
    assert change.kind in ("altered", "removed", "added")
    left, top, right, bottom = (512 * share for share in change.box)
    np.testing.assert_allclose((left, top, right, bottom), (332, 300, 452, 400), atol=16)
    here, there = overlay.read_map(seen.difference.map), overlay.read_map(seen.difference.map_on_original)
    inside = (slice(190, 248), slice(215, 276)), (slice(190, 248), slice(40, 110))  # 320 of 512 px
    for values, window in zip((here, there), inside, strict=True):
        called = values >= 128
        assert values.shape == (320, 320)
        assert called[window].mean() > 0.9
        called[window] = False
        assert called.mean() < 0.03


def test_a_report_tells_no_match_from_no_index(index):
    unrelated = picture(TEXTURE)
    assert examine(unrelated, declared_only=True, known=index.folder).seen == []
    assert examine(unrelated, declared_only=True).seen is None
    with pytest.raises(VeriscopeError, match="no index"):
        examine(unrelated, declared_only=True, known=index.folder / "nowhere")


def test_sightings_follow_the_index(tmp_path):
    index = Index.create(tmp_path / "index")
    copy = COPIES["small"](PICTURES["rocket"])
    assert sightings(copy, index.folder) == []
    index.add([known("rocket")])
    assert [seen.reference for seen in sightings(copy, index.folder)] == ["rocket"]
