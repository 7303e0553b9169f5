"""Files that are either whole or not there, whenever their writer is stopped."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from veriscope.errors import VeriscopeError


def write(path: Path, data: bytes) -> None:
    """Write a file under another name, and rename it; its folder is made where it is missing.

    Raises:
        VeriscopeError: it cannot be written; what was there before stays.
    """
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".", suffix=".partial", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except OSError as error:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        kept = "what was acknowledged before is kept"
        raise VeriscopeError(f"{path}: cannot be written ({error.strerror}); {kept}") from error
