"""A local file of a remote object's length in which only those bytes are filled that were asked for.

Which ones is written beside the file, after the bytes themselves are safe on the disk: whatever kills the process, a
range that counts as present is there. Several processes may fill one copy; they take turns by a lock.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Protocol

from landseries.artifacts.documents import canonical_json
from landseries.errors import SourceError
from landseries.filelocks import locked
from landseries_fetcher.remote.byte_ranges import ByteRange, joined, merged, missing, total
from landseries_fetcher.remote.reader import Identity, RangeReader, RemoteChanged, within

#: Neighbouring ranges are joined over gaps of at most so many bytes, which adds at most this share of bytes.
GAP_BYTES: Final = 65_536
WASTE_SHARE: Final = 0.1
#: A long transfer writes down what is present after so many bytes, so that it can go on after a crash.
_SAVE_EVERY_BYTES: Final = 64 * 2**20
_RECORD: Final = "present.json"
_RECORD_VERSION: Final = 1
_BLOCK_BYTES: Final = 4096


class Room(Protocol):
    """Who keeps the bound of the disk space."""

    def claim(self, size_bytes: int) -> None:
        """Make sure that so many bytes more may be written.

        Raises:
            SourceError: there is no room.
        """

    def release(self) -> None:
        """What was claimed is written by now."""


class _Boundless:
    def claim(self, size_bytes: int) -> None:
        pass

    def release(self) -> None:
        pass


class SparseCopy:
    """The copy of one remote object.

    Attributes:
        path: the file. It is there after the first `ensure`; bytes that were not ensured are zeros.
    """

    def __init__(
        self,
        folder: Path,
        file_name: str,
        open_reader: Callable[[Identity | None], RangeReader],
        *,
        room: Room | None = None,
        gap_bytes: int = GAP_BYTES,
        waste_share: float = WASTE_SHARE,
    ) -> None:
        """Name the copy; no request is made yet.

        Args:
            folder: of this copy alone; made where it is missing.
            file_name: of the data, as the images of the product are called.
            open_reader: makes the reader, given what is known of the object; called only once bytes are missing.
            room: claims disk space before anything is written.
            gap_bytes: see `byte_ranges.joined`.
            waste_share: see `byte_ranges.joined`.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / file_name
        self._folder = folder
        self._open_reader = open_reader
        self._reader: RangeReader | None = None
        self._room = room or _Boundless()
        self._gap_bytes, self._waste_share = gap_bytes, waste_share

    @contextmanager
    def filling(self) -> Iterator[Filling]:
        """Hold the copy alone, for several reads that depend on each other.

        What was fetched counts as present once the context ends, however it ends.

        Raises:
            SourceError: the disk is full or cannot be written.
        """
        with locked(self._folder / "fill.lock"):
            try:
                filling = Filling(self)
                try:
                    yield filling
                finally:
                    filling.close()
                    self._room.release()
            except OSError as error:
                raise _explained(error, self.path) from error

    def ensure(self, ranges: Iterable[ByteRange]) -> int:
        """Fill ranges where they are missing; how many bytes were fetched.

        Raises:
            RemoteError: see `RangeReader.read`; a range lies outside the object.
            SourceError: the disk is full or cannot be written.
        """
        with self.filling() as filling:
            return filling.ensure(ranges)

    def complete(self) -> int:
        """Fill all of it; how many bytes were fetched."""
        with self.filling() as filling:
            return filling.ensure([(0, filling.size)])

    def is_complete(self) -> bool:
        """Whether nothing is missing."""
        record = _read_record(self._folder / _RECORD)
        return record is not None and record["present"] == merged([(0, record["size"])])

    def reader(self, known: Identity | None) -> RangeReader:
        """The remote object, opened at most once per copy."""
        if self._reader is None:
            self._reader = self._open_reader(known)
        return self._reader

    def discard(self) -> None:
        """Forget what is present; the next `ensure` begins anew, with another file of the same name."""
        with locked(self._folder / "fill.lock"):
            self._forget()
            self._reader = None

    def _forget(self) -> None:
        for known in self._folder.glob("*.json"):
            known.unlink(missing_ok=True)

    def remember(self, name: str, content: Any) -> None:
        """Keep a small JSON document beside the copy, such as an index of the file."""
        _write_whole(self._folder / f"{name}.json", canonical_json(content))

    def recall(self, name: str) -> Any:
        """What was remembered under a name; None where there is nothing, or nothing readable."""
        try:
            return json.loads((self._folder / f"{name}.json").read_bytes())
        except (OSError, ValueError):
            return None


