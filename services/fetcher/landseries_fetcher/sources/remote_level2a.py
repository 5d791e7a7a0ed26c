"""Level-2A products that lie elsewhere, of which only the windows that are needed are read.

What tiles need of an acquisition's images is fetched side by side into the content cache; then it is read as from a
folder.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from landseries.config import Period
from landseries.grid import Tile
from landseries.settings.fetcher import FetchSettings
from landseries_fetcher.harmony.correcting import margin_px
from landseries_fetcher.harmony.shifts import Shift
from landseries_fetcher.masking import reach_px
from landseries_fetcher.reading import bounding, chunks
from landseries_fetcher.remote.reader import RemoteChanged, RemoteMissing
from landseries_fetcher.remote.windows import PixelWindow
from landseries_fetcher.sources.base import Acquisition, Catalogue, Image, UnreadableProduct, View
from landseries_fetcher.sources.level2a import IMAGES, SCENE, SCENE_M, Archive, Level2A, Listed
from landseries_fetcher.sources.metadata import BadMetadata, ProductMetadata, parse_name
from landseries_fetcher.sources.remote_image import RemoteImage
from landseries_fetcher.volumes import touched_share

_LOG: Final = logging.getLogger(__name__)
#: Products whose metadata a process remembers.
_REMEMBERED: Final = 20_000
#: How long what an archive said of its products is believed.
BELIEVED_S: Final = 600.0
#: Requests that wait for answers side by side, unless the source allows fewer.
_SIDE_BY_SIDE: Final = 8


class RemoteArchive(Archive, Protocol):
    """An archive whose images are fetched window by window."""

    @property
    def side_by_side(self) -> int:
        """Requests that wait for answers at the same time."""

    def images(self, product: Listed) -> Mapping[tuple[str, int], RemoteImage]:
        """See `Archive.images`."""


def side_by_side(max_connections: int | None) -> int:
    """Requests that wait for answers at the same time, where a source allows so many connections; None: any number."""
    return min(_SIDE_BY_SIDE, max_connections or _SIDE_BY_SIDE)


class Remembered:
    """The metadata of products that were read before, or why it could not be; usable by several threads."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], ProductMetadata | BadMetadata] = {}

    def get(self, product: str, checksum: str, read: Callable[[], ProductMetadata]) -> ProductMetadata:
        """The metadata of a product.

        Args:
            product: its id.
            checksum: changes when the product does.
            read: reads it; called where nothing is known of the product as it is now.

        Raises:
            BadMetadata: `read` did.
        """
        known = self._known.get((product, checksum))
        if known is None:
            try:
                known = read()
            except BadMetadata as reason:
                known = reason
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[(product, checksum)] = known
        if isinstance(known, BadMetadata):
            raise BadMetadata(str(known))
        return known


@dataclass(frozen=True)
class _Part:
    """What is read of one image of a product; its shape is (rows, columns) of the whole image."""

    product: str
    image: RemoteImage
    windows: list[PixelWindow]
    shape: tuple[int, int]


class RemoteLevel2A(Level2A):
    """The products of a remote archive as a source."""

    def __init__(self, archive: RemoteArchive) -> None:
        super().__init__(archive)
        self._remote = archive

    def catalogue(self, granule: str, period: Period, without: Mapping[str, str]) -> Catalogue:
        """See `ImagerySource.catalogue`; the metadata of all products is read side by side first."""
        self._warm([one for one in self._remote.listed(granule, period) if one.name.id not in without])
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
        with ThreadPoolExecutor(self._remote.side_by_side) as pool:
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
        with ThreadPoolExecutor(self._remote.side_by_side) as pool:
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
                grid = self._remote.metadata(listed).geocoding
            except BadMetadata:
                continue
            files = self._remote.images(listed)
            for image, pixel_m in images:
                if grid.crs == tiles[0].crs and (image, pixel_m) in files:
                    margin_m = _margin_m(masking, image, pixel_m, shift)
                    windows = _windows(tiles, margin_m, pixel_m, (grid.left_m, grid.top_m))
                    yield _Part(product.id, files[(image, pixel_m)], windows, grid.shapes[pixel_m])

    def _warm(self, products: Sequence[Listed]) -> None:
        """Read the metadata of some products side by side; faults are met again where one is used.

        Raises:
            SourceError: the server stays away.
        """

        def one(product: Listed) -> None:
            try:
                self._remote.metadata(product)
            except (BadMetadata, UnreadableProduct) as reason:
                _LOG.info("%s: %s", product.name.id, reason)

        with ThreadPoolExecutor(self._remote.side_by_side) as pool:
            list(pool.map(one, products))


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
