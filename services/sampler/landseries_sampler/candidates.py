"""Candidates of a tile on disk: one GeoParquet per stratum, each pixel with the annual series that it may give.

`candidates.parquet` holds the agreeing stratum with a column `series_<year>` for every year that the tile has;
`own_<year>.parquet` holds a year's own stratum with its `series`. Series are date-major lists of int16, dates x
features, -32768 where a date is missing. A stratum that gives no pixel has no file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from landseries.artifacts.series import ROWS_PER_CHUNK, SeriesReader
from landseries.artifacts.tables import write_points
from landseries.errors import ArtifactError
from landseries.grid import Raster
from landseries_sampler.strata import AGREEING, Drawn

_SERIES: Final = "series"


def file_of(stratum: str) -> str:
    """File of a stratum."""
    return "candidates.parquet" if stratum == AGREEING else f"own_{stratum}.parquet"


def series_column(stratum: str, year: int) -> str:
    """Column of a year's series in the file of a stratum."""
    return f"{_SERIES}_{year}" if stratum == AGREEING else _SERIES


def years_of(stratum: str, columns: Iterable[str], years: Iterable[int]) -> list[int]:
    """Which of the years a tile's file of a stratum has series of, from the names of its columns."""
    own = [year for year in years if stratum in (AGREEING, str(year))]
    return [year for year in own if series_column(stratum, year) in columns]


def read_series(reader: SeriesReader, strata: Sequence[Drawn]) -> list[npt.NDArray[np.int16]]:
    """Series of the pixels drawn from several strata, in one pass over the bands of rows that hold some.

    Args:
        reader: the open series of a tile and year.
        strata: drawn pixels.

    Returns:
        For each stratum (n, dates x features) int16, date-major, in the order of its pixels.
    """
    length = len(reader.days) * len(reader.features)
    found = [np.empty((len(drawn), length), dtype=np.int16) for drawn in strata]
    for first in range(0, reader.height, ROWS_PER_CHUNK):
        last = min(first + ROWS_PER_CHUNK, reader.height)
        inside = [np.flatnonzero((drawn.row >= first) & (drawn.row < last)) for drawn in strata]
        if not any(len(one) for one in inside):
            continue
        values = reader.rows(first, last)
        for drawn, series, one in zip(strata, found, inside, strict=True):
            series[one] = values[:, :, drawn.row[one] - first, drawn.column[one]].reshape(length, len(one)).T
    return found


def check_axes(reader: SeriesReader, name: str, features: Sequence[str], days: Sequence[int] | None) -> None:
    """Make sure that the years of a tile can stand in one table.

    Args:
        reader: the open series.
        name: the series as a person knows it.
        features: features of the run.
        days: days of the period of the series read before; None for the first.

    Raises:
        ArtifactError: other features than the run's, or other dates than the year before.
    """
    if reader.features != tuple(features):
        raise ArtifactError(f"{name}: has the features {', '.join(reader.features)}, the run {', '.join(features)}")
    if days is not None and reader.days != tuple(days):
        raise ArtifactError(
            f"{name}: its dates are the days {list(reader.days)} of the period, those of another year {list(days)}; "
            "all years must be indexed with the same settings"
        )


def write_candidates(path: Path, tile: Raster, drawn: Drawn, series: dict[str, npt.NDArray[np.int16]]) -> None:
    """Write the candidates of one stratum.

    Args:
        path: file to write.
        tile: the tile's pixel grid.
        drawn: the pixels.
        series: column name -> (n, dates x features) int16.
    """
    x, y = pixel_centres(tile, drawn.row, drawn.column)
    columns: dict[str, npt.NDArray[Any]] = {
        "row": drawn.row,
        "column": drawn.column,
        "part": drawn.part,
        "class": drawn.classes,
        "priority": drawn.priority,
        **series,
    }
    write_points(path, columns, crs=tile.crs, x=x, y=y)


def pixel_centres(
    tile: Raster, row: npt.NDArray[np.int32], column: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Coordinates (x, y) of pixel centres in the tile's CRS, each (n,) float64."""
    x = tile.left + (column.astype(np.float64) + 0.5) * tile.pixel_width
    y = tile.top - (row.astype(np.float64) + 0.5) * tile.pixel_height
    return x, y
