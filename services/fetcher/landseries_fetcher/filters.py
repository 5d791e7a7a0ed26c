"""The few filters of images that the fetcher needs, to the bit as SciPy computes them (which takes 110 MB of an image).

Sums run in float64 and in one order, so that they are the same on every machine.
"""

from __future__ import annotations

from typing import Final, Literal, TypeVar

import numpy as np
import numpy.typing as npt

#: Pixels that are filtered at a time, in whole rows, so that what is computed stays in the processor's cache.
_PIXELS: Final = 1 << 15
#: A Gaussian is cut off at this many standard deviations.
_TRUNCATE: Final = 4.0

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
_Float = TypeVar("_Float", np.float32, np.float64)


def correlate1d(
    values: npt.NDArray[_Float], weights: FloatArray, axis: int, edge: Literal["constant", "symmetric"] = "constant"
) -> npt.NDArray[_Float]:
    """Sum of the weighted neighbours along an axis.

    Args:
        values: (rows, columns).
        weights: an odd number of them; the middle one is the pixel's own.
        axis: 0 for neighbours in the column, 1 for those in the row.
        edge: beyond the image lie zeros ("constant"), or its mirror ("symmetric").

    Returns:
        (rows, columns) of the same type, rounded from float64.
    """
    reach = len(weights) // 2
    margins = [(reach, reach) if each == axis else (0, 0) for each in (0, 1)]
    padded = np.pad(values, margins, mode=edge)
    filtered = np.empty_like(values)
    below = 2 * reach if axis == 0 else 0
    rows = max(8, _PIXELS // max(1, values.shape[1]))
    for first in range(0, len(values), rows):
        block = padded[first : first + rows + below].astype(np.float64)
        shape = (len(block) - below, values.shape[1])
        taps = [
            block[tap : tap + shape[0]] if axis == 0 else block[:, tap : tap + shape[1]] for tap in range(2 * reach + 1)
        ]
        filtered[first : first + rows] = _weighted(taps, weights)
    return filtered


def gaussian(values: FloatArray, sigma_px: float, order: tuple[int, int]) -> FloatArray:
    """Gaussian smoothing, or its first derivative along an axis; beyond the image lies its mirror.

    Args:
        values: (rows, columns).
        sigma_px: standard deviation in pixels.
        order: 0 to smooth, 1 for the derivative, along rows and columns.

    Returns:
        (rows, columns) float64.
    """
    for axis, derivative in enumerate(order):
        values = correlate1d(values, _gaussian_weights(sigma_px, derivative)[::-1], axis, "symmetric")
    return values


def any_in_run(mask: BoolArray, reach_px: int, axis: int) -> BoolArray:
    """Where a pixel no further than `reach_px` along an axis is True; those beyond the image are not."""
    return _in_run(mask, reach_px, axis, np.logical_or)


def all_in_square(mask: BoolArray, reach_px: int) -> BoolArray:
    """Where all pixels no further than `reach_px` along both axes are True; those beyond the image are not."""
    return _in_run(_in_run(mask, reach_px, 0, np.logical_and), reach_px, 1, np.logical_and)


def fast_length(length: int) -> int:
    """The shortest length from this on that a Fourier transform does fast: a product of 2, 3 and 5."""
    while True:
        rest = length
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return length
        length += 1


def _in_run(mask: BoolArray, reach_px: int, axis: int, join: np.ufunc) -> BoolArray:
    found = np.pad(mask, [(reach_px, reach_px) if each == axis else (0, 0) for each in (0, 1)])
    wanted, length = 2 * reach_px + 1, 1
    # `found` holds runs of `length` from each pixel on; two of them, shifted, make longer ones.
    while length < wanted:
        step = min(length, wanted - length)
        found = join(found[:-step], found[step:]) if axis == 0 else join(found[:, :-step], found[:, step:])
        length += step
    return found


def _weighted(taps: list[FloatArray], weights: FloatArray) -> FloatArray:
    """The sum, in SciPy's order: where weights mirror each other, so do the pairs that they are multiplied with."""
    middle = len(weights) // 2
    sign = _symmetry(weights)
    if sign == 0:
        total: FloatArray = taps[-1] * weights[-1]
        term = np.empty_like(total)
        for tap, weight in zip(taps[:-1], weights[:-1], strict=True):
            total += np.multiply(tap, weight, out=term)
        return total
    total = taps[middle] * weights[middle]
    for place in range(middle):
        behind = taps[len(taps) - 1 - place]
        total += (taps[place] + behind if sign > 0 else taps[place] - behind) * weights[place]
    return total


def _symmetry(weights: FloatArray) -> int:
    """1 of weights that mirror each other, -1 where their sign turns, 0 of others."""
    tiny = float(np.finfo(np.float64).eps)
    if bool((np.abs(weights - weights[::-1]) <= tiny).all()):
        return 1
    return -1 if bool((np.abs(weights + weights[::-1]) <= tiny).all()) else 0


def _gaussian_weights(sigma_px: float, derivative: int) -> FloatArray:
    reach = int(_TRUNCATE * sigma_px + 0.5)
    places = np.arange(-reach, reach + 1)
    weights: FloatArray = np.exp(-0.5 / (sigma_px * sigma_px) * places**2)
    weights = weights / weights.sum()
    return weights if derivative == 0 else places * (-1.0 / (sigma_px * sigma_px)) * weights
