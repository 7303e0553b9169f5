import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lancedb")

from tests.copies.samples import DESCRIPTOR, SIZE, known, row
from veriscope.copies import descriptor, store
from veriscope.copies.duplicates import duplicates, grouped, pairs, save
from veriscope.copies.locking import locked
from veriscope.copies.store import FACTS, Index
from veriscope.copies.upkeep import problems, stats
from veriscope.errors import VeriscopeError

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def index(tmp_path):
    return Index.create(tmp_path / "index")


def test_what_was_added_is_there_when_it_is_opened_again(index):
    entries = [known("coffee"), known("chelsea")]
    assert index.add(entries).new == ["coffee", "chelsea"]
    again = Index.open(index.folder)
    assert len(again) == 2
    (found,) = again.find("reference", ["chelsea", "nothing"])
    assert (found["sha256"], found["width"], found["height"]) == (entries[1].sha256, 451, 300)
    assert found["meta"] == {"format": "PNG", "bytes": found["meta"]["bytes"]}
    ((near, cosine), _) = again.nearest(entries[0].vectors[0], 2)
    assert again.rows([near])[near]["reference"] == "coffee"
    assert cosine == pytest.approx(1, abs=1e-4)
    assert again.preview(entries[0].sha256) == entries[0].preview
    hashes, rows = again.hashes()
    assert hashes.shape == (4, 2)
    assert hashes.T.tobytes() == b"".join(again.find("sha256", [e.sha256])[0] and e.pdq.tobytes() for e in entries)
    assert list(rows) == sorted(rows)


def test_a_picture_is_stored_once(index):
    index.add([row(1), row(2)])
    added = index.add([row(2), row(3), row(3)])
    assert added.new == ["3's.jpg"]
    assert added.known == [("2's.jpg", "2's.jpg"), ("3's.jpg", "3's.jpg")]
    assert len(index) == 3


def test_removing_takes_the_small_copy_too(index):
    index.add([row(1), row(2), row(3)])
    assert sorted(index.remove(["1's.jpg", row(3).sha256, "never there"])) == ["1's.jpg", "3's.jpg"]
    assert [found["reference"] for found in index.find("sha256", [row(n).sha256 for n in (1, 2, 3)])] == ["2's.jpg"]
    assert index.preview(row(1).sha256) is None
    assert index.preview(row(2).sha256) is not None
    assert index.hashes()[0].shape == (4, 1)
    assert index.add([row(1)]).new == ["1's.jpg"]


def test_another_handle_sees_a_change_once_it_refreshes(index):
    other = Index.open(index.folder)
    before = other.state
    index.add([row(1)])
    other.refresh()
    assert other.hashes()[1].size == 1
    assert other.state != before


def test_no_index_says_how_to_make_one(tmp_path):
    with pytest.raises(VeriscopeError, match="no index; make one by: veriscope index add"):
        Index.open(tmp_path)


def alter(folder, **changes):
    facts = json.loads((folder / FACTS).read_text())
    (folder / FACTS).write_text(json.dumps(facts | changes))


def test_another_schema_names_both_versions(index):
    alter(index.folder, schema=7, software="veriscope 9.9")
    with pytest.raises(VeriscopeError, match=r"schema 7, made by veriscope 9\.9; veriscope .* reads schema 1"):
        Index.open(index.folder)


def test_another_hash_names_both(index):
    alter(index.folder, pdq="0")
    with pytest.raises(VeriscopeError, match="its hashes are PDQ 0, those of this version PDQ 1"):
        Index.open(index.folder)


@pytest.mark.parametrize("made", [{"version": "0"}, {"size": 12}])
def test_another_descriptor_names_both(index, made):
    name, version = DESCRIPTOR.name, DESCRIPTOR.version
    alter(index.folder, descriptor={"name": name, "version": version, "size": SIZE} | made)
    with pytest.raises(VeriscopeError, match=rf"descriptor {name} .+ of \d+ floats; .* {name} {version} of {SIZE}"):
        Index.open(index.folder)


def test_an_unknown_descriptor_is_named(index):
    alter(index.folder, descriptor={"name": "other", "version": "1", "size": SIZE})
    with pytest.raises(VeriscopeError, match=r"descriptor 'other'; this version has: .*statistics"):
        Index.open(index.folder)


