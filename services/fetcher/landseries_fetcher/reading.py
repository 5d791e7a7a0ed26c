"""Windowed reading of a product's JPEG 2000 images.

Decoding is the largest cost of a real run, so every file is opened once per acquisition, and of its blocks only those
that a tile touches are decoded, each once: tiles are read in chunks along rows of tiles, and what two chunks share
stays in GDAL's block cache. Images, and where there are many threads their block columns, are decoded side by side;
GDAL's own threads are not used, because with them its driver returns zeros for blocks that it cannot decode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.windows import Window

from landseries.bands import NODATA, REFLECTANCE_SCALE
from landseries.grid import Raster, Tile
from landseries_fetcher.images import ImageFile
from landseries_fetcher.sources.base import UnreadableProduct
from landseries_fetcher.sources.metadata import Geocoding

#: Pixels (10 m) of a chunk at most, unless one tile alone has more.
CHUNK_PIXELS_MAX: Final = 6_000_000
#: Two rows of 1024-pixel blocks of all ten bands of a granule are 260 MB.
CACHE_BYTES: Final = 384 * 2**20
#: Images of a product that are four times larger than the others: with more threads than these, images are split.
_LARGE_IMAGES: Final = 4
#: Parts of an image must not cut a pixel of the coarsest one.
_COARSEST_M: Final = 20
_ALIGNMENT_M: Final = 0.01
#: Stored reflectance stays clear of the no-data value.
_STORED_MIN: Final = NODATA + 1
_STORED_MAX: Final = 32_767

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class Chunk:
    """Neighbouring tiles that are read together, and the raster that bounds them."""

    tiles: tuple[Tile, ...]
    raster: Raster

    def slices(self, tile: Tile) -> tuple[slice, slice]:
        """Where a tile lies in the chunk's arrays: (rows, columns)."""
        row = round((self.raster.top - tile.top) / tile.pixel_height)
        column = round((tile.left - self.raster.left) / tile.pixel_width)
        return slice(row, row + tile.height), slice(column, column + tile.width)


