"""One writer at a time: a lock on a folder that ends with the process that holds it, however that ends."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from veriscope.errors import VeriscopeError

PAUSE = 0.05  # seconds between two tries


@contextlib.contextmanager
def locked(file: Path, wait: float) -> Iterator[None]:
    """Hold the lock ``file``, which is made where it is missing.

    Args:
        file: beside what is protected.
        wait: seconds to wait for another holder.
    Raises:
        VeriscopeError: another process still holds it after that time, or the folder knows no locks.
    """
    try:
        handle = file.open("a+b")
    except OSError as error:
        raise VeriscopeError(f"{file.parent}: cannot be written ({error.strerror})") from error
    with handle:
        deadline = time.monotonic() + wait
        while not _taken(handle, file):
            if time.monotonic() >= deadline:
                raise VeriscopeError(
                    f"{file.parent}: another process is writing to this index, and was not done after {wait:g} s; "
                    "nothing of this call was added. Run it again when the other is done"
                )
            time.sleep(PAUSE)
        try:
            yield
        finally:
            _free(handle)


if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    def _taken(handle: IO[bytes], file: Path) -> bool:  # noqa: ARG001
        handle.seek(0)
        try:
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _free(handle: IO[bytes]) -> None:
        handle.seek(0)
        msvcrt.locking(handle.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _taken(handle: IO[bytes], file: Path) -> bool:
        try:
            fcntl.flock(handle.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise VeriscopeError(f"{file}: this file system gives no lock ({reason}); use a local folder") from error
        return True

    def _free(handle: IO[bytes]) -> None:
        fcntl.flock(handle.fileno(), fcntl.LOCK_UN)
