"""Level-2A products, wherever they lie: duplicates and halves, views and images.

An `Archive` is one way to get at products: a folder, a hub, a catalogue with a bucket. What landseries does with them
is the same for all, and so are the bytes that come out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
from shapely.geometry.base import BaseGeometry

from landseries.artifacts.documents import canonical_json
from landseries.bands import BANDS, GROUND_SAMPLING_DISTANCE_M, NODATA
from landseries.config import Period
from landseries.grid import Raster, Tile
from landseries.settings.fetcher import FetchSettings
from landseries_fetcher.harmony.shifted import read_classes, read_numbers
from landseries_fetcher.harmony.shifts import Shift
from landseries_fetcher.images import ImageFile
from landseries_fetcher.masking import clear_mask, reach_px
from landseries_fetcher.reading import Chunk, Decoders, ProductImages, bounding, chunks, replicate, to_reflectance
from landseries_fetcher.sources.base import (
    Acquisition,
    Catalogue,
    Image,
    LeftProduct,
    Product,
    UnreadableProduct,
    View,
)
from landseries_fetcher.sources.metadata import REFINING, BadMetadata, ProductMetadata, ProductName, parse_name

SCENE: Final = "SCL"
SCENE_M: Final = 20
#: `Image_Refining` in an image's tags, by what the metadata says.
_REFINING_TAGS: Final = {None: "unknown"} | {refined: flag for flag, refined in REFINING.items()}
#: Every image that is read: (image, pixel size in metres).
IMAGES: Final = (*GROUND_SAMPLING_DISTANCE_M.items(), (SCENE, SCENE_M))


@dataclass(frozen=True)
class Listed:
    """A product as an archive lists it.

    Attributes:
        name: what its name says.
        path: where it lies, in the archive's own terms; kept in artifacts, so no secret and no signature.
    """

    name: ProductName
    path: str


class Archive(Protocol):
    """One way to get at Level-2A products."""

    @property
    def place(self) -> str:
        """Where it is, for messages."""

    def granules(self, area: BaseGeometry | None, periods: Sequence[Period]) -> tuple[str, ...]:
        """MGRS tiles of which it has products, in ascending order: all, or at least those that touch an area.

        Raises:
            SourceError: it cannot be read.
        """

    def listed(self, granule: str, period: Period) -> Sequence[Listed]:
        """The products of a granule whose datatake began in a period.

        Raises:
            SourceError: it cannot be read.
        """

    def checksum(self, product: Listed) -> str:
        """Changes when the product does.

        Raises:
            UnreadableProduct: it is no longer there.
        """

    def metadata(self, product: Listed) -> ProductMetadata:
        """What the product says of itself.

        Raises:
            BadMetadata: it is missing or cannot be read.
            UnreadableProduct: the product is no longer there.
        """

    def images(self, product: Listed) -> Mapping[tuple[str, int], ImageFile]:
        """(image, pixel size in metres) -> file; opened when it is read.

        Raises:
            UnreadableProduct: the product is no longer there.
        """


@dataclass(frozen=True)
class _Found:
    """A product with readable metadata."""

    listed: Listed
    metadata: ProductMetadata

    @property
    def name(self) -> ProductName:
        return self.listed.name

    @property
    def rank(self) -> tuple[tuple[int, int], str, str]:
        """Of two products of one datastrip the greater one is used: highest baseline, then latest product."""
        return self.metadata.baseline, self.name.discriminator, self.name.id


class Level2A:
    """The products of an archive as a source; see `landseries_fetcher.sources.base.ImagerySource`."""

    features = BANDS
    raster: Raster | None = None
    is_selected_by_share = True

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    @property
    def place(self) -> str:
        """Where the archive is."""
        return self._archive.place

    def granules_over(self, area: BaseGeometry | None, periods: Sequence[Period]) -> tuple[str, ...]:
        """See `ImagerySource.granules_over`."""
        return self._archive.granules(area, periods)

    def identity(self) -> dict[str, str]:
        """Nothing: a product says itself how it is to be read."""
        return {}

    def checksums(self, granule: str, period: Period) -> dict[str, str]:
        """See `ImagerySource.checksums`."""
        return {item.name.id: self._archive.checksum(item) for item in self._archive.listed(granule, period)}

    def checksums_of(self, acquisition: Acquisition) -> dict[str, str]:
        """See `ImagerySource.checksums_of`."""
        return {product.id: self._archive.checksum(_again(product)) for product in acquisition.products}

    def count(self, granules: Sequence[str], period: Period) -> int:
        """Datatakes by product name."""
        listed = [item.name for granule in granules for item in self._archive.listed(granule, period)]
        return len({(name.platform, name.datatake_start) for name in listed})

    def catalogue(self, granule: str, period: Period, without: Mapping[str, str]) -> Catalogue:
        """See `ImagerySource.catalogue`."""
        left: list[LeftProduct] = []
        by_datastrip: dict[tuple[str, str], list[_Found]] = {}
        for item in self._archive.listed(granule, period):
            if item.name.id in without:
                left.append(_left(item.name, without[item.name.id]))
                continue
            try:
                found = _Found(item, self._archive.metadata(item))
            except BadMetadata as reason:
                left.append(_left(item.name, str(reason)))
                continue
            by_datastrip.setdefault((item.name.acquisition, found.metadata.datastrip_start), []).append(found)
        used: dict[str, list[_Found]] = {}
        for (acquisition, _), same in sorted(by_datastrip.items()):
            best, *others = sorted(same, key=lambda found: found.rank, reverse=True)
            used.setdefault(acquisition, []).append(best)
            left += [_left(other.name, _why_not(other, best)) for other in others]
        acquisitions = [self._acquisition(name, halves) for name, halves in used.items()]
        return Catalogue(
            tuple(sorted(acquisitions, key=lambda acquisition: (acquisition.sensed, acquisition.id))),
            tuple(sorted(left, key=lambda product: (product.sensed, product.product))),
        )

    def views(
        self, acquisition: Acquisition, tiles: Sequence[Tile], masking: FetchSettings
    ) -> Iterator[tuple[Tile, View]]:
        """See `ImagerySource.views`; pixels of 20 m."""
        with ExitStack() as stack:
            products = [self._open(stack, product, tiles)[0] for product in acquisition.products]
            for chunk in chunks(tiles):
                scene, margin = _read_scene(products, chunk.raster, masking)
                for tile in chunk.tiles:
                    rows, columns = _coarse(chunk, tile)
                    yield tile, View(*_cut(scene, margin, rows, columns, masking))

    def images(
        self,
        acquisition: Acquisition,
        tiles: Sequence[Tile],
        masking: FetchSettings,
        threads: int,
        shift: Shift | None = None,
    ) -> Iterator[tuple[Tile, Image]]:
        """See `ImagerySource.images`."""
        with ExitStack() as stack:
            opened = [self._open(stack, product, tiles) for product in acquisition.products]
            tags = _tags(acquisition, [metadata for _, metadata in opened])
            decoders = stack.enter_context(Decoders(threads))
            for chunk in chunks(tiles):
                bands, scene, margin = _read_chunk(decoders, opened, chunk.raster, masking, shift)
                for tile in chunk.tiles:
                    _, clear = _cut(scene, margin, *_coarse(chunk, tile), masking)
                    features = bands[:, *chunk.slices(tile)]
                    complete = (features != NODATA).all(axis=0)
                    yield tile, Image(features, replicate(clear, 2) & complete, tags)

    def _acquisition(self, name: str, halves: list[_Found]) -> Acquisition:
        first = halves[0].name
        return Acquisition(
            id=name,
            sensed=first.datatake_start,
            platform=first.platform,
            relative_orbit=first.relative_orbit,
            products=tuple(
                Product(
                    half.name.id, half.listed.path, half.metadata.baseline_text, self._archive.checksum(half.listed)
                )
                for half in halves
            ),
        )

    def _open(self, stack: ExitStack, product: Product, tiles: Sequence[Tile]) -> tuple[ProductImages, ProductMetadata]:
        """A product's images, on the tiles' grid."""
        listed = _again(product)
        try:
            metadata = self._archive.metadata(listed)
        except BadMetadata as reason:
            raise UnreadableProduct(product.id, str(reason)) from reason
        images = stack.enter_context(ProductImages(product.id, self._archive.images(listed), metadata.geocoding))
        images.check_grid(tiles[0])
        return images, metadata


def _again(product: Product) -> Listed:
    name = parse_name(product.id)
    if name is None:
        raise UnreadableProduct(product.id, "is no name of a Level-2A product")
    return Listed(name, product.path)


def _read_scene(
    products: Sequence[ProductImages], raster: Raster, masking: FetchSettings, shift: Shift | None = None
) -> tuple[npt.NDArray[np.uint8], tuple[int, int]]:
    """The scene classification of a raster and of the margin that clouds can grow from; and the margin in pixels."""
    margin = reach_px(masking.cloud_buffer_m, (SCENE_M, SCENE_M))
    wide = bounding([raster], margin[0] * SCENE_M)
    scene = read_classes(products[0], SCENE, SCENE_M, wide, shift)
    for other in products[1:]:
        scene = np.where(scene == 0, read_classes(other, SCENE, SCENE_M, wide, shift), scene).astype(np.uint8)
    return scene, margin


def _read_chunk(
    decoders: Decoders,
    opened: Sequence[tuple[ProductImages, ProductMetadata]],
    raster: Raster,
    masking: FetchSettings,
    shift: Shift | None,
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8], tuple[int, int]]:
    """Ten bands (band, rows, columns) at 10 m, and the scene classification with its margin at 20 m."""
    bands = np.empty((len(BANDS), *raster.shape), dtype=np.int16)
    scenes: list[tuple[npt.NDArray[np.uint8], tuple[int, int]]] = []

    def read(task: tuple[str, int, Raster]) -> None:
        image, handle, part = task
        if image == SCENE:
            scenes.append(_read_scene([images for images, _ in opened], raster, masking, shift))
            return
        first = round((part.left - raster.left) / raster.pixel_width)
        target = bands[BANDS.index(image), :, first : first + part.width]
        pixel_m = GROUND_SAMPLING_DISTANCE_M[image]
        for place, (images, metadata) in enumerate(opened):
            numbers = read_numbers(images, image, pixel_m, part, handle, shift)
            stored = to_reflectance(numbers, metadata.offsets[image], metadata.quantification)
            stored = replicate(stored, pixel_m // 10)
            if place == 0:
                target[...] = stored
            else:
                np.copyto(target, stored, where=target == NODATA)

    # The large images first, so that no thread is left with one at the end.
    order = sorted(BANDS, key=lambda image: GROUND_SAMPLING_DISTANCE_M[image])
    tasks = [
        (image, handle, part)
        for image in order
        for handle, part in opened[0][0].split(image, GROUND_SAMPLING_DISTANCE_M[image], raster, decoders.parts)
    ]
    decoders.map(read, [*tasks, (SCENE, 0, raster)])
    return bands, *scenes[0]


def _cut(
    scene: npt.NDArray[np.uint8],
    margin: tuple[int, int],
    rows: slice,
    columns: slice,
    masking: FetchSettings,
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Has data, and clear, of one tile at 20 m, from a scene with a margin."""
    wide = scene[rows.start : rows.stop + 2 * margin[0], columns.start : columns.stop + 2 * margin[1]]
    clear = clear_mask(wide, masking.masked_scene_classes, masking.cloud_buffer_m, (SCENE_M, SCENE_M))
    inner = (
        slice(margin[0], margin[0] + rows.stop - rows.start),
        slice(margin[1], margin[1] + columns.stop - columns.start),
    )
    return wide[inner] != 0, clear[inner]


def _coarse(chunk: Chunk, tile: Tile) -> tuple[slice, slice]:
    rows, columns = chunk.slices(tile)
    return slice(rows.start // 2, rows.stop // 2), slice(columns.start // 2, columns.stop // 2)


def _tags(acquisition: Acquisition, metadata: Sequence[ProductMetadata]) -> dict[str, str]:
    products = {
        product.id: {
            "baseline": known.baseline_text,
            "offsets": known.offsets,
            "offset_origin": known.offset_origin,
            "quantification": known.quantification,
            "refining": _REFINING_TAGS[known.refined],
        }
        for product, known in zip(acquisition.products, metadata, strict=True)
    }
    return {"PRODUCTS": canonical_json(products).decode()}


def _left(name: ProductName, reason: str) -> LeftProduct:
    return LeftProduct(name.id, name.datatake_start, name.acquisition, reason)


def _why_not(other: _Found, best: _Found) -> str:
    if other.metadata.baseline != best.metadata.baseline:
        return (
            f"a duplicate of {best.name.id}, whose baseline {best.metadata.baseline_text} is higher than "
            f"{other.metadata.baseline_text}"
        )
    return f"a duplicate of {best.name.id}, which was made later"
