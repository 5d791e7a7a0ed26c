"""The samples of the region with their series, read from the candidates of all tiles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from landseries.artifacts.tables import read_columns
from landseries.bands import NODATA
from landseries.errors import ArtifactError
from landseries.grid import Part
from landseries.service import Context, Input
from landseries_sampler.candidates import file_of, pixel_centres, series_column, years_of
from landseries_sampler.merge import PIXEL, taken_of
from landseries_sampler.models import Sample
from landseries_sampler.parallel import in_parallel
from landseries_sampler.strata import AGREEING, SAMPLED_PARTS
from landseries_sampler.tallies import RegionQuotas


@dataclass(frozen=True)
class _OfTile:
    """Candidates of one tile and stratum, as `Sample` has them; `series` of the years that the tile has."""

    name: str
    pixels: npt.NDArray[Any]
    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    crs: npt.NDArray[np.uint8]
    series: Mapping[int, npt.NDArray[np.int16]]


class Region:
    """The tiles of a region that give pixels, and the samples merged from them.

    Attributes:
        years: years that at least one tile has, ascending.
        available: candidates of each stratum that was merged (`agreeing`, or a year), by part and class.
    """

    def __init__(self, context: Context, quotas: RegionQuotas) -> None:
        """Open the region of a `dataset` unit.

        Args:
            context: the unit's context.
            quotas: what the region takes.
        """
        self._context = context
        self._quotas = quotas
        self._tiles = [item for item in context.inputs("sample") if item.done]
        self.years = tuple(year for year in context.years if year in quotas.years)
        self.available: dict[str, dict[Part, dict[int, int]]] = {}

    @cached_property
    def agreeing(self) -> Sample:
        """The sample of pixels whose labels agree, with the series of every year."""
        return self._sample(AGREEING)

    def own(self, year: int) -> Sample:
        """The sample of a year's own stratum, with that year's series."""
        return self._sample(str(year))

    def _sample(self, stratum: str) -> Sample:
        self.available[stratum] = {part: self._quotas.available(stratum, part) for part in SAMPLED_PARTS}
        tiles = list(self._candidates(stratum))
        _check_lengths(tiles)
        pixels = _joined([tile.pixels for tile in tiles], PIXEL)
        taken = taken_of(pixels, self._quotas.quotas(stratum))
        series: dict[int, npt.NDArray[np.int16]] = {}
        present: dict[int, npt.NDArray[np.bool_]] = {}
        for year in self.years:
            has = _joined([np.full(len(tile.pixels), year in tile.series) for tile in tiles], np.bool_)[taken]
            if has.any():
                present[year] = has
                series[year] = _series_of_year(tiles, year)[taken]
        return Sample(
            pixels=pixels[taken],
            x=_joined([tile.x for tile in tiles], np.float64)[taken],
            y=_joined([tile.y for tile in tiles], np.float64)[taken],
            crs=_joined([tile.crs for tile in tiles], np.uint8)[taken],
            series=series,
            present=present,
        )

    def _candidates(self, stratum: str) -> Iterator[_OfTile]:
        output = file_of(stratum)
        giving = [tile for tile in self._tiles if output in tile.marker.outputs]
        return in_parallel(lambda tile: self._read(tile, stratum), giving)

    def _read(self, tile: Input, stratum: str) -> _OfTile:
        with self._context.local(tile, file_of(stratum)) as path:
            columns = read_columns(path)
        pixels = np.empty(len(columns["part"]), dtype=PIXEL)
        for name in ("part", "class", "priority"):
            pixels[name] = columns[name]
        raster = self._context.tiles[tile.unit["tile"]]
        x, y = pixel_centres(raster, columns["row"], columns["column"])
        crs = np.full(len(pixels), self._quotas.crs.index(raster.crs), dtype=np.uint8)
        series = {year: columns[series_column(stratum, year)] for year in years_of(stratum, columns, self.years)}
        return _OfTile(tile.unit.name, pixels, x, y, crs, series)


def _check_lengths(tiles: Sequence[_OfTile]) -> None:
    known: int | None = None
    for tile in tiles:
        for series in tile.series.values():
            known = series.shape[1] if known is None else known
            if series.shape[1] != known:
                raise ArtifactError(
                    f"{tile.name}: series of {series.shape[1]} values, those of other tiles have {known}"
                )


def _series_of_year(tiles: Sequence[_OfTile], year: int) -> npt.NDArray[np.int16]:
    """Series of all candidates, without data where a tile does not have the year; at least one has."""
    length = next(tile.series[year].shape[1] for tile in tiles if year in tile.series)
    missing = (np.full((len(tile.pixels), length), NODATA, dtype=np.int16) for tile in tiles)
    return np.concatenate([tile.series.get(year, none) for tile, none in zip(tiles, missing, strict=True)])


def _joined(pieces: Sequence[npt.NDArray[Any]], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    return np.concatenate(pieces) if pieces else np.empty(0, dtype=dtype)
