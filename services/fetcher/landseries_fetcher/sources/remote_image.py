"""An image of which the windows that are read are fetched, and no more."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TypeVar

from landseries_fetcher.images import Driver
from landseries_fetcher.remote.formats import ensure_windows
from landseries_fetcher.remote.reader import HEAD_BYTES, RemoteChanged, RemoteMissing
from landseries_fetcher.remote.sparse import SparseCopy
from landseries_fetcher.remote.windows import BadStructure, PixelWindow

ResultT = TypeVar("ResultT")
OpenCopy = Callable[[], AbstractContextManager[SparseCopy]]


class RemoteImage:
    """A sparse local copy; see `landseries_fetcher.images.ImageFile`.

    All windows are fetched with `prefetch` before the copy is opened: a decoder that has it open may remember bytes
    that were missing. While this object lives, its copy is not removed from the cache.
    """

    def __init__(self, name: str, driver: Driver, open_copy: OpenCopy, told_bytes: int | None = None) -> None:
        """Name the image; nothing is asked yet.

        Args:
            name: of the file, for messages.
            driver: GDAL's driver.
            open_copy: opens its copy in the content cache.
            told_bytes: length of the file, where the catalogue tells it.
        """
        self.name = name
        self.driver = driver
        self._open_copy = open_copy
        self._told_bytes = told_bytes
        self._stack = ExitStack()
        self._copy: SparseCopy | None = None
        self._is_given_out = False
        weakref.finalize(self, self._stack.close)

    def prefetch(self, windows: Sequence[PixelWindow]) -> int:
        """Fetch what reading some windows needs; how many bytes were fetched.

        Raises:
            ValueError: the image is missing or damaged; the text says so.
            SourceError: the server stayed away or refuses, or the cache has no room.
        """
        copy = self._held()
        try:
            return anew_if_changed(copy, lambda: ensure_windows(copy, windows))
        except (RemoteMissing, RemoteChanged, BadStructure) as error:
            raise ValueError(f"cannot be read: {error}") from error

    def size_bytes(self) -> int:
        """Length of the file: as the catalogue tells it, else by its first bytes, which any later read needs as well.

        Raises:
            RemoteError: see `landseries_fetcher.remote.reader.RangeReader.read`.
        """
        if self._told_bytes is not None:
            return self._told_bytes
        copy = self._held()
        return anew_if_changed(copy, lambda: _size(copy))

    def path(self) -> Path:
        """See `ImageFile.path`.

        Raises:
            SourceError: see `prefetch`.
        """
        self.prefetch([])
        self._is_given_out = True
        return self._held().path

    def ensure(self, column: int, row: int, width: int, height: int) -> None:
        """See `ImageFile.ensure`.

        Raises:
            OSError: the window was not fetched before the image was opened.
        """
        try:
            fetched = self.prefetch([PixelWindow(column, row, width, height)])
        except ValueError as reason:
            raise OSError(f"{self.name} {reason}") from reason
        if fetched and self._is_given_out:
            raise OSError(f"{fetched} bytes of {self.name} came after it was opened")

    def _held(self) -> SparseCopy:
        if self._copy is None:
            self._copy = self._stack.enter_context(self._open_copy())
        return self._copy


def _size(copy: SparseCopy) -> int:
    with copy.filling() as filling:
        filling.ensure([(0, min(HEAD_BYTES, filling.size))])
        return filling.size


def anew_if_changed(copy: SparseCopy, fill: Callable[[], ResultT]) -> ResultT:
    """Fill a copy; where a part of an older file is in the cache, once more from the beginning.

    Whether the newer file is the one that is wanted, the catalogue's checksums tell.

    Raises:
        RemoteError: see `landseries_fetcher.remote.reader.RangeReader.read`.
    """
    try:
        return fill()
    except RemoteChanged:
        copy.discard()
        return fill()
