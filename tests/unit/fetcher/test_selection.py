"""The choice of acquisitions: never too many, whatever the order, and evenly spread."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landseries_fetcher.selection import Candidate, choose, expected_squared_gaps

YEAR_DAYS = 365.0
SOME = st.lists(
    st.tuples(st.floats(0, 364.9, allow_nan=False), st.floats(0.01, 1.0)), max_size=40, unique_by=lambda item: item[0]
).map(lambda items: [Candidate(day, f"A{i:02d}", clear) for i, (day, clear) in enumerate(items)])


def _cost(candidates: list[Candidate], chosen: list[str]) -> float:
    return expected_squared_gaps([c for c in candidates if c.id in chosen], YEAR_DAYS)


@settings(max_examples=60, deadline=None)
@given(candidates=SOME, at_most=st.integers(1, 12), seed=st.integers(0, 10))
def test_never_more_than_asked_and_independent_of_order(candidates: list[Candidate], at_most: int, seed: int) -> None:
    chosen = choose(candidates, at_most, YEAR_DAYS)
    shuffled = random.Random(seed).sample(candidates, len(candidates))
    assert choose(shuffled, at_most, YEAR_DAYS) == chosen
    assert len(chosen) == len(set(chosen)) == min(at_most, len(candidates))
    days = {candidate.id: candidate.day for candidate in candidates}
    assert chosen == sorted(chosen, key=lambda name: days[name])


@settings(max_examples=60, deadline=None)
@given(candidates=SOME, at_most=st.integers(1, 12))
def test_never_worse_spread_than_the_clearest(candidates: list[Candidate], at_most: int) -> None:
    clearest = sorted(candidates, key=lambda c: (-c.clear, c.day))[:at_most]
    chosen = choose(candidates, at_most, YEAR_DAYS)
    assert _cost(candidates, chosen) <= expected_squared_gaps(clearest, YEAR_DAYS) * (1 + 1e-9)


@settings(max_examples=25, deadline=None)
@given(candidates=SOME.filter(lambda found: len(found) >= 2), at_most=st.integers(1, 3))
def test_near_the_best_of_all_subsets(candidates: list[Candidate], at_most: int) -> None:
    few = candidates[:9]
    size = min(at_most, len(few))
    best = min(expected_squared_gaps(list(s), YEAR_DAYS) for s in itertools.combinations(few, size))
    assert _cost(few, choose(few, size, YEAR_DAYS)) <= 1.2 * best


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
