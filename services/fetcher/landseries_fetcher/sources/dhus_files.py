"""What is needed of a product's zip file: all that is read of it, or only what a search looks at."""

from __future__ import annotations

import errno
import io
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from landseries_fetcher.sources.level2a import IMAGES, SCENE, SCENE_M
from landseries_fetcher.sources.metadata import PRODUCT_METADATA, BadMetadata
from landseries_fetcher.unzipping import BadArchive, Seekable, UnzipLimits, unzip_stream

#: One request brings so much: a hub takes longer to answer than to send it.
_BLOCK_BYTES: Final = 1 << 20


class RemoteFile:
    """A file of which blocks are fetched when they are read, each once."""

    def __init__(self, size: int, fetch: Callable[[int, int], bytes], block_bytes: int = _BLOCK_BYTES) -> None:
        """Remember the file.

        Args:
            size: its length in bytes.
            fetch: its bytes from a start to a stop.
            block_bytes: how many are fetched at once.
        """
        self._size = size
        self._fetch = fetch
        self._block_bytes = block_bytes
        self._place = 0
        self._blocks: dict[int, bytes] = {}

    def read(self, size: int, /) -> bytes:
        """See `Seekable.read`."""
        stop = min(self._place + size, self._size)
        pieces = []
        while self._place < stop:
            number, start = divmod(self._place, self._block_bytes)
            piece = self._block(number)[start : start + stop - self._place]
            pieces.append(piece)
            self._place += len(piece)
        return b"".join(pieces)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """See `Seekable.seek`."""
        place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        if place < 0:
            raise OSError(errno.EINVAL, "an offset before the start of the file")
        self._place = place
        return place

    def tell(self) -> int:
        """See `Seekable.tell`."""
        return self._place

    def _block(self, number: int) -> bytes:
        if number not in self._blocks:
            start = number * self._block_bytes
            self._blocks[number] = self._fetch(start, min(start + self._block_bytes, self._size))
        return self._blocks[number]


def is_needed(name: str, product: str) -> bool:
    """Whether a file of a product's zip is read: ten bands, the scene classification, and the metadata.

    Args:
        name: of the file, with `/` between the parts.
        product: id of the product.
    """
    return _is_one_of(name, product, IMAGES)


def is_looked_at(name: str, product: str) -> bool:
    """Whether a search reads a file of a product's zip: the scene classification and the metadata."""
    return _is_one_of(name, product, ((SCENE, SCENE_M),))


def unpack(
    archive: Seekable, size: int, folder: Path, product: str, is_wanted: Callable[[str, str], bool], bytes_max: int
) -> None:
    """Unpack a product, so that its own folder becomes the given one.

    Args:
        archive: the zip file.
        size: its length in bytes.
        folder: an existing, empty folder.
        product: id of the product.
        is_wanted: of a file's name and the product: whether it is unpacked.
        bytes_max: what is unpacked is no larger.

    Raises:
        BadMetadata: the archive is damaged or hostile, or of another product; the text says so.
    """
    root = f"{product}.SAFE"
    try:
        names = unzip_stream(
            archive, size, folder, lambda name: is_wanted(name, product), UnzipLimits(wanted_bytes=bytes_max)
        )
    except BadArchive as error:
        raise BadMetadata(f"its zip file {error}") from error
    if not names:
        raise BadMetadata(f"its zip file holds no {root}")
    for path in (folder / root).iterdir():
        os.rename(path, folder / path.name)
    (folder / root).rmdir()


def _is_one_of(name: str, product: str, images: tuple[tuple[str, int], ...]) -> bool:
    if any(name == f"{product}.SAFE/{spelling}" for spelling in PRODUCT_METADATA):
        return True
    files = "|".join(f"R{pixel_m}m/[^/]*_{image}_{pixel_m}m" for image, pixel_m in images)
    inner = rf"GRANULE/[^/]+/(MTD_TL\.xml|IMG_DATA/({files})\.jp2)|DATASTRIP/[^/]+/MTD_DS\.xml"
    pattern = rf"{re.escape(product)}\.SAFE/({inner})"
    return re.fullmatch(pattern, name) is not None
