"""The trust list: whose certificates may vouch for content credentials.

Certificates (PEM) come from two places: the ``.pem`` files in this folder, which are pinned and dated in ``list.json``,
and the file or folder that the environment variable ``VERISCOPE_TRUST_ANCHORS`` names. Nothing is ever fetched. Where
neither holds one, no signer is trusted and every report says so.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from veriscope.errors import VeriscopeError

VARIABLE = "VERISCOPE_TRUST_ANCHORS"
FOLDER = Path(__file__).parent
SIZE_LIMIT = 20_000_000  # bytes of one PEM file; the largest public lists are below 1 MB

# What a signing certificate may be issued for (extended key usage): e-mail protection, document signing, C2PA claim
# signing, time stamping, OCSP signing, and Microsoft's private usage, which early credentials of theirs carry.
KEY_USAGES = (
    "1.3.6.1.5.5.7.3.4",
    "1.3.6.1.5.5.7.3.36",
    "1.3.6.1.4.1.62558.2.1",
    "1.3.6.1.5.5.7.3.8",
    "1.3.6.1.5.5.7.3.9",
    "1.3.6.1.4.1.311.76.59.1.9",
)

_lock = threading.Lock()


@dataclass(frozen=True)
class TrustList:
    """The anchors in force.

    Attributes:
        pem: the certificates, concatenated.
        anchors: how many they are.
        date: the date of the pinned list, or empty where none ships.
        own: the name of the user's file or folder, or empty.
    """

    pem: str
    anchors: int
    date: str = ""
    own: str = ""

    def named(self) -> str:
        """What a sentence calls it."""
        if not self.anchors:
            return "trust list (none is installed)"
        pinned = f"trust list of {self.date}" if self.date else ""
        return (
            f"{pinned} with the user's own" if pinned and self.own else pinned or f"user's own trust list ({self.own})"
        )


def trust_list() -> TrustList:
    """The pinned list and the user's own, read again only when the variable or the user's files change.

    Raises:
        VeriscopeError: the variable names what is not there or holds no certificate.
    """
    own = os.environ.get(VARIABLE, "")
    return _read(own, _stamp(Path(own)) if own else ())


def _stamp(path: Path) -> tuple[tuple[str, int, int], ...]:
    try:
        files = sorted(path.glob("*.pem")) if path.is_dir() else [path]
        return tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files)
    except OSError as error:
        raise VeriscopeError(f"{VARIABLE} names {path}, which cannot be read: {error.strerror}.") from error


@functools.lru_cache(maxsize=4)
def _read(own: str, stamp: tuple[tuple[str, int, int], ...]) -> TrustList:
    pinned = [file.read_text("ascii", "ignore") for file in sorted(FOLDER.glob("*.pem"))]
    note = FOLDER / "list.json"
    date = str(json.loads(note.read_text("utf-8")).get("date", "")) if pinned and note.exists() else ""
    added = []
    for name, _, size in stamp:
        if size > SIZE_LIMIT:
            raise VeriscopeError(f"{VARIABLE} names {name}, which at {size:,} bytes is no list of certificates.")
        added.append(Path(name).read_text("ascii", "ignore"))
    if own and not any("BEGIN CERTIFICATE" in text for text in added):
        raise VeriscopeError(f"{VARIABLE} names {own}, which holds no PEM certificate.")
    pem = "\n".join(pinned + added)
    return TrustList(pem, pem.count("BEGIN CERTIFICATE"), date, Path(own).name if own else "")


def context() -> Any:
    """The reader's settings: the trust list in force, and no network. One is shared by all threads."""
    trust = trust_list()
    with _lock:
        return _context(hashlib.sha256(trust.pem.encode()).hexdigest(), trust)


@functools.lru_cache(maxsize=4)
def _context(_digest: str, trust: TrustList) -> Any:
    import c2pa

    settings: dict[str, Any] = {
        "trust": {"trust_config": "\n".join(KEY_USAGES)},
        "verify": {
            "verify_after_reading": True,
            "verify_trust": True,
            "verify_timestamp_trust": True,
            "remote_manifest_fetch": False,
            "ocsp_fetch": False,
        },
    }
    if trust.anchors:
        settings["trust"]["trust_anchors"] = trust.pem
    return c2pa.Context.from_dict(settings)