class ProductImages:
    """The images of one product, opened when first read and closed together."""

    def __init__(self, product: str, files: Mapping[tuple[str, int], ImageFile], geocoding: Geocoding) -> None:
        """Remember where the images lie.

        Args:
            product: id of the product, for messages.
            files: (image, pixel size in metres) -> file.
            geocoding: the grid that the product's metadata gives.
        """
        self._product = product
        self._files = files
        self._geocoding = geocoding
        self._open: dict[tuple[str, int, int], Any] = {}
        self._stack = ExitStack()

    def __enter__(self) -> ProductImages:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def check_grid(self, raster: Raster) -> None:
        """Refuse a product on another grid than the tiles'.

        Raises:
            UnreadableProduct: another CRS, or pixels that do not lie on each other.
        """
        grid = self._geocoding
        if grid.crs != raster.crs:
            raise UnreadableProduct(self._product, f"its images are in {grid.crs}, the tiles in {raster.crs}")
        for pixel_m in (10, 20):
            for distance in (raster.left - grid.left_m, raster.top - grid.top_m):
                if abs(distance / pixel_m - round(distance / pixel_m)) > _ALIGNMENT_M:
                    raise UnreadableProduct(
                        self._product,
                        f"its corner ({grid.left_m:.0f} m, {grid.top_m:.0f} m) is not aligned to the tiles "
                        f"at {pixel_m} m",
                    )

    def split(self, image: str, pixel_m: int, raster: Raster, parts: int) -> list[tuple[int, Raster]]:
        """Cut an extent into the parts of an image that different threads read, each with a handle of its own.

        A part is a range of the image's block columns, always the same for the same handle, so that no block is
        decoded by two.

        Args:
            image: band, or `SCL`.
            pixel_m: pixel size of the image in metres.
            raster: the extent.
            parts: how many at most.

        Returns:
            (handle, part of the raster) from west to east.

        Raises:
            UnreadableProduct: see `read`.
        """
        source = self._source(image, pixel_m, 0)
        block_m = source.block_shapes[0][1] * pixel_m
        blocks = -(-source.width * pixel_m // block_m)
        count = min(parts, blocks) if block_m % _COARSEST_M == 0 else 1
        cuts = [self._geocoding.left_m + block_m * (part * blocks // count) for part in range(1, count)]
        edges = [raster.left, *(min(max(cut, raster.left), raster.bounds[2]) for cut in cuts), raster.bounds[2]]
        found = []
        for handle in range(count):
            width = round((edges[handle + 1] - edges[handle]) / raster.pixel_width)
            if width > 0:
                found.append((handle, replace(raster, left=edges[handle], width=width)))
        return found

    def read(self, image: str, pixel_m: int, raster: Raster, handle: int = 0) -> npt.NDArray[Any]:
        """Digital numbers of an image over a raster's extent.

        Args:
            image: band, or `SCL`.
            pixel_m: pixel size of the image in metres.
            raster: the extent; aligned to the image's pixels.
            handle: threads that read the same image at the same time use different ones.

        Returns:
            (rows, columns) at the image's own pixel size, 0 beyond its edges.

        Raises:
            UnreadableProduct: the file is missing, truncated, or not of the size that the metadata gives.
        """
        source = self._source(image, pixel_m, handle)
        left, bottom, right, top = raster.bounds
        first_row = round((self._geocoding.top_m - top) / pixel_m)
        first_column = round((left - self._geocoding.left_m) / pixel_m)
        shape = (round((top - bottom) / pixel_m), round((right - left) / pixel_m))
        rows = slice(max(first_row, 0), min(first_row + shape[0], source.height))
        columns = slice(max(first_column, 0), min(first_column + shape[1], source.width))
        values = np.zeros(shape, dtype=source.dtypes[0])
        if rows.start < rows.stop and columns.start < columns.stop:
            window = Window(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
            target = values[
                rows.start - first_row : rows.stop - first_row,
                columns.start - first_column : columns.stop - first_column,
            ]
            try:
                self._files[(image, pixel_m)].ensure(window.col_off, window.row_off, window.width, window.height)
                target[...] = source.read(1, window=window)
            except (OSError, rasterio.errors.RasterioError) as error:
                raise self._unreadable(image, pixel_m, error) from error
        return values

    def _source(self, image: str, pixel_m: int, handle: int) -> Any:
        key = (image, pixel_m, handle)
        if key not in self._open:
            self._open[key] = self._opened(image, pixel_m)
        return self._open[key]

    def _opened(self, image: str, pixel_m: int) -> Any:
        file = self._files.get((image, pixel_m))
        if file is None:
            raise UnreadableProduct(self._product, f"has no image {image} at {pixel_m} m")
        try:
            source = self._stack.enter_context(rasterio.open(file.path(), driver=file.driver))
        except ValueError as reason:
            raise UnreadableProduct(self._product, f"{file.name} {reason}") from None
        except (OSError, rasterio.errors.RasterioError) as error:
            raise self._unreadable(image, pixel_m, error) from error
        expected = self._geocoding.shapes[pixel_m]
        if source.shape != expected:
            raise UnreadableProduct(
                self._product, f"{file.name} has {source.shape} pixels where its metadata gives {expected}"
            )
        return source

    def _unreadable(self, image: str, pixel_m: int, error: Exception) -> UnreadableProduct:
        cause = error.__cause__ or error
        file = self._files[(image, pixel_m)]
        kind = "JPEG 2000" if file.driver == "JP2OpenJPEG" else "GeoTIFF"
        return UnreadableProduct(self._product, f"{file.name} is damaged or no {kind} image ({cause})")


def chunks(tiles: Sequence[Tile], pixels_max: int = CHUNK_PIXELS_MAX) -> Iterator[Chunk]:
    """Group tiles of one grid by rows of tiles, from the north, into chunks of bounded size."""
    ordered = sorted(tiles, key=lambda tile: (-tile.top, tile.left))
    group: list[Tile] = []
    for tile in ordered:
        if group and (tile.top != group[0].top or _pixels([*group, tile]) > pixels_max):
            yield Chunk(tuple(group), bounding(group))
            group = []
        group.append(tile)
    if group:
        yield Chunk(tuple(group), bounding(group))


def bounding(tiles: Sequence[Raster], margin_m: float = 0.0) -> Raster:
    """The smallest raster of the same pixels that holds some tiles, grown by a margin (a multiple of the pixel)."""
    first = tiles[0]
    left, top = min(tile.left for tile in tiles) - margin_m, max(tile.top for tile in tiles) + margin_m
    right, bottom = max(tile.bounds[2] for tile in tiles) + margin_m, min(tile.bounds[1] for tile in tiles) - margin_m
    return Raster(
        crs=first.crs,
        left=left,
        top=top,
        pixel_width=first.pixel_width,
        pixel_height=first.pixel_height,
        width=round((right - left) / first.pixel_width),
        height=round((top - bottom) / first.pixel_height),
    )


def to_reflectance(numbers: npt.NDArray[np.uint16], offset: int, quantification: float) -> npt.NDArray[np.int16]:
    """Digital numbers as stored reflectance.

    Args:
        numbers: uint16 of any shape, 0 for no-data.
        offset: added to every number with data, before scaling.
        quantification: what a reflectance of 1.0 is stored as in the product.

    Returns:
        int16 of the same shape: reflectance x 10,000, negative values kept, values beyond int16 cut off, and -32768
        where the number is 0, which is decided before the offset.
    """
    stored = numbers.astype(np.int32)
    stored += offset
    if quantification != REFLECTANCE_SCALE:
        stored = np.rint(stored * (REFLECTANCE_SCALE / quantification)).astype(np.int32)
    np.clip(stored, _STORED_MIN, _STORED_MAX, out=stored)
    stored[numbers == 0] = NODATA
    return stored.astype(np.int16)


def replicate(coarse: npt.NDArray[Any], factor: int) -> npt.NDArray[Any]:
    """Repeat each pixel `factor` times along rows and columns: nearest neighbour on an aligned grid."""
    if factor == 1:
        return coarse
    rows, columns = coarse.shape
    repeated = np.broadcast_to(coarse[:, None, :, None], (rows, factor, columns, factor))
    return repeated.reshape(rows * factor, columns * factor)


class Decoders:
    """Threads that decode images side by side.

    Attributes:
        parts: how many threads should share one image.
    """

    def __init__(self, threads: int) -> None:
        """Start threads."""
        self.parts = max(1, threads // _LARGE_IMAGES)
        self._options = {"GDAL_NUM_THREADS": "1", "GDAL_CACHEMAX": CACHE_BYTES}
        self._pool = ThreadPoolExecutor(max(1, threads))

    def __enter__(self) -> Decoders:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def map(self, work: Callable[[ItemT], ResultT], items: Sequence[ItemT]) -> list[ResultT]:
        """Do work on items, first come first served; results in the order of the items.

        Raises:
            Exception: the first one that work raised, in the order of the items.
        """

        def one(item: ItemT) -> ResultT:
            with rasterio.Env(**self._options):
                return work(item)

        return list(self._pool.map(one, items))


def _pixels(tiles: Sequence[Tile]) -> int:
    raster = bounding(tiles)
    return raster.width * raster.height
