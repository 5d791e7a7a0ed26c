"""Irregular acquisitions to a regular series: linear interpolation between the clear views of every pixel.

A forest of one year can read another year only if both have their values on the same days of the period, and nothing
can be learnt from clouds. So each pixel's clear views are interpolated onto regular dates; where no clear view is near,
the date is flagged as missing, and the number of clear views is kept because it explains a poor map.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numba
import numpy as np
from numpy.typing import NDArray

from landseries.bands import NODATA
from landseries.errors import ConfigError
from landseries_indexer.sweep import BLOCK, sweep

#: Days of a period that regular dates are computed for; in a leap year they are the same days of the period.
DAYS_OF_YEAR: Final = 365

#: Days that int16 holds: what the sweep's arithmetic is exact for.
_LARGEST_DAY: Final = 32_767
#: Blocks that a thread takes at a time: few, so that all threads stay busy to the end.
_BLOCKS_A_PORTION: Final = 8


@dataclass(frozen=True)
class RegularSeries:
    """A block of rows on regular dates.

    Attributes:
        values: (date, band, y, x) int16 like the acquisitions', no-data -32768 where missing.
        missing: (date, y, x) bool, the date's nearest clear view is further than allowed, or there is none.
        clear_views: (y, x) uint8, days with a clear view; 255 stands for 255 or more. A pixel with too few of them
            keeps its series.
    """

    values: NDArray[np.int16]
    missing: NDArray[np.bool_]
    clear_views: NDArray[np.uint8]


def regular_days(period_days: int = DAYS_OF_YEAR, dates: int = 24) -> NDArray[np.int32]:
    """The regular dates of a period: the days on which equal intervals have their centres, counted from 0.

    Args:
        period_days: Length of the period in days. A leap year counts as 365 days, so that all years share their dates.
        dates: Number of regular dates.

    Returns:
        (dates,) strictly ascending days of the period.

    Raises:
        ConfigError: There are more dates than days, or no date.
    """
    length = DAYS_OF_YEAR if period_days == DAYS_OF_YEAR + 1 else period_days
    if not 1 <= dates <= length:
        raise ConfigError(f"index.dates: {dates} regular dates do not fit into a period of {length} days")
    return (((2 * np.arange(dates) + 1) * length) // (2 * dates)).astype(np.int32)


def regularise(
    values: NDArray[np.int16],
    clear: NDArray[np.bool_] | NDArray[np.uint8],
    days: NDArray[np.integer[Any]] | NDArray[np.floating[Any]],
    dates: NDArray[np.integer[Any]],
    *,
    max_gap_days: int = 60,
    threads: int | None = None,
) -> RegularSeries:
    """Interpolate the clear views of every pixel onto regular dates.

    A view is clear where its mask says so and every band has data. Between two clear views values are interpolated
    linearly, before the first and after the last one they are constant; results are exact, rounded half up. A date is
    missing where the nearest clear view, before or after it, is further than `max_gap_days` away. Clear views of one
    day (two orbits) are averaged first and count once. The result does not depend on the number of threads.

    Args:
        values: (view, band, y, x) int16 reflectance x 10,000 or another stored feature, no-data -32768.
        clear: (view, y, x) bool or uint8, 0 where the view is not clear.
        days: (view,) day of the period of each view, ascending; a fraction is cut off (the view's whole day counts).
        dates: (date,) regular days of the period, strictly ascending; see `regular_days`.
        max_gap_days: Longest distance in days from a date to its nearest clear view.
        threads: Threads to use; default Numba's number (`numba.set_num_threads`).

    Raises:
        ValueError: Arrays have other dtypes or axes, or days or dates are not in order.
    """
    whole_days = _checked_days("days", np.floor(np.asarray(days)), strictly=False)
    targets = _checked_days("dates", np.asarray(dates), strictly=True)
    _check_cube(values, clear, whole_days)
    if not 0 <= max_gap_days <= _LARGEST_DAY:
        raise ValueError(f"max_gap_days: {max_gap_days}; expected 0..{_LARGEST_DAY}")
    threads = numba.get_num_threads() if threads is None else threads
    if threads < 1:
        raise ValueError(f"threads: {threads}; expected at least 1")

    values, clear, whole_days = _average_same_day(values, clear, whole_days)
    views, bands, height, width = values.shape
    pixels = height * width
    series = np.empty((targets.size, bands, pixels), np.int16)
    missing = np.empty((targets.size, pixels), np.bool_)
    count = np.empty(pixels, np.uint8)
    flat = np.ascontiguousarray(values).reshape(views, bands, pixels)
    flags = np.ascontiguousarray(clear).reshape(views, pixels).view(np.uint8)
    interval_of = np.searchsorted(targets, whole_days)

    def portion(start: int, stop: int) -> None:
        sweep(flat, flags, whole_days, interval_of, targets, max_gap_days, start, stop, series, missing, count)

    _in_portions(portion, pixels, threads)
    return RegularSeries(
        series.reshape(targets.size, bands, height, width),
        missing.reshape(targets.size, height, width),
        count.reshape(height, width),
    )


def _in_portions(portion: Callable[[int, int], None], pixels: int, threads: int) -> None:
    """Do all pixels, from a start to a stop at a time, on so many threads."""
    step = BLOCK * max(1, min(_BLOCKS_A_PORTION, pixels // (2 * threads * BLOCK)))
    starts = range(0, pixels, step)
    stops = [min(pixels, start + step) for start in starts]
    if threads == 1 or len(starts) < 2:
        for start, stop in zip(starts, stops, strict=True):
            portion(start, stop)
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="regularise") as pool:
        for _ in pool.map(portion, starts, stops):
            pass


def _checked_days(name: str, days: NDArray[Any], *, strictly: bool) -> NDArray[np.int32]:
    if days.ndim != 1 or not np.all(np.abs(days) <= _LARGEST_DAY):
        raise ValueError(f"{name}: expected one axis of days within ±{_LARGEST_DAY}, not {days.dtype} {days.shape}")
    steps = np.diff(days)
    if np.any(steps <= 0 if strictly else steps < 0):
        raise ValueError(f"{name}: must be {'strictly ' if strictly else ''}ascending, not {days.tolist()}")
    return days.astype(np.int32)


def _check_cube(values: NDArray[Any], clear: NDArray[Any], days: NDArray[np.int32]) -> None:
    if values.ndim != 4 or values.dtype != np.int16 or values.shape[0] != days.size:
        raise ValueError(
            f"values are {values.dtype} {values.shape}; expected int16 (view, band, y, x) of {days.size} views"
        )
    expected = (days.size, *values.shape[2:])
    if clear.dtype not in (np.bool_, np.uint8) or clear.shape != expected:
        raise ValueError(f"clear is {clear.dtype} {clear.shape}; expected bool or uint8 {expected} (view, y, x)")


def _average_same_day(
    values: NDArray[np.int16], clear: NDArray[Any], days: NDArray[np.int32]
) -> tuple[NDArray[np.int16], NDArray[Any], NDArray[np.int32]]:
    """One view a day: the mean over the day's clear views, rounded half up; days with one view are left as they are."""
    firsts = np.flatnonzero(np.diff(days, prepend=-_LARGEST_DAY - 1))
    if firsts.size == days.size:
        return values, clear, days
    merged = values[firsts]
    merged_clear = (clear[firsts] != 0).astype(np.uint8)
    ends = np.append(firsts[1:], days.size)
    for position in np.flatnonzero(ends - firsts > 1):
        views = slice(firsts[position], ends[position])
        seen = (clear[views] != 0) & (values[views] != NODATA).all(axis=1)
        count = seen.sum(axis=0, dtype=np.int64)
        total = np.where(seen[:, None], values[views], 0).sum(axis=0, dtype=np.int64)
        merged[position] = np.where(count > 0, (2 * total + count) // np.maximum(2 * count, 1), NODATA)
        merged_clear[position] = count > 0
    return merged, merged_clear, days[firsts]
