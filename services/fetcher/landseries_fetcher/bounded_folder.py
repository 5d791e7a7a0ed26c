"""A bound on the disk space of a folder: what was not used for longest goes first, and nothing that is in use.

Which entries there are, and which of them are in use, is for the caches to say that live in such a folder.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, order=True)
class Entry:
    """What stays or goes as a whole.

    Attributes:
        used_ns: when it was last used, in nanoseconds since 1970.
        path: its folder.
        size_bytes: what it takes on the disk, or may come to take.
    """

    used_ns: int
    path: Path
    size_bytes: int


def make_room(entries: Iterable[Entry], free_bytes: int, remove: Callable[[Entry], bool]) -> bool:
    """Remove entries until nothing is lacking; whether there is room now.

    Args:
        entries: all that there are.
        free_bytes: what is left beside them and what is wanted; below 0 where some must go.
        remove: throws an entry away, unless it is in use; whether it did.
    """
    for entry in sorted(entries):
        if free_bytes >= 0:
            break
        if remove(entry):
            free_bytes += entry.size_bytes
    return free_bytes >= 0


def disk_bytes(folder: Path) -> int:
    """Bytes that the files below a folder take on the disk; those that vanish meanwhile do not count."""
    total = 0
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as found:
        for item in found:
            with suppress(FileNotFoundError):
                if item.is_dir(follow_symlinks=False):
                    total += disk_bytes(Path(item.path))
                else:
                    total += item.stat(follow_symlinks=False).st_blocks * 512
    return total


class Trash:
    """Where entries go first, by one renaming, so that no half of one passes for complete."""

    def __init__(self, folder: Path) -> None:
        """Use a folder on the entries' file system, which is there."""
        self._folder = folder

    def take(self, path: Path) -> None:
        """Remove a folder with all that it holds.

        Raises:
            OSError: it is not there, or must not be renamed.
        """
        gone = self._folder / secrets.token_hex(8)
        path.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def empty(self) -> None:
        """Remove what killed processes left; only where nobody else may use the trash at the same time."""
        for gone in self._folder.iterdir():
            shutil.rmtree(gone, ignore_errors=True)
