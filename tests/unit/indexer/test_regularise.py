"""Regularisation beside a slow reference in exact arithmetic, and what must never change its result."""

from __future__ import annotations

from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from landseries.bands import NODATA
from landseries.errors import ConfigError
from landseries_indexer.regularise import RegularSeries, regular_days, regularise
from landseries_indexer.sweep import BLOCK

Cube = tuple[NDArray[np.int16], NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64], int]


@st.composite
def cubes(draw: st.DrawFn) -> Cube:
    """Values (view, band, y, x), clear (view, y, x), days (some equal), dates, and the longest gap."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    views, bands, dates = draw(st.integers(0, 9)), draw(st.integers(1, 3)), draw(st.integers(1, 8))
    height, width = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    extreme = draw(st.booleans())
    low, high = (-32767, 32767) if extreme else (-500, 9000)
    values = random.integers(low, high, (views, bands, height, width), endpoint=True).astype(np.int16)
    values[random.random(values.shape) < draw(st.sampled_from([0.0, 0.1]))] = NODATA
    clear = random.random((views, height, width)) < draw(st.sampled_from([0.05, 0.5, 1.0]))
    span = draw(st.sampled_from([12, 365, 2000]))
    days = np.sort(random.integers(-3, span, views))
    targets = np.sort(random.choice(span, dates, replace=False))
    return values, clear, days, targets, draw(st.integers(0, 90))


def reference(cube: Cube) -> RegularSeries:
    """The definition, pixel by pixel, in rational numbers."""
    values, clear, days, dates, max_gap_days = cube
    _, bands, height, width = values.shape
    series = np.full((dates.size, bands, height, width), NODATA, np.int16)
    missing = np.ones((dates.size, height, width), bool)
    count = np.zeros((height, width), np.uint8)
    for y, x in np.ndindex(height, width):
        seen: dict[int, list[NDArray[np.int16]]] = {}
        for view, day in enumerate(days.tolist()):
            if clear[view, y, x] and (values[view, :, y, x] != NODATA).all():
                seen.setdefault(day, []).append(values[view, :, y, x])
        points = {
            day: [half_up(Fraction(sum(int(view[band]) for view in of), len(of))) for band in range(bands)]
            for day, of in seen.items()
        }
        count[y, x] = len(points)
        for position, date in enumerate(dates.tolist()):
            if not points or min(abs(date - day) for day in points) > max_gap_days:
                continue
            missing[position, y, x] = False
            left = max((day for day in points if day <= date), default=min(points))
            right = min((day for day in points if day >= date), default=max(points))
            share = Fraction(date - left, right - left) if left < date < right else Fraction(0)
            for band in range(bands):
                rise = share * (points[right][band] - points[left][band])
                series[position, band, y, x] = half_up(points[left][band] + rise)
    return RegularSeries(series, missing, count)


def half_up(value: Fraction) -> int:
    return floor(value + Fraction(1, 2))


def interpolate(cube: Cube, **options: Any) -> RegularSeries:
    values, clear, days, dates, max_gap_days = cube
    return regularise(values, clear, days, dates, max_gap_days=max_gap_days, **options)


def assert_equal(a: RegularSeries, b: RegularSeries) -> None:
    np.testing.assert_array_equal(a.missing, b.missing)
    np.testing.assert_array_equal(a.clear_views, b.clear_views)
    np.testing.assert_array_equal(a.values, b.values)


@given(cubes())
@settings(max_examples=150, deadline=None)
def test_is_what_exact_arithmetic_says(cube: Cube) -> None:
    assert_equal(interpolate(cube, threads=1), reference(cube))


@given(cubes(), st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_masked_values_have_no_influence(cube: Cube, seed: int) -> None:
    values, clear, days, dates, max_gap_days = cube
    masked = np.broadcast_to(~clear[:, None], values.shape)
    garbage = np.random.default_rng(seed).integers(-32768, 32767, values.shape, endpoint=True).astype(np.int16)
    other = np.where(masked, garbage, values)
    assert_equal(interpolate(cube), interpolate((other, clear, days, dates, max_gap_days)))


@given(cubes())
@settings(max_examples=50, deadline=None)
def test_a_pixel_does_not_depend_on_its_place(cube: Cube) -> None:
    values, clear, days, dates, max_gap_days = cube
    mirrored = interpolate((values[:, ::-1, ::-1, ::-1], clear[:, ::-1, ::-1], days, dates, max_gap_days))
    straight = interpolate(cube)
    np.testing.assert_array_equal(mirrored.values[:, ::-1, ::-1, ::-1], straight.values)
    np.testing.assert_array_equal(mirrored.missing[:, ::-1, ::-1], straight.missing)


@given(st.integers(-30, 30), st.integers(-3000, 3000), st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_a_straight_line_in_time_stays_one(slope: int, intercept: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    days, dates = np.sort(random.choice(365, 30, replace=False)), regular_days()
    line = np.broadcast_to((intercept + slope * days)[:, None, None, None], (30, 2, 4, 7)).astype(np.int16)
    clear = random.random((30, 4, 7)) < 0.6
    regular = regularise(line, clear, days, dates, max_gap_days=365)
    between = np.ones((24, 4, 7), bool)
    for y, x in np.ndindex(4, 7):
        seen = days[clear[:, y, x]]
        between[:, y, x] = (dates >= seen.min()) & (dates <= seen.max()) if seen.size else False
    expected = np.broadcast_to((intercept + slope * dates)[:, None, None, None], regular.values.shape)
    inside = np.broadcast_to(between[:, None], regular.values.shape)
    assert inside.any()
    np.testing.assert_array_equal(regular.values[inside], expected[inside])


def larger_than_blocks() -> Cube:
    random = np.random.default_rng(5)
    shape = (20, 3, 121, 97)
    values = random.integers(-400, 8000, shape).astype(np.int16)
    values[random.random(shape) < 0.01] = NODATA
    clear = random.random((20, 121, 97)) < 0.3
    clear[:7, :60] = False  # wholly cloudy blocks take a short cut
    return values, clear, np.sort(random.choice(365, 20, replace=False)), regular_days().astype(np.int64), 60


def test_threads_blocks_and_rows_do_not_show() -> None:
    cube = larger_than_blocks()
    values, clear, days, dates, max_gap_days = cube
    assert values[0, 0].size > 4 * BLOCK
    assert values[0, 0].size % BLOCK
    whole = interpolate(cube, threads=1)
    for threads in (2, 3, 8):
        assert_equal(interpolate(cube, threads=threads), whole)
    for first in range(0, 121, 7):
        rows = slice(first, first + 7)
        part = interpolate((values[:, :, rows], clear[:, rows], days, dates, max_gap_days))
        np.testing.assert_array_equal(part.values, whole.values[:, :, rows])
    as_bytes = regularise(values, clear.astype(np.uint8) * 200, days, dates, max_gap_days=max_gap_days)
    assert_equal(as_bytes, whole)


def test_a_gap_is_the_distance_to_the_nearest_clear_view() -> None:
    values = np.array([100, 200], np.int16).reshape(2, 1, 1, 1)
    clear = np.ones((2, 1, 1), bool)
    dates = np.array([0, 10, 39, 40, 71, 100, 160, 161])
    regular = regularise(values, clear, np.array([10, 100]), dates, max_gap_days=30)
    assert regular.missing[:, 0, 0].tolist() == [False, False, False, False, False, False, True, True]
    assert regular.values[:, 0, 0, 0].tolist() == [100, 100, 132, 133, 168, 200, NODATA, NODATA]


def test_clear_views_saturate_and_count_a_day_once() -> None:
    values = np.zeros((400, 1, 1, 1), np.int16)
    clear = np.ones((400, 1, 1), bool)
    assert regularise(values, clear, np.arange(400), regular_days()).clear_views.item() == 255
    assert regularise(values, clear, np.repeat(np.arange(200), 2), regular_days()).clear_views.item() == 200


def test_same_day_is_averaged_over_clear_views_and_fractions_of_a_day_do_not_matter() -> None:
    values = np.array([[100, 10], [103, 20], [9999, 30]], np.int16).reshape(3, 1, 1, 2)
    clear = np.array([[1, 0], [1, 1], [0, 0]], np.uint8).reshape(3, 1, 2)
    regular = regularise(values, clear, np.array([5.2, 5.4, 5.9]), np.array([5]))
    assert regular.values.reshape(-1).tolist() == [102, 20]
    assert regular.clear_views.reshape(-1).tolist() == [1, 1]


def test_no_acquisition_at_all_is_all_missing() -> None:
    regular = regularise(np.empty((0, 2, 3, 4), np.int16), np.empty((0, 3, 4), bool), np.empty(0), regular_days())
    assert regular.missing.all()
    assert (regular.values == NODATA).all()
    assert not regular.clear_views.any()


def test_years_share_their_days() -> None:
    days = regular_days()
    np.testing.assert_array_equal(days, regular_days(366))
    assert days.tolist()[:3] == [7, 22, 38]
    assert days[-1] == 357
    assert np.array_equal(364 - days[::-1], days) or np.abs(364 - days[::-1] - days).max() <= 1


@given(st.integers(1, 400), st.integers(1, 400))
def test_regular_days_are_centres_of_equal_intervals(period_days: int, dates: int) -> None:
    length = 365 if period_days == 366 else period_days
    if dates > length:
        with pytest.raises(ConfigError, match="do not fit"):
            regular_days(period_days, dates)
        return
    days = regular_days(period_days, dates)
    assert np.all(np.diff(days) > 0)
    assert 0 <= days[0] <= days[-1] < length
    assert np.all(np.abs(days - (np.arange(dates) + 0.5) * length / dates) < 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": np.zeros((2, 1, 3, 3), np.uint16)}, r"uint16 \(2, 1, 3, 3\); expected int16"),
        ({"clear": np.zeros((2, 3, 4), bool)}, r"bool \(2, 3, 4\); expected bool or uint8 \(2, 3, 3\)"),
        ({"days": np.array([9, 3])}, r"ascending, not \[9"),
        ({"dates": np.array([4, 4])}, r"strictly ascending, not \[4, 4\]"),
        ({"max_gap_days": -1}, "max_gap_days: -1"),
        ({"threads": 0}, "threads: 0"),
    ],
)
def test_wrong_arguments_are_named(change: dict[str, Any], message: str) -> None:
    right: dict[str, Any] = {
        "values": np.zeros((2, 1, 3, 3), np.int16),
        "clear": np.zeros((2, 3, 3), bool),
        "days": np.array([3, 9]),
        "dates": np.array([4, 5]),
    }
    with pytest.raises(ValueError, match=message):
        regularise(**(right | change))
