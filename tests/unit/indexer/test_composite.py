"""The quick-look: medians over what has data, fixed colours, and what happens where bands or data are absent."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landseries.bands import BANDS, NODATA
from landseries_indexer.composite import growing_season, quick_look
from landseries_indexer.regularise import regular_days

#: Three days of summer, and enough of them for any test.
SUMMER = (160, 180, 200)


def pixel(*dates: int, features: int = 1) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    """(date, feature, 1, 1): all features alike."""
    return np.repeat(np.array(dates, np.int16).reshape(-1, 1, 1, 1), features, axis=1)


def test_season_is_may_to_september_wherever_the_period_starts() -> None:
    days = regular_days()
    calendar = growing_season(days, date(2018, 1, 1))
    assert [int(day) for day in days[calendar]] == [129, 144, 159, 174, 190, 205, 220, 235, 250, 266]
    assert calendar.dtype == bool
    storm_year = growing_season(days, date(2017, 11, 1))
    assert storm_year.sum() == 10
    assert np.flatnonzero(storm_year)[0] == np.flatnonzero(calendar)[0] + 4
    assert growing_season([0, 10, 20], date(2018, 1, 1)).all()


@given(st.lists(st.one_of(st.just(NODATA), st.integers(-500, 3000)), min_size=1, max_size=9))
@settings(deadline=None)
def test_shows_the_median_of_what_has_data(values: list[int]) -> None:
    days = range(150, 150 + len(values))
    data = [value for value in values if value != NODATA]
    shown = quick_look(pixel(*values), ("B04",), days)
    if not data:
        assert (shown == 0).all()
        return
    # An even number of values has its median between two: show the doubled series against the doubled median.
    np.testing.assert_array_equal(shown, quick_look(pixel(*data), ("B04",), days[: len(data)]))
    low, high = int(np.floor(np.median(data))), int(np.ceil(np.median(data)))
    bounds = [quick_look(pixel(value), ("B04",), (180,)).max() for value in (low, high)]
    assert bounds[0] <= shown.max() <= bounds[1]


def test_dates_outside_the_season_are_not_shown() -> None:
    series = pixel(500, 900, 3000, features=3)
    names = ("B02", "B03", "B04")
    july = quick_look(series[1:2], names, (190,))
    np.testing.assert_array_equal(quick_look(series, names, (20, 190, 350)), july)
    np.testing.assert_array_equal(quick_look(series, names, (20, 240, 350), date(2017, 11, 1)), july)


def test_red_comes_first_and_black_and_white_are_fixed() -> None:
    series = np.zeros((1, len(BANDS), 1, 3), np.int16)
    series[0, BANDS.index("B04"), 0] = [3000, 0, 9000]
    series[0, BANDS.index("B03"), 0] = [-200, 0, 9000]
    series[0, BANDS.index("B02"), 0] = [750, 0, 9000]
    picture = quick_look(series, BANDS, (180,))
    assert picture.dtype == np.uint8
    red, green, blue = picture[:, 0, 0].tolist()
    assert (red, green) == (255, 1)
    assert 1 < blue < 255
    assert picture[:, 0, 1].tolist() == [1, 1, 1]
    assert picture[:, 0, 2].tolist() == [255, 255, 255]


def test_a_pixel_without_one_of_its_colours_is_no_data() -> None:
    series = np.full((3, 3, 1, 2), 1000, np.int16)
    series[:, 1, 0, 0] = NODATA
    picture = quick_look(series, ("B02", "B03", "B04"), SUMMER)
    assert picture[:, 0, 0].tolist() == [0, 0, 0]
    assert (picture[:, 0, 1] > 0).all()


def test_grey_from_the_first_feature_where_colours_are_absent() -> None:
    series = np.stack([pixel(-10_000, -10_000, -10_000), pixel(0, 0, 0), pixel(10_000, 9_000, 10_000)], axis=3)[..., 0]
    shades = quick_look(series, ("NDVI",), SUMMER)
    assert shades[0, 0].tolist() == [1, 128, 255]
    assert (shades == shades[0]).all()
    infrared = quick_look(pixel(5000, 5000, 5000, features=2), ("B08", "B04"), SUMMER)
    assert infrared[:, 0, 0].tolist() == [255, 255, 255]


def test_rows_can_be_shown_one_after_the_other() -> None:
    random = np.random.default_rng(4)
    series = random.integers(-200, 4000, (24, 10, 9, 11)).astype(np.int16)
    series[random.random((24, 1, 9, 11)).repeat(10, axis=1) < 0.5] = NODATA
    days = regular_days()
    whole = quick_look(series, BANDS, days)
    parts = [quick_look(series[:, :, row : row + 2], BANDS, days) for row in range(0, 9, 2)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


def test_wrong_axes_are_named() -> None:
    with pytest.raises(ValueError, match=r"\(3, 1, 1, 1\); expected \(date, feature, y, x\) of 3 dates, 2 features"):
        quick_look(pixel(1, 2, 3), ("B02", "B03"), SUMMER)
