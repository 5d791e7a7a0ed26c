"""Submitting: safe to repeat, whole batches again where the connection broke, and no run under another's name."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from unit.shared.test_worker import make_plan

from landseries import submitting
from landseries.brokers.inprocess import InProcessBroker, InProcessDelivery
from landseries.errors import BrokerError, BrokerUnavailable, RunConflict
from landseries.gates import cancel, cancellation_key
from landseries.messages import Message, encode
from landseries.pipeline import Unit
from landseries.stores.local import LocalStore
from landseries.submitting import publish_all, submit


class Breaking:
    """A broker whose publishing fails as often as a test wants."""

    def __init__(self, failures: int, error: type[BrokerError] = BrokerUnavailable) -> None:
        self.failures = failures
        self.error = error
        self.batches: list[list[str]] = []

    def publish(self, messages: Iterable[Message]) -> None:
        self.batches.append([message.message_id for message in messages])
        if self.failures:
            self.failures -= 1
            raise self.error("the connection broke")

    def receive(self, services: Iterable[str], timeout_s: float) -> InProcessDelivery | None:
        return None


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr(submitting.time, "sleep", found.append)
    return found


def messages(count: int) -> list[Message]:
    return [encode("demo", Unit("reference", (f"t{number:05d}",))) for number in range(count)]


def test_submitting_twice_changes_nothing(store: LocalStore) -> None:
    broker, plan = InProcessBroker(), make_plan()
    first = submit(store, broker, plan)
    before = {item.key: store.get(item.key) for item in store.list("")}
    assert submit(store, broker, plan) == first > 0
    assert {item.key: store.get(item.key) for item in store.list("")} == before


def test_a_cancelled_run_is_taken_up_again(store: LocalStore) -> None:
    submit(store, InProcessBroker(), make_plan())
    cancel(store, "demo", "x")
    submit(store, InProcessBroker(), make_plan())
    assert not store.exists(cancellation_key("demo"))


def test_another_run_of_the_name_is_refused_before_anything_is_sent(store: LocalStore) -> None:
    submit(store, InProcessBroker(), make_plan())
    cancel(store, "demo", "x")
    broker = Breaking(0)
    with pytest.raises(RunConflict, match=r"'demo' is here already, and differs in seed.*another `name:`"):
        submit(store, broker, make_plan(seed=7))
    assert broker.batches == []
    assert store.exists(cancellation_key("demo")), "nor is the other one taken up again"


def test_batches_are_sent_again_whole(pauses: list[float]) -> None:
    broker = Breaking(2)
    told: list[tuple[int, int]] = []
    assert publish_all(broker, messages(1100), lambda done, total: told.append((done, total))) == 1100
    assert [len(batch) for batch in broker.batches] == [500, 500, 500, 500, 100]
    assert broker.batches[0] == broker.batches[1] == broker.batches[2]
    assert told == [(500, 1100), (1000, 1100), (1100, 1100)]
    assert pauses == sorted(pauses), "longer each time"
    assert len(pauses) == 2


def test_a_broker_that_stays_away_is_told_in_the_end(pauses: list[float]) -> None:
    broker = Breaking(99)
    with pytest.raises(BrokerUnavailable):
        publish_all(broker, messages(3), tries=4)
    assert len(broker.batches) == 4


def test_a_refusal_is_told_at_once(pauses: list[float]) -> None:
    broker = Breaking(99, BrokerError)
    with pytest.raises(BrokerError):
        publish_all(broker, messages(3))
    assert len(broker.batches) == 1
    assert pauses == []


def test_nothing_to_send_sends_nothing() -> None:
    broker = Breaking(0)
    assert publish_all(broker, []) == 0
    assert broker.batches == []
