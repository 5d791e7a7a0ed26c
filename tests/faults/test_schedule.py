"""The faults of a run: as many as asked for, spread over the run, the same for the same seed."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tests.faults.schedule import BATCH, Amount, draw

AMOUNTS = st.builds(
    Amount,
    kills=st.integers(0, 60),
    broker_restarts=st.integers(0, 4),
    store_stops=st.integers(0, 4),
    store_stop_s=st.just(30.0),
    duplicates=st.integers(0, 120),
    cuts=st.integers(0, 30),
)


@given(st.integers(0, 1000), AMOUNTS)
def test_everything_that_was_asked_for_is_drawn_in_order(seed: int, amount: Amount) -> None:
    faults = draw(seed, amount)
    counts = Counter(fault.kind for fault in faults)
    assert counts["kill"] == amount.kills
    assert counts["broker"] == amount.broker_restarts
    assert counts["store"] == amount.store_stops
    assert counts["cut"] == amount.cuts
    for kind in ("duplicates", "reorder"):
        sizes = [fault.count for fault in faults if fault.kind == kind]
        assert sum(sizes) == amount.duplicates
        assert all(0 < size <= BATCH for size in sizes)
    assert [fault.at for fault in faults] == sorted(fault.at for fault in faults)
    assert all(0 <= fault.at < 0.9 for fault in faults)


@given(st.integers(0, 1000))
def test_a_seed_draws_the_same_faults_again_and_another_seed_others(seed: int) -> None:
    assert draw(seed, Amount()) == draw(seed, Amount())
    assert draw(seed, Amount()) != draw(seed + 1, Amount())


def test_servers_are_killed_and_stopped_in_turn_the_first_one_killed() -> None:
    faults = draw(3, Amount(broker_restarts=3, store_stops=3))
    for kind in ("broker", "store"):
        assert [fault.hard for fault in faults if fault.kind == kind] == [True, False, True]
