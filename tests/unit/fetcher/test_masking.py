"""Clear views from a scene classification."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import distance_transform_edt

from landseries_fetcher.masking import clear_mask, dilate, reach_px

MASKED = (0, 1, 3, 8, 9, 10)
PIXEL = (20.0, 20.0)


@settings(max_examples=80, deadline=None)
@given(
    mask=arrays(np.bool_, st.tuples(st.integers(1, 14), st.integers(1, 14))),
    radius=st.floats(0, 130),
    pixel=st.tuples(st.sampled_from([10.0, 20.0]), st.sampled_from([10.0, 20.0])),
)
def test_growth_is_a_euclidean_disc(mask: np.ndarray, radius: float, pixel: tuple[float, float]) -> None:
    distance = distance_transform_edt(~mask, sampling=pixel) if mask.any() else np.full(mask.shape, np.inf)
    expected = distance <= radius + 1e-9
    assert np.array_equal(dilate(mask, radius, pixel), expected)


def test_growth_of_one_pixel_by_60_m() -> None:
    mask = np.zeros((9, 9), dtype=bool)
    mask[4, 4] = True
    grown = dilate(mask, 60.0, PIXEL)
    assert grown.sum() == 29, "pixels of 20 m within three pixels of the centre"
    assert grown[4, 1]
    assert not grown[1, 3]


def test_no_data_is_never_clear_even_if_not_named() -> None:
    scene = np.array([[0, 4]], dtype=np.uint8)
    assert clear_mask(scene, (8, 9), 0.0, PIXEL).tolist() == [[False, True]]


def test_clouds_grow_but_no_data_and_saturated_pixels_do_not() -> None:
    scene = np.full((1, 9), 4, dtype=np.uint8)
    scene[0, 0], scene[0, 4], scene[0, 8] = 0, 9, 1
    clear = clear_mask(scene, MASKED, 20.0, PIXEL)
    assert clear.tolist() == [[False, True, True, False, False, False, True, True, False]]


@pytest.mark.parametrize("value", range(12))
def test_which_classes_are_clear(value: int) -> None:
    scene = np.full((2, 2), value, dtype=np.uint8)
    assert clear_mask(scene, MASKED, 60.0, PIXEL).all() == (value not in MASKED)


def test_margin_holds_all_that_can_reach_a_window() -> None:
    assert reach_px(60.0, PIXEL) == (3, 3)
    assert reach_px(61.0, (20.0, 10.0)) == (4, 7)
