"""Level-2A products of a STAC catalogue, of which only the windows that are needed are read."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import shapely
import shapely.geometry
from shapely.geometry.base import BaseGeometry

from landseries.config import Period
from landseries.errors import ConfigError
from landseries.grid import Tile
from landseries.settings.catalogues import CatalogueSource
from landseries.settings.fetcher import FetchSettings
from landseries_fetcher.harmony.correcting import margin_px
from landseries_fetcher.harmony.shifts import Shift
from landseries_fetcher.masking import reach_px
from landseries_fetcher.reading import bounding, chunks
from landseries_fetcher.remote.reader import RemoteChanged, RemoteMissing
from landseries_fetcher.remote.windows import PixelWindow
from landseries_fetcher.sources.base import Acquisition, Catalogue, Image, UnreadableProduct, View
from landseries_fetcher.sources.catalogue_client import CatalogueClient
from landseries_fetcher.sources.catalogue_files import CatalogueFiles
from landseries_fetcher.sources.catalogue_places import box_of_granule
from landseries_fetcher.sources.dhus import cache_folder
from landseries_fetcher.sources.level2a import IMAGES, SCENE, SCENE_M, Level2A, Listed
from landseries_fetcher.sources.metadata import BadMetadata, ProductMetadata, parse_name
from landseries_fetcher.sources.remote_image import RemoteImage
from landseries_fetcher.sources.stac_items import Item, read_item
from landseries_fetcher.sources.stac_metadata import metadata_of
from landseries_fetcher.volumes import touched_share

_LOG: Final = logging.getLogger(__name__)
#: How long what the catalogue said is believed.
_BELIEVED_S: Final = 600.0
#: Requests that wait for answers side by side, unless the source allows fewer.
_SIDE_BY_SIDE: Final = 8
#: Items and their metadata that a process remembers.
_REMEMBERED: Final = 20_000


@dataclass(frozen=True)
class _Part:
    """What is read of one image of a product; its shape is (rows, columns) of the whole image."""

    product: str
    image: RemoteImage
    windows: list[PixelWindow]
    shape: tuple[int, int]


class Stac(Level2A):
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

    def catalogue(self, granule: str, period: Period, without: Mapping[str, str]) -> Catalogue:
        """See `ImagerySource.catalogue`; the metadata of all products is read side by side first."""
        self._catalogue.warm([one for one in self._catalogue.listed(granule, period) if one.name.id not in without])
        return super().catalogue(granule, period, without)

    def views(
        self, acquisition: Acquisition, tiles: Sequence[Tile], masking: FetchSettings
    ) -> Iterator[tuple[Tile, View]]:
        """See `ImagerySource.views`; pixels of 20 m."""
        with self._fetched(acquisition, tiles, masking, ((SCENE, SCENE_M),)):
            yield from super().views(acquisition, tiles, masking)

    def images(
        self,
        acquisition: Acquisition,
        tiles: Sequence[Tile],
        masking: FetchSettings,
        threads: int,
        shift: Shift | None = None,
    ) -> Iterator[tuple[Tile, Image]]:
        """See `ImagerySource.images`."""
        with self._fetched(acquisition, tiles, masking, IMAGES, shift):
            yield from super().images(acquisition, tiles, masking, threads, shift)

    def bytes_to_fetch(self, acquisition: Acquisition, tiles: Sequence[Tile], masking: FetchSettings) -> int:
        """The bytes of the blocks that tiles touch, by the length of each image."""
        parts = list(self._parts(acquisition, tiles, masking, IMAGES))
        with ThreadPoolExecutor(self._catalogue.side_by_side) as pool:
            return round(sum(pool.map(_bytes_of, parts)))

    @contextmanager
    def _fetched(
        self,
        acquisition: Acquisition,
        tiles: Sequence[Tile],
        masking: FetchSettings,
        images: Sequence[tuple[str, int]],
        shift: Shift | None = None,
    ) -> Iterator[None]:
        """Fetch what reading tiles of some images needs, and keep it in the cache while the context is open.

        Raises:
            UnreadableProduct: an image is missing or damaged.
        """
        tasks = list(self._parts(acquisition, tiles, masking, images, shift))
        with ThreadPoolExecutor(self._catalogue.side_by_side) as pool:
            list(pool.map(_fetch, tasks))
        yield
        tasks.clear()  # until here they hold what was fetched

    def _parts(
        self,
        acquisition: Acquisition,
        tiles: Sequence[Tile],
        masking: FetchSettings,
        images: Sequence[tuple[str, int]],
        shift: Shift | None = None,
    ) -> Iterator[_Part]:
        """What is read of some images; nothing of a product that cannot be read, which is said where it is read."""
        for product in acquisition.products:
            name = parse_name(product.id)
            if name is None:
                continue
            listed = Listed(name, product.path)
            try:
                grid = self._catalogue.metadata(listed).geocoding
            except BadMetadata:
                continue
            files = self._catalogue.images(listed)
            for image, pixel_m in images:
                if grid.crs == tiles[0].crs and (image, pixel_m) in files:
                    margin_m = _margin_m(masking, image, pixel_m, shift)
                    windows = _windows(tiles, margin_m, pixel_m, (grid.left_m, grid.top_m))
                    yield _Part(product.id, files[(image, pixel_m)], windows, grid.shapes[pixel_m])


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
        self._metadata: dict[tuple[str, str], ProductMetadata | BadMetadata] = {}
        self._told: set[str] = set()

    @property
    def place(self) -> str:
        return self._client.place

    @property
    def side_by_side(self) -> int:
        """Requests that wait for answers at the same time."""
        return min(_SIDE_BY_SIDE, self.source.max_connections or _SIDE_BY_SIDE)

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
            if known is None or time.monotonic() - known[0] > _BELIEVED_S:
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
        key = (item.id, self.checksum(product))
        known = self._metadata.get(key)
        if known is None:
            try:
                known = metadata_of(item, self.source, self._files)
            except BadMetadata as reason:
                known = reason
            if len(self._metadata) >= _REMEMBERED:
                self._metadata.clear()
            self._metadata[key] = known
        if isinstance(known, BadMetadata):
            raise BadMetadata(str(known))
        return known

    def images(self, product: Listed) -> dict[tuple[str, int], RemoteImage]:
        item = self._item(product)
        found = {}
        for image, pixel_m in IMAGES:
            asset = item.assets.get(self.source.assets[image])
            if asset is not None:
                found[(image, pixel_m)] = self._files.image(item, asset)
        return found

    def warm(self, products: Sequence[Listed]) -> None:
        """Read the metadata of some products side by side; faults are met again where one is used.

        Raises:
            SourceError: the server stays away.
        """

        def one(product: Listed) -> None:
            try:
                self.metadata(product)
            except (BadMetadata, UnreadableProduct) as reason:
                _LOG.info("%s: %s", product.name.id, reason)

        with ThreadPoolExecutor(self.side_by_side) as pool:
            list(pool.map(one, products))

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
            if known is None or time.monotonic() - known[0] > _BELIEVED_S:
                self._items.pop(product.path, None)
                self._read(self._client.by_ids([product.path]))
                known = self._items.get(product.path)
            if known is None or known[1].name.id != product.name.id:
                raise UnreadableProduct(product.name.id, f"is no longer in {self.place}")
            return known[1]


def _margin_m(masking: FetchSettings, image: str, pixel_m: int, shift: Shift | None) -> int:
    """What is read of an image beyond a tile: how far clouds grow, and how far the correction of a shift reaches."""
    cloud_m = reach_px(masking.cloud_buffer_m, (SCENE_M, SCENE_M))[0] * SCENE_M if image == SCENE else 0
    return cloud_m + (0 if shift is None else margin_px(shift, pixel_m) * pixel_m)


def _windows(tiles: Sequence[Tile], margin_m: int, pixel_m: int, corner: tuple[float, float]) -> list[PixelWindow]:
    """The windows of an image that are read for some tiles; the same as `Level2A` reads."""
    found = []
    for chunk in chunks(tiles):
        left, bottom, right, top = bounding([chunk.raster], margin_m).bounds
        column, row = round((left - corner[0]) / pixel_m), round((corner[1] - top) / pixel_m)
        found.append(PixelWindow(column, row, round((right - left) / pixel_m), round((top - bottom) / pixel_m)))
    return found


def _fetch(part: _Part) -> None:
    try:
        part.image.prefetch(part.windows)
    except ValueError as reason:
        raise UnreadableProduct(part.product, f"{part.image.name} {reason}") from reason


def _bytes_of(part: _Part) -> float:
    """About how many bytes of an image its windows touch; none of one that is missing, as the fetch will say."""
    rows, columns = part.shape
    try:
        return part.image.size_bytes() * touched_share(part.windows, columns, rows)
    except (RemoteMissing, RemoteChanged):
        return 0.0


@lru_cache(maxsize=8)
def _archive(kind: type[CatalogueSource], settings: str, folder: Path, process: int) -> StacArchive:
    """One archive per process and catalogue: units that follow each other need not ask again for what was just told.

    Connections belong to the process that made them, so a process that was forked makes its own.
    """
    return StacArchive(kind.model_validate_json(settings), folder)
