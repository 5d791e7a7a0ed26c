"""Level-2A products of a DHuS hub, downloaded into a cache folder when they are first needed.

A search needs little of each product, and reads it through ranges of its zip file where the hub knows ranges; what is
chosen is downloaded as a whole. Products that the hub has put into its long-term archive must be ordered and come
hours later: the unit that needs one is put off, after all that the listing showed were ordered, and others go on.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Final

import shapely
from shapely.geometry.base import BaseGeometry

from landseries.config import Period
from landseries.errors import ConfigError
from landseries.gates import NotNow
from landseries.grid import Tile
from landseries.settings.fetcher import FetchSettings
from landseries.settings.hubs import DhusSource
from landseries_fetcher.images import Driver, LocalImage
from landseries_fetcher.product_cache import FILES, Held, ProductCache
from landseries_fetcher.sources.base import Acquisition, UnreadableProduct
from landseries_fetcher.sources.dhus_files import RemoteFile, is_looked_at, is_needed, unpack
from landseries_fetcher.sources.dhus_hub import (
    DIGESTS,
    Hub,
    HubFile,
    HubProduct,
    MissingProduct,
    NoRanges,
    Offline,
    QuotaExceeded,
    credentials,
)
from landseries_fetcher.sources.level2a import IMAGES, SCENE, Level2A, Listed
from landseries_fetcher.sources.metadata import BadMetadata, ProductMetadata, read_metadata
from landseries_fetcher.sources.safe import images_of

#: How long what the hub said of its products is believed.
_BELIEVED_S: Final = 600.0
#: A hub forgets orders; one is repeated after so long.
_ORDER_AGAIN_S: Final = 3_600.0
#: A zip file with a wrong digest is downloaded anew so often.
_DOWNLOADS: Final = 3
#: Hubs refuse queries of more than some 3,900 characters.
_AREA_TEXT_MAX: Final = 1_500
#: The metadata and the scene classification of a product are not larger, unpacked.
_SMALL_BYTES: Final = 32 * 2**20


class Dhus(Level2A):
    """A DHuS hub as a source."""

    def __init__(self, source: DhusSource, resolve: Callable[[Path], Path]) -> None:
        """Prepare the hub and the cache folder; nothing is asked yet.

        Raises:
            ConfigError: sentinelsat is not installed, the credentials are incomplete, or the folder cannot be made.
        """
        self._hub = _archive(source, cache_folder(source.cache, resolve), credentials())
        super().__init__(self._hub)

    def bytes_to_fetch(self, acquisition: Acquisition, tiles: Sequence[Tile], masking: FetchSettings) -> int:
        """The zip files of the products: a hub's products are downloaded whole."""
        return sum(self._hub.size(product.path) for product in acquisition.products)


class HubImage:
    """An image of a product that is downloaded when the image is read, and then held; see `ImageFile`."""

    driver: Driver = "JP2OpenJPEG"

    def __init__(self, name: str, find: Callable[[], tuple[LocalImage, Held]]) -> None:
        self.name = name
        self._find = find
        self._found: tuple[LocalImage, Held] | None = None

    def path(self) -> Path:
        """See `ImageFile.path`."""
        if self._found is None:
            self._found = self._find()
        image, _ = self._found
        self.name = image.name
        return image.path()

    def ensure(self, column: int, row: int, width: int, height: int) -> None:
        """See `ImageFile.ensure`: all of it is there."""


