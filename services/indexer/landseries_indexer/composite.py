"""A quick-look of a year for the report: what the area looked like in its growing season, in fixed colours.

The stretch is the same for every tile and year, so that two years differ in the picture only where they differ on the
ground. It works on any band of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from landseries.bands import BANDS, NODATA, REFLECTANCE_SCALE

#: Bands of red, green and blue.
TRUE_COLOUR: Final = ("B04", "B03", "B02")
#: Reflectance that is shown as white in true colour, and in grey where the only band is beyond the visible.
WHITE: Final = 0.3
_WHITE_INFRARED: Final = 0.5
_VISIBLE: Final = frozenset({"B02", "B03", "B04"})
#: Exponent of the tone curve: forests and water, the dark half of a landscape, stay distinguishable.
_GAMMA: Final = 1 / 1.6
#: May to September.
_SEASON: Final = range(5, 10)
#: Any year of 365 days: only the month of a date matters.
_CALENDAR_YEAR: Final = date(2018, 1, 1)


def quick_look(
    series: NDArray[np.int16],
    features: Sequence[str],
    days: Sequence[int] | NDArray[np.integer[Any]],
    period_start: date = _CALENDAR_YEAR,
) -> NDArray[np.uint8]:
    """Median of May to September as a picture: true colour, or grey from the first feature where a band is absent.

    Black is reflectance 0 and white 0.3 (0.5 in grey from an infrared band). A feature that is no band is taken for an
    index: black is -1, white 1. A period without a date in the season is shown by all its dates.

    Args:
        series: (date, feature, y, x) int16 stored values, no-data -32768.
        features: Names along the feature axis.
        days: (date,) regular days of the period.
        period_start: First day of the period; by default it is a calendar year.

    Returns:
        (3, y, x) uint8 red, green, blue; 0 in all three is no-data, data are 1..255.

    Raises:
        ValueError: The axes do not fit each other.
    """
    if series.ndim != 4 or series.shape[:2] != (len(days), len(features)) or not features:
        raise ValueError(
            f"series is {series.shape}; expected (date, feature, y, x) of {len(days)} dates, {len(features)} features"
        )
    season = growing_season(days, period_start)
    coloured = set(TRUE_COLOUR) <= set(features)
    shown = TRUE_COLOUR if coloured else (features[0],)
    channels = [_shade(_median(series[season, features.index(name)]), name) for name in shown]
    picture = np.stack(channels if coloured else channels * 3)
    picture[:, (picture == 0).any(axis=0)] = 0
    return picture


def growing_season(
    days: Sequence[int] | NDArray[np.integer[Any]], period_start: date = _CALENDAR_YEAR
) -> NDArray[np.bool_]:
    """Which regular dates lie in May to September: (date,) bool; all of them where none does.

    Args:
        days: Regular days of the period.
        period_start: First day of the period.
    """
    months = [(period_start + timedelta(days=int(day))).month for day in days]
    inside = np.array([month in _SEASON for month in months], dtype=bool)
    return inside if inside.any() else np.ones(len(months), dtype=bool)


def _median(values: NDArray[np.int16]) -> NDArray[np.float32]:
    """Median along the first axis over what has data; NaN where nothing has."""
    absent = values == NODATA
    count = values.shape[0] - absent.sum(axis=0)
    # No-data is made the largest value: sorting leaves the data in front, in order.
    ordered = np.sort(np.where(absent, np.int16(np.iinfo(np.int16).max), values), axis=0)
    low, high = np.maximum(count - 1, 0) // 2, np.maximum(count, 1) // 2
    middle = [np.take_along_axis(ordered, position[None], axis=0)[0].astype(np.float32) for position in (low, high)]
    return np.where(count > 0, (middle[0] + middle[1]) / 2, np.float32(np.nan))


def _shade(median: NDArray[np.float32], feature: str) -> NDArray[np.uint8]:
    """Stored values to 1..255, NaN to 0."""
    if feature in BANDS:
        white = WHITE if feature in _VISIBLE else _WHITE_INFRARED
        share = np.clip(median / np.float32(white * REFLECTANCE_SCALE), 0, 1) ** np.float32(_GAMMA)
    else:
        share = np.clip((median / np.float32(REFLECTANCE_SCALE) + 1) / 2, 0, 1)
    absent = np.isnan(median)
    shade = np.where(absent, 0, 1 + np.rint(np.where(absent, 0, share) * 254))
    return shade.astype(np.uint8)
