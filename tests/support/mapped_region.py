"""Runs the clusterer's three stages over a region of tiles that is given as arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from landseries.artifacts.rasters import read_raster, write_cog
from landseries.artifacts.series import writing_series
from landseries.grid import Tile
from landseries.pipeline import COUNTS, INDICES, SERIES, Unit
from landseries.service import Context, load_service
from support.harness import Bench, Given, cube_plan

YEAR = "2018"
_BLOCK_ROWS = 32


@dataclass(frozen=True)
class Layers:
    """What the clusterer reads, over the whole region.

    Attributes:
        features, indices: Names along the second axis of `series` and `index_series`.
        series, index_series: (date, feature, row, column) int16.
        views: (row, column) uint8 clear views.
        mapped: (row, column) uint8 class ids of the existing map.
    """

    features: Sequence[str]
    indices: Sequence[str]
    series: npt.NDArray[np.int16]
    index_series: npt.NDArray[np.int16]
    views: npt.NDArray[np.uint8]
    mapped: npt.NDArray[np.uint8]


class MappedRegion:
    """A bench with inputs written, and everything that handlers answered so far.

    Args:
        folder: Where to work.
        layers: The region.
        tile_size_px: Side of a tile.
        threads: Threads of the handlers.
        config: Further fields of the configuration.
    """

    def __init__(self, folder: Path, layers: Layers, *, tile_size_px: int, threads: int = 1, **config: Any) -> None:
        shape = layers.mapped.shape
        plan = cube_plan(
            folder, features=layers.features, size_px=(shape[0], shape[1]), tile_size_px=tile_size_px, **config
        )
        self.tile_size_px = tile_size_px
        self.bench = Bench(plan, folder / "work", threads=threads)
        self.given: dict[Unit, Given] = {}
        self._shape = (shape[0], shape[1])
        for key, tile in plan.tile.items():
            place = folder / "inputs" / key
            place.mkdir(parents=True)
            self._write(place, tile, layers)
            self.given[Unit("index", (key, YEAR))] = {name: place / name for name in (SERIES, INDICES, COUNTS)}
            self.given[Unit("reference", (key,))] = {"classes.tif": place / "classes.tif"}

    @property
    def tiles(self) -> dict[str, Tile]:
        """Tiles by id."""
        return self.bench.plan.tile

    def window(self, tile: Tile) -> tuple[slice, slice]:
        """Rows and columns of a tile in the region."""
        row, column = tile.row * self.tile_size_px, tile.column * self.tile_size_px
        return slice(row, row + tile.height), slice(column, column + tile.width)

    def run(self, stage: str, *key: str) -> dict[str, Path]:
        """Run one unit; what it wrote is there for the units after it."""
        handler: Callable[[Context], None] = load_service("clusterer").handlers[stage].run
        unit = Unit(stage, key)
        found = self.bench.run(handler, unit, self.given)
        self.given[unit] = found
        return found

    def run_all(self) -> dict[str, dict[str, Path]]:
        """Run all stages; returns the files of the last, by tile."""
        for tile in self.tiles:
            self.run("cluster", tile)
        self.run("classes", "all")
        return {tile: self.run("reliable", tile) for tile in self.tiles}

    def verdicts(self, written: dict[str, dict[str, Path]]) -> npt.NDArray[np.uint8]:
        """(class, verdict, score; row; column) uint8 of the whole region."""
        whole = np.zeros((3, *self._shape), np.uint8)
        for name, tile in self.tiles.items():
            whole[(slice(None), *self.window(tile))] = read_raster(written[name]["verdicts.tif"], tile)
        return whole

    def _write(self, place: Path, tile: Tile, layers: Layers) -> None:
        rows, columns = self.window(tile)
        days = [round((date + 0.5) * 365 / len(layers.series)) for date in range(len(layers.series))]
        written = ((SERIES, layers.features, layers.series), (INDICES, layers.indices, layers.index_series))
        for file, features, values in written:
            with writing_series(place / file, tile, features=features, days=days) as writer:
                for first in range(0, tile.height, _BLOCK_ROWS):
                    writer.write_rows(first, values[:, :, rows, columns][:, :, first : first + _BLOCK_ROWS])
        write_cog(place / COUNTS, layers.views[None, rows, columns], tile, names=["clear_views"], nodata=None)
        write_cog(place / "classes.tif", layers.mapped[None, rows, columns], tile, names=["class"], nodata=0)
