"""Digests of files and folders outside the store, remembered for as long as nothing changed."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from landseries.artifacts.documents import digest_of_file
from landseries.errors import SourceError


def digest_of_path(path: Path) -> str:
    """SHA-256 of a file, or of all files of a folder and their names.

    A file is read once per process: its size and time of change stand for it afterwards.

    Raises:
        SourceError: it is not there, or cannot be read.
    """
    try:
        if not path.is_dir():
            status = path.stat()
            return _digest(path, status.st_size, status.st_mtime_ns)
        digest = hashlib.sha256()
        for file in sorted(file for file in path.rglob("*") if file.is_file()):
            status = file.stat()
            name = file.relative_to(path).as_posix()
            digest.update(f"{name}\0{_digest(file, status.st_size, status.st_mtime_ns)}\0".encode())
        return digest.hexdigest()
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}") from error


@lru_cache(maxsize=4096)
def _digest(path: Path, size: int, changed_ns: int) -> str:
    return digest_of_file(path)
