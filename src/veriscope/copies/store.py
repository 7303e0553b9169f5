"""The index of known pictures, on disk, in a folder that the user names.

One LanceDB table holds a row a picture; ``index.json`` beside it says by which schema and descriptors it was made; small copies
lie under ``.previews/``. A batch is one commit: a process that is killed, or a full disk, leaves what was committed before.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veriscope.copies import descriptor as descriptors
from veriscope.copies import pdq
from veriscope.copies.describing import Entry
from veriscope.copies.descriptor import Descriptor
from veriscope.copies.locking import locked
from veriscope.copies.rows import SHOWN, among, schema, shown, table
from veriscope.copies.writing import write
from veriscope.errors import VeriscopeError

SCHEMA = 1  # of the folder
FACTS = "index.json"
TABLE = "pictures"
PREVIEWS = ".previews"  # hidden, so that no walk over pictures takes them for some
WAIT = 60.0  # seconds for another writer
LARGE = 10_000  # pictures from which vectors are searched by their compressed form
LOOSE = 32  # commits that may lie apart, beside one for each 1,024 pictures, before they are joined
KEPT_FOR = timedelta(hours=1)  # that a reader may take over an old state of the table
ASKED_AT_ONCE = 500  # names in one filter
ITERATIONS, SAMPLED = 15, 64  # of k-means for the compressed form; vectors it sees for each centre
PROBES, REFINED = 32, 10  # of the compressed search: cells looked at; candidates compared exactly for each one wanted


@dataclass(frozen=True)
class Added:
    """What became of a batch: ``new`` were stored; ``known`` were there before, as (given, stored) references."""

    new: list[str]
    known: list[tuple[str, str]]


class Index:
    """An index that is open. Reading needs no lock; each change takes it for as long as the commit lasts."""

    def __init__(self, folder: Path, descriptor: Descriptor, facts: dict[str, Any]) -> None:
        self.folder = folder
        self.descriptor = descriptor
        self.facts = facts
        self._cached: tuple[int, NDArray[np.uint64], NDArray[np.uint64]] | None = None  # of a version of the table
        with _said(folder):
            self._table = _lancedb().connect(str(folder)).open_table(TABLE)
            wanted = schema(descriptor.size)
        if self._table.schema.names != wanted.names or self._table.schema.field("vectors") != wanted.field("vectors"):
            raise VeriscopeError(
                f"{folder}: the table's columns are not those that {FACTS} tells of; make the index anew"
            )

    @classmethod
    def create(cls, folder: Path, descriptor: str = "", *, wait: float = WAIT) -> Index:
        """The index in ``folder``, made where there is none.

        Args:
            folder: of the index; made where it is missing.
            descriptor: the name of a new index's, ``descriptor.default()`` where empty; an existing one must have the same.
            wait: seconds for another writer.
        Raises:
            VeriscopeError: it cannot be made, or was made by another version or descriptor.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise VeriscopeError(f"{folder}: cannot be made ({error.strerror})") from error
        with locked(folder / "write.lock", wait):
            if not (folder / FACTS).exists():
                _begin(folder, descriptors.make(descriptor or descriptors.default()))
            index = cls.open(folder)
        if descriptor and descriptor != index.descriptor.name:
            raise VeriscopeError(
                f"{folder}: made with the descriptor {index.descriptor.name!r}, not {descriptor!r}; vectors of two "
                "descriptors cannot be compared: make another index for it"
            )
        return index

    @classmethod
    def open(cls, folder: Path) -> Index:
        """The index in ``folder``.

        Raises:
            VeriscopeError: there is none, it is damaged, or it was made by another version or descriptor; names both.
        """
        try:
            facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
            schema, software = facts["schema"], facts["software"]
            hashed, named = facts["pdq"], facts["descriptor"]
            name, version, size = named["name"], named["version"], named["size"]
        except FileNotFoundError:
            raise VeriscopeError(
                f"{folder}: no index; make one by: veriscope index add --index {folder} PATH"
            ) from None
        except OSError as error:
            raise VeriscopeError(f"{folder / FACTS}: cannot be read ({error.strerror})") from error
        except (ValueError, KeyError, TypeError) as error:
            raise VeriscopeError(f"{folder / FACTS}: damaged ({type(error).__name__}: {error})") from error
        mend = "read it by that version, or make it anew from the pictures"
        if schema != SCHEMA:
            here = installed("veriscope")
            raise VeriscopeError(
                f"{folder}: an index of schema {schema}, made by {software}; veriscope {here} reads schema {SCHEMA}: {mend}"
            )
        if hashed != pdq.VERSION:
            raise VeriscopeError(
                f"{folder}: its hashes are PDQ {hashed}, those of this version PDQ {pdq.VERSION}: {mend}"
            )
        made = descriptors.make(name, asked_by=str(folder))
        if (version, size) != (made.version, made.size):
            raise VeriscopeError(
                f"{folder}: made with descriptor {name} {version} of {size} floats; the one here is {made.name} "
                f"{made.version} of {made.size}: {mend}"
            )
        return cls(folder, made, facts)

    def __len__(self) -> int:
        with _said(self.folder):
            return int(self._table.count_rows())

    @property
    def state(self) -> str:
        """Another after every change."""
        with _said(self.folder):
            return f"{self.facts['created']} {self._table.version}"

    def refresh(self) -> None:
        """See what others have committed since."""
        with _said(self.folder):
            self._table.checkout_latest()

    def add(self, entries: Sequence[Entry], *, wait: float = WAIT) -> Added:
        """Store pictures in one commit; one whose SHA-256 is there already is left out and said.

        Raises:
            VeriscopeError: another writer holds the index for too long, or it cannot be written; nothing of the batch is
                stored then, and everything before is.
        """
        with locked(self.folder / "write.lock", wait):
            self.refresh()
            stored = {row["sha256"]: row["reference"] for row in self.find("sha256", [e.sha256 for e in entries])}
            new: list[Entry] = []
            known = []
            for entry in entries:
                if entry.sha256 in stored:
                    known.append((entry.reference, stored[entry.sha256]))
                else:
                    stored[entry.sha256] = entry.reference
                    new.append(entry)
            if new:
                for entry in new:
                    if entry.preview is not None:
                        write(self._preview(entry.sha256), entry.preview)
                with _said(self.folder):
                    self._table.add(table(new, self.descriptor.size))
                self._join()
        return Added([entry.reference for entry in new], known)

    def remove(self, names: Sequence[str], *, wait: float = WAIT) -> list[str]:
        """Take out the pictures of these references or SHA-256s, and their previews; gives the references taken out."""
        with locked(self.folder / "write.lock", wait):
            self.refresh()
            found = {row["sha256"]: row for by in ("reference", "sha256") for row in self.find(by, names)}
            hashes = list(found)
            for start in range(0, len(hashes), ASKED_AT_ONCE):
                with _said(self.folder):
                    self._table.delete(among("sha256", hashes[start : start + ASKED_AT_ONCE]))
            for sha256 in hashes:
                self._preview(sha256).unlink(missing_ok=True)
        return [row["reference"] for row in found.values()]

    def find(self, column: str, values: Sequence[str]) -> list[dict[str, Any]]:
        """The rows whose ``column`` is among ``values``: the keys of ``SHOWN``."""
        found: list[dict[str, Any]] = []
        values = list(dict.fromkeys(values))
        with _said(self.folder):
            for start in range(0, len(values), ASKED_AT_ONCE):
                asked = among(column, values[start : start + ASKED_AT_ONCE])
                found += self._table.search().where(asked).select(list(SHOWN)).limit(None).to_list()
        return [shown(row) for row in found]

    def hashes(self) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """All hashes as ``pdq.packed`` gives them, uint64 (4, N), and the rows' ids, uint64 (N,), rising."""
        version = int(self._table.version)
        if self._cached is None or self._cached[0] != version:
            with _said(self.folder):
                found = self._table.search().select(["pdq"]).with_row_id(True).limit(None).to_arrow()
            rows = found["_rowid"].to_numpy()
            order = np.argsort(rows)
            bits = np.frombuffer(b"".join(found["pdq"].to_pylist()), np.uint8).reshape(-1, pdq.BITS // 8)
            self._cached = version, pdq.packed(bits[order]), rows[order]
        return self._cached[1:]

    def nearest(self, vector: NDArray[np.float32], most: int) -> list[tuple[int, float]]:
        """The ids of the rows of which a part's vector points most nearly the same way, with the cosines, best first."""
        with _said(self.folder):
            asked = self._table.search(vector, vector_column_name="vectors").distance_type("cosine").limit(most)
            if self.compressed:
                asked = asked.nprobes(PROBES).refine_factor(REFINED)
            found = asked.select(["quality", "_distance"]).with_row_id(True).to_arrow()
        return [
            (int(row), 1 - float(distance))
            for row, distance in zip(found["_rowid"].to_pylist(), found["_distance"].to_pylist(), strict=True)
        ]

    def rows(self, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
        """Rows by id: the keys of ``SHOWN``."""
        if not ids:
            return {}
        with _said(self.folder):
            found = self._table.take_row_ids(list(ids)).select(list(SHOWN)).with_row_id().to_list()
        return {int(row["_rowid"]): shown(row) for row in found}

    def batches(self, columns: Sequence[str]) -> Iterator[Any]:
        """The whole table as Arrow record batches."""
        with _said(self.folder):
            yield from self._table.search().select(list(columns)).limit(None).to_batches()

    def statistics(self) -> dict[str, Any]:
        """What the store says of the table: rows, fragments, and how many rows the compressed form does not hold yet."""
        with _said(self.folder):
            held = self._table.stats()
            waiting = [self._table.index_stats(found.name).num_unindexed_rows for found in self._table.list_indices()]
            return {
                "pictures": held["num_rows"],
                "fragments": held["fragment_stats"]["num_fragments"],
                "compressed": bool(waiting),
                "waiting": sum(waiting),
            }

    def preview(self, sha256: str) -> bytes | None:
        """The small JPEG of a picture; None where none was kept."""
        try:
            return self._preview(sha256).read_bytes()
        except OSError:
            return None

    @property
    def compressed(self) -> bool:
        """Whether vectors are searched by a compressed form (IVF-PQ)."""
        with _said(self.folder):
            return any("vectors" in found.columns for found in self._table.list_indices())

    def compress(self, *, least: int = LARGE, wait: float = WAIT) -> bool:
        """Make the compressed form of the vectors where it is missing and worth it; later pictures join it as they come.

        It is made once, from a sample, and never made anew by adding.
        """
        if self.compressed or len(self) < least:
            return False
        with locked(self.folder / "write.lock", wait), _said(self.folder):
            self._table.checkout_latest()
            from lancedb.index import IvfPq

            made = IvfPq(
                distance_type="cosine",
                num_partitions=max(1, round(len(self) ** 0.5)),
                num_sub_vectors=self.descriptor.size // 4,
                max_iterations=ITERATIONS,
                sample_rate=SAMPLED,
            )
            self._table.create_index("vectors", config=made)
        return True

    def _join(self) -> None:
        """Join small commits where they have become many, and let those of the index of vectors join it."""
        with _said(self.folder):
            apart = self._table.stats()["fragment_stats"]["num_fragments"]
            if apart > LOOSE + len(self) // 1024:
                self._table.optimize(cleanup_older_than=KEPT_FOR)

    def _preview(self, sha256: str) -> Path:
        return self.folder / PREVIEWS / sha256[:2] / f"{sha256}.jpg"


def _begin(folder: Path, descriptor: Descriptor) -> None:
    """An empty table, and then the facts: where these are missing, a table that holds pictures is not touched."""
    with _said(folder):
        made = _lancedb().connect(str(folder)).create_table(TABLE, schema=schema(descriptor.size), exist_ok=True)
        held = made.count_rows()
    if held:
        raise VeriscopeError(f"{folder}: {held} pictures, but {FACTS} is missing: put it back, or use another folder")
    facts = {
        "schema": SCHEMA,
        "software": f"veriscope {installed('veriscope')}",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "pdq": pdq.VERSION,
        "descriptor": {"name": descriptor.name, "version": descriptor.version, "size": descriptor.size},
    }
    write(folder / FACTS, json.dumps(facts, indent=1).encode())


def _lancedb() -> Any:
    try:
        import lancedb
        import pyarrow  # noqa: F401
    except ImportError:
        raise VeriscopeError("the index of known pictures needs LanceDB: pip install 'veriscope[index]'") from None
    return lancedb


@contextlib.contextmanager
def _said(folder: Path) -> Iterator[None]:
    """The store's errors as one of ours: it raises OSError, RuntimeError and ValueError alike."""
    try:
        yield
    except VeriscopeError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).strip().split("\n")[0][:300]
        if "No space left" in str(error) or "os error 28" in str(error):
            reason = "the disk is full; what was acknowledged before is kept. Make room and run it again"
        raise VeriscopeError(f"{folder}: the index cannot be read or written: {reason}") from error
