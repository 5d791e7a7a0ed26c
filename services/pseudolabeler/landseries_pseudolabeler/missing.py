"""Missing dates, as the forest sees them: filled with what is typical, and hidden in training too.

A forest compares numbers and knows no "missing". The no-data value itself would send every missing date down the same
side of each split, so that a year with other gaps than the training year's gets labels from its gaps. So a missing
value is replaced by what is typical of all classes alike, which tells them apart as little as can be; and every
sample is also learnt with a run of its dates hidden in that way, so that trees do not rest on a few dates alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseries.bands import NODATA
from landseries.errors import ArtifactError


def typical_values(series: NDArray[np.int16], labels: NDArray[np.uint8]) -> NDArray[np.int16]:
    """The mean over the classes of each class's median: no class counts more because it has more samples.

    Args:
        series: (samples, dates * features) int16, no-data -32768.
        labels: (samples,) uint8 class ids.

    Returns:
        (dates * features,) int16; 0 where no sample has the feature.
    """
    medians = [_median_of_present(series[labels == label]) for label in np.unique(labels)]
    found = np.array(medians)
    known = ~np.isnan(found)
    total = np.where(known, found, 0.0).sum(axis=0)
    typical: NDArray[np.int16] = np.rint(total / np.maximum(known.sum(axis=0), 1)).astype(np.int16)
    return typical


def _median_of_present(series: NDArray[np.int16]) -> NDArray[np.float64]:
    """Median of each feature where it is not missing; NaN where it always is."""
    medians = np.full(series.shape[1], np.nan)
    present = np.where(series == NODATA, np.nan, series.astype(np.float64))
    some = ~np.isnan(present).all(axis=0)
    medians[some] = np.nanmedian(present[:, some], axis=0)
    return medians


def fill_missing(series: NDArray[np.int16], typical: NDArray[np.int16]) -> NDArray[np.int16]:
    """Samples (samples, dates * features) with typical values in place of no-data."""
    filled: NDArray[np.int16] = np.where(series == NODATA, typical[np.newaxis, :], series)
    return filled


def with_hidden_copies(
    series: NDArray[np.int16], labels: NDArray[np.uint8], *, dates: int, copies: int, seed: int
) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """The samples, followed by copies in which a run of up to two thirds of the dates is missing.

    Args:
        series: (samples, dates * features) int16, date-major.
        labels: (samples,) uint8.
        dates: number of dates.
        copies: copies of each sample.
        seed: where and how long the runs are follows from it.
    """
    random = np.random.default_rng([seed, dates])
    samples = series.shape[0]
    blocks = [series]
    for _ in range(copies):
        length = random.integers(1, max(2, 2 * dates // 3 + 1), samples)
        # Runs may begin before the first date and end after the last one, so that outer dates are hidden as often.
        first = random.integers(1 - length, dates, samples)
        date = np.arange(dates)
        hidden = (date >= first[:, np.newaxis]) & (date < (first + length)[:, np.newaxis])
        copy = series.reshape(samples, dates, -1).copy()
        copy[hidden] = NODATA
        blocks.append(copy.reshape(samples, -1))
    return np.concatenate(blocks), np.tile(labels, copies + 1)


def checked_typical(metadata: Mapping[str, Any], features: int) -> NDArray[np.int16]:
    """The typical values that were stored with a forest: (features,) int16.

    Raises:
        ArtifactError: they are missing, or not one number of the stored range per feature.
    """
    values = metadata.get("typical")
    if not isinstance(values, list) or len(values) != features:
        raise ArtifactError(f"forest: metadata 'typical' must hold one value for each of its {features} features")
    if not all(isinstance(value, int) and -32_767 <= value <= 32_767 for value in values):
        raise ArtifactError("forest: metadata 'typical' holds something else than stored values")
    return np.array(values, np.int16)