class HubArchive:
    """See `landseries_fetcher.sources.level2a.Archive`; paths are the hub's ids of products."""

    def __init__(self, source: DhusSource, hub: Hub, cache: ProductCache) -> None:
        self._source = source
        self._hub = hub
        self._cache = cache
        self._listings: dict[tuple[str, Period], tuple[float, list[Listed]]] = {}
        self._files: dict[str, tuple[float, HubFile]] = {}
        self._refused: dict[str, tuple[float, str]] = {}
        self._downloading: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    @property
    def place(self) -> str:
        return self._hub.place

    def granules(self, area: BaseGeometry | None, periods: Sequence[Period]) -> tuple[str, ...]:
        if area is None:
            raise ConfigError("area is missing: a hub has products of the whole Earth")
        types, text = self._source.product_types, _area_text(area)
        found = [product for period in periods for product in self._hub.products(period, types, area=text)]
        return tuple(sorted({product.name.granule for product in found}))

    def listed(self, granule: str, period: Period) -> list[Listed]:
        known = self._listings.get((granule, period))
        if known is None or time.monotonic() - known[0] > _BELIEVED_S:
            found = self._hub.products(period, self._source.product_types, granule=granule)
            known = time.monotonic(), [Listed(one.name, one.uuid) for one in _latest_copies(found)]
            self._listings[(granule, period)] = known
        return known[1]

    def checksum(self, product: Listed) -> str:
        """The hub's digest of the product's zip file."""
        try:
            file = self._file(product.path)
        except MissingProduct as error:
            self._listings.clear()
            raise UnreadableProduct(product.name.id, str(error)) from error
        return f"{file.algorithm}:{file.digest}" if file.digest else f"id:{product.path}"

    def size(self, uuid: str) -> int:
        """Length of a product's zip file in bytes; 0 where it is gone."""
        try:
            return self._file(uuid).size
        except MissingProduct:
            return 0

    def metadata(self, product: Listed) -> ProductMetadata:
        held = self._held(product, is_looked_at)  # named, so that it is held until it is read
        return read_metadata(held.path, product.name)

    def images(self, product: Listed) -> dict[tuple[str, int], HubImage]:
        def finder(key: tuple[str, int]) -> Callable[[], tuple[LocalImage, Held]]:
            return lambda: self._image(product, key)

        return {key: HubImage(f"{key[0]}_{key[1]}m.jp2", finder(key)) for key in IMAGES}

    def _image(self, product: Listed, key: tuple[str, int]) -> tuple[LocalImage, Held]:
        """An image, and the right to read it."""
        try:
            if key[0] == SCENE:
                held = self._held(product, is_looked_at)
            else:
                # Threads of one unit wait for its download however long it takes; other workers put their units off.
                with self._downloading[product.path]:
                    held = self._held(product, is_needed)
        except BadMetadata as reason:
            raise UnreadableProduct(product.name.id, str(reason)) from reason
        image = images_of(held.path).get(key)
        if image is None:
            raise UnreadableProduct(product.name.id, f"has no image {key[0]} at {key[1]} m")
        return image, held

    def _held(self, product: Listed, wanted: Callable[[str, str], bool]) -> Held:
        """The folder of a product with at least what is wanted, downloaded where it is not there.

        Raises:
            BadMetadata: what the hub delivers cannot be used; the text says why.
            NotNow: it is offline, or another worker is downloading it.
        """
        refused = self._refused.get(product.path)
        if refused is not None and time.monotonic() - refused[0] < _BELIEVED_S:
            raise BadMetadata(refused[1])
        try:
            file = self._file(product.path)
            if not file.digest:
                raise BadMetadata(
                    f"the hub gives no digest of it ({' or '.join(DIGESTS)}): damage could not be noticed"
                )
            key = _key(product, file)
            if wanted is is_looked_at and self._source.parts and not self._cache.has(key):
                with suppress(NoRanges):
                    return self._cache.hold(
                        f"{key}_parts", _SMALL_BYTES, lambda shop: self._make_parts(product, file, shop)
                    )
            # Beside the zip file lie its unpacked images, which are no larger.
            return self._cache.hold(key, 2 * file.size + _SMALL_BYTES, lambda shop: self._make(product, file, shop))
        except MissingProduct as error:
            raise BadMetadata(f"is no longer on the hub ({error})") from error
        except BadMetadata as reason:
            self._refused[product.path] = time.monotonic(), str(reason)
            raise

    def _make_parts(self, product: Listed, file: HubFile, workshop: Path) -> None:
        """Read from the zip file on the hub what a search looks at; guarded by the checksums in the zip file."""
        self._check(product, file)
        remote = RemoteFile(file.size, lambda start, stop: self._hub.part(product.path, start, stop))
        with self._order_where_offline(product), self._cache.slot("download", self._source.max_downloads):
            unpack(remote, file.size, workshop / FILES, product.name.id, is_looked_at, _SMALL_BYTES)

    def _make(self, product: Listed, file: HubFile, workshop: Path) -> None:
        """Download, check and unpack a product."""
        self._check(product, file)
        archive = workshop / "product.zip"
        for _ in range(_DOWNLOADS):
            with self._order_where_offline(product), self._cache.slot("download", self._source.max_downloads):
                self._hub.download(product.path, file.size, archive)
            if _digest(archive, file.algorithm) == file.digest:
                break
            archive.unlink()
        else:
            raise BadMetadata(f"the hub delivered it {_DOWNLOADS} times with another {file.algorithm} than it gives")
        try:
            with archive.open("rb") as stream:
                unpack(stream, file.size, workshop / FILES, product.name.id, is_needed, file.size + _SMALL_BYTES)
        finally:
            archive.unlink()

    def _check(self, product: Listed, file: HubFile) -> None:
        """See that the product is online, and still the one that is wanted."""
        now = self._file(product.path, anew=True)
        if (now.size, now.digest) != (file.size, file.digest):
            raise BadMetadata("it was replaced on the hub while it was being read")
        note = self._cache.note(_note(product.path))
        if not now.online:
            self._put_off(product)
        note.unlink(missing_ok=True)

    @contextmanager
    def _order_where_offline(self, product: Listed) -> Iterator[None]:
        try:
            yield
        except Offline:
            self._put_off(product)
        except QuotaExceeded as error:
            raise NotNow(f"{product.name.id} is offline, and the hub takes no order: {error}") from error

    def _file(self, uuid: str, anew: bool = False) -> HubFile:
        known = self._files.get(uuid)
        if anew or known is None or time.monotonic() - known[0] > _BELIEVED_S:
            known = time.monotonic(), self._hub.file(uuid)
            self._files[uuid] = known
        return known[1]

    def _put_off(self, product: Listed) -> None:
        """Order an offline product, and all others that were listed with it, so that they come together.

        Raises:
            NotNow: always, unless its patience is over.
            BadMetadata: it was ordered too long ago.
        """
        reason = self._order(product)
        for other in [other for _, listing in self._listings.values() for other in listing]:
            # One whose patience is over is refused when its own turn comes.
            with suppress(MissingProduct, BadMetadata):
                if reason is None and other.path != product.path and not self._file(other.path).online:
                    reason = self._order(other)
        text = f"{product.name.id} is offline"
        raise NotNow(f"{text} and was ordered" if reason is None else f"{text}, and the hub takes no order: {reason}")

    def _order(self, product: Listed) -> str | None:
        """Order a product, unless that was done within the hour; why the hub takes no order, None where it does."""
        note = self._cache.note(_note(product.path))
        now = time.time()
        try:
            first, last = float(note.read_text(encoding="ascii")), note.stat().st_mtime
        except (OSError, ValueError):
            first, last = now, 0.0
        if now - first > self._source.offline_patience_h * 3_600:
            raise BadMetadata(
                f"the hub has not brought it from its long-term archive within {self._source.offline_patience_h:g} h"
            )
        if now - last < _ORDER_AGAIN_S:
            return None
        try:
            if self._hub.order(product.path):
                note.write_text(repr(first), encoding="ascii")
        except QuotaExceeded as error:
            return str(error)
        return None


