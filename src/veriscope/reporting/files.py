"""Files that are either whole or not there."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from veriscope.errors import VeriscopeError


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write ``data`` to ``path`` so that no reader ever sees half of it.

    Raises:
        VeriscopeError: it cannot be written; the message names the path. What was there before is still there.
    """
    target = Path(path)
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(prefix=".veriscope-", suffix=".tmp", dir=target.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(temporary).chmod(0o666 & ~_umask())
        os.replace(temporary, target)
    except (OSError, ValueError) as error:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        reason = getattr(error, "strerror", None) or str(error)
        raise VeriscopeError(
            f"{target}: cannot be written ({reason}). Choose a folder that exists and is writable."
        ) from error


def _umask() -> int:
    """The process's umask, which can only be read by setting it; POSIX systems with /proc need not."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    except OSError:
        pass
    return 0o022
