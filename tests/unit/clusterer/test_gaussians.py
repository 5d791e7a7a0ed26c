"""Moments, whitening and distances against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landseries_clusterer.gaussians import moments, squared_distances, whitening


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 600), st.integers(1, 12), st.integers(0, 2**32))
def test_moments_whitening_and_distances_are_numpys(pixels: int, length: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    values = (random.normal(0, 1, (pixels, length)) @ random.normal(0, 1, (length, length))).astype(np.float32)
    mean, covariance = moments(values)
    assert np.allclose(mean, values.mean(axis=0), atol=1e-4)
    assert np.allclose(covariance, np.cov(values.T.astype(np.float64), bias=True).reshape(length, length), atol=1e-3)
    positive = covariance + np.eye(length)
    inverse, log_determinant = whitening(positive)
    assert np.allclose(inverse @ positive @ inverse.T, np.eye(length), atol=1e-8)
    assert log_determinant == pytest.approx(np.linalg.slogdet(positive)[1] / 2)
    found = squared_distances(values.T, mean[None].astype(np.float32), inverse[None].astype(np.float32))
    deviation = values - mean
    expected = np.einsum("ni,ij,nj->n", deviation, np.linalg.inv(positive), deviation)
    assert found.shape == (1, pixels)
    assert np.allclose(found[0], expected, rtol=1e-3, atol=1e-3)


def test_a_covariance_that_is_none_is_an_error() -> None:
    with pytest.raises(ValueError, match="not positive definite"):
        whitening(np.array([[1.0, 2.0], [2.0, 1.0]]))


def test_no_pixel_has_moments_of_zero() -> None:
    mean, covariance = moments(np.empty((0, 3), np.float32))
    assert not mean.any()
    assert not covariance.any()
