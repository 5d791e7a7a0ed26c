"""True changes: of the right amount, where they are listed and nowhere else, and seen from their day on."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from landseries.errors import ConfigError
from landseries.simulation.changes import History
from landseries.simulation.classes import LandCover
from landseries.simulation.landscape import build_landscape


@pytest.mark.parametrize(("size_px", "seed"), [(256, 1), (256, 5), (256, 8), (512, 1)])
def test_two_to_five_percent_change_each_year(size_px: int, seed: int) -> None:
    history = History(build_landscape(size_px, seed), 2022, seed)
    for year in range(2016, 2022):
        share = (history.truth(year) != history.truth(year + 1)).mean()
        assert 0.02 <= share <= 0.05, (year, share)


def test_nothing_changes_but_what_is_listed(history: History) -> None:
    for year in range(2016, 2023):
        expected = history.truth(year).copy()
        touched = np.zeros(expected.shape, int)
        for change in history.between(year, year + 1):
            assert (expected[change.mask] == change.before).all()
            expected[change.mask] = change.after
            touched += change.mask
        assert touched.max() == 1
        assert (expected == history.truth(year + 1)).all()


def test_the_storm_of_2018_fells_conifers_that_come_back_as_shrubs(history: History) -> None:
    (storm,) = [change for change in history.changes if change.kind == "windthrow"]
    assert (storm.from_year, storm.day) == (2018, date(2018, 10, 29))
    assert (history.truth(2018)[storm.mask] == LandCover.CONIFERS).all()
    assert (history.truth(2019)[storm.mask] == LandCover.GRASS).all()
    assert (history.truth(2021)[storm.mask] == LandCover.SHRUBLAND).mean() > 0.9


def test_images_show_a_change_from_its_day_on(history: History) -> None:
    for change in history.between(2018, 2019):
        assert (history.on(change.day - timedelta(days=1))[change.mask] == change.before).all()
        assert (history.on(change.day)[change.mask] == change.after).all()
    assert (history.on(date(2019, 7, 1)) == history.truth(2019)).all()
    assert (history.on(date(2019, 6, 30)) == history.truth(2019)).all()


def test_felled_ground_is_forgotten_once_it_changes_again(history: History) -> None:
    (storm,) = [change for change in history.changes if change.kind == "windthrow"]
    assert not history.felled_on(date(2018, 10, 28))[storm.mask].any()
    assert history.felled_on(date(2018, 10, 29))[storm.mask].all()
    assert history.felled_on(date(2021, 6, 1))[storm.mask].mean() < 0.1


def test_kinds_are_all_there(history: History) -> None:
    kinds = {change.kind for change in history.between(2018, 2019)}
    assert kinds == {"windthrow", "clear-cut", "building", "quarry", "gravel", "regrowth"}


def test_further_years_change_nothing_before(history: History) -> None:
    shorter = History(build_landscape(256, 5), 2019, 5)
    assert (shorter.truth(2019) == history.truth(2019)).all()


def test_a_year_outside_is_refused() -> None:
    with pytest.raises(ConfigError, match="2036"):
        History(build_landscape(256, 1), 2036, 1)
