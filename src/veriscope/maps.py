"""Write the maps of edits of one picture as files, whole or not at all.

``STEM.npz`` holds a float32 array a method, in steps of 1/1024, at the picture's height and width; ``STEM.METHOD.png`` each
of them as a picture; ``STEM.overlay.png`` the fused map over the picture; ``STEM.json`` scores, sentences, seconds and
regions. The JSON is put in place last: where it is, all is. A picture over 16 megapixels has maps of 16, and the JSON says
their size. A method that does not apply has no array, and the JSON says so.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tempfile
import time
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from veriscope import models, plugins
from veriscope.batch import stamp
from veriscope.errors import PluginError
from veriscope.evidence import Evidence, Question
from veriscope.examination import hear
from veriscope.picture import Limits, Picture, open_picture
from veriscope.plugins import Detector
from veriscope.reporting.overlay import over_picture
from veriscope.tampering.fused import FusedQuick
from veriscope.tampering.localisation import Localisation, Localiser
from veriscope.tampering.regions import regions
from veriscope.weighing import weigh

KIND = "maps of edits"  # how a JSON is known as one of these
SCHEMA = 1
FUSED = "fused"
MOST_PIXELS = 16_000_000  # of a map that is written
STEPS = 1024  # values of a written map in [0, 1]: finer than any method means, and it halves the file
OVERLAY_SIDE = 1600  # pixels
SILENT = "it does not apply to this picture"


@dataclass(frozen=True)
class Settings:
    """What every picture of a run is mapped with.

    Attributes:
        methods: names of localisers; None for all that an examination asks.
        quick: only those of them that are quick.
        limits: of what is opened.
        time_limit: seconds that each method may take.
    """

    methods: tuple[str, ...] | None = None
    quick: bool = False
    limits: Limits = field(default_factory=Limits)
    time_limit: float = 60.0

    @property
    def localisers(self) -> tuple[Localiser, ...]:
        """The methods in order of their work, the fused one last, as it uses what the others found.

        Raises:
            PluginError: a name is not a localiser's, or no method is left.
        """
        found = plugins.asked(quick=self.quick) if self.methods is None else plugins.named(list(self.methods))
        known = [detector.name for detector in plugins.detectors() if isinstance(detector, Localiser)]
        for detector in found:
            if self.methods is not None and not isinstance(detector, Localiser):
                raise PluginError(f"{detector.name} gives no map of edits; these do: {', '.join(known)}")
        kept = [one for one in found if isinstance(one, Localiser) and (one.quick or not self.quick)]
        if not kept:
            raise PluginError(
                f"no{' quick' * self.quick} method that maps edits is chosen; there are: {', '.join(known)}"
            )
        return tuple(sorted(kept, key=lambda one: called(one) == FUSED))

    @cached_property
    def fingerprint(self) -> str:
        """Changes when earlier maps would no longer be what this run asks for."""
        methods = [(one.name, str(one.version)) for one in self.localisers]
        wanted = [methods, self.time_limit, installed_version("veriscope"), models.fingerprint()]
        return hashlib.sha256(json.dumps([SCHEMA, *wanted]).encode()).hexdigest()[:12]


def identity(path: Path) -> str:
    """Sixteen hexadecimal digits of where a picture lies, by which its files are known as its own."""
    return hashlib.sha256(os.path.abspath(path).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def read_record(path: Path) -> dict[str, Any] | None:
    """The JSON of a picture's maps; None where there is none or the file is something else."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) and values.get("kind") == KIND else None


def files_of(name: str, settings: Settings) -> list[str]:
    """Every file that may be written of a picture, by the name given to it."""
    methods = [f"{name}.{plain_name(called(method))}.png" for method in settings.localisers]
    return [f"{name}.json", f"{name}.npz", f"{name}.overlay.png", *methods]


def called(method: Localiser) -> str:
    """What a method is called in the files: the quick fused map takes the place of the other."""
    return FUSED if isinstance(method, FusedQuick) else method.name


def plain_name(method: str) -> str:
    """A method's name without dots and slashes, so that the files of two pictures cannot meet."""
    return re.sub(r"[^\w-]", "_", method)


