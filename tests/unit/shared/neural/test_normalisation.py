"""Standardised network input: statistics over what is there, and a flag for what is not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from landseries.bands import NODATA
from landseries.errors import ArtifactError
from landseries.neural.normalisation import (
    Normalisation,
    measure_normalisation,
    network_input,
    round_to_bfloat16,
)

_SERIES = hnp.arrays(np.int16, (5, 4, 3), elements=st.one_of(st.just(NODATA), st.integers(-2000, 12000)))


@given(_SERIES)
def test_statistics_are_those_of_the_values_that_are_there(series: np.ndarray) -> None:
    found = measure_normalisation(series)
    for feature in range(3):
        values = series[:, :, feature][series[:, :, feature] != NODATA].astype(float)
        assert found.mean[feature] == pytest.approx(values.mean() if values.size else 0.0, rel=1e-6, abs=1e-6)
        spread = values.std() if values.size else 0.0
        assert found.std[feature] == pytest.approx(spread if spread > 0 else 1.0, rel=1e-5)


@given(_SERIES, st.permutations(range(5)))
def test_statistics_do_not_depend_on_the_order_of_the_series(series: np.ndarray, order: list[int]) -> None:
    one, other = measure_normalisation(series), measure_normalisation(np.ascontiguousarray(series[order]))
    assert one.mean.tobytes() == other.mean.tobytes()
    assert one.std.tobytes() == other.std.tobytes()


def test_missing_values_are_zero_and_flagged() -> None:
    series = np.array([[[1000, 3000], [NODATA, 3000], [NODATA, NODATA]]], np.int16)
    normalisation = Normalisation(np.array([900, 3100], np.float32), np.array([50, 200], np.float32))
    channels = network_input(series, normalisation)
    np.testing.assert_array_equal(channels, np.array([[[2, -0.5, 0], [0, -0.5, 1], [0, 0, 1]]], np.float32))


def test_series_of_another_kind_are_refused() -> None:
    normalisation = Normalisation(np.zeros(2, np.float32), np.ones(2, np.float32))
    with pytest.raises(ArtifactError, match="3 features, the normalisation has 2"):
        network_input(np.zeros((1, 4, 3), np.int16), normalisation)
    with pytest.raises(ArtifactError, match="float64"):
        measure_normalisation(np.zeros((1, 4, 3)))  # type: ignore[arg-type]


@given(hnp.arrays(np.float32, 20, elements=st.floats(-(2.0**100), 2.0**100, width=32)))
def test_rounding_is_that_of_pytorch(values: np.ndarray) -> None:
    expected = torch.from_numpy(values).to(torch.bfloat16).float().numpy()
    assert round_to_bfloat16(values).tobytes() == expected.tobytes()
