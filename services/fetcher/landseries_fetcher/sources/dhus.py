"""Level-2A products of a DHuS hub, downloaded into a cache folder when they are first needed.

A hub delivers products as a whole. Those that it has put into its long-term archive must be ordered and come hours
later: the unit that needs one is put off, after all that the listing showed were ordered, and others go on meanwhile.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Final

import shapely
from shapely.geometry.base import BaseGeometry

from landseries.config import Period
from landseries.errors import ConfigError
from landseries.gates import NotNow
from landseries.settings.hubs import DhusSource
from landseries_fetcher.images import Driver, LocalImage
from landseries_fetcher.product_cache import FILES, Held, ProductCache
from landseries_fetcher.sources.base import UnreadableProduct
from landseries_fetcher.sources.dhus_hub import (
    DIGESTS,
    Hub,
    HubFile,
    HubProduct,
    MissingProduct,
    Offline,
    QuotaExceeded,
    credentials,
)
from landseries_fetcher.sources.level2a import IMAGES, Level2A, Listed
from landseries_fetcher.sources.metadata import PRODUCT_METADATA, BadMetadata, ProductMetadata, read_metadata
from landseries_fetcher.sources.safe import images_of
from landseries_fetcher.unzipping import BadArchive, unzip

#: How long what the hub said of its products is believed.
_BELIEVED_S: Final = 600.0
#: A hub forgets orders; one is repeated after so long.
_ORDER_AGAIN_S: Final = 3_600.0
#: A zip file with a wrong digest is downloaded anew so often.
_DOWNLOADS: Final = 3
#: Hubs refuse queries of more than some 3,900 characters.
_AREA_TEXT_MAX: Final = 1_500


class Dhus(Level2A):
    """A DHuS hub as a source."""

    def __init__(self, source: DhusSource, resolve: Callable[[Path], Path]) -> None:
        """Prepare the hub and the cache folder; nothing is asked yet.

        Raises:
            ConfigError: sentinelsat is not installed, the credentials are incomplete, or the folder cannot be made.
        """
        super().__init__(_archive(source, cache_folder(source.cache, resolve), credentials()))


class HeldImage:
    """An image of the cache, whose product stays there for as long as the image is known; see `ImageFile`."""

    def __init__(self, image: LocalImage, held: Held) -> None:
        self._image = image
        self._held = held
        self.name = image.name
        self.driver: Driver = image.driver
        self.path = image.path
        self.ensure = image.ensure


class HubArchive:
    """See `landseries_fetcher.sources.level2a.Archive`; paths are the hub's ids of products."""

    def __init__(self, source: DhusSource, hub: Hub, cache: ProductCache) -> None:
        self._source = source
        self._hub = hub
        self._cache = cache
        self._listings: dict[tuple[str, Period], tuple[float, list[Listed]]] = {}
        self._files: dict[str, tuple[float, HubFile]] = {}
        self._refused: dict[str, tuple[float, str]] = {}

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

    def metadata(self, product: Listed) -> ProductMetadata:
        return read_metadata(self._product(product).path, product.name)

    def images(self, product: Listed) -> dict[tuple[str, int], HeldImage]:
        try:
            held = self._product(product)
        except BadMetadata as reason:
            raise UnreadableProduct(product.name.id, str(reason)) from reason
        return {key: HeldImage(image, held) for key, image in images_of(held.path).items()}

    def _product(self, product: Listed) -> Held:
        """The folder of a product, downloaded where it is not there.

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
            # Beside the zip file lie its unpacked images, which are hardly larger.
            held = self._cache.hold(
                _key(product, file), 2 * file.size + (1 << 20), lambda workshop: self._make(product, file, workshop)
            )
        except MissingProduct as error:
            raise BadMetadata(f"is no longer on the hub ({error})") from error
        except BadMetadata as reason:
            self._refused[product.path] = time.monotonic(), str(reason)
            raise
        return held

    def _make(self, product: Listed, file: HubFile, workshop: Path) -> None:
        """Download, check and unpack a product."""
        now = self._file(product.path, anew=True)
        if (now.size, now.digest) != (file.size, file.digest):
            raise BadMetadata("it was replaced on the hub while it was being read")
        if not now.online:
            self._put_off(product)
        archive = workshop / "product.zip"
        for _ in range(_DOWNLOADS):
            try:
                with self._cache.slot("download", self._source.max_downloads):
                    self._hub.download(product.path, file.size, archive)
            except Offline:
                self._put_off(product)
            except QuotaExceeded as error:
                raise NotNow(f"{product.name.id} is offline, and the hub takes no order: {error}") from error
            if _digest(archive, file.algorithm) == file.digest:
                break
            archive.unlink()
        else:
            raise BadMetadata(f"the hub delivered it {_DOWNLOADS} times with another {file.algorithm} than it gives")
        _unpack(archive, workshop / FILES, product)
        self._cache.note(_note(product.path)).unlink(missing_ok=True)

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


def is_needed(name: str, product: str) -> bool:
    """Whether a file of a product's zip is read: ten bands, the scene classification, and the metadata.

    Args:
        name: of the file, with `/` between the parts.
        product: id of the product.
    """
    root = re.escape(f"{product}.SAFE/")
    if any(name == f"{product}.SAFE/{spelling}" for spelling in PRODUCT_METADATA):
        return True
    images = "|".join(f"R{pixel_m}m/[^/]*_{image}_{pixel_m}m" for image, pixel_m in IMAGES)
    return re.fullmatch(rf"{root}GRANULE/[^/]+/(MTD_TL\.xml|IMG_DATA/({images})\.jp2)", name) is not None


@lru_cache(maxsize=8)
def _archive(source: DhusSource, folder: Path, user: tuple[str | None, str | None]) -> HubArchive:
    """One archive per process and hub: units that follow each other need not ask again for what was just told."""
    hub = Hub(source.api_url, source.patience_s, user)
    return HubArchive(source, hub, ProductCache(folder, int(source.cache_gib * 2**30)))


def _unpack(archive: Path, folder: Path, product: Listed) -> None:
    """Unpack what is needed, so that the product's own folder becomes the given one."""
    root = f"{product.name.id}.SAFE"
    try:
        names = unzip(archive, folder, lambda name: is_needed(name, product.name.id))
    except BadArchive as error:
        archive.unlink()
        raise BadMetadata(f"its zip file {error}") from error
    archive.unlink()
    if not names:
        raise BadMetadata(f"its zip file holds no {root}")
    for path in (folder / root).iterdir():
        os.rename(path, folder / path.name)
    (folder / root).rmdir()


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