def cache_folder(setting: Path | None, resolve: Callable[[Path], Path]) -> Path:
    """Where downloads are kept: the setting, LANDSERIES_CACHE_FOLDER, or the user's cache folder (XDG)."""
    if setting is not None:
        return resolve(setting)
    if named := os.environ.get("LANDSERIES_CACHE_FOLDER"):
        return Path(named).absolute()
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches) / "landseries" / "products"


@lru_cache(maxsize=8)
def _archive(source: DhusSource, folder: Path, user: tuple[str | None, str | None]) -> HubArchive:
    """One archive per process and hub: units that follow each other need not ask again for what was just told."""
    hub = Hub(source.api_url, source.patience_s, user)
    return HubArchive(source, hub, ProductCache(folder, int(source.cache_gib * 2**30)))


def _latest_copies(products: Sequence[HubProduct]) -> list[HubProduct]:
    """Of several copies of one product the one that the hub took in last; in order of names."""
    best: dict[str, HubProduct] = {}
    for product in sorted(products, key=lambda product: (product.name.id, product.ingested, product.uuid)):
        best[product.name.id] = product
    return list(best.values())


def _key(product: Listed, file: HubFile) -> str:
    """The entry in the cache: another file of the same product is another entry."""
    text = f"{product.path}\0{file.algorithm}\0{file.digest}\0{file.size}"
    return f"{product.name.id}_{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _note(uuid: str) -> str:
    return hashlib.sha256(uuid.encode()).hexdigest()[:32]


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, DIGESTS[algorithm]).hexdigest()


def _area_text(area: BaseGeometry) -> str:
    """Well-known text of an area that is short enough for a query: the hull, or else the box around it."""
    hull = area.convex_hull
    text = _well_known(hull)
    is_short = hull.geom_type == "Polygon" and len(text) <= _AREA_TEXT_MAX
    return text if is_short else _well_known(shapely.box(*area.bounds))


def _well_known(geometry: BaseGeometry) -> str:
    return str(shapely.to_wkt(geometry, rounding_precision=6)).replace("POLYGON (", "POLYGON(").replace(", ", ",")
