"""A file of a product that holds one image, wherever it lies."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

from landseries_fetcher.jp2 import incompleteness

Driver = Literal["JP2OpenJPEG", "GTiff"]


class ImageFile(Protocol):
    """An image as a local file of which, before a window is read, all that it needs is there."""

    @property
    def name(self) -> str:
        """The file's name, for messages."""

    @property
    def driver(self) -> Driver:
        """GDAL's driver."""

    def path(self) -> Path:
        """The file, with all that opening it needs.

        Raises:
            OSError: it is not there.
            ValueError: it is truncated, or no image; the text says so.
        """

    def ensure(self, column: int, row: int, width: int, height: int) -> None:
        """See to it that a window can be read.

        Raises:
            OSError: it cannot be had.
        """


class LocalImage:
    """A JPEG 2000 file that is there as a whole."""

    driver: Driver = "JP2OpenJPEG"

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:
        """See `ImageFile.name`."""
        return self._path.name

    def path(self) -> Path:
        """See `ImageFile.path`.

        Raises:
            ValueError: it is truncated, or no image; the text says so.
        """
        missing = incompleteness(self._path)
        if missing is not None:
            raise ValueError(missing)
        return self._path

    def ensure(self, column: int, row: int, width: int, height: int) -> None:
        """See `ImageFile.ensure`: all of it is there."""
