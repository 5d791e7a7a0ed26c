"""What a pixel looked like in the training year: a short vector of seasonal means of every index.

The year is cut into equal seasons, each index is averaged over the dates of a season that are not missing, and a
season without any takes the value of the nearest season that has one. Few indices get more seasons, so that a cube of
a single index is still described by its course through the year.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from landseries.artifacts.series import SeriesReader
from landseries.bands import NODATA, REFLECTANCE_SCALE
from landseries.compiled import called_with, compiled

_SEASONS_MIN: Final = 4
_SEASONS_MAX: Final = 12
_NODATA: Final = NODATA
_SCALE: Final = float(REFLECTANCE_SCALE)


@dataclass(frozen=True)
class Description:
    """Pixels of a tile as vectors.

    Attributes:
        names: Name of each value, such as `ndvi-2` for the second season, in the order of the vector.
        values: (value, pixel) float32 in index units; pixels in reading order of the tile.
        seen: (pixel,) bool, whether every index has a value on some date; others hold zeros.
    """

    names: tuple[str, ...]
    values: NDArray[np.float32]
    seen: NDArray[np.bool_]


def seasons_of(indices: int, dates: int, length: int) -> int:
    """Number of seasons for a vector of about `length` values: 4 to 12, and no more than dates."""
    return min(dates, max(_SEASONS_MIN, min(_SEASONS_MAX, length // indices)))


def describe(series: SeriesReader, length: int) -> Description:
    """Describe the pixels of a tile, reading the series in bands of rows.

    Args:
        series: Indices of the training year, int16 x 10,000, -32768 missing.
        length: Wanted length of the vector; see `seasons_of`. The same series and length give the same vectors.
    """
    dates, indices = len(series.days), len(series.features)
    seasons = seasons_of(indices, dates, length)
    season_of_date = (np.arange(dates) * seasons // dates).astype(np.int64)
    pixels = series.height * series.width
    values = np.zeros((indices * seasons, pixels), np.float32)
    seen = np.zeros(pixels, bool)
    for first_row, block in series.blocks():
        flat = np.ascontiguousarray(block).reshape(dates, indices, -1)
        _seasonal_means(flat, season_of_date, seasons, first_row * series.width, values, seen)
    names = tuple(f"{index}-{season + 1}" for index in series.features for season in range(seasons))
    return Description(names, values, seen)


@called_with("(int16[:, :, ::1], int64[::1], int64, int64, float32[:, ::1], boolean[::1])")
@compiled
def _seasonal_means(
    block: NDArray[np.int16],
    season_of_date: NDArray[np.int64],
    seasons: int,
    start: int,
    values: NDArray[np.float32],
    seen: NDArray[np.bool_],
) -> None:
    """Write the vectors of a block (date, index, pixel) from pixel `start` on."""
    dates, indices, pixels = block.shape
    total = np.zeros((seasons, pixels), np.int32)
    count = np.zeros((seasons, pixels), np.int32)
    for pixel in range(pixels):
        seen[start + pixel] = True
    for index in range(indices):
        total[:] = 0
        count[:] = 0
        for date in range(dates):
            season = season_of_date[date]
            for pixel in range(pixels):
                value = block[date, index, pixel]
                if value != _NODATA:
                    total[season, pixel] += value
                    count[season, pixel] += 1
        for season in range(seasons):
            row = index * seasons + season
            for pixel in range(pixels):
                nearest = season
                distance = 0
                while distance < seasons:
                    if season - distance >= 0 and count[season - distance, pixel] > 0:
                        nearest = season - distance
                        break
                    if season + distance < seasons and count[season + distance, pixel] > 0:
                        nearest = season + distance
                        break
                    distance += 1
                if count[nearest, pixel] > 0:
                    mean = total[nearest, pixel] / (count[nearest, pixel] * _SCALE)
                    values[row, start + pixel] = mean
                else:
                    seen[start + pixel] = False
