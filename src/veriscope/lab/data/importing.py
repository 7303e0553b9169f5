"""A manifest from a folder of pictures: what lies where says what it is, near-duplicates share a group.

Two layouts are read: ``FOLDER/LABEL/SOURCE/...`` with the two in either order (a folder called real, nature, 0_real; or
generated, fake, ai, 1_fake; and so on), or any folder whose label the caller gives. Files that cannot be read are named and
left out.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from veriscope.errors import VeriscopeError
from veriscope.lab.data.manifest import ALL_LABELS, Row
from veriscope.lab.data.siblings import Print, print_of, siblings
from veriscope.picture import open_picture

FOLDERS = {  # what collections of the field call their folders
    **{label: label for label in ALL_LABELS},
    **dict.fromkeys(("0_real", "nature", "reals", "authentic", "pristine"), "real"),
    **dict.fromkeys(("1_fake", "fake", "fakes", "ai", "synthetic"), "generated"),
    **dict.fromkeys(("tampered", "manipulated"), "edited"),
}
GROUP_DIGITS = 12  # of the SHA-256 of a group's first picture, which names it: the same whatever else is imported
SUFFIXES = (
    *(".jpg", ".jpeg", ".jfif", ".mpo", ".png", ".webp", ".avif"),
    *(".heic", ".heif", ".tif", ".tiff", ".bmp", ".gif"),
)


@dataclass(frozen=True)
class Imported:
    """The pictures of a folder, and a line for each that could not be read."""

    rows: list[Row]
    unreadable: list[str]


@dataclass(frozen=True)
class _Opened:
    file: Path
    sha256: str
    print: Print


def import_folder(
    folder: Path,
    *,
    label: str = "",
    source: str = "",
    by: Literal["looks", "name"] = "looks",
    say: Callable[[str], None] = print,
) -> Imported:
    """The pictures under a folder as rows without a split.

    Args:
        folder: hidden files and folders in it, and links to folders, are passed over.
        label: of all pictures; where empty, a folder on each picture's way says it.
        source: of all pictures; where empty, the first folder on the way that is not a label, or ``folder`` itself.
        by: what makes siblings: "looks" (``siblings``: crops and recompressions), or "name" (file names that are equal up to
            the suffix, wherever the files lie: pairs of a real picture and its reconstruction).
        say: called with each line of progress.
    Raises:
        VeriscopeError: there is no such folder, it holds no picture, or no folder on a picture's way is a label.
    """
    if not folder.is_dir():
        raise VeriscopeError(f"{folder}: no such folder")
    if label and label not in ALL_LABELS:
        raise VeriscopeError(f"unknown label {label!r}; there are: {', '.join(ALL_LABELS)}")
    files = list(_pictures(folder))
    if not files:
        raise VeriscopeError(f"{folder}: it holds no picture ({', '.join(SUFFIXES)})")
    said = {file: _said(file.relative_to(folder).parts[:-1], folder) for file in files}
    unsaid = [file for file in files if not (label or said[file][0])]
    if unsaid:
        raise VeriscopeError(
            f"{unsaid[0]}: no folder on its way is called real or generated ({len(unsaid)} pictures); give --label"
        )
    opened: list[_Opened | str] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for one in pool.map(_open, files):
            opened.append(one)
            if len(opened) % 500 == 0 or len(opened) == len(files):
                say(f"opened {len(opened)} of {len(files)} pictures")
    unreadable = [one for one in opened if isinstance(one, str)]
    read = [one for one in opened if not isinstance(one, str)]
    if not read:
        raise VeriscopeError(f"{folder}: none of its {len(files)} pictures can be read, first: {unreadable[0]}")
    if by == "looks":
        firsts = siblings([one.print for one in read]).tolist()
    else:
        stems = [one.file.stem for one in read]
        place = {stem: number for number, stem in reversed(list(enumerate(stems)))}
        firsts = [place[stem] for stem in stems]
    rows = [
        Row(one.file, label or said[one.file][0], source or said[one.file][1], read[first].sha256[:GROUP_DIGITS], "")
        for one, first in zip(read, firsts, strict=True)
    ]
    count = Counter(row.key for row in rows)
    named = [replace(row, name=row.path.relative_to(folder).as_posix()) if count[row.key] > 1 else row for row in rows]
    return Imported(named, unreadable)


def table_of(rows: list[Row], splits: list[str], manifest: Path) -> list[dict[str, str]]:
    """Rows as a manifest writes them, their paths relative to where it will lie."""
    return [
        {
            "path": Path(os.path.relpath(row.path, manifest.parent)).as_posix(),
            **{column: getattr(row, column) for column in ("label", "source", "group")},
            "split": split,
            **({"name": row.name} if any(row.name for row in rows) else {}),
        }
        for row, split in zip(rows, splits, strict=True)
    ]


def _pictures(folder: Path) -> Iterator[Path]:
    for at, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                yield Path(at) / name


def _said(way: tuple[str, ...], folder: Path) -> tuple[str, str]:
    """The label and the source that the folders on the way to a picture say."""
    labels = [part for part in way if part.lower() in FOLDERS]
    others = [part for part in way if part not in labels[:1]]
    return FOLDERS[labels[0].lower()] if labels else "", others[0] if others else folder.resolve().name


def _open(file: Path) -> _Opened | str:
    try:
        picture = open_picture(file)
    except VeriscopeError as error:
        return f"{file}: {getattr(error, 'reason', error)}"
    if picture.truncated:
        return f"{file}: the file ends early"
    return _Opened(file, picture.sha256, print_of(picture.rgb))
