"""Level-2A products of a STAC catalogue, of which only the windows that are needed are read."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import shapely
import shapely.geometry
from shapely.geometry.base import BaseGeometry

from landseries.config import Period
from landseries.errors import ConfigError
from landseries.settings.catalogues import CatalogueSource
from landseries_fetcher.sources.base import UnreadableProduct
from landseries_fetcher.sources.catalogue_client import CatalogueClient
from landseries_fetcher.sources.catalogue_files import CatalogueFiles
from landseries_fetcher.sources.catalogue_places import box_of_granule
from landseries_fetcher.sources.dhus import cache_folder
from landseries_fetcher.sources.level2a import IMAGES, Listed
from landseries_fetcher.sources.metadata import ProductMetadata
from landseries_fetcher.sources.remote_image import RemoteImage
from landseries_fetcher.sources.remote_level2a import BELIEVED_S, Remembered, RemoteLevel2A, side_by_side
from landseries_fetcher.sources.stac_items import Item, read_item
from landseries_fetcher.sources.stac_metadata import metadata_of

_LOG: Final = logging.getLogger(__name__)
#: Items that a process remembers.
_REMEMBERED: Final = 20_000


class Stac(RemoteLevel2A):
    """A STAC catalogue as a source."""

    def __init__(self, source: CatalogueSource, resolve: Callable[[Path], Path]) -> None:
        """Prepare; nothing is asked yet.

        Raises:
            ConfigError: the cache folder cannot be made, or the keys of the bucket are incomplete.
        """
        self._catalogue = _archive(
            type(source), source.model_dump_json(), cache_folder(source.cache, resolve) / "catalogues", os.getpid()
        )
        super().__init__(self._catalogue)

    def identity(self) -> dict[str, str]:
        """How offsets are found: it decides the bytes."""
        return {"offsets": self._catalogue.source.offsets}


class StacArchive:
    """See `landseries_fetcher.sources.level2a.Archive`; paths are ids of items."""

    def __init__(self, source: CatalogueSource, folder: Path) -> None:
        self.source = source
        self._files = CatalogueFiles(source, folder)
        self._client = CatalogueClient(
            source.url, source.collection, source.page_size, self._files.gate, self._files.persistence
        )
        self._turn = threading.RLock()
        self._listings: dict[tuple[str, Period], tuple[float, list[Listed]]] = {}
        self._items: dict[str, tuple[float, Item]] = {}
        self._metadata = Remembered()
        self._told: set[str] = set()

    @property
    def place(self) -> str:
        return self._client.place

    @property
    def side_by_side(self) -> int:
        """Requests that wait for answers at the same time."""
        return side_by_side(self.source.max_connections)

    def granules(self, area: BaseGeometry | None, periods: Sequence[Period]) -> tuple[str, ...]:
        if area is None:
            raise ConfigError("area is missing: a catalogue has products of the whole Earth")
        hull = area.convex_hull
        shape = hull if hull.geom_type == "Polygon" else shapely.box(*area.buffer(1e-5).bounds)
        place = {"intersects": shapely.geometry.mapping(shape)}
        found = [one for period in periods for one in self._read(self._client.during(period, place=place, where=None))]
        return tuple(sorted({item.name.granule for item in found}))

    def listed(self, granule: str, period: Period) -> list[Listed]:
        with self._turn:
            known = self._listings.get((granule, period))
            if known is None or time.monotonic() - known[0] > BELIEVED_S:
                known = time.monotonic(), self._search(granule, period)
                self._listings[(granule, period)] = known
            return known[1]

    def checksum(self, product: Listed) -> str:
        """Over the identities of the product's files, and what the catalogue says of their numbers."""
        source = self.source
        documents = (source.product_metadata, source.granule_metadata, source.datastrip_metadata)
        return self._item(product).checksum((*source.assets.values(), *(name or "" for name in documents)))

    def metadata(self, product: Listed) -> ProductMetadata:
        item = self._item(product)
        return self._metadata.get(item.id, self.checksum(product), lambda: metadata_of(item, self.source, self._files))

    def images(self, product: Listed) -> dict[tuple[str, int], RemoteImage]:
        item = self._item(product)
        found = {}
        for image, pixel_m in IMAGES:
            asset = item.assets.get(self.source.assets[image])
            if asset is not None:
                found[(image, pixel_m)] = self._files.image(item, asset)
        return found

    def _search(self, granule: str, period: Period) -> list[Listed]:
        """The products of a granule and a period, by name; of several items of one product the latest."""
        where = self.source.granule_property
        value = self.source.granule_value.format(granule=granule)
        place = {"bbox": list(box_of_granule(granule))}
        found = self._client.during(period, place=place, where=None if where is None else (where, value))
        best: dict[str, Item] = {}
        for item in sorted(self._read(found), key=lambda item: (item.updated, item.id)):
            if item.name.granule == granule and period.holds(item.name.datatake_start.date()):
                best[item.name.id] = item
        return [Listed(item.name, item.id) for _, item in sorted(best.items())]

    def _read(self, contents: Sequence[Any]) -> list[Item]:
        """The items that are products; the others are skipped, and the log says how many and why, once."""
        found = []
        skipped: dict[str, list[str]] = {}
        now = time.monotonic()
        with self._turn:
            if len(self._items) > _REMEMBERED:
                self._items.clear()
            for content in contents:
                item = read_item(content, self.source.s3_endpoint is not None)
                if isinstance(item, str):
                    skipped.setdefault(item, []).append(str(content.get("id")))
                elif content.get("collection", self.source.collection) != self.source.collection:
                    skipped.setdefault("it is of another collection", []).append(item.id)
                else:
                    self._items[item.id] = now, item
                    found.append(item)
            self._tell_skipped(skipped)
        return found

    def _tell_skipped(self, skipped: Mapping[str, Sequence[str]]) -> None:
        """Warn of items that were skipped: a line for each reason, and none for an item that was told of before."""
        for reason, ids in skipped.items():
            new = sorted({name for name in ids if name not in self._told})
            if len(self._told) < _REMEMBERED:
                self._told.update(new)
            if new:
                _LOG.warning("%s: %d items skipped, such as %.100s: %s", self.place, len(new), new[0], reason)

    def _item(self, product: Listed) -> Item:
        """An item as the catalogue has it now, or had it a while ago.

        Raises:
            UnreadableProduct: the catalogue has it no longer.
        """
        with self._turn:
            known = self._items.get(product.path)
            if known is None or time.monotonic() - known[0] > BELIEVED_S:
                self._items.pop(product.path, None)
                self._read(self._client.by_ids([product.path]))
                known = self._items.get(product.path)
            if known is None or known[1].name.id != product.name.id:
                raise UnreadableProduct(product.name.id, f"is no longer in {self.place}")
            return known[1]


@lru_cache(maxsize=8)
def _archive(kind: type[CatalogueSource], settings: str, folder: Path, process: int) -> StacArchive:
    """One archive per process and catalogue: units that follow each other need not ask again for what was just told.

    Connections belong to the process that made them, so a process that was forked makes its own.
    """
    return StacArchive(kind.model_validate_json(settings), folder)
