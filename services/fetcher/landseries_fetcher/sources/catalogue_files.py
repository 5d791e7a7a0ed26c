"""Files of a catalogue's products: where each is read from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.errors import RasterioError

from landseries.settings.catalogues import CatalogueSource
from landseries_fetcher.remote.cache import ContentKey
from landseries_fetcher.remote.cog_index import ensure_window, levels
from landseries_fetcher.remote.http_ranges import HttpRanges, Signer, new_pool, unsigned
from landseries_fetcher.remote.reader import (
    Identity,
    RangeReader,
    RemoteChanged,
    RemoteMissing,
)
from landseries_fetcher.remote.sparse import SparseCopy
from landseries_fetcher.remote.tiff_structure import read_structure
from landseries_fetcher.remote.windows import BadStructure, PixelWindow
from landseries_fetcher.sources.metadata import BadMetadata
from landseries_fetcher.sources.remote_files import RemoteFiles
from landseries_fetcher.sources.remote_image import RemoteImage, anew_if_changed
from landseries_fetcher.sources.sas_tokens import SasSigner
from landseries_fetcher.sources.stac_items import Asset, Item

#: A coarse look has so many rows and columns at least, where the image has them.
_LOOK_PX: Final = 256


class CatalogueFiles(RemoteFiles):
    """Reads the assets of one catalogue through the content cache."""

    def __init__(self, source: CatalogueSource, folder: Path) -> None:
        """Prepare; nothing is asked yet.

        Args:
            source: the settings.
            folder: of what is kept.

        Raises:
            ConfigError: the folder cannot be used, or keys are incomplete.
        """
        super().__init__(source, source.s3_endpoint or source.url, folder)
        self._source = source
        self._pool = new_pool()
        self._signer: Signer = unsigned
        if source.sas_url is not None:
            url = f"{source.sas_url}/{source.collection}"
            self._signer = SasSigner(url, source.signed_hosts, self._pool, self.persistence)

    def image(self, item: Item, asset: Asset) -> RemoteImage:
        """An asset as an image; nothing is asked yet."""
        return RemoteImage(_name(asset), asset.driver, lambda: self._copy(item, asset), asset.size_bytes)

    @contextmanager
    def document(self, item: Item, asset: Asset) -> Iterator[Path]:
        """An asset as a whole file, such as metadata.

        Raises:
            BadMetadata: it is not there, or longer than any metadata.
            RemoteError: it cannot be read now.
        """
        with self.whole(self._copy(item, asset), _name(asset)) as path:
            yield path

    def look(self, item: Item, asset: Asset) -> npt.NDArray[Any]:
        """A cloud-optimised image at a coarse pixel size, (rows, columns).

        Raises:
            BadMetadata: it is none, or not there.
            RemoteError: it cannot be read now.
        """
        if asset.driver != "GTiff":
            raise BadMetadata(f"{_name(asset)} is no cloud-optimised GeoTIFF: it cannot be looked at cheaply")
        with self._copy(item, asset) as copy:
            try:
                level = anew_if_changed(copy, lambda: _coarse(copy))
                options = {"overview_level": level - 1} if level else {}
                with rasterio.open(copy.path, driver="GTiff", **options) as source:
                    return np.asarray(source.read(1))
            except (RemoteMissing, RemoteChanged, BadStructure, RasterioError) as error:
                raise BadMetadata(f"{_name(asset)} cannot be read: {error}") from error

    @contextmanager
    def _copy(self, item: Item, asset: Asset) -> Iterator[SparseCopy]:
        source = self._source
        key = ContentKey(f"{source.url} {source.collection}", item.name.id, asset.href, asset.checksum or item.updated)
        with self.cache.open(key, lambda known: self._reader(asset, known)) as copy:
            yield copy

    def _reader(self, asset: Asset, known: Identity | None) -> RangeReader:
        parts = urlsplit(asset.href)
        if parts.scheme != "s3":
            return HttpRanges(
                asset.href,
                pool=self._pool,
                signer=self._signer,
                gate=self.gate,
                persistence=self.persistence,
                known=known,
            )
        return self.stored(parts.netloc, unquote(parts.path.lstrip("/")), known)


def _coarse(copy: SparseCopy) -> int:
    """Fetch the coarsest level of an image that is fine enough; which one it is."""
    with copy.filling() as filling:
        shapes = levels(read_structure(filling))
    level = max((n for n, shape in enumerate(shapes) if min(shape) >= _LOOK_PX), default=0)
    ensure_window(copy, [PixelWindow(0, 0, *shapes[0])], level=level)
    return level


def _name(asset: Asset) -> str:
    return asset.href.rpartition("/")[2]
