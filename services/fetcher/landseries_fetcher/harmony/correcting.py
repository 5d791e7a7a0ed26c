"""Undoing a shift of a fraction of a pixel when an acquisition is read.

The rule: every image is resampled on its own grid (10 m or 20 m) by the same distance in metres, and only then are
coarse bands repeated onto the fine grid, as without a shift. A pixel of 20 m covers exactly two by two pixels of 10 m,
so the same ground stays at the same place in all bands. Digital numbers are interpolated by cubic convolution (Keys,
"Cubic convolution interpolation for digital image processing", IEEE TASSP 29(6), 1981: a = -1/2), before the offset is
added; beside pixels without data bilinearly, from those that have data. A pixel has data exactly where its nearest
source pixel has. The scene classification takes its nearest neighbour. A shift of zero changes nothing.
"""

from __future__ import annotations

import math
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from landseries_fetcher.filters import correlate1d
from landseries_fetcher.harmony.shifts import Shift

#: Fractions of a pixel below this are none: a tenth of a millimetre at 10 m.
_NEGLIGIBLE_PX: Final = 1e-5
#: Pixels that cubic convolution reaches to each side.
_REACH_PX: Final = 2
_LARGEST: Final = 65_535

FloatArray = npt.NDArray[np.float64]
FloatArray32 = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
_Value = TypeVar("_Value", bound=np.generic)


def correct_numbers(numbers: npt.NDArray[np.uint16], shift: Shift, pixel_m: float) -> npt.NDArray[np.uint16]:
    """Move an image back to where it should lie.

    Args:
        numbers: (rows, columns) digital numbers, 0 for no-data.
        shift: how far the image lies from where it should.
        pixel_m: size of a pixel in metres.

    Returns:
        (rows, columns) digital numbers, 0 where the nearest source pixel has no data or lies beyond the image, never
        0 elsewhere. Pixels nearer to the rim than `margin_px` are not what a larger image would give.
    """
    (row, row_part), (column, column_part) = _steps(shift, pixel_m)
    if row_part == 0.0 and column_part == 0.0:
        return _moved(numbers, row, column)
    valid = numbers != 0
    values = numbers.astype(np.float32)
    complete = np.ones_like(valid)
    result = values
    for axis, part in ((0, row_part), (1, column_part)):
        kernel = _cubic(part)
        result = correlate1d(result, kernel, axis)
        used = np.flatnonzero(kernel) - _REACH_PX
        complete = _all_of(complete if axis else valid, axis, int(used[0]), int(used[-1]))
    partial = valid & ~complete
    if partial.any():
        result[partial] = _bilinear(values, valid, row_part, column_part, partial)
    corrected = np.clip(np.rint(result), 1, _LARGEST).astype(np.uint16)
    corrected[~valid] = 0
    # What is left is a move of whole pixels; the rest was at most half a pixel, so that the nearest pixel decides.
    return _moved(corrected, row, column)


def correct_classes(scene: npt.NDArray[np.uint8], shift: Shift, pixel_m: float) -> npt.NDArray[np.uint8]:
    """Move a scene classification back to where it should lie, by nearest neighbour.

    Args:
        scene: (rows, columns) SCL values, 0 for no-data.
        shift: how far the image lies from where it should.
        pixel_m: size of a pixel in metres; at 20 m a class is up to 10 m from its place, so the mask's buffer should
            not be smaller.

    Returns:
        (rows, columns) classes, 0 where the source lies beyond the image.
    """
    (row, _), (column, _) = _steps(shift, pixel_m)
    return _moved(scene, row, column)


def margin_px(shift: Shift, pixel_m: float) -> int:
    """Pixels beyond a window that its correction reads; 0 for no shift."""
    reach = 0
    for whole, part in _steps(shift, pixel_m):
        reach = max(reach, abs(whole) + (_REACH_PX if part else 0))
    return reach


def _steps(shift: Shift, pixel_m: float) -> tuple[tuple[int, float], tuple[int, float]]:
    """Where a pixel's value comes from: whole pixels and the rest, -0.5 to 0.5, down and to the right."""
    steps = []
    for distance_m in (-shift.north_m, shift.east_m):
        distance_px = distance_m / pixel_m
        whole = math.floor(distance_px + 0.5)
        part = distance_px - whole
        steps.append((whole, part if abs(part) >= _NEGLIGIBLE_PX else 0.0))
    return steps[0], steps[1]


def _cubic(part: float) -> FloatArray:
    """Weights of cubic convolution for the pixels -2 to 2 around one, at a place up to half a pixel from its centre."""
    if part == 0.0:
        return np.array([0.0, 0.0, 1.0, 0.0, 0.0])
    return np.array([_keys(abs(tap - part)) for tap in range(-_REACH_PX, _REACH_PX + 1)])


def _keys(distance: float) -> float:
    if distance <= 1:
        return 1.5 * distance**3 - 2.5 * distance**2 + 1
    if distance < 2:
        return -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    return 0.0


def _all_of(mask: BoolArray, axis: int, first: int, last: int) -> BoolArray:
    """Where the pixels `first` to `last` along an axis are all True; those beyond the edge are not."""
    found = np.ones_like(mask)
    for step in range(first, last + 1):
        found &= _moved(mask, step, 0) if axis == 0 else _moved(mask, 0, step)
    return found


def _bilinear(values: FloatArray32, valid: BoolArray, down: float, right: float, where: BoolArray) -> FloatArray:
    """Bilinear interpolation from pixels with data alone, at the pixels `where`, which have data themselves."""
    total = np.zeros(int(np.count_nonzero(where)))
    weight = np.zeros_like(total)
    for row, row_weight in _linear(down):
        for column, column_weight in _linear(right):
            share = row_weight * column_weight * _moved(valid, row, column)[where]
            total += share * _moved(values, row, column)[where]
            weight += share
    return total / weight


def _linear(part: float) -> list[tuple[int, float]]:
    if part == 0.0:
        return [(0, 1.0)]
    return [(0, 1 - abs(part)), (1 if part > 0 else -1, abs(part))]


def _moved(image: npt.NDArray[_Value], down: int, right: int) -> npt.NDArray[_Value]:
    """The image at (row + down, column + right), 0 beyond its edges."""
    moved = np.zeros_like(image)
    rows, columns = image.shape
    to_rows = slice(max(0, -down), max(0, min(rows, rows - down)))
    to_columns = slice(max(0, -right), max(0, min(columns, columns - right)))
    if to_rows.start < to_rows.stop and to_columns.start < to_columns.stop:
        moved[to_rows, to_columns] = image[
            to_rows.start + down : to_rows.stop + down, to_columns.start + right : to_columns.stop + right
        ]
    return moved
