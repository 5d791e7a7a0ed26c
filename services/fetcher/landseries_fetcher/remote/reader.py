"""What a remote object offers: its size, its identity, and ranges of its bytes; and what can go wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from landseries.errors import SourceError
from landseries_fetcher.remote.byte_ranges import ByteRange

#: Bytes that are handed on at once at most.
CHUNK_BYTES: Final = 1 << 20
#: The first request asks for so many bytes: most headers of images are shorter, and need no request of their own.
HEAD_BYTES: Final = 16_384
#: No image of a product comes near; a server that says more is wrong, or means harm.
SIZE_MAX_BYTES: Final = 1 << 36


class RemoteError(SourceError):
    """A remote object cannot be read; asking again at once will not help."""


class RemoteUnavailable(RemoteError):
    """The server was away, or too busy, for longer than the reader's patience; the same call may succeed later."""


class RemoteMissing(RemoteError):
    """There is no such object (404, 410)."""


class RemoteForbidden(RemoteError):
    """The server does not let us read the object (401, 403)."""


class RemoteChanged(RemoteError):
    """The object is another one than when its first bytes were read."""


@dataclass(frozen=True)
class Identity:
    """What a first answer told about an object; who knows it need not ask again.

    Attributes:
        size: length in bytes.
        etag: changes when the object does (an entity tag, or else a time of change); empty where there is neither.
        has_ranges: whether a part can be had without the whole.
    """

    size: int
    etag: str
    has_ranges: bool = True


class RangeReader(Protocol):
    """One remote object of known size, of which ranges can be read."""

    @property
    def name(self) -> str:
        """What the object is called in messages; without secrets."""

    @property
    def identity(self) -> Identity:
        """Size and tag of the object that is read."""

    def read(self, ranges: Sequence[ByteRange]) -> Iterator[tuple[int, bytes]]:
        """Read ranges, in their order, piece by piece: memory does not grow with them.

        Args:
            ranges: within the object.

        Returns:
            (offset, bytes of at most `CHUNK_BYTES`), exactly the bytes asked for.

        Raises:
            RemoteUnavailable: the server stayed away.
            RemoteChanged: the object is another one than at first.
            RemoteError: anything else that trying again does not cure.
        """


class Permit(Protocol):
    """The right to one connection."""

    def check(self) -> None:
        """See that the right still stands; called while bytes come in.

        Raises:
            landseries_fetcher.remote.persistence.Interrupted: it was lost, and the connection must be closed.
        """


class Gate(Protocol):
    """Where every request asks before it is sent."""

    def request(self) -> AbstractContextManager[Permit]:
        """Wait for the right to send one request, and hold its connection while the context is open."""


class OpenGate:
    """A gate that lets everything pass; where the server has no quota."""

    def request(self) -> AbstractContextManager[Permit]:
        """See `Gate.request`."""
        return nullcontext(self)

    def check(self) -> None:
        """See `Permit.check`."""


class FileRanges:
    """A local file behind the protocol; counts what is read of it."""

    def __init__(self, path: Path) -> None:
        """Look at the file.

        Raises:
            RemoteMissing: it cannot be read.
        """
        self._path = path
        self.bytes_read = 0
        self.requests = 0
        try:
            status = path.stat()
        except OSError as error:
            raise RemoteMissing(f"{path}: {error.strerror}") from error
        self.name = str(path)
        self.identity = Identity(status.st_size, f"{status.st_size}-{status.st_mtime_ns}")

    def read(self, ranges: Sequence[ByteRange]) -> Iterator[tuple[int, bytes]]:
        """See `RangeReader.read`."""
        with self._path.open("rb") as stream:
            for start, stop in within(ranges, self.identity.size, self.name):
                self.requests += 1
                stream.seek(start)
                while start < stop:
                    chunk = stream.read(min(CHUNK_BYTES, stop - start))
                    if not chunk:
                        raise RemoteChanged(f"{self.name} became shorter while it was read")
                    self.bytes_read += len(chunk)
                    yield start, chunk
                    start += len(chunk)


def within(ranges: Sequence[ByteRange], size: int, name: str) -> Sequence[ByteRange]:
    """The ranges themselves, if all lie within an object.

    Raises:
        RemoteError: one does not; no server should be asked for it.
    """
    for start, stop in ranges:
        if not 0 <= start <= stop <= size:
            raise RemoteError(f"{name} has {size} bytes; bytes {start} to {stop} were asked for")
    return ranges


def checked_size(size: int, name: str) -> int:
    """A size that a server gave, if it can be one.

    Raises:
        RemoteError: it is negative or beyond any image.
    """
    if not 0 <= size <= SIZE_MAX_BYTES:
        raise RemoteError(f"{name}: the server gives a size of {size} bytes; at most {SIZE_MAX_BYTES} are believed")
    return size
