"""Leases: never two living owners, the dead are succeeded, and what a store does in between takes nothing away."""

import itertools
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landseries.errors import StoreError, StoreFull, StoreUnavailable
from landseries.leases import LeaseHeld, Leases, lease_content
from landseries.stores.base import Tagged
from landseries.stores.local import LocalStore

KEY = "runs/demo/leases/train/all/multi-year.json"
LEASE_S = 0.6


class Moody(LocalStore):
    """A store whose conditional writes fail as a test wants; `answers_lost` are done all the same."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.mood: Callable[[], StoreError | OSError | None] = lambda: None
        self.writes = 0

    def put_if(self, key: str, content: bytes, tag: str | None) -> str | None:
        self.writes += 1
        error = self.mood()
        if error is not None:
            raise error
        return super().put_if(key, content, tag)


@pytest.fixture
def store(tmp_path: Path) -> Moody:
    return Moody(tmp_path / "store")


def owner_in(store: LocalStore) -> str | None:
    found: str | None = json.loads(store.get(KEY) or b"{}").get("owner")
    return found


def nothing() -> None:
    pass


def wait_until(reached: Callable[[], bool], timeout_s: float = 10.0) -> None:
    end = time.monotonic() + timeout_s
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_lease_is_held_renewed_and_given_back(store: Moody) -> None:
    beats: list[bytes] = []
    with Leases(store, "me", lease_s=LEASE_S).holding(KEY, lambda: beats.append(store.get(KEY) or b"")):
        assert owner_in(store) == "me"
        wait_until(lambda: len(beats) >= 3)
    assert len(set(beats)) == len(beats), "each renewal is told from the last one"
    assert owner_in(store) is None
    written = store.writes
    time.sleep(LEASE_S)
    assert store.writes == written, "nobody renews what was given back"


def test_the_next_owner_takes_at_once_what_was_given_back(store: Moody) -> None:
    with Leases(store, "one", lease_s=60.0).holding(KEY, nothing):
        pass
    begun = time.monotonic()
    with Leases(store, "two", lease_s=60.0).holding(KEY, nothing):
        assert owner_in(store) == "two"
    assert time.monotonic() - begun < 5


def test_an_error_of_the_unit_gives_back_too(store: Moody) -> None:
    with pytest.raises(KeyError), Leases(store, "me").holding(KEY, nothing):
        raise KeyError
    assert owner_in(store) is None


def test_who_comes_second_is_told_who_is_first(store: Moody) -> None:
    with (
        Leases(store, "first@host:1", lease_s=3.0).holding(KEY, nothing),
        pytest.raises(LeaseHeld, match="first@host:1 is at work on it"),
        Leases(store, "second", lease_s=3.0).holding(KEY, nothing),
    ):
        pytest.fail("two owners")


def test_a_silent_owner_is_succeeded_after_its_time_and_not_before(store: Moody) -> None:
    assert store.put_if(KEY, lease_content("dead"), None)
    begun = time.monotonic()
    with Leases(store, "heir", lease_s=LEASE_S).holding(KEY, nothing):
        assert time.monotonic() - begun >= LEASE_S
        assert owner_in(store) == "heir"


def test_a_paused_owner_that_wakes_does_not_take_it_back(store: Moody) -> None:
    pause, asleep = threading.Event(), threading.Event()
    sleepers = Moody(store.folder)

    def sleep() -> None:
        if sleepers.writes > 1:  # not while it takes the lease
            asleep.set()
            pause.wait(20)

    sleepers.mood = sleep
    with Leases(sleepers, "sleeper", lease_s=LEASE_S).holding(KEY, nothing):
        assert asleep.wait(10)
        with Leases(store, "heir", lease_s=LEASE_S).holding(KEY, nothing):
            pause.set()
            time.sleep(LEASE_S)
            assert owner_in(store) == "heir"
    assert owner_in(store) is None, "and the heir's giving back stands"


def test_a_beat_that_takes_long_holds_up_no_renewal(store: Moody) -> None:
    pause = threading.Event()

    def wait() -> None:
        pause.wait(20)

    with Leases(store, "slow", lease_s=LEASE_S).holding(KEY, wait):
        with pytest.raises(LeaseHeld), Leases(store, "other", lease_s=LEASE_S).holding(KEY, nothing):
            pytest.fail("its owner lives")
        pause.set()


def test_what_is_given_back_unfinished_beats_once_more(store: Moody) -> None:
    beats: list[int] = []
    leases = Leases(store, "stopped", lease_s=60.0)
    with leases.holding(KEY, lambda: beats.append(1)):
        leases.give_back_all()
        assert beats == [1]


def test_giving_back_all_frees_at_once_what_still_runs(store: Moody) -> None:
    leases = Leases(store, "stopped", lease_s=60.0)
    with leases.holding(KEY, nothing):
        leases.give_back_all()
        begun = time.monotonic()
        with Leases(store, "next", lease_s=60.0).holding(KEY, nothing):
            assert time.monotonic() - begun < 5
            assert owner_in(store) == "next"


def test_who_watches_a_lease_stops_when_told(store: Moody) -> None:
    assert store.put_if(KEY, lease_content("dead"), None)
    leases = Leases(store, "me", lease_s=600.0)
    threading.Timer(0.1, leases.give_back_all).start()
    begun = time.monotonic()
    with pytest.raises(LeaseHeld, match="stops"), leases.holding(KEY, nothing):
        pytest.fail("it is the dead one's")
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize(
    "error", [StoreUnavailable("away"), StoreFull("full"), OSError("the network")], ids=lambda error: str(error)
)
def test_a_store_that_is_away_for_a_while_takes_no_lease_away(store: Moody, error: StoreError | OSError) -> None:
    beats: list[int] = []
    with Leases(store, "me", lease_s=LEASE_S).holding(KEY, lambda: beats.append(1)):
        wait_until(lambda: len(beats) >= 1)
        store.mood = lambda: error
        failing = store.writes
        wait_until(lambda: store.writes >= failing + 2)
        store.mood = lambda: None
        before = len(beats)
        wait_until(lambda: len(beats) > before)
        assert owner_in(store) == "me"


@pytest.mark.parametrize("error", [StoreFull("full"), StoreError("refused"), FileNotFoundError("renamed")])
def test_a_checkpoint_that_cannot_be_written_costs_no_lease(store: Moody, error: Exception) -> None:
    beats: list[int] = []

    def beat() -> None:
        beats.append(1)
        raise error

    with Leases(store, "me", lease_s=LEASE_S).holding(KEY, beat):
        wait_until(lambda: len(beats) >= 3)
        assert owner_in(store) == "me"


def test_a_store_that_refuses_ends_the_renewals_and_nothing_else(store: Moody) -> None:
    with Leases(store, "me", lease_s=LEASE_S).holding(KEY, nothing):
        store.mood = lambda: StoreError("no right")
        wait_until(lambda: store.writes >= 2)
    store.mood = lambda: None
    with Leases(store, "heir", lease_s=LEASE_S).holding(KEY, nothing):
        assert owner_in(store) == "heir"


def test_a_store_that_is_away_at_first_is_not_a_held_lease(store: Moody) -> None:
    store.mood = lambda: StoreUnavailable("away")
    with pytest.raises(StoreUnavailable), Leases(store, "me").holding(KEY, nothing):
        pytest.fail("nothing was taken")


@given(content=st.binary(max_size=80))
@settings(max_examples=50)
def test_whatever_lies_there_is_succeeded(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    store = LocalStore(tmp_path_factory.mktemp("store"))
    store.put(KEY, content)
    with Leases(store, "me", lease_s=0.03).holding(KEY, nothing):
        assert owner_in(store) == "me"


def test_many_racers_are_never_two_at_once(store: Moody) -> None:
    """Now and then the store is away, also when the lease is given back: then it has to run out."""
    inside: list[str] = []
    overlaps: list[list[str]] = []
    held = itertools.count()
    moods = itertools.count()
    store.mood = lambda: StoreUnavailable("away") if next(moods) % 11 == 10 else None
    guard = threading.Lock()
    end = time.monotonic() + 4.0
    patient_s = 2.0  # a machine that is busy must not make an owner look dead

    def race(number: int) -> None:
        leases = Leases(store, f"racer {number}", lease_s=patient_s)
        while time.monotonic() < end:
            try:
                with leases.holding(KEY, nothing):
                    with guard:
                        inside.append(leases._owner)
                        overlaps.append(list(inside))
                        next(held)
                    time.sleep(0.02)
                    with guard:
                        inside.remove(leases._owner)
            except (LeaseHeld, StoreUnavailable):
                time.sleep(0.005)

    racers = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert {len(seen) for seen in overlaps} == {1}
    assert next(held) > 3


def test_of_eight_heirs_one_succeeds(store: Moody) -> None:
    assert store.put_if(KEY, lease_content("dead"), None)
    won: list[str] = []
    refused: list[str] = []
    over = threading.Event()

    def inherit(number: int) -> None:
        try:
            with Leases(store, f"heir {number}", lease_s=LEASE_S).holding(KEY, nothing):
                won.append(f"heir {number}")
                over.wait(20)
        except LeaseHeld as error:
            refused.append(str(error))

    heirs = [threading.Thread(target=inherit, args=(number,)) for number in range(8)]
    for heir in heirs:
        heir.start()
    wait_until(lambda: len(refused) == 7)
    over.set()
    for heir in heirs:
        heir.join()
    assert len(won) == 1


def test_a_lease_taken_at_the_same_moment_is_told(store: Moody, monkeypatch: pytest.MonkeyPatch) -> None:
    def beaten(key: str) -> Tagged | None:
        found = LocalStore.get_tagged(store, key)
        if found is None:
            store.put(KEY, lease_content("faster"))
        return found

    monkeypatch.setattr(store, "get_tagged", beaten)
    with pytest.raises(LeaseHeld, match="same moment"), Leases(store, "me").holding(KEY, nothing):
        pytest.fail("the other was faster")
