"""What the indexes of image formats have in common: windows, and the bytes they are computed from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from landseries_fetcher.remote.reader import RemoteError


class BadStructure(RemoteError):
    """A remote image whose headers contradict themselves or are beyond all bounds."""


@dataclass(frozen=True)
class PixelWindow:
    """A rectangle of pixels, from the image's upper-left corner on, at full resolution; parts outside are ignored."""

    column: int
    row: int
    width: int
    height: int


class Bytes(Protocol):
    """A remote file that can be read piecemeal; `sparse.Filling` is one."""

    @property
    def size(self) -> int:
        """Length in bytes."""

    @property
    def name(self) -> str:
        """For messages."""

    def read(self, offset: int, length: int) -> bytes:
        """Bytes from an offset; fewer at the end of the file."""


class Pages:
    """Reads small fields of a file through pages, so that neighbouring fields cost one request."""

    def __init__(self, source: Bytes, page_bytes: int, limit_bytes: int) -> None:
        """Make it.

        Args:
            source: the file.
            page_bytes: what is read at once at least.
            limit_bytes: what may be read in all; headers that are longer are refused.
        """
        self._source, self._page_bytes, self._left_bytes = source, page_bytes, limit_bytes
        self._start, self._content = 0, b""

    def read(self, offset: int, length: int) -> bytes:
        """Exactly so many bytes.

        Raises:
            BadStructure: the file ends before them, or its headers are longer than the limit.
        """
        source = self._source
        if offset < 0 or length < 0 or offset + length > source.size:
            raise BadStructure(f"{source.name} is no whole image: byte {offset + length} of {source.size} is needed")
        at = offset - self._start
        if at < 0 or at + length > len(self._content):
            wanted = min(max(length, self._page_bytes), source.size - offset)
            self._left_bytes -= wanted
            if self._left_bytes < 0:
                raise BadStructure(f"{source.name}: its headers are longer than any image's")
            self._start, self._content, at = offset, source.read(offset, wanted), 0
        return self._content[at : at + length]

    def number(self, offset: int, length: int) -> int:
        """An unsigned integer, its first byte the highest."""
        return int.from_bytes(self.read(offset, length), "big")
