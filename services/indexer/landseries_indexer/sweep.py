"""The compiled half of regularisation: one pass over the views and one over the dates, a block of pixels at a time.

Clouds differ from pixel to pixel, so the neighbours of a regular date do too; looking each up would make every value a
search and a gather. Instead the regular dates cut the year into intervals, and for each interval and pixel two clear
views are kept: the last one so far, and the first one in it.

- Going through the views in time, a view is read once, and a bit mask of its clear pixels decides which of the two
  rows it replaces. The left neighbour of a date is then the last clear view of the interval that ends on it.
- Going back through the dates, the right neighbour is the first clear view of the interval that follows, or the one
  carried back from later ones.

Both passes are straight loops along x without a branch, which compilers turn into vector instructions. Weights are
computed once a date and serve all bands.

Interpolated values are exact rational numbers rounded half up (towards +inf). They are computed in float64, where the
error of difference x weight stays below 2**-36, while a value that is no tie is at least 2**-18 away from one: with
half a unit and 2**-30 added, truncation to the integer below gives the exact answer on every processor.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from landseries.bands import NODATA
from landseries.compiled import called_with, compiled_unchecked

#: Pixels that are swept together: their rows of one date and all bands fit in the first- and second-level cache.
BLOCK: Final = 2048
#: A day further away than any: there is no clear view on that side.
_NEVER: Final = np.int32(1 << 20)
_FAR: Final = np.int32(1 << 19)
#: Bytes of a cache line.
_LINE: Final = 64
_HALF_UP: Final = 0.5 + 2.0**-30
_MISSING: Final = np.int16(NODATA)
_LARGEST: Final = np.int16(np.iinfo(np.int16).max)
_SET: Final = np.int16(-1)
_CLEARED: Final = np.int16(0)


class _Scratch(NamedTuple):
    """Rows of one block; masks are 0 or -1 (all bits set). Interval i ends on date i; one more follows the last date.

    Attributes:
        last, last_day: (band, pixel), (pixel,) the last clear view so far and its day, while going through the views.
        left, left_day: (interval, band, pixel), (interval, pixel) the same at the end of each interval.
        first, first_day: (interval, band, pixel), (interval, pixel) the first clear view in each interval.
        found: (interval, pixel) mask of pixels with a clear view in the interval.
        right, right_day: (band, pixel), (pixel,) the right neighbour of the current date.
        clear, fresh: (pixel,) masks of the current view: clear, and the first such in its interval.
        weight: (pixel,) of the right neighbour.
        clear_views: (pixel,) their number.
    """

    last: NDArray[np.int16]
    last_day: NDArray[np.int32]
    left: NDArray[np.int16]
    left_day: NDArray[np.int32]
    first: NDArray[np.int16]
    first_day: NDArray[np.int32]
    found: NDArray[np.int16]
    right: NDArray[np.int16]
    right_day: NDArray[np.int32]
    clear: NDArray[np.int16]
    fresh: NDArray[np.int16]
    weight: NDArray[np.float64]
    clear_views: NDArray[np.int16]


@compiled_unchecked
def _rows(number: int) -> NDArray[np.int16]:
    """Zeros for rows of int16, on a cache line's boundary: vector loads across two lines take twice the time."""
    space = np.zeros(number * BLOCK + _LINE // 2, np.int16)
    skip = (-space.ctypes.data % _LINE) // 2
    return space[skip : skip + number * BLOCK]


@called_with(
    "(int16[:, :, ::1], uint8[:, ::1], int32[::1], int64[::1], int32[::1], int64, int64, int64, int16[:, :, ::1], "
    "boolean[:, ::1], uint8[::1])"
)
@compiled_unchecked
def sweep(
    values: NDArray[np.int16],
    clear: NDArray[np.uint8],
    days: NDArray[np.int32],
    interval_of: NDArray[np.intp],
    targets: NDArray[np.int32],
    max_gap_days: int,
    start: int,
    stop: int,
    series: NDArray[np.int16],
    missing: NDArray[np.bool_],
    count: NDArray[np.uint8],
) -> None:
    """Regularise pixels start..stop-1 into series, missing and count; see `regularise` for what is computed.

    Args:
        values: (view, band, pixel), no-data -32768.
        clear: (view, pixel), 0 where not clear.
        days: (view,) strictly ascending.
        interval_of: (view,) number of dates before the view.
        targets: (date,) strictly ascending.
        max_gap_days: distance to the nearest clear view beyond which a date is missing.
        start: first pixel.
        stop: pixel after the last.
        series: (date, band, pixel), written.
        missing: (date, pixel), written.
        count: (pixel,), written.
    """
    dates, bands = targets.shape[0], values.shape[1]
    scratch = _Scratch(
        _rows(bands).reshape(bands, BLOCK),
        _rows(2).view(np.int32),
        _rows((dates + 1) * bands).reshape(dates + 1, bands, BLOCK),
        _rows(2 * (dates + 1)).view(np.int32).reshape(dates + 1, BLOCK),
        _rows((dates + 1) * bands).reshape(dates + 1, bands, BLOCK),
        _rows(2 * (dates + 1)).view(np.int32).reshape(dates + 1, BLOCK),
        _rows(dates + 1).reshape(dates + 1, BLOCK),
        _rows(bands).reshape(bands, BLOCK),
        _rows(2).view(np.int32),
        _rows(1),
        _rows(1),
        _rows(4).view(np.float64),
        _rows(1),
    )
    for pixel in range(start, stop, BLOCK):
        pixels = min(BLOCK, stop - pixel)
        _collect(values, clear, days, interval_of, pixel, pixels, scratch)
        _saturate(scratch.clear_views, pixels, count[pixel : pixel + pixels])
        scratch.right[:] = 0
        scratch.right_day[:] = _NEVER
        for date in range(dates - 1, -1, -1):
            gap = missing[date, pixel : pixel + pixels]
            _weigh(targets[date], max_gap_days, date, pixels, scratch, gap)
            _blend(date, pixels, scratch, gap, series[date], pixel)


@compiled_unchecked
def _collect(
    values: NDArray[np.int16],
    clear: NDArray[np.uint8],
    days: NDArray[np.int32],
    interval_of: NDArray[np.intp],
    pixel: int,
    pixels: int,
    scratch: _Scratch,
) -> None:
    """Go through the views in time; afterwards each interval knows its last clear view so far and its first one."""
    scratch.clear_views[:] = 0
    scratch.found[:] = 0
    scratch.last[:] = 0
    scratch.last_day[:] = -_NEVER
    interval = 0
    for view in range(days.shape[0]):
        while interval < interval_of[view]:
            _keep(scratch, interval, pixels)
            interval += 1
        if _see(values, clear, view, pixel, pixels, scratch, scratch.found[interval]):
            _take(values, view, days[view], pixel, pixels, scratch, interval)
    for later in range(interval, scratch.left.shape[0]):
        _keep(scratch, later, pixels)


@compiled_unchecked
def _keep(scratch: _Scratch, interval: int, pixels: int) -> None:
    """Keep the last clear views so far as those at the end of the interval."""
    for band in range(scratch.last.shape[0]):
        last, left = scratch.last[band], scratch.left[interval, band]
        for x in range(pixels):
            left[x] = last[x]
    last_day, left_day = scratch.last_day, scratch.left_day[interval]
    for x in range(pixels):
        left_day[x] = last_day[x]


@compiled_unchecked
def _see(
    values: NDArray[np.int16],
    clear: NDArray[np.uint8],
    view: int,
    pixel: int,
    pixels: int,
    scratch: _Scratch,
    found: NDArray[np.int16],
) -> bool:
    """Set the view's masks; False, and its bands are not even read, where no pixel of the block is clear."""
    flags = clear[view, pixel : pixel + pixels]
    some = np.uint8(0)
    for x in range(pixels):
        some |= flags[x]
    if some == 0:
        return False
    mask, fresh, clear_views = scratch.clear, scratch.fresh, scratch.clear_views
    # No-data is the smallest int16: the minimum over a pixel's bands tells whether one of them has none.
    for x in range(pixels):
        mask[x] = _LARGEST if flags[x] != 0 else _MISSING
    bands = values.shape[1]
    for band in range(0, bands, 2):
        value = values[view, band, pixel : pixel + pixels]
        other = values[view, min(band + 1, bands - 1), pixel : pixel + pixels]
        for x in range(pixels):
            mask[x] = min(mask[x], min(value[x], other[x]))
    for x in range(pixels):
        mask[x] = _SET if mask[x] != _MISSING else _CLEARED
    for x in range(pixels):
        fresh[x] = mask[x] & ~found[x]
        clear_views[x] -= mask[x]
    for x in range(pixels):
        found[x] |= mask[x]
    return True


@compiled_unchecked
def _take(
    values: NDArray[np.int16],
    view: int,
    day: int,
    pixel: int,
    pixels: int,
    scratch: _Scratch,
    interval: int,
) -> None:
    """Let the view replace the interval's last clear view, and its first where it is the first."""
    mask, fresh = scratch.clear, scratch.fresh
    for band in range(values.shape[1]):
        value = values[view, band, pixel : pixel + pixels]
        last, first = scratch.last[band], scratch.first[interval, band]
        for x in range(pixels):
            last[x] ^= (last[x] ^ value[x]) & mask[x]
            first[x] ^= (first[x] ^ value[x]) & fresh[x]
    last_day, first_day = scratch.last_day, scratch.first_day[interval]
    for x in range(pixels):
        last_day[x] ^= (last_day[x] ^ day) & np.int32(mask[x])
        first_day[x] ^= (first_day[x] ^ day) & np.int32(fresh[x])


@compiled_unchecked
def _saturate(clear_views: NDArray[np.int16], pixels: int, stored: NDArray[np.uint8]) -> None:
    for x in range(pixels):
        stored[x] = min(clear_views[x], 255)


@compiled_unchecked
def _weigh(
    target: int, max_gap_days: int, date: int, pixels: int, scratch: _Scratch, missing: NDArray[np.bool_]
) -> None:
    """Bring the right neighbour's day back to this date; the weights of right neighbours, and what is missing."""
    left_day, right_day, weight = scratch.left_day[date], scratch.right_day, scratch.weight
    following, found = scratch.first_day[date + 1], scratch.found[date + 1]
    for x in range(pixels):
        right_day[x] ^= (right_day[x] ^ following[x]) & np.int32(found[x])
    for x in range(pixels):
        since, until = target - left_day[x], right_day[x] - target
        missing[x] = min(since, until) > max_gap_days
        # The right neighbour is later than the date, so the denominator is at least 1.
        share = np.float64(since) / np.float64(since + until)
        weight[x] = 1.0 if since > _FAR else (0.0 if until > _FAR else share)


@compiled_unchecked
def _blend(
    date: int,
    pixels: int,
    scratch: _Scratch,
    missing: NDArray[np.bool_],
    series: NDArray[np.int16],
    pixel: int,
) -> None:
    """Bring the right neighbour's values back to this date, and write the date's series (band, all pixels)."""
    found, weight = scratch.found[date + 1], scratch.weight
    for band in range(series.shape[0]):
        left, right, following = scratch.left[date, band], scratch.right[band], scratch.first[date + 1, band]
        out = series[band, pixel : pixel + pixels]
        for x in range(pixels):
            right[x] ^= (right[x] ^ following[x]) & found[x]
        for x in range(pixels):
            rise = np.float64(np.int32(right[x]) - np.int32(left[x])) * weight[x]
            value = np.int32(left[x]) + np.int32(np.floor(rise + _HALF_UP))
            out[x] = _MISSING if missing[x] else np.int16(value)
