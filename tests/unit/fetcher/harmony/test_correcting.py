"""Undoing a shift of a fraction of a pixel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import gaussian_filter

from landseries_fetcher.harmony.correcting import correct_classes, correct_numbers, margin_px
from landseries_fetcher.harmony.shifts import Shift, measure_shift

METRES = st.floats(-25, 25)
SHIFTS = st.builds(Shift, METRES, METRES)
NUMBERS = arrays(np.uint16, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def waves(size_px: int, pixel_m: float, shift: Shift, wavelength_m: float = 160.0) -> npt.NDArray[np.uint16]:
    """A known pattern of the ground, seen as means over pixels, by an image that is shifted.

    The mean of a sine over a pixel is the sine at its centre times a constant, so grids of 10 m and 20 m can be
    compared exactly.
    """
    centres = (np.arange(size_px) + 0.5) * pixel_m
    damped = np.sinc(pixel_m / wavelength_m)
    south = np.sin(2 * np.pi * (centres + shift.north_m) / wavelength_m) * damped
    east = np.cos(2 * np.pi * (centres - shift.east_m) / wavelength_m) * damped
    return np.rint(3000 + 800 * south[:, None] + 800 * east[None]).astype(np.uint16)


def texture(size_px: int, seed: int) -> npt.NDArray[np.uint16]:
    noise = np.random.default_rng(seed).standard_normal((size_px, size_px))
    smooth = gaussian_filter(noise, 1.6, mode="wrap")
    return np.asarray(np.rint(2500 + 500 * smooth / smooth.std()), dtype=np.uint16)


@given(numbers=NUMBERS)
def test_no_shift_changes_nothing(numbers: npt.NDArray[np.uint16]) -> None:
    assert np.array_equal(correct_numbers(numbers, Shift(0.0, 0.0), 10.0), numbers)
    assert margin_px(Shift(0.0, 0.0), 10.0) == 0


def test_whole_pixels_are_moved_exactly() -> None:
    numbers = np.arange(1, 37, dtype=np.uint16).reshape(6, 6)
    moved = correct_numbers(numbers, Shift(north_m=10.0, east_m=20.0), 10.0)
    assert np.array_equal(moved[1:, :-2], numbers[:-1, 2:]), "content that lies too far north-east moves south-west"
    assert not moved[0].any(), "what lies beyond the image is no-data"
    assert not moved[:, -2:].any()


@pytest.mark.parametrize("pixel_m", [10.0, 20.0])
@settings(max_examples=40, deadline=None)
@given(shift=SHIFTS)
def test_a_known_pattern_comes_back_on_both_grids(pixel_m: float, shift: Shift) -> None:
    size = 64
    margin = margin_px(shift, pixel_m)
    inner = slice(margin, size - margin)
    corrected = correct_numbers(waves(size, pixel_m, shift), shift, pixel_m)[inner, inner].astype(int)
    error = np.abs(corrected - waves(size, pixel_m, Shift(0.0, 0.0))[inner, inner].astype(int))
    # Cubic convolution on eight pixels a wave (20 m) errs more than on sixteen (10 m).
    assert error.max() <= (4 if pixel_m == 10.0 else 40)


@settings(max_examples=40, deadline=None)
@given(shift=SHIFTS)
def test_bands_of_10_m_and_20_m_show_the_same_ground_at_the_same_place(shift: Shift) -> None:
    wavelength_m = 640.0
    fine = correct_numbers(waves(128, 10.0, shift, wavelength_m), shift, 10.0).astype(float)
    coarse = correct_numbers(waves(64, 20.0, shift, wavelength_m), shift, 20.0).astype(float)
    halved = fine.reshape(64, 2, 64, 2).mean(axis=(1, 3))
    assert np.abs(halved - coarse)[6:-6, 6:-6].max() <= 3.0, "a tenth of a pixel amiss would be 16"


@settings(max_examples=150, deadline=None)
@given(numbers=NUMBERS, shift=SHIFTS, holes=st.integers(0, 2**32 - 1))
def test_no_data_never_bleeds(numbers: npt.NDArray[np.uint16], shift: Shift, holes: int) -> None:
    # Numbers far from zero: a no-data value that took part would pull results below the smallest of them.
    numbers = (numbers % 1000 + 40_000).astype(np.uint16)
    numbers[np.random.default_rng(holes).random(numbers.shape) < 0.3] = 0
    corrected = correct_numbers(numbers, shift, 10.0)
    present = correct_classes((numbers != 0).astype(np.uint8), shift, 10.0) != 0
    assert np.array_equal(corrected != 0, present), "data where the nearest source pixel has data"
    assert not (corrected[present] < 39_500).any()
    assert not (corrected[present] > 41_500).any()


def test_data_stay_data_however_dark_and_bright_ones_do_not_overflow() -> None:
    edge = np.ones((8, 8), dtype=np.uint16)
    edge[:, 4:] = 65_535
    corrected = correct_numbers(edge, Shift(0.0, 4.0), 10.0)
    assert corrected.min() == 1
    assert corrected.max() == 65_535
    assert np.array_equal(corrected, np.sort(corrected, axis=1)), "no wrap-around on either side of the edge"


@settings(max_examples=30, deadline=None)
@given(shift=st.builds(Shift, st.floats(-12, 12), st.floats(-12, 12)), seed=st.integers(0, 1000))
def test_two_opposite_shifts_give_a_smooth_image_back(shift: Shift, seed: int) -> None:
    image = texture(64, seed)
    there = correct_numbers(image, Shift(-shift.north_m, -shift.east_m), 10.0)
    back = correct_numbers(there, shift, 10.0)
    error = (back.astype(int) - image)[8:-8, 8:-8]
    assert np.sqrt((error**2).mean()) < 40, "of 500 that the image varies by"


@settings(max_examples=12, deadline=None)
@given(shift=st.builds(Shift, st.floats(-20, 20), st.floats(-20, 20)), seed=st.integers(0, 1000))
def test_a_shift_put_in_is_measured(shift: Shift, seed: int) -> None:
    image = np.stack([texture(160, seed), texture(160, seed + 5000)])
    displaced = np.stack([correct_numbers(band, Shift(-shift.north_m, -shift.east_m), 10.0) for band in image])
    clear = (displaced != 0).all(axis=0)
    found = measure_shift(displaced.astype(np.int16), clear, image.astype(np.int16), np.ones_like(clear)).shift
    assert found is not None
    assert np.hypot(found.north_m - shift.north_m, found.east_m - shift.east_m) < 1.0


def test_classes_take_the_nearest_pixel() -> None:
    scene = np.arange(1, 26, dtype=np.uint8).reshape(5, 5)
    assert np.array_equal(correct_classes(scene, Shift(9.9, -9.9), 20.0), scene)
    assert np.array_equal(correct_classes(scene, Shift(0.0, 10.1), 20.0)[:, :4], scene[:, 1:])
