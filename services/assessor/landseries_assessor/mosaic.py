"""The mosaic stage: a granule's tiles as the maps that people open, written tile by tile whatever the area."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.shutil import copy as copy_raster
from rasterio.windows import Window

from landseries.errors import Refused
from landseries.grid import Raster, Tile
from landseries.legend import Legend
from landseries.pipeline import COMPOSITE
from landseries.service import Context, Input
from landseries.settings.assessor import MosaicSettings
from landseries_assessor import layout
from landseries_assessor.notices import attributions, imagery_notice
from landseries_assessor.sidecar import write_categories

#: Value of probabilities, confidence and numbers of changes where there is no data.
NO_VALUE: Final = 255
#: Pixels per side of a block of the files, and GDAL's block cache: what bounds memory.
_BLOCK_PX: Final = 256
_CACHE_MIB: Final = 96

Bands = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class _Layer:
    """One file of the mosaic.

    Attributes:
        output: its name in the result folder.
        bands: which bands of a tile's map become its bands, counted from 1.
        names: band descriptions.
        nodata: value without data; None where every value counts.
        overviews: how overviews are made.
        notice: whose data it is made from, for the file's own copyright tag: files travel without their catalogue.
        categories: value -> name and colour, of class-like layers.
    """

    output: str
    bands: tuple[int, ...]
    names: tuple[str, ...]
    nodata: int | None
    overviews: Literal["nearest", "average"]
    notice: str
    categories: Mapping[int, tuple[str, tuple[int, int, int]]] | None = None


def mosaic(context: Context) -> None:
    """Merge the maps of a granule's tiles, one year after the other; years that no tile has are left out.

    Writes per year class, probabilities, confidence and clear-view count, and the number of changes over the years;
    the mosaic of the run's first model also writes the true-colour composites. Names are those of the result folder.

    Raises:
        Refused: no tile of the granule has a map.
    """
    granule, model = context.unit["granule"], context.unit["model"]
    tiles = context.tiles_of(granule)
    grid = bounding_grid(tiles)
    maps = {item.unit["tile"]: item for item in context.inputs("map") if item.done}
    if not maps:
        raise Refused(f"no tile of {granule} has a map of {model}")
    merger = _Merger(context, grid)
    # A model learns from every year, so each of its maps is made from the data of all.
    notice = ". ".join(attributions(context.years, context.legend))
    for year in context.years:
        found = {tile: item for tile, item in maps.items() if f"{year}.tif" in item.marker.outputs}
        if found:
            context.log(f"{year}: {len(found)} of {len(tiles)} tiles")
            merger.merge(found, f"{year}.tif", _layers(context.legend, model, year, granule, notice))
    merger.merge(maps, "changes.tif", [_changes_layer(model, granule, len(context.years), notice)])
    if model == context.models[0]:
        for year in context.years:
            seen = {i.unit["tile"]: i for i in context.inputs("index") if i.done and i.unit["year"] == str(year)}
            if seen:
                merger.merge(seen, COMPOSITE, [_composite_layer(year, granule)])


def bounding_grid(tiles: Sequence[Tile]) -> Raster:
    """The smallest pixel grid that holds all tiles of a granule, which share one lattice."""
    first = tiles[0]
    left, top = min(tile.left for tile in tiles), max(tile.top for tile in tiles)
    width = max(_offset(tile.left - left, tile.pixel_width) + tile.width for tile in tiles)
    height = max(_offset(top - tile.top, tile.pixel_height) + tile.height for tile in tiles)
    return Raster(first.crs, left, top, first.pixel_width, first.pixel_height, width, height)


def _offset(distance: float, pixel: float) -> int:
    return round(distance / pixel)


class _Merger:
    """Writes layers of a granule: uncompressed in place first, then as Cloud Optimized GeoTIFF."""

    def __init__(self, context: Context, grid: Raster) -> None:
        self._context = context
        self._grid = grid
        self._overviews = context.settings(MosaicSettings).overviews

    def merge(self, items: Mapping[str, Input], artifact: str, layers: Sequence[_Layer]) -> None:
        """Merge one artifact of several tiles into layers; one layer after the other bounds space and memory."""
        with rasterio.Env(GDAL_CACHEMAX=_CACHE_MIB):
            for layer in layers:
                plain = self._context.scratch / "plain.tif"
                self._write_plain(plain, items, artifact, layer)
                path = self._context.output(layer.output)
                self._write_cog(plain, path, layer)
                plain.unlink()
                if layer.categories is not None:
                    write_categories(self._context.output(f"{layer.output}.aux.xml"), layer.categories)

    def _write_plain(self, path: Path, items: Mapping[str, Input], artifact: str, layer: _Layer) -> None:
        grid = self._grid
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            width=grid.width,
            height=grid.height,
            count=len(layer.bands),
            dtype="uint8",
            crs=grid.crs,
            transform=grid.transform,
            nodata=layer.nodata,
            tiled=True,
            blockxsize=_BLOCK_PX,
            blockysize=_BLOCK_PX,
            interleave="band",
            BIGTIFF="IF_SAFER",
        ) as target:
            _describe(target, layer)
            for tile_id in sorted(items):
                tile = self._context.tiles[tile_id]
                with self._context.local(items[tile_id], artifact) as source_path, rasterio.open(source_path) as source:
                    target.write(source.read(list(layer.bands)), window=self._window(tile))

    def _window(self, tile: Tile) -> Window:
        column = _offset(tile.left - self._grid.left, tile.pixel_width)
        row = _offset(self._grid.top - tile.top, tile.pixel_height)
        return Window(column, row, tile.width, tile.height)

    def _write_cog(self, plain: Path, path: Path, layer: _Layer) -> None:
        copy_raster(
            str(plain),
            str(path),
            driver="COG",
            COMPRESS="DEFLATE",
            LEVEL=1 if layer.categories is None else 6,
            BLOCKSIZE=_BLOCK_PX,
            NUM_THREADS="1",
            BIGTIFF="IF_SAFER",
            OVERVIEWS="AUTO" if self._overviews else "NONE",
            RESAMPLING=layer.overviews.upper(),
        )


def _describe(target: Any, layer: _Layer) -> None:
    target.update_tags(TIFFTAG_COPYRIGHT=layer.notice)
    for index, name in enumerate(layer.names, 1):
        target.set_band_description(index, name)
    if layer.categories is not None:
        target.write_colormap(1, {value: (*rgb, 255) for value, (_, rgb) in layer.categories.items()})
        target.update_tags(1, **{f"category_{value}": name for value, (name, _) in layer.categories.items()})


def _layers(legend: Legend, model: str, year: int, granule: str, notice: str) -> list[_Layer]:
    def named(layer: str) -> str:
        return layout.map_file(model, year, granule, layer)

    categories = {entry.id: (entry.name, entry.rgb) for entry in legend.classes}
    places = tuple(range(4, 4 + len(legend.names)))
    return [
        _Layer(named("class"), (1,), ("class",), 0, "nearest", notice, categories),
        _Layer(named("probabilities"), places, legend.names, NO_VALUE, "average", notice),
        _Layer(named("confidence"), (2,), ("confidence in 1/200",), NO_VALUE, "average", notice),
        _Layer(named("clear_views"), (3,), ("clear views",), None, "average", notice),
    ]


def _changes_layer(model: str, granule: str, years: int, notice: str) -> _Layer:
    categories = {number: (layout.changes_name(number), layout.changes_colour(number)) for number in range(years)}
    name = layout.changes_file(model, granule)
    return _Layer(name, (1,), ("number of changes",), NO_VALUE, "nearest", notice, categories)


def _composite_layer(year: int, granule: str) -> _Layer:
    name = layout.composite_file(year, granule)
    return _Layer(name, (1, 2, 3), ("red", "green", "blue"), 0, "average", imagery_notice([year]))