class Filling:
    """A copy while it is held alone: reads fill what is missing.

    Attributes:
        size: length of the object in bytes.
        fetched_bytes: bytes that were fetched so far.
    """

    def __init__(self, copy: SparseCopy) -> None:
        self._copy = copy
        self._record_path = copy._folder / _RECORD
        record = _read_record(self._record_path)
        if record is None or not copy.path.is_file() or copy.path.stat().st_size != record["size"]:
            record = {**asdict(copy.reader(None).identity), "present": []}
            copy._forget()
            copy.path.unlink(missing_ok=True)  # whoever still reads the old file goes on with it
            with copy.path.open("wb") as stream:
                stream.truncate(record["size"])
        self._identity = Identity(record["size"], record["etag"], record["has_ranges"])
        self.size = self._identity.size
        self.fetched_bytes = 0
        self._present: list[ByteRange] = record["present"]
        self._stream = copy.path.open("r+b", buffering=0)
        self._unsaved_bytes = 0

    @property
    def name(self) -> str:
        """What the object is called in messages."""
        return self._copy._reader.name if self._copy._reader is not None else self._copy.path.name

    def ensure(self, ranges: Iterable[ByteRange]) -> int:
        """See `SparseCopy.ensure`."""
        wanted = missing(within(list(ranges), self.size, self.name), self._present)
        if not wanted:
            return 0
        reader = self._copy.reader(self._identity)
        if reader.identity != self._identity:
            raise RemoteChanged(f"{reader.name} is another object than the one a part of which is in the cache")
        if self._identity.has_ranges:
            wanted = joined(wanted, self._present, self._copy._gap_bytes, self._copy._waste_share)
        else:
            wanted = merged([(0, self.size)])
        self._copy._room.claim(total(wanted) + 2 * _BLOCK_BYTES * len(wanted))
        before = self.fetched_bytes
        for offset, content in reader.read(wanted):
            self._write(offset, content)
            self.fetched_bytes += len(content)
            self._unsaved_bytes += len(content)
            self._present = merged([*self._present, (offset, offset + len(content))])
            if self._unsaved_bytes >= _SAVE_EVERY_BYTES:
                self._save()
        return self.fetched_bytes - before

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the object, fetched where they are missing; fewer at its end."""
        stop = min(offset + length, self.size)
        if stop <= offset:
            return b""
        self.ensure([(offset, stop)])
        return os.pread(self._stream.fileno(), stop - offset, offset)

    def sketch(self, offset: int, content: bytes) -> None:
        """Write bytes where nothing is present, without counting them as present: a reader may need a placeholder."""
        for start, stop in missing([(offset, min(offset + len(content), self.size))], self._present):
            self._copy._room.claim(stop - start + 2 * _BLOCK_BYTES)
            self._write(start, content[start - offset : stop - offset])

    def close(self) -> None:
        """Write down what is present."""
        try:
            self._save()
        finally:
            self._stream.close()

    def _write(self, offset: int, content: bytes) -> None:
        view = memoryview(content)
        while view:
            written = os.pwrite(self._stream.fileno(), view, offset)
            view, offset = view[written:], offset + written

    def _save(self) -> None:
        if self._unsaved_bytes or not self._record_path.exists():
            os.fdatasync(self._stream.fileno())
            record = {**asdict(self._identity), "version": _RECORD_VERSION, "present": self._present}
            _write_whole(self._record_path, canonical_json(record))
            self._unsaved_bytes = 0


def _read_record(path: Path) -> dict[str, Any] | None:
    """What is written down, or None where it makes no sense: then the copy begins anew."""
    try:
        record = json.loads(path.read_bytes())
        present = merged((int(start), int(stop)) for start, stop in record["present"])
        if record["version"] != _RECORD_VERSION or not isinstance(record["etag"], str):
            return None
        if not isinstance(record["has_ranges"], bool):
            return None
        size = int(record["size"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if present and not 0 <= present[0][0] <= present[-1][1] <= size:
        return None
    return {**record, "size": size, "present": present}


def _write_whole(path: Path, content: bytes) -> None:
    incoming = path.with_name(f"{path.name}.{os.getpid()}.incoming")
    with incoming.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    incoming.replace(path)


def _explained(error: OSError, path: Path) -> SourceError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SourceError(f"{path.parent}: the disk of the content cache is full; free some space or lower its bound")
    return SourceError(f"{path}: the content cache cannot be written: {error.strerror or error}")
