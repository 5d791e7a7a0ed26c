"""K-means: finds what is there, the same to the bit, the largest cluster first."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from landseries_clusterer.kmeans import assign, kmeans

DRAWS = np.array([0.1, 0.7, 0.4, 0.9])


def clouds(sizes: list[int], seed: int = 0) -> NDArray[np.float32]:
    """Clouds of pixels (value, pixel) twenty standard deviations apart, pixels shuffled."""
    random = np.random.default_rng(seed)
    pixels = np.concatenate([random.normal(20 * k, 1, (size, 3)) for k, size in enumerate(sizes)])
    return np.ascontiguousarray(random.permutation(pixels).T.astype(np.float32))


def test_separate_clouds_are_found_the_largest_first() -> None:
    values = clouds([100, 300, 200])
    found = kmeans(values, 3, DRAWS)
    assert found.size.tolist() == [300, 200, 100]
    assert np.allclose(found.centre.mean(axis=1), [20, 40, 0], atol=0.3)
    assert np.array_equal(found.label == 0, np.rint(values.mean(axis=0) / 20) == 1)


def test_the_same_pixels_give_the_same_bits() -> None:
    values = np.random.default_rng(3).normal(0, 1, (48, 3000)).astype(np.float32)
    first, second = kmeans(values, 4, DRAWS), kmeans(values.copy(order="F"), 4, DRAWS)
    assert first.label.tobytes() == second.label.tobytes()
    assert first.centre.tobytes() == second.centre.tobytes()


@pytest.mark.parametrize("pixels", [1, 2, 255, 256, 257])
def test_pixels_that_coincide_are_one_cluster(pixels: int) -> None:
    found = kmeans(np.ones((2, pixels), np.float32), 4, DRAWS)
    assert found.size.tolist() == [pixels]
    assert not found.label.any()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 700), st.integers(1, 4), st.integers(0, 2**32))
def test_every_pixel_is_with_its_nearest_centre_and_centres_are_means(pixels: int, clusters: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.normal(0, 1, (3, pixels)).astype(np.float32)
    found = kmeans(values, clusters, random.random(clusters))
    assert found.size.sum() == pixels
    assert (found.size > 0).all()
    assert (np.diff(found.size) <= 0).all()
    distance = ((values[:, None, :] - found.centre.T[:, :, None]) ** 2).sum(axis=0)
    nearest = distance.min(axis=0)
    assert (distance[found.label, np.arange(pixels)] <= nearest * 1.001 + 1e-5).mean() > 0.97


def test_others_join_the_nearest_centre() -> None:
    values = clouds([50, 80])
    centre = np.array([[20.0, 20, 20], [0, 0, 0]])
    assert np.array_equal(assign(values, centre), (values.mean(axis=0) < 10).astype(np.int32))


@pytest.mark.parametrize(("shape", "draws"), [((3, 0), 4), ((3, 5), 2)])
def test_no_pixels_and_too_few_draws_are_errors(shape: tuple[int, int], draws: int) -> None:
    with pytest.raises(ValueError, match="expected pixels and 4 draws"):
        kmeans(np.zeros(shape, np.float32), 4, np.full(draws, 0.5))
