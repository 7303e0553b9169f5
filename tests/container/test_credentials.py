from __future__ import annotations

import importlib.util
import io
import sys
import threading
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from veriscope.container.credentials import declared_credentials, judge
from veriscope.container.trust import VARIABLE, TrustList, trust_list
from veriscope.errors import VeriscopeError
from veriscope.picture import Picture

EXAMPLES = Path(__file__).parents[2] / "examples"
FORMATS = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "TIFF": "image/tiff"}


def load_signing() -> ModuleType:
    spec = importlib.util.spec_from_file_location("example_signing", EXAMPLES / "signing.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


signing = load_signing()
AUTHORITY = signing.make_authority("Adobe Inc.")
PIXELS = (np.arange(96 * 128 * 3).reshape(96, 128, 3) % 251).astype(np.uint8)


def encoded(kind: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(PIXELS).save(out, kind)
    return out.getvalue()


SIGNED = {kind: signing.sign(encoded(kind), mime, AUTHORITY) for kind, mime in FORMATS.items()}


def declared(data: bytes, kind: str = "JPEG"):
    (found,) = declared_credentials(Picture(name="t", data=data, format=kind, rgb=PIXELS))
    assert found.kind == "c2pa"
    return found


@pytest.mark.parametrize("kind", FORMATS)
def test_a_plain_file_has_none(kind: str) -> None:
    assert declared(encoded(kind), kind).state == "none"


@pytest.mark.parametrize("kind", FORMATS)
def test_a_famous_name_without_an_anchor_is_untrusted(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    found = declared(SIGNED[kind], kind)
    assert found.state == "untrusted"
    assert "anyone" in found.says
    assert found.details["signer"] == "Adobe Inc."
    assert found.details["generative"] is True
    assert found.details["digital_source_types"] == ["trainedAlgorithmicMedia"]
    assert found.details["actions"][0]["action"] == "c2pa.created"
    assert "trainedAlgorithmicMedia" in found.says


@pytest.mark.parametrize("kind", FORMATS)
def test_the_users_anchor_makes_it_trusted(kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "own.pem").write_text(AUTHORITY.root)
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    found = declared(SIGNED[kind], kind)
    assert found.state == "trusted"
    assert tmp_path.name in found.details["trust_list"]


def test_another_authority_of_the_same_name_stays_untrusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = signing.make_authority("Adobe Inc.")
    (tmp_path / "own.pem").write_text(other.root)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "own.pem"))
    found = declared(SIGNED["JPEG"])
    assert found.state == "untrusted"
    assert "no anchor" in found.says


@pytest.mark.parametrize("anchored", [False, True])
@pytest.mark.parametrize("kind", FORMATS)
def test_a_changed_picture_is_invalid(
    kind: str, anchored: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if anchored:
        (tmp_path / "own.pem").write_text(AUTHORITY.root)
        monkeypatch.setenv(VARIABLE, str(tmp_path))
    plain = encoded(kind)
    middle = plain[len(plain) // 2 : len(plain) // 2 + 24]
    at = SIGNED[kind].find(middle)
    assert at > 0
    changed = bytearray(SIGNED[kind])
    changed[at + 12] ^= 1
    found = declared(bytes(changed), kind)
    assert found.state == "invalid"
    assert "nothing they declare" in found.says


def test_a_manifest_moved_to_another_picture_is_invalid(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "own.pem").write_text(AUTHORITY.root)
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    signed = SIGNED["JPEG"]
    start = signed.find(b"\xff\xeb")
    length = int.from_bytes(signed[start + 2 : start + 4], "big") + 2
    other = io.BytesIO()
    Image.fromarray(255 - PIXELS).save(other, "JPEG")
    moved = other.getvalue()[:2] + signed[start : start + length] + other.getvalue()[2:]
    assert declared(moved).state == "invalid"


def test_credentials_elsewhere_are_named_and_not_fetched() -> None:
    xmp = b'<x dcterms:provenance="https://example.org/m.c2pa"/>'
    out = io.BytesIO()
    Image.fromarray(PIXELS).save(out, "JPEG", xmp=xmp)
    found = declared(out.getvalue())
    assert found.state == "none"
    assert found.details["remote"] == "https://example.org/m.c2pa"


def test_committed_examples_read_as_their_table_says() -> None:
    assert declared((EXAMPLES / "credentials.jpg").read_bytes()).state in ("untrusted", "trusted")
    assert declared((EXAMPLES / "credentials_altered.jpg").read_bytes()).state == "invalid"


def test_a_bad_own_list_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "missing.pem"))
    with pytest.raises(VeriscopeError, match=r"missing\.pem"):
        trust_list()
    (tmp_path / "empty.pem").write_text("nothing")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "empty.pem"))
    with pytest.raises(VeriscopeError, match="no PEM certificate"):
        trust_list()


def store(validation: str, failures: list[str], successes: tuple[str, ...] = ("claimSignature.validated",)):
    return {
        "active_manifest": "m",
        "manifests": {"m": {"signature_info": {"issuer": "X"}}},
        "validation_state": validation,
        "validation_results": {
            "activeManifest": {
                "success": [{"code": code} for code in successes],
                "failure": [{"code": code} for code in failures],
            }
        },
    }


@pytest.mark.parametrize(
    ("validation", "failures", "state"),
    [
        ("Trusted", [], "trusted"),
        ("Valid", [], "untrusted"),
        ("Valid", ["signingCredential.untrusted"], "untrusted"),
        ("Invalid", ["signingCredential.untrusted", "signingCredential.expired"], "untrusted"),
        ("Trusted", ["signingCredential.revoked"], "untrusted"),
        ("Invalid", ["signingCredential.untrusted", "assertion.dataHash.mismatch"], "invalid"),
        ("Trusted", ["assertion.dataHash.mismatch"], "invalid"),
        ("Invalid", [], "invalid"),
    ],
)
def test_states_are_never_confused(validation: str, failures: list[str], state: str) -> None:
    assert judge(store(validation, failures), TrustList("", 0)).state == state


def test_without_a_validated_signature_nothing_is_trusted() -> None:
    assert judge(store("Trusted", [], successes=()), TrustList("", 0)).state == "invalid"
    assert judge({}, TrustList("", 0)).state == "invalid"


def test_many_threads_read_at_once() -> None:
    states: list[str] = []

    def work() -> None:
        states.extend(declared(SIGNED[kind], kind).state for kind in FORMATS)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert states == ["untrusted"] * 6 * len(FORMATS)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(sorted(FORMATS)),
    st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), min_size=1, max_size=8),
    st.one_of(st.none(), st.integers(20, 1 << 14)),
)
def test_mutated_files_never_raise_and_never_become_trusted(kind, changes, cut) -> None:
    data = bytearray(SIGNED[kind])
    for at, value in changes:
        data[at % len(data)] = value
    found = declared(bytes(data[:cut] if cut else data), kind)
    assert found.state in ("none", "invalid", "untrusted")
