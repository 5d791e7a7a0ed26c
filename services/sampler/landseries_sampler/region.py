"""The samples of the region with their series, read from the candidates of all tiles."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from landseries.artifacts.tables import read_columns
from landseries.bands import NODATA
from landseries.errors import ArtifactError
from landseries.grid import Part
from landseries.service import Context, Input
from landseries_sampler.candidates import AGREEING_FILE, own_file, pixel_centres, series_column
from landseries_sampler.merge import StratumMerge
from landseries_sampler.models import Sample


class Region:
    """The tiles of a region that gave candidates, and the samples merged from them.

    Attributes:
        years: years that at least one tile has, ascending.
        crs: coordinate reference systems of the tiles, sorted; samples name them by number.
        available: candidates of each stratum that was merged (`agreeing`, or a year), by part and class.
    """

    def __init__(self, context: Context, totals: Mapping[Part, int]) -> None:
        """Open the region of a `dataset` unit.

        Args:
            context: the unit's context.
            totals: pixels wanted of each part and stratum.
        """
        self._context = context
        self._totals = totals
        self._tiles = [item for item in context.inputs("sample") if item.done]
        self.years = tuple(y for y in context.years if any(_has_year(tile, y) for tile in self._tiles))
        self.crs = sorted({context.tiles[tile.unit["tile"]].crs for tile in self._tiles})
        self.available: dict[str, dict[Part, dict[int, int]]] = {}

    def candidate_files(self, output: str) -> list[tuple[int, Input]]:
        """Tiles that wrote an output, with their positions among the region's tiles."""
        return [(place, tile) for place, tile in enumerate(self._tiles) if output in tile.marker.outputs]

    @cached_property
    def agreeing(self) -> Sample:
        """The sample of pixels whose labels agree, with the series of every year."""
        pixels = self._merge(AGREEING_FILE, "agreeing")
        present = {year: np.zeros(len(pixels), dtype=bool) for year in self.years}
        for place, tile in enumerate(self._tiles):
            for year in self.years:
                present[year][pixels["tile"] == place] = _has_year(tile, year)
        return self._sample(AGREEING_FILE, pixels, {year: series_column(year) for year in self.years}, present)

    def own(self, year: int) -> Sample:
        """The sample of a year's own stratum, with that year's series."""
        pixels = self._merge(own_file(year), str(year))
        return self._sample(own_file(year), pixels, {year: "series"}, {year: np.ones(len(pixels), dtype=bool)})

    def _merge(self, output: str, stratum: str) -> npt.NDArray[Any]:
        merge = StratumMerge(self._totals)
        for place, tile in self.candidate_files(output):
            with self._context.local(tile, output) as path:
                merge.add(place, read_columns(path, "part", "class", "priority"))
        self.available[stratum] = {part: merge.available(part) for part in self._totals}
        return merge.taken()

    def _sample(
        self,
        output: str,
        pixels: npt.NDArray[Any],
        columns: Mapping[int, str],
        present: Mapping[int, npt.NDArray[np.bool_]],
    ) -> Sample:
        """Read places and series of the pixels taken, tile by tile."""
        x, y = np.empty(len(pixels)), np.empty(len(pixels))
        crs = np.empty(len(pixels), dtype=np.uint8)
        series: dict[int, npt.NDArray[np.int16]] = {}
        for place, tile in self.candidate_files(output):
            taken = np.flatnonzero(pixels["tile"] == place)
            if not len(taken):
                continue
            lines = pixels["line"][taken]
            raster = self._context.tiles[tile.unit["tile"]]
            wanted = {year: name for year, name in columns.items() if _has_year(tile, year)}
            with self._context.local(tile, output) as path:
                where = read_columns(path, "row", "column")
                x[taken], y[taken] = pixel_centres(raster, where["row"][lines], where["column"][lines])
                crs[taken] = self.crs.index(raster.crs)
                for year, name in wanted.items():
                    values = read_columns(path, name)[name][lines]
                    _fill(series, year, taken, values, len(pixels), tile.unit.name)
        return Sample(pixels, x, y, crs, series, {year: found for year, found in present.items() if year in series})


def _has_year(tile: Input, year: int) -> bool:
    return own_file(year) in tile.marker.outputs


def _fill(
    series: dict[int, npt.NDArray[np.int16]],
    year: int,
    taken: npt.NDArray[np.int64],
    values: npt.NDArray[np.int16],
    pixels: int,
    where: str,
) -> None:
    known = next(iter(series.values()), values)
    if known.shape[1] != values.shape[1]:
        raise ArtifactError(f"{where}: series of {values.shape[1]} values, those of other tiles have {known.shape[1]}")
    if year not in series:
        series[year] = np.full((pixels, values.shape[1]), NODATA, dtype=np.int16)
    series[year][taken] = values
