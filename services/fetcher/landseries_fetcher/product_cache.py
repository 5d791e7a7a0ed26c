"""A bounded folder of downloaded products that many workers share: what one has downloaded, all others find.

Entries are made beside their place and renamed into it, so that one that is there is complete. A worker holds a shared
lock on an entry for as long as it reads it, and an exclusive one while it makes it; a worker that dies holds none. What
was not used for longest goes first, and nothing that is held.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from landseries.errors import ConfigError
from landseries.filelocks import try_lock
from landseries.gates import NotNow
from landseries_fetcher.bounded_folder import Entry, Trash, disk_bytes, make_room

_POLL_S: Final = 0.1
#: What a maker leaves complete in its workshop, to become the entry.
FILES: Final = "files"
_RESERVED: Final = "reserved"


class Held:
    """An entry that stays where it is for as long as this object lives."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._release = weakref.finalize(self, os.close, lock)

    def release(self) -> None:
        """Let the entry go."""
        self._release()


class ProductCache:
    """Products by key."""

    def __init__(self, folder: Path, max_bytes: int, wait_s: float = 900.0) -> None:
        """Make the folder, where it is not there.

        Args:
            folder: on a file system with locks (`flock`), the same for all workers that share it.
            max_bytes: what products, and downloads in progress, take on the disk at most.
            wait_s: how long to wait for another worker that makes the same entry.

        Raises:
            ConfigError: the folder cannot be made.
        """
        self._folder = folder
        self._trash = Trash(folder / "trash")
        self._max_bytes = max_bytes
        self._wait_s = wait_s
        try:
            for name in ("products", "partial", "locks", "trash"):
                (folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"source.cache: {folder} cannot be made a cache folder ({error.strerror}); name a folder that can be "
                "written, there or in LANDSERIES_CACHE_FOLDER"
            ) from error

    def hold(self, key: str, need_bytes: int, make: Callable[[Path], None]) -> Held:
        """An entry; made first where it is not there.

        Args:
            key: its name: letters, digits, `_` and `-`.
            need_bytes: what making it takes on the disk at most, for a download of known length.
            make: fills the subfolder `FILES` of the workshop that it is given. What else it puts into the workshop
                outlives a failure, and is there when the entry is tried again, by whichever worker.

        Raises:
            NotNow: another worker makes it, or holds what would have to go for it.
            ConfigError: it can never fit.
        """
        path = self._folder / "products" / key
        while True:
            held = self._held(key, path)
            if held is not None:
                return held
            with self._locked(key, self._wait_s):
                # Another worker may have made it while this one waited.
                if not path.is_dir():
                    workshop = self._folder / "partial" / key
                    self._reserve(key, workshop, need_bytes)
                    shutil.rmtree(workshop / FILES, ignore_errors=True)
                    (workshop / FILES).mkdir()
                    make(workshop)
                    os.rename(workshop / FILES, path)
                    _sync(path.parent)
                    shutil.rmtree(workshop, ignore_errors=True)
            # An exclusive lock cannot become a shared one at once, so look again.

    def has(self, key: str) -> bool:
        """Whether an entry is there now."""
        return (self._folder / "products" / key).is_dir()

    @contextmanager
    def slot(self, name: str, count: int) -> Iterator[None]:
        """One of so many rights that all who share the folder have together.

        Raises:
            NotNow: none became free.
        """
        names = [f"{name}.{place}" for place in range(count)]
        deadline = time.monotonic() + self._wait_s
        while True:
            for candidate in names:
                lock = self._try(candidate, fcntl.LOCK_EX)
                if lock is not None:
                    try:
                        yield
                    finally:
                        os.close(lock)
                    return
            if time.monotonic() > deadline:
                raise NotNow(f"all {count} downloads that the hub allows are taken by other workers")
            time.sleep(_POLL_S)

    def note(self, key: str) -> Path:
        """A file of a few bytes that is kept beside the entries, for whoever uses the cache."""
        (self._folder / "notes").mkdir(exist_ok=True)
        return self._folder / "notes" / key

    def _held(self, key: str, path: Path) -> Held | None:
        if not path.is_dir():
            return None
        lock = self._try(key, fcntl.LOCK_SH)
        if lock is None:
            return None
        if not path.is_dir():
            os.close(lock)
            return None
        os.utime(path)
        return Held(path, lock)

    @contextmanager
    def _locked(self, name: str, wait_s: float) -> Iterator[None]:
        deadline = time.monotonic() + wait_s
        while (lock := self._try(name, fcntl.LOCK_EX)) is None:
            if time.monotonic() > deadline:
                raise NotNow(f"another worker has been busy with {name} for {wait_s:.0f} s")
            time.sleep(_POLL_S)
        try:
            yield
        finally:
            os.close(lock)

    def _try(self, name: str, kind: int) -> int | None:
        """A lock, as the file descriptor that holds it; None where others hold it."""
        lock = os.open(self._folder / "locks" / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        if not try_lock(lock, kind):
            os.close(lock)
            return None
        return lock

    def _reserve(self, key: str, workshop: Path, need_bytes: int) -> None:
        """Make room for an entry, and note the room as taken."""
        if need_bytes > self._max_bytes:
            raise ConfigError(
                f"source.cache_gib: {self._max_bytes / 2**30:.3g} GiB are less than one product takes "
                f"({need_bytes / 2**30:.3g} GiB while it is unpacked)"
            )
        # No key has a dot, so no entry has this lock.
        with self._locked("all.entries", self._wait_s):
            self._trash.empty()
            others = [entry for entry in self._entries() if entry.path != workshop]
            free_bytes = self._max_bytes - need_bytes - sum(entry.size_bytes for entry in others)
            if not make_room(others, free_bytes, self._drop):
                raise NotNow("the cache folder is full of products that other workers use; see source.cache_gib")
            workshop.mkdir(exist_ok=True)
            (workshop / _RESERVED).write_text(str(need_bytes), encoding="ascii")

    def _entries(self) -> Iterator[Entry]:
        for kind in ("products", "partial"):
            for path in sorted((self._folder / kind).iterdir()):
                with suppress(FileNotFoundError):
                    yield Entry(path.stat().st_mtime_ns, path, max(disk_bytes(path), _reserved(path)))

    def _drop(self, entry: Entry) -> bool:
        """Throw an entry away, unless it is held."""
        lock = self._try(entry.path.name, fcntl.LOCK_EX)
        if lock is None:
            return False
        try:
            with suppress(FileNotFoundError):
                self._trash.take(entry.path)
        finally:
            os.close(lock)
        return True


def _reserved(folder: Path) -> int:
    try:
        return int((folder / _RESERVED).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
