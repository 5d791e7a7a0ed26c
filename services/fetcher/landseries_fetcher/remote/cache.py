"""A folder of sparse copies that several processes share, with a bound on the disk space that it takes.

Every copy has a folder of its own, named after what it is a copy of. Who uses one holds a lock on it, so that only
idle ones are removed, those first that were not used for longest. A killed process holds nothing: its locks and
claims vanish with it.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import IO, Final

from landseries.artifacts.documents import canonical_json, digest_of
from landseries.errors import ConfigError, SourceError
from landseries.filelocks import locked, try_lock
from landseries_fetcher.bounded_folder import Entry, Trash, disk_bytes, make_room
from landseries_fetcher.remote.reader import Identity, RangeReader
from landseries_fetcher.remote.sparse import SparseCopy

#: Space is claimed in steps of so many bytes at least, because each claim looks at the whole cache.
_STEP_BYTES: Final = 1 << 20
_POLL_S: Final = 0.2
_BYTES_MIN: Final = 1 << 16
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")
_NAME_LENGTH: Final = 120


class CacheFull(SourceError):
    """What is in use leaves no room in the content cache."""


@dataclass(frozen=True)
class ContentKey:
    """What a copy is a copy of; whoever has the same key gets the same copy.

    Attributes:
        source: the source's name and place.
        product: id of the product.
        asset: name of the image within the product.
        identity: changes when the image's bytes do: a checksum, or an entity tag and a size, as the catalogue gives it.
    """

    source: str
    product: str
    asset: str
    identity: str

    @property
    def folder_name(self) -> str:
        """A name made of all four."""
        return digest_of(canonical_json(list(astuple(self))))[:40]

    @property
    def file_name(self) -> str:
        """The last part of the asset's name, with nothing in it that could lead elsewhere."""
        last = _UNSAFE.sub("_", self.asset.replace("\\", "/").rstrip("/").rpartition("/")[2]).lstrip(".")
        return f"image-{last}"[-_NAME_LENGTH:] if last.endswith((".json", ".lock")) else last[-_NAME_LENGTH:] or "image"


class ContentCache:
    """See the module."""

    def __init__(self, folder: Path, max_bytes: int, *, wait_s: float = 60.0) -> None:
        """Use a folder.

        Args:
            folder: of the cache alone, on a local disk; made where it is missing.
            max_bytes: what all copies may take on the disk together.
            wait_s: how long a process waits for room while others use theirs.

        Raises:
            ConfigError: the folder cannot be used, or the bound is too small for anything.
        """
        if max_bytes < _BYTES_MIN:
            raise ConfigError(f"the content cache may take {max_bytes} bytes; give it {_BYTES_MIN} or more")
        self.folder, self.max_bytes = folder, max_bytes
        self._wait_s = wait_s
        self._entries, self._claims, self._trash = folder / "entries", folder / "claims", Trash(folder / "trash")
        try:
            for name in ("entries", "claims", "trash"):
                (folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{folder}: cannot be used as a content cache: {error.strerror}") from error

    @contextmanager
    def open(self, key: ContentKey, open_reader: Callable[[Identity | None], RangeReader]) -> Iterator[SparseCopy]:
        """The copy of an object, which is not removed while the context is open.

        Args:
            key: of the object.
            open_reader: see `SparseCopy`; not called where all that is needed is there.

        Raises:
            SourceError: the disk cannot be written. While the copy is filled also `CacheFull`.
        """
        entry = self._entries / key.folder_name[:2] / key.folder_name
        try:
            lock = self._locked_entry(entry)
        except OSError as error:
            raise SourceError(f"{self.folder}: the content cache cannot be used: {error.strerror}") from error
        with lock:
            try:
                yield SparseCopy(entry, key.file_name, open_reader, room=_ClaimedRoom(self))
            finally:
                _touch(lock)

    def used_bytes(self) -> int:
        """What all copies take on the disk now."""
        return sum(entry.size_bytes for entry in self._copies())

    def claim(self, size_bytes: int) -> IO[bytes]:
        """Make room, removing idle copies; the room is ours until the returned file is closed.

        Raises:
            CacheFull: there is no room, also after a while.
        """
        deadline = time.monotonic() + self._wait_s
        while True:
            with locked(self.folder / "door.lock"):
                claim = self._claimed(size_bytes)
            if claim is not None:
                return claim
            if size_bytes > self.max_bytes or time.monotonic() >= deadline:
                raise CacheFull(
                    f"{self.folder}: the content cache of {self.max_bytes} bytes has no room for {size_bytes} more "
                    "beside what is in use; give it more, or run fewer workers"
                )
            time.sleep(_POLL_S)

    def _locked_entry(self, entry: Path) -> IO[bytes]:
        while True:
            # Another process may remove the entry at any of these steps: then its lock is no longer the one in place.
            with suppress(FileNotFoundError):
                entry.mkdir(parents=True, exist_ok=True)
                lock = (entry / "use.lock").open("ab")
                fcntl.flock(lock, fcntl.LOCK_SH)
                with suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(lock.fileno()), (entry / "use.lock").stat()):
                        _touch(lock)
                        return lock
                lock.close()

    def _claimed(self, size_bytes: int) -> IO[bytes] | None:
        self._trash.empty()  # all removals happen behind the same door
        copies = list(self._copies())
        free_bytes = self.max_bytes - size_bytes - self._claimed_bytes() - sum(copy.size_bytes for copy in copies)
        if not make_room(copies, free_bytes, self._remove):
            return None
        claim = (self._claims / f"{os.getpid()}-{secrets.token_hex(8)}").open("xb")
        fcntl.flock(claim, fcntl.LOCK_EX)
        claim.write(str(size_bytes).encode())
        claim.flush()
        return claim

    def _claimed_bytes(self) -> int:
        """What living processes claim; what dead ones claimed is removed."""
        found = 0
        for path in list(self._claims.iterdir()):
            with suppress(FileNotFoundError), path.open("rb") as claim:
                if try_lock(claim):
                    path.unlink(missing_ok=True)
                else:
                    found += int(claim.read() or b"0")
        return found

    def _copies(self) -> Iterator[Entry]:
        for path in self._entries.glob("*/*"):
            used_ns = 0
            with suppress(FileNotFoundError, NotADirectoryError):
                used_ns = (path / "use.lock").stat().st_mtime_ns
            yield Entry(used_ns, path, disk_bytes(path))

    def _remove(self, copy: Entry) -> bool:
        """Remove a copy that nobody uses; whether it is gone."""
        try:
            with (copy.path / "use.lock").open("rb") as lock:
                if not try_lock(lock):
                    return False
                self._trash.take(copy.path)
        except OSError:
            return False
        return True


class _ClaimedRoom:
    """The room of one copy while it is filled; see `sparse.Room`."""

    def __init__(self, cache: ContentCache) -> None:
        self._cache = cache
        self._left_bytes = 0
        self._claims: list[IO[bytes]] = []

    def claim(self, size_bytes: int) -> None:
        if size_bytes > self._left_bytes:
            step = max(size_bytes, min(_STEP_BYTES, self._cache.max_bytes // 64))
            self._claims.append(self._cache.claim(step))
            self._left_bytes += step
        self._left_bytes -= size_bytes

    def release(self) -> None:
        for claim in self._claims:
            Path(claim.name).unlink(missing_ok=True)
            claim.close()
        self._claims.clear()
        self._left_bytes = 0


def _touch(lock: IO[bytes]) -> None:
    os.utime(lock.fileno())
