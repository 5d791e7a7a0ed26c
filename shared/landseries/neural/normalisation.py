"""From stored annual series to what a network reads: standardised features and one flag for missing dates.

Mean and standard deviation come from the training set over all its years and travel with the weights, so that a
series is read the same way wherever it is read. Standardised values are rounded to bfloat16 (8 significant bits: 0.4 %
of a value, far below the noise of a reflectance) whatever the precision that follows, so that a network labels alike in
float32 and in bfloat16: of all roundings this one would change most labels. Everything here is plain NumPy; the
mapper's kernel repeats the same float32 operations on its blocks, to the bit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from landseries.bands import NODATA
from landseries.errors import ArtifactError

#: Input channels beyond the features: the flag of a missing date.
FLAG_CHANNELS = 1


class SeriesArray(Protocol):
    """What tells the shape and dtype of series, in memory or elsewhere."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""

    @property
    def ndim(self) -> int:
        """Number of axes."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation per feature, in stored units (reflectance x 10,000).

    Attributes:
        mean: (features,) float32.
        std: (features,) float32, positive.
    """

    mean: NDArray[np.float32]
    std: NDArray[np.float32]

    @property
    def scale(self) -> NDArray[np.float32]:
        """(features,) float32: what a centred value is multiplied by; one rounding of 1/std."""
        return (np.float32(1) / self.std).astype(np.float32)


def measure_normalisation(series: NDArray[np.int16]) -> Normalisation:
    """Mean and standard deviation of each feature over all series and dates that have it.

    Args:
        series: (n, dates, features) int16, reflectance x 10,000, -32768 where missing.

    Returns:
        The statistics. A feature that is constant, or missing everywhere, gets a standard deviation of 1
        (and a mean of 0 where it is missing everywhere), so that it carries nothing.

    Raises:
        ArtifactError: The array is not of that shape or dtype.
    """
    check_series(series)
    return measure_in_parts([series], series.shape[2])


def measure_in_parts(parts: Iterable[NDArray[np.int16]], features: int) -> Normalisation:
    """What `measure_normalisation` says of all parts together.

    The sums are integers, so the result depends neither on the order of the series nor on how they are cut.
    """
    counts, totals, squares = [0] * features, [0] * features, [0] * features
    for part in parts:
        for feature in range(features):
            column = part[:, :, feature].ravel()
            values = column[column != NODATA].astype(np.int64)
            counts[feature] += values.size
            totals[feature] += int(values.sum())
            squares[feature] += int((values * values).sum())
    mean = np.zeros(features)
    std = np.ones(features)
    for feature, (count, total, square) in enumerate(zip(counts, totals, squares, strict=True)):
        if count == 0:
            continue
        mean[feature] = total / count
        variance = (square * count - total * total) / count**2
        std[feature] = np.sqrt(variance) if variance > 0 else 1.0
    return Normalisation(mean.astype(np.float32), std.astype(np.float32))


def network_input(series: NDArray[np.int16], normalisation: Normalisation) -> NDArray[np.float32]:
    """What the network reads of each series.

    Args:
        series: (n, dates, features) int16, reflectance x 10,000, -32768 where missing.
        normalisation: The statistics of the training set.

    Returns:
        (n, dates, features + 1) float32: (value - mean) x (1/std) per feature, rounded to bfloat16, 0 where it is
        missing; then 1 on a date where any feature is missing, else 0.

    Raises:
        ArtifactError: The array is not of that shape or dtype, or has another number of features.
    """
    check_series(series)
    count, dates, features = series.shape
    if features != normalisation.mean.size:
        raise ArtifactError(f"series have {features} features, the normalisation has {normalisation.mean.size}")
    missing = series == NODATA
    channels = np.empty((count, dates, features + FLAG_CHANNELS), np.float32)
    standard = channels[:, :, :features]
    np.subtract(series, normalisation.mean, out=standard, dtype=np.float32)
    np.multiply(standard, normalisation.scale, out=standard)
    standard[missing] = 0
    channels[:, :, features] = missing.any(axis=2)
    return round_to_bfloat16(channels)


def round_to_bfloat16(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The nearest bfloat16 of finite values, halves to the even one; kept as float32, any shape, contiguous."""
    bits = values.view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
    return rounded.view(np.float32)


def check_series(series: SeriesArray) -> None:
    """Raise ArtifactError unless the array is (n, dates, features) int16."""
    if series.ndim != 3 or series.dtype != np.int16:
        raise ArtifactError(f"series must be (n, dates, features) int16, got shape {series.shape} of {series.dtype}")
