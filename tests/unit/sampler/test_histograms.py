"""Bins of priorities: every priority has one, and a bin is an eighth of its place wide at most."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from landseries_sampler.histograms import BINS, UPPER_EDGES, bins_of, histogram_of, last_bin

HIGHEST = 2**64 - 1
PRIORITIES = st.one_of(st.integers(0, 40), st.integers(0, HIGHEST))


def test_bins_cover_all_priorities_and_are_narrow() -> None:
    edges = [int(edge) for edge in UPPER_EDGES]
    assert edges == sorted(set(edges))
    assert edges[-1] == HIGHEST
    assert len(edges) == BINS
    lower = [0] + [edge + 1 for edge in edges[:-1]]
    assert all(upper - low + 1 <= max(1, low / 8) for low, upper in zip(lower, edges, strict=True))


@given(st.lists(PRIORITIES, min_size=1, max_size=30))
def test_a_priority_lies_between_the_edges_of_its_bin(priorities: list[int]) -> None:
    found = bins_of(np.array(priorities, dtype=np.uint64)).tolist()
    for priority, bin_ in zip(priorities, found, strict=True):
        assert priority <= int(UPPER_EDGES[bin_])
        assert bin_ == 0 or priority > int(UPPER_EDGES[bin_ - 1])


@given(st.lists(PRIORITIES, min_size=1, max_size=60), st.data())
def test_the_last_bin_holds_the_last_of_the_smallest(priorities: list[int], data: st.DataObject) -> None:
    values = np.array(priorities, dtype=np.uint64)
    count = data.draw(st.integers(1, len(priorities)))
    expected = int(bins_of(np.sort(values)[count - 1 : count])[0])
    assert last_bin(histogram_of(values), count) == expected
    assert last_bin(histogram_of(values), 0) == -1
    assert histogram_of(values).sum() == len(priorities)


def test_a_draw_reaches_an_eighth_too_far_at_most() -> None:
    values = np.random.default_rng(5).integers(0, HIGHEST, 400_000, dtype=np.uint64, endpoint=True)
    for count in (2_000, 24_000, 100_000, 390_000):
        drawn = int((bins_of(values) <= last_bin(histogram_of(values), count)).sum())
        assert count <= drawn <= count * 9 / 8 + 4 * count**0.5, count
