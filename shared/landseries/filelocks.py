"""Locks between the processes of one machine: a file is the lock, and a process that dies lets go of it."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def locked(path: Path, kind: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Hold a lock while the context is open, and wait for it as long as others hold it.

    Args:
        path: of a file that is there for its lock alone; made where it is missing.
        kind: `fcntl.LOCK_EX` to hold it alone, or `fcntl.LOCK_SH` for any number of holders at once.

    Raises:
        OSError: the file cannot be opened for writing.
    """
    with path.open("ab") as file:
        fcntl.flock(file, kind)
        yield


def try_lock(file: IO[Any] | int, kind: int = fcntl.LOCK_EX) -> bool:
    """Take the lock of an open file, or of its descriptor, if nobody holds it; it ends when the file is closed."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
