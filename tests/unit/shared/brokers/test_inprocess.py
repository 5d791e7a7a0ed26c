"""The broker inside one process."""

import pytest

from landseries.brokers import inprocess
from landseries.brokers.inprocess import InProcessBroker
from tests.unit.shared.brokers.behaviour import INDEX, TRAIN, BrokerBehaviour


@pytest.fixture
def broker() -> InProcessBroker:
    return InProcessBroker()


class TestInProcessBroker(BrokerBehaviour):
    """All of a broker's behaviour."""


def test_retries_end_with_a_dead_letter_and_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inprocess, "RETRY_DELAYS_S", (0.0, 0.0))
    broker = InProcessBroker()
    broker.publish([INDEX])
    for attempt in (1, 2, 3):
        delivery = broker.receive(["indexer"], 1)
        assert delivery is not None
        assert delivery.message.attempt == attempt
        assert not broker.idle()
        delivery.retry(f"try {attempt}")
    assert broker.idle()
    assert [letter.reason for letter in broker.dead_letters] == ["try 3"]


def test_a_message_in_work_is_not_queued_twice() -> None:
    broker = InProcessBroker()
    broker.publish([INDEX, INDEX])
    delivery = broker.receive(["indexer"], 1)
    broker.publish([INDEX])
    assert broker.receive(["indexer"], 0) is None
    assert delivery is not None
    delivery.ack()
    assert broker.idle()


def test_later_stages_go_first() -> None:
    broker = InProcessBroker()
    broker.publish([INDEX, TRAIN])
    delivery = broker.receive(["indexer", "trainer"], 1)
    assert delivery is not None
    assert delivery.message.type == "train.v1"
    assert broker.only_one() is False
