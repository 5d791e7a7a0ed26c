"""Filters of images give what SciPy gives, to the bit."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.fft
import scipy.ndimage
from hypothesis import given
from hypothesis import strategies as st

from landseries_fetcher.filters import all_in_square, any_in_run, correlate1d, fast_length, gaussian

SHAPES = [(1, 1), (3, 200), (200, 3), (150, 131)]
SPLINE = np.array([-0.07, 0.6, 0.55, -0.09, 0.01])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weights", [SPLINE, np.array([0.1, 0.2, 0.4, 0.2, 0.1]), np.array([0, 0, 1.0, 0, 0])])
def test_weighted_neighbours(shape: tuple[int, int], dtype: type, weights: np.ndarray) -> None:
    values = (np.random.default_rng(3).normal(size=shape) * 5_000).astype(dtype)
    for axis in (0, 1):
        found = correlate1d(values, weights, axis)
        expected = scipy.ndimage.correlate1d(values, weights, axis=axis, mode="constant")
        assert found.dtype == expected.dtype
        assert np.array_equal(found, expected)


@pytest.mark.parametrize("shape", [(64, 64), (9, 70), (150, 131)])
@pytest.mark.parametrize("order", [(0, 0), (1, 0), (0, 1)])
@pytest.mark.parametrize("sigma", [1.0, 0.7, 2.0])
def test_a_gaussian_and_its_derivatives(shape: tuple[int, int], order: tuple[int, int], sigma: float) -> None:
    values = np.random.default_rng(4).normal(size=shape) * 5_000
    assert np.array_equal(gaussian(values, sigma, order), scipy.ndimage.gaussian_filter(values, sigma, order=order))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reach", [0, 1, 2, 4, 7, 10, 300])
def test_runs_and_squares_of_a_mask(shape: tuple[int, int], reach: int) -> None:
    mask = np.random.default_rng(reach).random(shape) < 0.2
    for axis in (0, 1):
        expected = scipy.ndimage.maximum_filter1d(
            mask.view(np.uint8), 2 * reach + 1, axis=axis, mode="constant", cval=0
        )
        assert np.array_equal(any_in_run(mask, reach, axis), expected.view(np.bool_))
    shrunk = scipy.ndimage.minimum_filter(~mask, 2 * reach + 1, mode="constant", cval=0)
    assert np.array_equal(all_in_square(~mask, reach), shrunk)


@given(st.integers(1, 5_000))
def test_lengths_that_a_transform_does_fast(length: int) -> None:
    assert fast_length(length) == scipy.fft.next_fast_len(length, real=True)


@pytest.mark.parametrize("shape", [(72, 72), (60, 75), (8, 40)])
def test_numpy_transforms_as_scipy_does(shape: tuple[int, int]) -> None:
    values = np.random.default_rng(5).normal(size=(3, 64, 61))
    spectrum = np.fft.rfft2(values, shape, (-2, -1))
    assert np.array_equal(spectrum, scipy.fft.rfft2(values, shape, workers=1))
    product = np.fft.irfft2(spectrum[0], shape, (-2, -1), norm="forward") * (1 / math.prod(shape))
    assert np.array_equal(product, scipy.fft.irfft2(spectrum[0], shape, workers=1))
