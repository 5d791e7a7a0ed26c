"""Densities of Gaussians in float32 and their moments in float64, in a fixed order of sums."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from landseries.compiled import called_with, compiled

_BLOCK: Final = 256


def moments(values: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (value,) and covariance (value, value) of pixels (pixel, value) float32; zeros for fewer than two."""
    if len(values) == 0:
        return np.zeros(values.shape[1]), np.zeros((values.shape[1], values.shape[1]))
    mean = values.mean(axis=0, dtype=np.float64)
    scatter = _scatter(np.ascontiguousarray(values), mean)
    return mean, np.asarray(scatter / len(values))


def whitening(covariance: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """What turns deviations into independent ones of unit variance.

    Args:
        covariance: (value, value), symmetric and positive definite.

    Returns:
        The inverse of the lower Cholesky factor, (value, value) float64, and the logarithm of the factor's determinant.

    Raises:
        ValueError: The covariance is not positive definite.
    """
    inverse, log_determinant = _inverse_cholesky(np.ascontiguousarray(covariance, dtype=np.float64))
    if not np.isfinite(log_determinant):
        raise ValueError("the covariance is not positive definite")
    return inverse, float(log_determinant)


def squared_distances(
    values: NDArray[np.float32], means: NDArray[np.float32], whitenings: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Squared Mahalanobis distances.

    Args:
        values: (value, pixel) float32.
        means: (mode, value) float32.
        whitenings: (mode, value, value) float32, lower triangles; see `whitening`.

    Returns:
        (mode, pixel) float32.
    """
    result = np.empty((len(means), values.shape[1]), np.float32)
    _squared_distances(
        np.ascontiguousarray(values), np.ascontiguousarray(means), np.ascontiguousarray(whitenings), result
    )
    return result


@called_with("(float32[:, ::1], float64[::1])")
@compiled
def _scatter(values: NDArray[np.float32], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    pixels, length = values.shape
    scatter = np.zeros((length, length), np.float64)
    deviation = np.empty(length, np.float64)
    for pixel in range(pixels):
        for i in range(length):
            deviation[i] = values[pixel, i] - mean[i]
        for i in range(length):
            row = deviation[i]
            for j in range(i + 1):
                scatter[i, j] += row * deviation[j]
    for i in range(length):
        for j in range(i):
            scatter[j, i] = scatter[i, j]
    return scatter


@called_with("(float64[:, ::1],)")
@compiled
def _inverse_cholesky(covariance: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    length = len(covariance)
    factor = np.zeros((length, length), np.float64)
    inverse = np.zeros((length, length), np.float64)
    log_determinant = 0.0
    for i in range(length):
        for j in range(i + 1):
            rest = covariance[i, j]
            for k in range(j):
                rest -= factor[i, k] * factor[j, k]
            if i > j:
                factor[i, j] = rest / factor[j, j]
            elif rest > 0.0:
                factor[i, i] = np.sqrt(rest)
                log_determinant += np.log(factor[i, i])
            else:
                return inverse, np.nan
    for column in range(length):
        inverse[column, column] = 1.0 / factor[column, column]
        for i in range(column + 1, length):
            rest = 0.0
            for k in range(column, i):
                rest -= factor[i, k] * inverse[k, column]
            inverse[i, column] = rest / factor[i, i]
    return inverse, log_determinant


@called_with("(float32[:, ::1], float32[:, ::1], float32[:, :, ::1], float32[:, ::1])")
@compiled
def _squared_distances(
    values: NDArray[np.float32],
    means: NDArray[np.float32],
    whitenings: NDArray[np.float32],
    result: NDArray[np.float32],
) -> None:
    length, pixels = values.shape
    deviation = np.empty((length, _BLOCK), np.float32)
    white = np.empty(_BLOCK, np.float32)
    for first in range(0, pixels, _BLOCK):
        count = min(_BLOCK, pixels - first)
        for mode in range(len(means)):
            for f in range(length):
                for i in range(count):
                    deviation[f, i] = values[f, first + i] - means[mode, f]
            for i in range(count):
                result[mode, first + i] = 0
            for row in range(length):
                white[:] = 0
                for f in range(row + 1):
                    weight = whitenings[mode, row, f]
                    for i in range(count):
                        white[i] += weight * deviation[f, i]
                for i in range(count):
                    result[mode, first + i] += white[i] * white[i]
