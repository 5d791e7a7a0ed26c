"""Sentinel-2 L2A products in a bucket, of which only the windows that are needed are read."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Final

from shapely.geometry.base import BaseGeometry

from landseries.config import Period
from landseries.settings.sources import SafeSource
from landseries_fetcher.remote.cache import ContentKey
from landseries_fetcher.remote.s3_listing import Listing, StoredObject
from landseries_fetcher.remote.sparse import SparseCopy
from landseries_fetcher.sources.dhus import cache_folder
from landseries_fetcher.sources.level2a import IMAGES, Listed
from landseries_fetcher.sources.metadata import PRODUCT_METADATA, BadMetadata, ProductMetadata, read_metadata
from landseries_fetcher.sources.remote_files import RemoteFiles
from landseries_fetcher.sources.remote_image import RemoteImage
from landseries_fetcher.sources.remote_level2a import BELIEVED_S, Remembered, RemoteLevel2A, side_by_side
from landseries_fetcher.sources.safe import image_pattern, of_granule, products_among

#: The files of a product that say what it is.
_METADATA: Final = (*PRODUCT_METADATA, "GRANULE/*/MTD_TL.xml", "DATASTRIP/*/MTD_DS.xml")
#: No product has more files; that of the richest baseline has about two hundred.
_FILES_MAX: Final = 5_000


class SafeBucket(RemoteLevel2A):
    """Products in a bucket, as a source."""

    def __init__(self, source: SafeSource, resolve: Callable[[Path], Path]) -> None:
        """Prepare; nothing is asked yet.

        Args:
            source: settings with a bucket.
            resolve: makes a path of the configuration absolute.

        Raises:
            ConfigError: the cache folder cannot be made, or the keys of the bucket are incomplete.
        """
        folder = cache_folder(source.cache, resolve) / "buckets"
        super().__init__(_archive(source.model_dump_json(), folder, os.getpid()))


class BucketArchive:
    """See `landseries_fetcher.sources.level2a.Archive`; paths are names of product folders."""

    def __init__(self, source: SafeSource, folder: Path) -> None:
        """Prepare; nothing is asked yet.

        Raises:
            ConfigError: the folder cannot be used, or keys are incomplete.
        """
        assert source.bucket is not None
        assert source.s3_endpoint is not None
        self._source = source
        self._bucket, self._prefix = source.bucket
        self._files = RemoteFiles(source, source.s3_endpoint, folder)
        self._products: tuple[float, list[Listed]] | None = None
        self._objects: dict[str, tuple[float, list[StoredObject]]] = {}
        self._metadata = Remembered()

    @property
    def place(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}"

    @property
    def side_by_side(self) -> int:
        """Requests that wait for answers at the same time."""
        return side_by_side(self._source.max_connections)

    def granules(self, area: BaseGeometry | None, periods: Sequence[Period]) -> tuple[str, ...]:
        return tuple(sorted({product.name.granule for product in self._all()}))

    def listed(self, granule: str, period: Period) -> list[Listed]:
        return of_granule(self._all(), granule, period)

    def checksum(self, product: Listed) -> str:
        """SHA-256 over the names, sizes and entity tags of a product's files."""
        digest = hashlib.sha256()
        for one in self._files_of(product):
            digest.update(f"{one.key}\0{one.size}\0{one.etag}\0".encode())
        return f"s3:{digest.hexdigest()}"

    def metadata(self, product: Listed) -> ProductMetadata:
        return self._metadata.get(product.name.id, self.checksum(product), lambda: self._read_metadata(product))

    def images(self, product: Listed) -> dict[tuple[str, int], RemoteImage]:
        found = {}
        for image, pixel_m in IMAGES:
            for one in self._matching(product, image_pattern(image, pixel_m)):
                found[(image, pixel_m)] = self._image(product, one)
        return found

    def _image(self, product: Listed, file: StoredObject) -> RemoteImage:
        return RemoteImage(_name(file), "JP2OpenJPEG", lambda: self._copy(product, file), file.size)

    def _read_metadata(self, product: Listed) -> ProductMetadata:
        """See `Archive.metadata`: as from a folder of which nothing else is there."""
        count = len(self._files_of(product))
        if count == 0:
            raise BadMetadata(f"is no longer in {self.place}")
        if count > _FILES_MAX:
            raise BadMetadata(f"has more than {_FILES_MAX} files, which no product has")
        with tempfile.TemporaryDirectory(prefix="landseries-metadata-") as folder:
            root = Path(folder)
            for pattern in _METADATA:
                # Two of a kind are enough to see that there is more than one. Numbers stand for the names of folders,
                # so that no name leads elsewhere.
                for place, one in enumerate(self._matching(product, pattern)[:2]):
                    target = root / pattern.replace("*", str(place))
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with self._files.whole(self._copy(product, one), _name(one)) as path:
                        shutil.copyfile(path, target)
            return read_metadata(root, product.name)

    @contextmanager
    def _copy(self, product: Listed, file: StoredObject) -> Iterator[SparseCopy]:
        key = ContentKey(
            f"{self._source.s3_endpoint} {self._bucket}", product.name.id, file.key, f"{file.etag} {file.size}"
        )
        with self._files.cache.open(key, lambda known: self._files.stored(self._bucket, file.key, known)) as copy:
            yield copy

    def _matching(self, product: Listed, pattern: str) -> list[StoredObject]:
        """Files of a product by the pattern of their paths in it, in ascending order."""
        start = len(self._root(product))
        paths = ((PurePosixPath(one.key[start:]), one) for one in self._files_of(product))
        return [one for path, one in paths if len(path.parts) == pattern.count("/") + 1 and path.match(pattern)]

    def _files_of(self, product: Listed) -> list[StoredObject]:
        known = self._objects.get(product.path)
        if known is None or time.monotonic() - known[0] > BELIEVED_S:
            known = time.monotonic(), self._listing().objects(self._root(product), _FILES_MAX)
            self._objects[product.path] = known
        return known[1]

    def _all(self) -> list[Listed]:
        """All products that are in the place.

        Raises:
            SourceError: there is none, or the bucket cannot be read.
        """
        known = self._products
        if known is None or time.monotonic() - known[0] > BELIEVED_S:
            known = time.monotonic(), products_among(self._listing().folders(self._prefix), self.place)
            self._products = known
        return known[1]

    def _listing(self) -> Listing:
        return Listing(self._files.client(), self._bucket, self._files.gate, self._files.persistence)

    def _root(self, product: Listed) -> str:
        return f"{self._prefix}{product.path}/"


def _name(file: StoredObject) -> str:
    return file.key.rpartition("/")[2]


@lru_cache(maxsize=8)
def _archive(settings: str, folder: Path, process: int) -> BucketArchive:
    """One archive per process and place: units that follow each other need not ask again for what was just told.

    Connections belong to the process that made them, so a process that was forked makes its own.
    """
    return BucketArchive(SafeSource.model_validate_json(settings), folder)
