"""Measuring how far an acquisition lies from a reference."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import gaussian_filter, zoom

from landseries_fetcher.harmony.shifts import Shift, agree, measure_shift, shift_votes

FINE = 10


def fields(size_px: int, seed: int, down_px: float = 0.0, right_px: float = 0.0) -> npt.NDArray[np.int16]:
    """A patchwork of bright and dark fields, point spread included, displaced by a tenth of a pixel at the finest."""
    rng = np.random.default_rng(seed)
    parcels = zoom(rng.normal(0, 1, (size_px // 8, size_px // 8)), 8 * FINE, order=0)
    moved = np.roll(parcels, (round(down_px * FINE), round(right_px * FINE)), (0, 1))
    blurred = gaussian_filter(moved, 0.8 * FINE, mode="wrap")
    pixels = blurred.reshape(size_px, FINE, size_px, FINE).mean(axis=(1, 3))
    return np.asarray(np.rint(2000 + 600 * pixels), dtype=np.int16)


def clouds(size_px: int, share: float, seed: int) -> npt.NDArray[np.bool_]:
    texture = gaussian_filter(np.random.default_rng(seed).standard_normal((size_px, size_px)), size_px / 10)
    return np.asarray(texture > np.quantile(texture, 1 - share), dtype=bool)


@pytest.mark.parametrize(("down_px", "right_px"), [(0.0, 0.0), (0.3, -0.5), (-1.2, 0.4), (2.1, 2.6)])
def test_shift_below_clouds_that_cover_half(down_px: float, right_px: float) -> None:
    image = fields(256, 1, down_px, right_px)
    hidden = clouds(256, 0.5, 2)
    image[hidden] = 9000
    reference = fields(256, 1)
    found = measure_shift(image[None], ~hidden, reference[None], np.ones_like(hidden))
    assert found.shift is not None
    assert found.shift.north_m == pytest.approx(-10 * down_px, abs=0.5)
    assert found.shift.east_m == pytest.approx(10 * right_px, abs=0.5)
    assert found.agreement > 0.8


def test_fields_that_swap_bright_for_dark_do_not_matter() -> None:
    reference = fields(192, 3)
    image = 4000 - fields(192, 3, 0.6, -0.8)
    clear = np.ones(image.shape, dtype=bool)
    shift = measure_shift(image[None], clear, reference[None], clear).shift
    assert shift is not None
    assert (shift.north_m, shift.east_m) == pytest.approx((-6.0, -8.0), abs=0.5)


def test_values_of_hidden_pixels_are_never_looked_at() -> None:
    reference, image = fields(192, 4)[None], fields(192, 4, 0.4, 0.2)[None]
    hidden = clouds(192, 0.3, 5)
    answers = []
    for value in (-32768, 0, 32767):
        image[:, hidden] = value
        answers.append(measure_shift(image, ~hidden, reference, ~hidden))
    assert answers[0] == answers[1] == answers[2]


def test_another_place_cannot_be_measured() -> None:
    clear = np.ones((256, 256), dtype=bool)
    noise = np.random.default_rng(6).standard_normal((2, 1, 256, 256))
    image, reference = (1000 * gaussian_filter(noise, (0, 0, 1.5, 1.5))).astype(np.int16)
    found = measure_shift(image, clear, reference, clear)
    assert found.shift is None
    assert "agree" in found.reason


@pytest.mark.parametrize("size_px", [0, 40, 72, 100])
def test_too_small_an_image_cannot_be_measured(size_px: int) -> None:
    image, clear = np.ones((2, size_px, size_px), dtype=np.int16), np.ones((size_px, size_px), dtype=bool)
    found = measure_shift(image, clear, image, clear)
    assert found.shift is None
    assert "needed" in found.reason


def test_ground_without_edges_and_hidden_ground_cannot_be_measured() -> None:
    flat = np.full((1, 256, 256), 300, dtype=np.int16)
    clear = np.ones((256, 256), dtype=bool)
    assert measure_shift(flat, clear, flat, clear).shift is None
    image = fields(256, 8)[None]
    hidden = measure_shift(image, ~clear, image, clear)
    assert hidden.shift is None
    assert hidden.windows == 0
    assert math.isnan(hidden.error_m)


def test_a_shift_beyond_the_reach_cannot_be_measured() -> None:
    clear = np.ones((256, 256), dtype=bool)
    assert measure_shift(fields(256, 9, 6.0, 0.0)[None], clear, fields(256, 9)[None], clear).shift is None


def test_answers_are_the_same_in_any_number_of_threads() -> None:
    clear = np.ones((192, 192), dtype=bool)
    pairs = [(fields(192, seed, 0.3)[None], fields(192, seed)[None]) for seed in range(4)]
    alone = [shift_votes(image, clear, reference, clear).tobytes() for image, reference in pairs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda pair: shift_votes(pair[0], clear, pair[1], clear).tobytes(), pairs))
    assert alone == together


def test_votes_of_parts_can_be_counted_together_in_any_order() -> None:
    rng = np.random.default_rng(0)
    votes = np.concatenate([rng.normal((0.5, -0.2), 0.05, (20, 2)), rng.uniform(-3, 3, (10, 2)), [[np.nan, np.nan]]])
    found = agree(votes)
    assert found == agree(rng.permutation(votes))
    assert found.shift is not None
    assert (found.shift.north_m, found.shift.east_m) == pytest.approx((-5.0, -2.0), abs=0.4)
    assert found.windows == 31


def test_shapes_that_differ_are_refused() -> None:
    image, clear = np.zeros((1, 80, 80), dtype=np.int16), np.ones((80, 80), dtype=bool)
    with pytest.raises(ValueError, match=r"one shape"):
        measure_shift(image, clear, image[:, :70], clear)
    with pytest.raises(ValueError, match=r"expected masks"):
        measure_shift(image, clear[:70], image, clear)


def test_length_of_a_shift() -> None:
    assert Shift(-3.0, 4.0).length_m == 5.0
