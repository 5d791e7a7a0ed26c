"""Shares of a sample's total: equal where they exist, and the total met where it can be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from landseries_sampler.quotas import equal_quotas

AVAILABLE = st.dictionaries(st.integers(1, 250), st.integers(0, 5_000), min_size=1, max_size=12)


@given(AVAILABLE, st.integers(0, 30_000))
def test_total_is_met_and_nothing_is_taken_that_is_not_there(available: dict[int, int], total: int) -> None:
    quotas = equal_quotas(available, total)
    assert sum(quotas.values()) == min(total, sum(available.values()))
    assert list(quotas) == sorted(available)
    assert all(0 <= quotas[class_id] <= count for class_id, count in available.items())


@given(AVAILABLE, st.integers(0, 30_000))
def test_classes_that_could_give_more_are_equal_to_within_one(available: dict[int, int], total: int) -> None:
    quotas = equal_quotas(available, total)
    with_more = [quotas[class_id] for class_id in available if quotas[class_id] < available[class_id]]
    if with_more:
        assert max(with_more) - min(with_more) <= 1
        exhausted = [quotas[class_id] for class_id in available if quotas[class_id] == available[class_id]]
        assert all(count <= max(with_more) for count in exhausted)


def test_what_a_rare_class_lacks_goes_to_the_others() -> None:
    assert equal_quotas({1: 100, 2: 10, 3: 100}, 90) == {1: 40, 2: 10, 3: 40}


def test_odd_pixels_go_to_the_smallest_ids() -> None:
    assert equal_quotas({7: 100, 2: 100, 5: 100}, 20) == {2: 7, 5: 7, 7: 6}
