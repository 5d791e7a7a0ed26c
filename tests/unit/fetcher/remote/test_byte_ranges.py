"""Ranges of bytes, against sets of numbers."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from landseries_fetcher.remote.byte_ranges import joined, merged, missing, total

RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=8)


def _members(ranges: list[tuple[int, int]]) -> set[int]:
    return {byte for start, stop in ranges for byte in range(start, stop)}


@given(ranges=RANGES)
def test_merged(ranges: list[tuple[int, int]]) -> None:
    found = merged(ranges)
    assert _members(found) == _members(ranges)
    assert all(before[1] < after[0] for before, after in pairwise(found))
    assert total(found) == len(_members(ranges))


@given(wanted=RANGES, present=RANGES)
def test_missing(wanted: list[tuple[int, int]], present: list[tuple[int, int]]) -> None:
    found = missing(wanted, merged(present))
    assert _members(found) == _members(wanted) - _members(present)
    assert found == merged(found)


@given(wanted=RANGES, present=RANGES, gap=st.integers(0, 10), waste=st.floats(0, 1))
def test_joined(wanted: list[tuple[int, int]], present: list[tuple[int, int]], gap: int, waste: float) -> None:
    """Nothing wanted is lost, nothing present is fetched again, and the waste is bounded."""
    needed = missing(wanted, merged(present))
    found = joined(needed, merged(present), gap, waste)
    assert _members(needed) <= _members(found)
    assert not _members(found) & _members(present)
    assert total(found) <= total(needed) * (1 + waste) + 1e-9
    assert len(found) <= len(needed)


def test_the_smallest_gaps_are_joined_first() -> None:
    assert joined([(0, 10), (14, 20), (21, 30)], [], 5, 0.1) == [(0, 10), (14, 30)]
