"""The annual series that a network is trained on: arrays in memory, or lines of a table that is mapped from disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from landseries.errors import ArtifactError
from landseries.neural.normalisation import check_series
from landseries_trainer.mapped import MappedSeries

#: Series that are read at a time where all are read in turn.
_PART: Final = 16_384


@dataclass(frozen=True)
class TrainingSet:
    """Annual series with their labels.

    Attributes:
        series: (m, dates, features) int16, reflectance x 10,000, -32768 where missing.
        labels: (n,) uint8 class ids, 1 to 255.
        weights: (n,) float32, not negative; how much each series counts in the loss. None: all alike.
        lines: (n,) int64, which of the series each label belongs to. None: all of them, in order.

    Raises:
        ArtifactError: The arrays do not fit together, or a weight is negative or not finite.
    """

    series: NDArray[np.int16] | MappedSeries
    labels: NDArray[np.uint8]
    weights: NDArray[np.float32] | None = None
    lines: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        """Check shapes, dtypes and values."""
        check_series(self.series)
        count = self.series.shape[0] if self.lines is None else len(self.lines)
        if self.labels.shape != (count,) or self.labels.dtype != np.uint8:
            raise ArtifactError(
                f"{count} series need ({count},) uint8 labels, got {self.labels.shape} of {self.labels.dtype}"
            )
        if count and self.labels.min() == 0:
            raise ArtifactError("label 0 is no-data and cannot be trained on")
        if self.weights is not None:
            if self.weights.shape != (count,) or self.weights.dtype != np.float32:
                raise ArtifactError(f"{count} series need ({count},) float32 weights, got {self.weights.shape}")
            if not (np.isfinite(self.weights).all() and (self.weights >= 0).all()):
                raise ArtifactError("weights must be finite and not negative")

    def __len__(self) -> int:
        """Number of annual series."""
        return len(self.labels)

    @property
    def axes(self) -> tuple[int, int]:
        """Numbers of dates and features."""
        return self.series.shape[1], self.series.shape[2]

    def take(self, chosen: NDArray[np.int64] | slice) -> NDArray[np.int16]:
        """Some of the series, (k, dates, features) int16."""
        return self.series[chosen if self.lines is None else self.lines[chosen]]

    def parts(self) -> Iterator[NDArray[np.int16]]:
        """All series in their order, some at a time."""
        for start in range(0, len(self), _PART):
            yield self.take(slice(start, start + _PART))

    def of_classes(self, classes: NDArray[np.uint8]) -> TrainingSet:
        """The series whose label is one of these classes."""
        chosen = np.isin(self.labels, classes)
        if chosen.all():
            return self
        weights = None if self.weights is None else self.weights[chosen]
        lines = np.flatnonzero(chosen) if self.lines is None else self.lines[chosen]
        return TrainingSet(self.series, self.labels[chosen], weights, lines)
