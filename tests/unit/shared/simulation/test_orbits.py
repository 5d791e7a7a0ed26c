"""The plan of passes: real cycle, partial orbits, halves, mixed baselines, and years that do not touch each other."""

from __future__ import annotations

from collections import Counter
from datetime import date
from itertools import pairwise

import numpy as np

from landseries.simulation.difficulty import Difficulty
from landseries.simulation.geometry import Geometry
from landseries.simulation.orbits import Datatake, plan_datatakes

GEOMETRY = Geometry(256)


def plan(*years: int, seed: int = 1) -> list[Datatake]:
    return plan_datatakes(years, 26, GEOMETRY, Difficulty(), seed)


def test_a_year_does_not_depend_on_the_others() -> None:
    together = plan(2018, 2019, 2020)
    assert [take for take in together if take.day.year == 2019] == plan(2019)


def test_dates_spread_over_the_year_and_differ_between_years() -> None:
    days = {year: [take.day for take in plan(year)] for year in (2018, 2019)}
    for year, of_year in days.items():
        assert len(of_year) == 26
        assert of_year == sorted(of_year)
        gaps = np.diff([day.toordinal() for day in [date(year, 1, 1), *of_year, date(year, 12, 31)]])
        assert gaps.max() <= 31
    first, second = ({day.replace(year=2000) for day in of_year} for of_year in days.values())
    assert len(first & second) < 10


def test_passes_repeat_every_ten_days_with_143_orbits() -> None:
    by_orbit: dict[tuple[str, int], list[Datatake]] = {}
    for take in plan(2018, 2019):
        by_orbit.setdefault((take.platform, take.relative_orbit), []).append(take)
    assert set(by_orbit) == {(platform, orbit) for platform in ("S2A", "S2B") for orbit in (22, 65)}
    for takes in by_orbit.values():
        for earlier, later in pairwise(takes):
            days = (later.day - earlier.day).days
            assert days % 10 == 0
            assert later.absolute_orbit - earlier.absolute_orbit == 143 * days // 10


def test_the_western_orbit_alone_is_partial() -> None:
    for take in plan(2018):
        share = take.swath.reaches(GEOMETRY).mean()
        assert (share == 1) == (take.relative_orbit == 65)
        assert share > 0.3


def test_one_datatake_a_year_comes_in_two_halves_that_complete_each_other() -> None:
    halved = [take for take in plan(2018, 2019, 2020) if len(take.datastrips) == 2]
    assert [take.day.year for take in halved] == [2018, 2019, 2020]
    for take in halved:
        assert take.datastrips[0] < take.datastrips[1]
        assert 0.1 < take.swath.northern(GEOMETRY).mean() < 0.9
        assert take.swath.northern(GEOMETRY)[0].mean() > take.swath.northern(GEOMETRY)[-1].mean()


def test_baselines_are_mixed_within_a_year() -> None:
    takes = [take for seed in range(4) for take in plan(2018, seed=seed)]
    kinds = Counter(tuple(processing.has_offset for processing in take.processings) for take in takes)
    assert set(kinds) == {(False,), (True,), (False, True)}
    assert kinds[(False,)] > kinds[(False, True)] > 3
    assert all(processing.has_offset for take in plan(2022)[3:] for processing in take.processings)


def test_shifts_shrink_with_refinement() -> None:
    def longest(year: int) -> float:
        return max(float(np.hypot(take.shift_east_m, take.shift_north_m)) for take in plan(year))

    assert 6 < longest(2019) <= 12
    assert longest(2022) <= 2.5
    assert {take.refined for take in plan(2019)} == {False}
    assert {take.refined for take in plan(2022)} == {True}


def test_only_one_satellite_before_the_second_was_launched() -> None:
    assert {take.platform for take in plan(2016)} == {"S2A"}