def write_maps(path: Path, out: Path, name: str, settings: Settings) -> Path:
    """Map one picture and put its files in place; returns its JSON.

    Args:
        path: the picture.
        out: an existing folder.
        name: what its files are called.
        settings: what to map with.
    Raises:
        PictureError: it cannot be opened.
        OSError: a file cannot be written; what was there before is still there.
    """
    began = time.perf_counter()
    before = stamp(path)
    picture = open_picture(path, limits=settings.limits)
    size = map_size(picture.height, picture.width)
    with tempfile.TemporaryDirectory(prefix=".veriscope-", dir=out) as made:
        folder = Path(made)
        rows, heard = _write_methods(picture, folder, name, size, settings)
        files = sorted(file.name for file in folder.iterdir())
        record = {
            "kind": KIND,
            "schema": SCHEMA,
            "picture": str(path),
            "id": identity(path),
            "sha256": picture.sha256,
            "stamp": before,
            "settings": settings.fingerprint,
            "height": picture.height,
            "width": picture.width,
            "map_height": size[0],
            "map_width": size[1],
            "edited": weigh(Question.EDITED, heard, models.panels()).model_dump(mode="json"),
            "methods": rows,
            "veriscope": installed_version("veriscope"),
            "files": files,
            "seconds": round(time.perf_counter() - began, 3),
        }
        text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
        (folder / f"{name}.json").write_text(text, encoding="utf-8", errors="replace")
        return _put_in_place(folder, out, name, files)


def map_size(height: int, width: int) -> tuple[int, int]:
    """Height and width of the maps written of a picture: its own, or of the same shape with at most ``MOST_PIXELS``.

    >>> map_size(3000, 4000), map_size(8000, 8000)
    ((3000, 4000), (4000, 4000))
    """
    scale = min(1.0, (MOST_PIXELS / (height * width)) ** 0.5)
    return max(1, int(height * scale)), max(1, int(width * scale))


def _write_methods(
    picture: Picture, folder: Path, name: str, size: tuple[int, int], settings: Settings
) -> tuple[dict[str, Any], list[Evidence]]:
    """Ask each method and write its map as it comes, so that only one is held at full size."""
    rows: dict[str, Any] = {}
    heard: list[Evidence] = []
    with zipfile.ZipFile(folder / f"{name}.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for method in settings.localisers:
            answered = hear(picture, [cast(Detector, method)], time_limit=settings.time_limit)
            if not answered:
                rows[called(method)] = {"version": str(method.version), "reason": SILENT}
                continue
            evidence, seconds = answered[0]
            heard.append(evidence)
            found = None if evidence.map is None else method.locate(picture)
            rows[called(method)] = _row(evidence, seconds, found)
            if found is None:  # it failed or took too long
                continue
            values = np.rint(np.clip(found.at(*size), 0, 1) * STEPS) / np.float32(STEPS)
            with archive.open(f"{plain_name(called(method))}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, values.astype(np.float32), allow_pickle=False)
            (folder / f"{name}.{plain_name(called(method))}.png").write_bytes(_png(_bytes_of(values)))
            if called(method) == FUSED:
                (folder / f"{name}.overlay.png").write_bytes(overlay_png(found, picture))
    return rows, heard


def _row(evidence: Evidence, seconds: float, found: Localisation | None) -> dict[str, Any]:
    row = {
        "version": evidence.version,
        "score": round(float(evidence.score), 5),
        "log10_lr": round(float(evidence.log10_lr), 3),
        "reliability": round(float(evidence.reliability), 3),
        "reason": evidence.reason,
        "says": evidence.says,
        "seconds": round(seconds, 3),
    }
    if found is None:
        return {key: row[key] for key in ("version", "reason", "says", "seconds")}
    places = [asdict(region) for region in regions(found.map, found.judged)]
    return row | {"judged": round(float((found.judged > 0).mean()), 4), "regions": places}


def overlay_png(found: Localisation, picture: Picture) -> bytes:
    """A map laid over its picture, as a PNG of at most ``OVERLAY_SIDE`` pixels a side."""
    side = min(OVERLAY_SIDE, max(picture.width, picture.height))
    scale = side / max(picture.width, picture.height)
    small = (
        cv2.resize(picture.rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else picture.rgb
    )
    drawn = over_picture(_bytes_of(found.map), Image.fromarray(small), (picture.width, picture.height), side)
    return _png(np.asarray(Image.open(io.BytesIO(drawn)), np.uint8)[:, :, ::-1])


def _bytes_of(values: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    return np.asarray(np.rint(np.clip(values, 0, 1) * 255), np.uint8)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    """``uint8 (H, W)`` or ``(H, W, 3)`` BGR as a PNG, quickly."""
    return cv2.imencode(".png", np.ascontiguousarray(pixels), [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def _put_in_place(folder: Path, out: Path, name: str, files: Sequence[str]) -> Path:
    """Move finished files from ``folder`` to ``out``, the JSON last; files of an earlier run that are not made anew go."""
    last = out / f"{name}.json"
    earlier = read_record(last)
    if earlier is not None:
        last.unlink()
        for file in set(earlier.get("files", ())) - set(files):
            if file.startswith(f"{name}.") and "/" not in file:
                (out / file).unlink(missing_ok=True)
    for file in (*files, last.name):
        os.replace(folder / file, out / file)
    return last
