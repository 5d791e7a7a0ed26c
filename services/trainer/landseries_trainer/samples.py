"""The annual series that a network is trained on, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landseries.errors import ArtifactError
from landseries.neural.normalisation import check_series


@dataclass(frozen=True)
class TrainingSet:
    """Annual series with their labels.

    Attributes:
        series: (n, dates, features) int16, reflectance x 10,000, -32768 where missing.
        labels: (n,) uint8 class ids, 1 to 255.
        weights: (n,) float32, not negative; how much each series counts in the loss. None: all alike.

    Raises:
        ArtifactError: The arrays do not fit together, or a weight is negative or not finite.
    """

    series: NDArray[np.int16]
    labels: NDArray[np.uint8]
    weights: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        """Check shapes, dtypes and values."""
        check_series(self.series)
        count = self.series.shape[0]
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
        return int(self.series.shape[0])

    def of_classes(self, classes: NDArray[np.uint8]) -> TrainingSet:
        """The series whose label is one of these classes."""
        chosen = np.isin(self.labels, classes)
        if chosen.all():
            return self
        weights = None if self.weights is None else self.weights[chosen]
        return TrainingSet(self.series[chosen], self.labels[chosen], weights)
