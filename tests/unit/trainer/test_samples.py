"""Training sets say at once what does not fit."""

from __future__ import annotations

import numpy as np
import pytest

from landseries.errors import ArtifactError
from landseries_trainer.samples import TrainingSet

_SERIES = np.zeros((3, 4, 2), np.int16)
_LABELS = np.array([1, 2, 2], np.uint8)


@pytest.mark.parametrize(
    ("series", "labels", "weights", "message"),
    [
        (_SERIES[0], _LABELS, None, "shape"),
        (_SERIES, _LABELS[:2], None, "uint8 labels"),
        (_SERIES, _LABELS.astype(np.int64), None, "uint8 labels"),
        (_SERIES, np.array([0, 1, 2], np.uint8), None, "no-data"),
        (_SERIES, _LABELS, np.ones(2, np.float32), "float32 weights"),
        (_SERIES, _LABELS, np.array([1, -1, 1], np.float32), "not negative"),
        (_SERIES, _LABELS, np.array([1, np.nan, 1], np.float32), "finite"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    series: np.ndarray, labels: np.ndarray, weights: np.ndarray | None, message: str
) -> None:
    with pytest.raises(ArtifactError, match=message):
        TrainingSet(series, labels, weights)


def test_series_of_some_classes_keep_their_weights() -> None:
    chosen = TrainingSet(_SERIES, _LABELS, np.array([1, 2, 3], np.float32)).of_classes(np.array([2], np.uint8))
    assert len(chosen) == 2
    assert chosen.weights is not None
    assert chosen.weights.tolist() == [2, 3]
