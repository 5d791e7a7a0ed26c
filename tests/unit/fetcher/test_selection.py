"""The choice of acquisitions: never too many, whatever the order, the shortest longest gap, and evenly spread."""

from __future__ import annotations

import itertools
import math
import random
import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landseries_fetcher.selection import Candidate, choose, expected_squared_gaps, longest_gap_days

YEAR_DAYS = 365.0
SOME = st.lists(
    st.tuples(st.floats(0, 364.9, allow_nan=False), st.floats(0.01, 1.0)), max_size=40, unique_by=lambda item: item[0]
).map(lambda items: [Candidate(day, f"A{i:02d}", clear) for i, (day, clear) in enumerate(items)])


def _cost(candidates: list[Candidate], chosen: list[str]) -> float:
    return expected_squared_gaps([c for c in candidates if c.id in chosen], YEAR_DAYS)


def _longest(candidates: Sequence[Candidate]) -> float:
    """The longest gap between those that see half of the tile, by its definition."""
    days = [0.0, *sorted(c.day for c in candidates if c.clear >= 0.5), YEAR_DAYS]
    return max(b - a for a, b in itertools.pairwise(days))


@settings(max_examples=60, deadline=None)
@given(candidates=SOME, at_most=st.integers(1, 12), seed=st.integers(0, 10))
def test_never_more_than_asked_and_independent_of_order(candidates: list[Candidate], at_most: int, seed: int) -> None:
    chosen = choose(candidates, at_most, YEAR_DAYS)
    shuffled = random.Random(seed).sample(candidates, len(candidates))
    assert choose(shuffled, at_most, YEAR_DAYS) == chosen
    assert len(chosen) == len(set(chosen)) == min(at_most, len(candidates))
    days = {candidate.id: candidate.day for candidate in candidates}
    assert chosen == sorted(chosen, key=lambda name: days[name])


#: Days that coincide, and shares on both sides of a half, are what choices go wrong over.
FEW = st.lists(
    st.tuples(st.one_of(st.integers(0, 36).map(lambda n: 10.0 * n), st.floats(0, 365)), st.floats(0.01, 1.0)),
    min_size=2,
    max_size=9,
).map(lambda items: [Candidate(day, f"A{i}", clear) for i, (day, clear) in enumerate(items)])


@settings(max_examples=300, deadline=None)
@given(candidates=FEW, at_most=st.integers(1, 5))
def test_no_other_choice_leaves_a_shorter_longest_gap(candidates: list[Candidate], at_most: int) -> None:
    """Against every subset; of those that leave as short a gap the chosen are near the best spread."""
    subsets = list(itertools.combinations(candidates, min(at_most, len(candidates))))
    chosen = choose(candidates, at_most, YEAR_DAYS)
    taken = [c for c in candidates if c.id in chosen]
    least = min(_longest(subset) for subset in subsets)
    assert _longest(taken) == least == longest_gap_days(taken, YEAR_DAYS)
    best = min(expected_squared_gaps(subset, YEAR_DAYS) for subset in subsets if _longest(subset) == least)
    assert _cost(candidates, chosen) <= 1.2 * best


@settings(max_examples=60, deadline=None)
@given(candidates=SOME, at_most=st.integers(1, 12))
def test_never_worse_than_the_clearest(candidates: list[Candidate], at_most: int) -> None:
    """These leave a longer gap, or no better spread."""
    clearest = sorted(candidates, key=lambda c: (-c.clear, c.day))[:at_most]
    chosen = choose(candidates, at_most, YEAR_DAYS)
    longest = _longest([c for c in candidates if c.id in chosen])
    assert longest <= _longest(clearest)
    if longest == _longest(clearest):
        assert _cost(candidates, chosen) <= expected_squared_gaps(clearest, YEAR_DAYS) * (1 + 1e-9)


def test_the_longest_gap_counts_before_the_spread() -> None:
    """The one hazy view of spring is taken, although the sum of squares would rather have another clear autumn."""
    clear = [Candidate(day, f"clear{day:.0f}", 1.0) for day in (10.0, 60.0, 240.0, 270.0, 300.0, 330.0)]
    hazy = Candidate(150.0, "hazy", 0.5)
    assert longest_gap_days(clear, YEAR_DAYS) == 180.0
    chosen = choose([*clear, hazy], 4, YEAR_DAYS)
    assert "hazy" in chosen
    assert _longest([c for c in [*clear, hazy] if c.id in chosen]) == 90.0


def test_what_sees_less_than_half_ends_no_gap() -> None:
    assert longest_gap_days([Candidate(100.0, "a", 0.49), Candidate(200.0, "b", 0.5)], YEAR_DAYS) == 200.0
    assert longest_gap_days([], YEAR_DAYS) == YEAR_DAYS


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_a_year_of_a_tile_takes_milliseconds(seed: int) -> None:
    draw = random.Random(seed)
    candidates = [Candidate(draw.uniform(0, 365), f"A{i:02d}", draw.betavariate(0.7, 0.7)) for i in range(80)]
    started = time.process_time()
    choose(candidates, 20, YEAR_DAYS)
    assert time.process_time() - started < 0.5, "thousands of tiles must not take an hour"


def test_expected_gaps_against_every_outcome() -> None:
    candidates = [Candidate(10, "a", 0.3), Candidate(100, "b", 0.8), Candidate(101, "c", 0.5), Candidate(300, "d", 0.9)]
    expected = 0.0
    for outcome in itertools.product([False, True], repeat=len(candidates)):
        chance = math.prod(c.clear if seen else 1 - c.clear for c, seen in zip(candidates, outcome, strict=True))
        days = [0.0, *(c.day for c, seen in zip(candidates, outcome, strict=True) if seen), YEAR_DAYS]
        expected += chance * sum((b - a) ** 2 for a, b in itertools.pairwise(days))
    assert expected_squared_gaps(candidates, YEAR_DAYS) == pytest.approx(expected)


def test_evenly_spread_where_all_are_clear() -> None:
    candidates = [Candidate(float(day), f"A{day:03d}", 1.0) for day in range(0, 365, 5)]
    chosen = choose(candidates, 20, YEAR_DAYS)
    days = [0.0, *(float(name[1:]) for name in chosen), YEAR_DAYS]
    assert max(b - a for a, b in itertools.pairwise(days)) <= 25, "an even spread leaves 17.4 days"


def test_spread_beats_clearness_alone() -> None:
    """The clearest are all of summer; a choice that spreads takes the hazy ones of winter too."""
    summer = [Candidate(150.0 + i, f"summer{i:02d}", 0.99) for i in range(20)]
    winter = [Candidate(20.0 + 16 * i, f"winter{i:02d}", 0.6) for i in range(20)]
    chosen = choose([*summer, *winter], 10, YEAR_DAYS)
    assert sum(name.startswith("winter") for name in chosen) >= 7
    assert any(name.startswith("summer") for name in chosen)


def test_of_two_on_a_day_the_clear_one() -> None:
    candidates = [Candidate(100, "hazy", 0.4), Candidate(100, "clear", 0.9), Candidate(200, "other", 0.8)]
    assert choose(candidates, 2, YEAR_DAYS) == ["clear", "other"]
