"""A folder as a store: what a laptop needs, and what a job inside an HPC system sees."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from landseries.artifacts.documents import digest_of_file
from landseries.errors import StoreError, StoreFull
from landseries.filelocks import locked
from landseries.stores.base import StoredObject, check_key, wrong_bytes
from landseries.stores.tagged import TaggedByDigest

#: Unfinished writes; on the same file system as the objects, so that finishing is one rename.
_INCOMING: Final = ".incoming"


class LocalStore(TaggedByDigest):
    """A folder of files, one per object.

    A write goes to a file of its own beside the objects and is then renamed (or linked, where it must be new), so a
    reader never sees half an object, whatever kills the writer. `bytes_in` and `bytes_out` count the contents put and
    given (an object given as a file counts whole).
    """

    def __init__(self, folder: Path) -> None:
        self.bytes_in = 0
        self.bytes_out = 0
        self.folder = folder.resolve()
        try:
            (self.folder / _INCOMING).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{self.folder}: cannot be used as a store: {error.strerror}") from error

    def put(self, key: str, content: bytes | Path) -> None:
        """See `Store.put`."""
        with self._incoming(key, content) as (incoming, target):
            size_bytes = incoming.stat().st_size
            incoming.replace(target)
            self.bytes_in += size_bytes

    def put_new(self, key: str, content: bytes | Path) -> bool:
        """See `Store.put_new`."""
        if self.exists(key):
            return False
        with self._incoming(key, content) as (incoming, target):
            try:
                os.link(incoming, target)
            except FileExistsError:
                return False
            self.bytes_in += incoming.stat().st_size
        return True

    def get(self, key: str) -> bytes | None:
        """See `Store.get`."""
        try:
            content = self._path(key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        self.bytes_out += len(content)
        return content

    def put_if(self, key: str, content: bytes, tag: str | None) -> str | None:
        """See `Store.put_if`; processes of this machine take turns by a lock on one file."""
        with locked(self.folder / _INCOMING / "lock"):
            return super().put_if(key, content, tag)

    @contextmanager
    def local(self, key: str, digest: str | None = None) -> Iterator[Path]:
        """See `Store.local`; the object's own file."""
        path = self._path(key)
        if not path.is_file():
            raise StoreError(f"{self.folder}: there is no object {key}")
        if digest is not None and digest_of_file(path) != digest:
            raise wrong_bytes(str(self.folder), key)
        self.bytes_out += path.stat().st_size
        yield path

    def exists(self, key: str) -> bool:
        """See `Store.exists`."""
        return self._path(key).is_file()

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """See `Store.list`; one folder after the other."""
        yield from self._walk(self.folder / check_key(prefix.rstrip("/")) if prefix else self.folder, prefix)

    def _walk(self, folder: Path, prefix: str) -> Iterator[StoredObject]:
        try:
            with os.scandir(folder) as entries:
                # A folder stands for keys that go on with `/`: so the keys come in their order.
                names = sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in entries)
        except (FileNotFoundError, NotADirectoryError):
            return
        for name in names:
            if name.endswith("/"):
                if name != f"{_INCOMING}/":
                    yield from self._walk(folder / name, prefix + name)
                continue
            try:
                found = (folder / name).stat()
            except FileNotFoundError:
                continue
            yield StoredObject(prefix + name, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))

    def delete(self, key: str) -> None:
        """See `Store.delete`."""
        self._path(key).unlink(missing_ok=True)

    def clean(self) -> None:
        """Remove what killed writers left; only when nobody else writes."""
        shutil.rmtree(self.folder / _INCOMING, ignore_errors=True)
        (self.folder / _INCOMING).mkdir(parents=True, exist_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / check_key(key)

    @contextmanager
    def _incoming(self, key: str, content: bytes | Path) -> Iterator[tuple[Path, Path]]:
        target = self._path(key)
        handle = -1
        incoming = Path()
        try:
            handle, name = tempfile.mkstemp(dir=self.folder / _INCOMING)
            incoming = Path(name)
            with os.fdopen(handle, "wb") as stream:
                if isinstance(content, bytes):
                    stream.write(content)
                else:
                    with content.open("rb") as source:
                        shutil.copyfileobj(source, stream, 1 << 20)
                stream.flush()
                os.fsync(stream.fileno())
            incoming.chmod(0o644)
            target.parent.mkdir(parents=True, exist_ok=True)
            yield incoming, target
        except OSError as error:
            raise _explain(error, self.folder, key) from error
        finally:
            if handle != -1:
                incoming.unlink(missing_ok=True)


def _explain(error: OSError, folder: Path, key: str) -> StoreError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull(f"{folder}: the disk is full; free some space and start the run again, it goes on from here")
    return StoreError(f"{folder}: cannot write {key}: {error.strerror}")
