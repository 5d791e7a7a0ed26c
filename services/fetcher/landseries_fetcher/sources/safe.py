"""A folder of Sentinel-2 L2A products, as the archives deliver them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from landseries.artifacts.documents import canonical_json
from landseries.bands import BANDS, GROUND_SAMPLING_DISTANCE_M, NODATA
from landseries.config import Period
from landseries.errors import SourceError
from landseries.grid import Raster, Tile
from landseries.settings.fetcher import FetchSettings
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
from landseries_fetcher.sources.metadata import (
    PRODUCT_METADATA,
    BadMetadata,
    ProductMetadata,
    ProductName,
    parse_name,
    read_metadata,
)

_SCENE: Final = "SCL"
_COARSE_M: Final = 20


@dataclass(frozen=True)
class _Found:
    """A product with readable metadata."""

    name: ProductName
    folder: str
    metadata: ProductMetadata

    @property
    def rank(self) -> tuple[tuple[int, int], str, str]:
        """Of two products of one datastrip the greater one is used: highest baseline, then latest product."""
        return self.metadata.baseline, self.name.discriminator, self.name.id


class SafeFolder:
    """Products in a folder; see `landseries_fetcher.sources.base.ImagerySource`."""

    features = BANDS
    raster: Raster | None = None
    is_selected_by_share = True

    def __init__(self, folder: Path) -> None:
        """Look into the folder.

        Raises:
            SourceError: it does not exist, or holds no product.
        """
        self._folder = folder
        try:
            names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
        except OSError as error:
            raise SourceError(f"source.path: {folder} cannot be read: {error.strerror or error}") from error
        found = ((parse_name(name), name) for name in names if name.endswith(".SAFE"))
        self._products = [(name, folder_name) for name, folder_name in found if name is not None]
        if not self._products:
            raise SourceError(
                f"source.path: {folder} holds no Level-2A product; it must hold folders such as "
                "S2A_MSIL2A_20180705T101021_N0208_R022_T32TPS_20180705T134512.SAFE, each with its MTD_MSIL2A.xml"
            )

    @property
    def granules(self) -> tuple[str, ...]:
        """MGRS tiles in ascending order."""
        return tuple(sorted({name.granule for name, _ in self._products}))

    @property
    def place(self) -> str:
        """The folder."""
        return str(self._folder)

    def identity(self) -> dict[str, str]:
        """Nothing: a SAFE product says itself how it is to be read."""
        return {}

    def checksums(self, granule: str, period: Period) -> dict[str, str]:
        """See `ImagerySource.checksums`."""
        return {name.id: self._checksum(folder) for name, folder in self._of(granule, period)}

    def checksums_of(self, acquisition: Acquisition) -> dict[str, str]:
        """See `ImagerySource.checksums_of`."""
        return {product.id: self._checksum(product.path) for product in acquisition.products}

    def count(self, granules: Sequence[str], period: Period) -> int:
        """Datatakes by product name."""
        return len(
            {(name.platform, name.datatake_start) for granule in granules for name, _ in self._of(granule, period)}
        )

    def catalogue(self, granule: str, period: Period, without: Mapping[str, str]) -> Catalogue:
        """See `ImagerySource.catalogue`."""
        left: list[LeftProduct] = []
        by_datastrip: dict[tuple[str, str], list[_Found]] = {}
        for name, folder in self._of(granule, period):
            if name.id in without:
                left.append(_left(name, without[name.id]))
                continue
            try:
                found = _Found(name, folder, read_metadata(self._folder / folder, name))
            except BadMetadata as reason:
                left.append(_left(name, str(reason)))
                continue
            by_datastrip.setdefault((name.acquisition, found.metadata.datastrip_start), []).append(found)
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
        self, acquisition: Acquisition, tiles: Sequence[Tile], masking: FetchSettings, threads: int
    ) -> Iterator[tuple[Tile, Image]]:
        """See `ImagerySource.images`."""
        with ExitStack() as stack:
            opened = [self._open(stack, product, tiles) for product in acquisition.products]
            tags = _tags(acquisition, [metadata for _, metadata in opened])
            decoders = stack.enter_context(Decoders(threads))
            for chunk in chunks(tiles):
                bands, scene, margin = _read_chunk(decoders, opened, chunk.raster, masking)
                for tile in chunk.tiles:
                    _, clear = _cut(scene, margin, *_coarse(chunk, tile), masking)
                    features = bands[:, *chunk.slices(tile)]
                    complete = (features != NODATA).all(axis=0)
                    yield tile, Image(features, replicate(clear, 2) & complete, tags)

    def _of(self, granule: str, period: Period) -> list[tuple[ProductName, str]]:
        return [
            (name, folder)
            for name, folder in self._products
            if name.granule == granule and period.holds(name.datatake_start.date())
        ]

    def _acquisition(self, name: str, halves: list[_Found]) -> Acquisition:
        first = halves[0].name
        return Acquisition(
            id=name,
            sensed=first.datatake_start,
            platform=first.platform,
            relative_orbit=first.relative_orbit,
            products=tuple(
                Product(half.name.id, half.folder, half.metadata.baseline_text, self._checksum(half.folder))
                for half in halves
            ),
        )

    def _checksum(self, folder: str) -> str:
        """SHA-256 over a product's metadata, and the names and sizes of its files.

        Reading every image to the end would cost as much as a search; an archive never changes an image in place.
        """
        root = self._folder / folder
        files = sorted((path.relative_to(root).as_posix(), path) for path in root.rglob("*") if path.is_file())
        digest = hashlib.sha256()
        for name, path in files:
            digest.update(f"{name}\0{path.stat().st_size}\0".encode())
            if path.name in PRODUCT_METADATA or path.name == "MTD_TL.xml":
                digest.update(path.read_bytes())
        return digest.hexdigest()

    def _open(self, stack: ExitStack, product: Product, tiles: Sequence[Tile]) -> tuple[ProductImages, ProductMetadata]:
        """A product's images, on the tiles' grid."""
        root = self._folder / product.path
        name = parse_name(product.id)
        if name is None or not root.is_dir():
            raise UnreadableProduct(product.id, f"is no longer in {self._folder}")
        try:
            metadata = read_metadata(root, name)
        except BadMetadata as reason:
            raise UnreadableProduct(product.id, str(reason)) from reason
        images = stack.enter_context(ProductImages(product.id, _image_files(root), metadata.geocoding))
        images.check_grid(tiles[0])
        return images, metadata


def _image_files(root: Path) -> dict[tuple[str, int], Path]:
    files = {}
    for image, pixel_m in (*GROUND_SAMPLING_DISTANCE_M.items(), (_SCENE, _COARSE_M)):
        for path in sorted(root.glob(f"GRANULE/*/IMG_DATA/R{pixel_m}m/*_{image}_{pixel_m}m.jp2")):
            files[(image, pixel_m)] = path
    return files


def _read_scene(
    products: Sequence[ProductImages], raster: Raster, masking: FetchSettings
) -> tuple[npt.NDArray[np.uint8], tuple[int, int]]:
    """The scene classification of a raster and of the margin that clouds can grow from; and the margin in pixels."""
    margin = reach_px(masking.cloud_buffer_m, (_COARSE_M, _COARSE_M))
    wide = bounding([raster], margin[0] * _COARSE_M)
    scene = np.asarray(products[0].read(_SCENE, _COARSE_M, wide), dtype=np.uint8)
    for other in products[1:]:
        scene = np.where(scene == 0, other.read(_SCENE, _COARSE_M, wide), scene).astype(np.uint8)
    return scene, margin


def _read_chunk(
    decoders: Decoders,
    opened: Sequence[tuple[ProductImages, ProductMetadata]],
    raster: Raster,
    masking: FetchSettings,
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8], tuple[int, int]]:
    """Ten bands (band, rows, columns) at 10 m, and the scene classification with its margin at 20 m."""
    bands = np.empty((len(BANDS), *raster.shape), dtype=np.int16)
    scenes: list[tuple[npt.NDArray[np.uint8], tuple[int, int]]] = []

    def read(task: tuple[str, int, Raster]) -> None:
        image, handle, part = task
        if image == _SCENE:
            scenes.append(_read_scene([images for images, _ in opened], raster, masking))
            return
        first = round((part.left - raster.left) / raster.pixel_width)
        target = bands[BANDS.index(image), :, first : first + part.width]
        pixel_m = GROUND_SAMPLING_DISTANCE_M[image]
        for place, (images, metadata) in enumerate(opened):
            numbers = images.read(image, pixel_m, part, handle)
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
    decoders.map(read, [*tasks, (_SCENE, 0, raster)])
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
    clear = clear_mask(wide, masking.masked_scene_classes, masking.cloud_buffer_m, (_COARSE_M, _COARSE_M))
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
