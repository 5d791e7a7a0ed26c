"""Files of a catalogue's products: where they are read from, within which limits, and what is kept of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.errors import RasterioError

from landseries.connections import store_connection
from landseries.errors import ConfigError
from landseries.settings.catalogues import CatalogueSource
from landseries.stores import open_store
from landseries.stores.base import Store
from landseries.stores.local import LocalStore
from landseries_fetcher.remote.cache import ContentCache, ContentKey
from landseries_fetcher.remote.cog_index import ensure_window, levels
from landseries_fetcher.remote.http_ranges import HttpRanges, Signer, new_pool, unsigned
from landseries_fetcher.remote.limits import StoreGate
from landseries_fetcher.remote.persistence import Persistence
from landseries_fetcher.remote.quota import Quota
from landseries_fetcher.remote.reader import (
    Gate,
    Identity,
    OpenGate,
    RangeReader,
    RemoteChanged,
    RemoteError,
    RemoteMissing,
)
from landseries_fetcher.remote.s3_ranges import S3Ranges, new_client
from landseries_fetcher.remote.sparse import SparseCopy
from landseries_fetcher.remote.tiff_structure import read_structure
from landseries_fetcher.remote.windows import BadStructure, PixelWindow
from landseries_fetcher.sources.metadata import BadMetadata
from landseries_fetcher.sources.remote_image import RemoteImage, anew_if_changed
from landseries_fetcher.sources.sas_tokens import SasSigner
from landseries_fetcher.sources.stac_items import Asset, Item

#: No metadata of a product is longer.
_DOCUMENT_BYTES_MAX: Final = 64 * 2**20
#: A coarse look has so many rows and columns at least, where the image has them.
_LOOK_PX: Final = 256


class CatalogueFiles:
    """Reads the assets of one catalogue through the content cache."""

    def __init__(self, source: CatalogueSource, folder: Path) -> None:
        """Prepare; nothing is asked yet.

        Args:
            source: the settings.
            folder: of what is kept.

        Raises:
            ConfigError: the folder cannot be used, or keys are incomplete.
        """
        self._source = source
        self.cache = ContentCache(folder / "content", int(source.cache_gib * 2**30))
        self.gate = _gate(source, folder)
        self.persistence = Persistence(patience_s=source.patience_s)
        self._pool = new_pool()
        self._keys = _keys(source)
        self._client: Any = None
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
        with self._copy(item, asset) as copy:
            try:
                anew_if_changed(copy, lambda: _complete(copy, _name(asset)))
            except (RemoteMissing, RemoteChanged) as error:
                raise BadMetadata(f"{_name(asset)} cannot be read: {error}") from error
            yield copy.path

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
        if self._source.s3_endpoint is None:
            raise RemoteError(f"{asset.href[:200]}: the source has no s3_endpoint")
        if self._client is None:
            self._client = new_client(self._source.s3_endpoint, *self._keys, region=self._source.s3_region)
        key = unquote(parts.path.lstrip("/"))
        return S3Ranges(self._client, parts.netloc, key, gate=self.gate, persistence=self.persistence, known=known)


def _complete(copy: SparseCopy, name: str) -> None:
    with copy.filling() as filling:
        if filling.size > _DOCUMENT_BYTES_MAX:
            raise BadMetadata(f"{name} is larger than {_DOCUMENT_BYTES_MAX >> 20} MiB, which no metadata is")
        filling.ensure([(0, filling.size)])


def _coarse(copy: SparseCopy) -> int:
    """Fetch the coarsest level of an image that is fine enough; which one it is."""
    with copy.filling() as filling:
        shapes = levels(read_structure(filling))
    level = max((n for n, shape in enumerate(shapes) if min(shape) >= _LOOK_PX), default=0)
    ensure_window(copy, [PixelWindow(0, 0, *shapes[0])], level=level)
    return level


def _name(asset: Asset) -> str:
    return asset.href.rpartition("/")[2]


def _gate(source: CatalogueSource, folder: Path) -> Gate:
    """The limits of a source: over all replicas that share a store, or else over all that share the cache folder."""
    if source.max_connections is None:
        return OpenGate()
    quota = Quota(source.max_connections, source.max_requests_per_minute)
    store: Store
    store = open_store(store_connection()) if os.environ.get("LANDSERIES_STORE_URL") else LocalStore(folder / "shared")
    host = urlsplit(source.s3_endpoint or source.url).hostname or ""
    return StoreGate(store, host.replace(":", "_"), quota, f"fetcher {os.getpid()}")


def _keys(source: CatalogueSource) -> tuple[str | None, str | None]:
    """Access key and secret key of the bucket, from the environment.

    Raises:
        ConfigError: one is missing, or a file of one cannot be read.
    """
    if source.s3_endpoint is None:
        return None, None
    access, secret = (_secret(f"{source.key_names}_{part}_KEY") for part in ("ACCESS", "SECRET"))
    if (access is None) != (secret is None):
        raise ConfigError(
            f"{source.key_names}_ACCESS_KEY and {source.key_names}_SECRET_KEY (or ..._FILE): only one is given"
        )
    return access, secret


def _secret(variable: str) -> str | None:
    path = os.environ.get(f"{variable}_FILE")
    if not path:
        return os.environ.get(variable) or None
    try:
        return Path(path).read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{variable}_FILE: {path} cannot be read ({error}); it must hold the key") from error