def test_asking_an_index_for_another_descriptor_is_refused(index, monkeypatch):
    monkeypatch.setitem(descriptor.AVAILABLE, "other", descriptor.Statistics)
    with pytest.raises(VeriscopeError, match=f"made with the descriptor '{DESCRIPTOR.name}', not 'other'"):
        Index.create(index.folder, "other")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_damaged_facts_are_said(index, content):
    (index.folder / FACTS).write_text(content)
    with pytest.raises(VeriscopeError, match="damaged"):
        Index.open(index.folder)


def test_missing_facts_never_lead_to_an_empty_index(index):
    index.add([row(1)])
    facts = (index.folder / FACTS).read_text()
    (index.folder / FACTS).unlink()
    with pytest.raises(VeriscopeError, match=r"1 pictures, but index\.json is missing"):
        Index.create(index.folder)
    (index.folder / FACTS).write_text(facts)
    assert len(Index.create(index.folder)) == 1


def test_a_missing_table_is_not_an_empty_one(index):
    (index.folder / "pictures.lance").rename(index.folder / "elsewhere")
    with pytest.raises(VeriscopeError, match="cannot be read"):
        Index.open(index.folder)


def test_a_second_writer_gets_an_error_or_waits(index):
    with locked(index.folder / "write.lock", 0):
        with pytest.raises(VeriscopeError, match="another process is writing to this index"):
            index.add([row(1)], wait=0.1)
        assert len(index) == 0
        second = threading.Thread(target=lambda: index.add([row(1)], wait=60))
        second.start()
        time.sleep(0.2)
        assert second.is_alive()
        assert len(Index.open(index.folder)) == 0
    second.join(60)
    index.refresh()
    assert len(index) == 1


def test_two_writers_at_once_lose_nothing(index):
    handles = [Index.open(index.folder), Index.open(index.folder)]

    def write(handle, first):
        for number in range(first, first + 12, 3):
            handle.add([row(n) for n in range(number, number + 4)])  # the last is the next batch's first

    writers = [threading.Thread(target=write, args=(handle, 6 * n)) for n, handle in enumerate(handles)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    index.refresh()
    assert len(index) == 19
    assert len({found["sha256"] for found in index.find("sha256", [row(n).sha256 for n in range(40)])}) == 19


ADDING = """
import sys
from pathlib import Path
from tests.copies.samples import row
from veriscope.copies import store
store.LOOSE = 3  # so that joining is among the moments
index = store.Index.open(Path(sys.argv[1]))
for number in range(int(sys.argv[2]), 100_000, 3):
    added = index.add([row(n) for n in range(number, number + 3)])
    print(*added.new, flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="kills by POSIX signal")
def test_a_killed_writer_leaves_all_it_acknowledged(index):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    acknowledged = set()
    for turn in range(2):
        command = [sys.executable, "-c", ADDING, str(index.folder), str(turn * 50_000 + 1)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
            for _ in range(8 + 5 * turn):
                acknowledged |= set(child.stdout.readline().split())
            time.sleep(0.007 * turn)
            child.send_signal(signal.SIGKILL)
            acknowledged |= set(child.stdout.read().rpartition("\n")[0].split())
        reopened = Index.open(index.folder)
        kept = {name for part in reopened.batches(["reference"]) for name in part["reference"].to_pylist()}
        assert len(acknowledged) >= 24
        assert acknowledged <= kept
        assert len(kept - acknowledged) <= 3 * (turn + 1)  # the batch that was under way
        assert len(kept) == len(reopened)
    assert reopened.add([row(99_999)], wait=0).new  # the lock went with its holder


@pytest.mark.skipif(os.name == "nt", reason="limits by POSIX")
def test_a_full_disk_is_said_and_loses_nothing(index):
    import resource

    index.add([row(n) for n in range(5)])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))  # a file cannot grow further, as on a full disk
    try:
        with pytest.raises(VeriscopeError, match=r"index: the index cannot be read or written"):
            index.add([row(n) for n in range(5, 200)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    again = Index.open(index.folder)
    assert len(again) == 5
    assert not [problem for problem in problems(again) if "small copy" not in problem.says]
    assert len(again.add([row(n) for n in range(5, 200)]).new) == 195


def test_no_room_is_told_in_words(index, monkeypatch):
    def full(*_):
        raise OSError(
            "lance error: LanceError(IO): Generic LocalFileSystem error: No space left on device (os error 28)"
        )

    monkeypatch.setattr(index._table, "add", full)
    with pytest.raises(VeriscopeError, match="the disk is full; what was acknowledged before is kept"):
        index.add([row(1)])


def test_many_small_commits_are_joined(index, monkeypatch):
    monkeypatch.setattr(store, "LOOSE", 4)
    for number in range(7):
        index.add([row(number)])
    assert index.statistics()["fragments"] <= 5
    assert sorted(index.hashes()[1]) == list(index.hashes()[1])
    assert len(index) == 7


def test_the_compressed_form_finds_what_exact_search_does_and_later_rows(index):
    entries = [row(n) for n in range(600)]
    index.add(entries)
    assert index.compress() is False  # too few to be worth it
    assert index.compress(least=500) is True
    assert index.compress(least=500) is False
    index.add([row(1000)])
    assert index.compressed
    assert index.statistics()["waiting"] == 1
    for number in (3, 599, 1000):
        found = index.nearest(row(number).vectors[-1], 1)[0]
        assert index.rows([found[0]])[found[0]]["reference"] == f"{number}'s.jpg"
        assert found[1] == pytest.approx(1, abs=1e-3)


def test_stats_count(index):
    index.add([row(1), row(2, quality=10)])
    found = stats(index)
    assert (found["pictures"], found["flat"]) == (2, 1)
    assert found["preview_bytes"] == len(b"small copy of 1small copy of 2")
    assert found["table_bytes"] > 5 * 4 * SIZE  # of row 1 two vectors are kept, of row 2 three


def test_verifying_names_what_is_damaged(index, tmp_path):
    good = known("coffee")
    index.add([good, row(1)])
    told = {problem.reference: problem.says for problem in problems(index)}
    assert told == {"1's.jpg": "its small copy cannot be read"}
    told = {problem.reference: problem.says for problem in problems(index, files=True)}
    assert told["coffee"] == "its file is not there"


def with_changed(bits, places):
    changed = np.unpackbits(bits)
    changed[places] ^= 1
    return np.packbits(changed)


def test_all_pairs_within_the_threshold_are_found_once():
    generator = np.random.default_rng(5)
    seeds = generator.integers(0, 256, (12, 32), dtype=np.uint8)
    copies = [with_changed(seed, generator.choice(256, k, replace=False)) for seed in seeds for k in (2, 14, 31, 33)]
    hashes = np.concatenate([seeds, copies])
    all_apart = np.unpackbits(hashes[:, None] ^ hashes[None], axis=2).sum(2)
    for threshold in (31, 20, 10, 0):
        found = [
            (*sorted((int(i), int(j))), int(d))
            for parts in pairs(hashes, threshold)
            for i, j, d in zip(*parts, strict=True)
        ]
        wanted = {
            (i, j, int(all_apart[i, j])) for i, j in zip(*np.nonzero(all_apart <= threshold), strict=True) if i < j
        }
        assert len(found) == len(set(found))
        assert set(found) == wanted
    assert len(wanted) == 0


def test_equal_hashes_count_as_pairs():
    bits = np.random.default_rng(1).integers(0, 256, (2, 32), dtype=np.uint8)
    hashes = np.stack([bits[0], bits[0], bits[0], with_changed(bits[0], [3]), bits[1]])
    labels, distances = grouped(hashes, 31)
    assert len(set(labels[:4])) == 1
    assert labels[4] != labels[0]
    assert distances == {0: 3, 1: 3}


def test_duplicates_are_grouped_and_written(index, tmp_path):
    import pyarrow.parquet

    bits = row(1).pdq
    rows = [row(1), row(2, with_changed(bits, [9, 200])), row(3), row(4, bits, quality=10)]
    assert duplicates(index).groups == []
    index.add(rows)
    found = duplicates(index)
    assert [[r["reference"] for r in group] for group in found.groups] == [["2's.jpg", "1's.jpg"]]
    assert (found.sizes, found.distances, found.pictures, found.flat) == ({2: 1}, {2: 1}, 3, 1)
    save(found, tmp_path / "deep" / "groups.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "deep" / "groups.parquet").to_pylist()
    assert [(r["group"], r["size"], r["reference"], r["distance"]) for r in table] == [
        (0, 2, "2's.jpg", 0),
        (0, 2, "1's.jpg", 2),
    ]
    with pytest.raises(VeriscopeError, match="must be 0 to 31"):
        duplicates(index, threshold=40)


def test_without_the_extra_the_mend_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lancedb", None)
    with pytest.raises(VeriscopeError, match=r"pip install 'veriscope\[index\]'"):
        Index.create(tmp_path / "index")
