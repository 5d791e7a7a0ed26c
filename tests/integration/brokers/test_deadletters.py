"""Dead letters on a real server: found, sent again, dropped."""

import pika
import pytest

from landseries.brokers.deadletters import DeadLetters, Selection
from landseries.brokers.rabbitmq import RabbitBroker
from landseries.connections import BrokerConnection
from landseries.errors import BrokerError
from landseries.messages import Message, encode
from landseries.pipeline import Unit
from tests.integration.brokers.wire import FAR_DATE, RawHeaders, nested_tables, publish_raw
from tests.unit.shared.brokers.behaviour import INDEX, OTHER, TRAIN

pytestmark = pytest.mark.integration

STRANGE = Message(type="index.v9", message_id="strange", traceparent="", body=b"{}")
ANOTHER_RUN = encode("second", Unit("index", ("t1", "2018")))


@pytest.fixture
def place_with_letters(place: BrokerConnection, broker: RabbitBroker) -> BrokerConnection:
    """Five dead letters: two of a run at the indexer, one of another run, one unreadable, one at the trainer."""
    broker.publish([INDEX, STRANGE, OTHER.model_copy(update={"attempt": 3}), ANOTHER_RUN])
    for _ in range(4):
        delivery = broker.receive(["indexer"], 3)
        assert delivery is not None
        delivery.dead(f"because of {delivery.message.message_id}")
    broker.publish([TRAIN])
    delivery = broker.receive(["trainer"], 3)
    assert delivery is not None
    delivery.dead("no memory")
    return place


def test_looking_says_what_why_and_when_and_takes_nothing(place_with_letters: BrokerConnection) -> None:
    with DeadLetters(place_with_letters) as dead:
        first = dead.find()
        again = dead.find()
        assert dead.counts(["indexer", "trainer"]) == {"indexer": 4, "trainer": 1}
    assert first == again
    indexed, strange, other, _second, train = first
    assert (indexed.run_id, indexed.unit, indexed.service) == ("demo", "index t1 2018", "indexer")
    assert indexed.reason == f"because of {INDEX.message_id}"
    assert indexed.when is not None
    assert (strange.run_id, strange.unit, strange.message.type) == (None, None, "index.v9")
    assert (other.attempts, train.service) == (3, "trainer")


def test_a_selection_is_by_run_id_and_service(place_with_letters: BrokerConnection) -> None:
    with DeadLetters(place_with_letters) as dead:
        assert [letter.service for letter in dead.find(Selection(run_id="demo"))] == ["indexer"] * 2 + ["trainer"]
        assert len(dead.find(Selection(message_ids=["strange"]))) == 1
        assert len(dead.find(Selection(services=["indexer"], run_id="second"))) == 1
        assert len(dead.find(limit=2)) == 3  # two at the indexer, one at the trainer
        with pytest.raises(BrokerError, match="known are"):
            dead.find(Selection(services=["baker"]))


def test_redriven_messages_are_worked_on_as_new_and_unreadable_ones_stay(
    place_with_letters: BrokerConnection, broker: RabbitBroker
) -> None:
    with DeadLetters(place_with_letters) as dead:
        outcomes = dead.redrive(Selection(services=["indexer"]))
        assert [outcome.done for outcome in outcomes] == ["redriven", "kept", "redriven", "redriven"]
        assert "version" in outcomes[1].detail
        assert [letter.message.message_id for letter in dead.find(Selection(services=["indexer"]))] == ["strange"]
    ids = set()
    while delivery := broker.receive(["indexer"], 0.5):
        assert delivery.message.attempt == 1
        ids.add(delivery.message.message_id)
        delivery.ack()
    assert ids == {INDEX.message_id, OTHER.message_id, ANOTHER_RUN.message_id}


def test_dropped_messages_are_gone_and_no_others(place_with_letters: BrokerConnection) -> None:
    with DeadLetters(place_with_letters) as dead:
        assert len(dead.drop(Selection(message_ids=["strange"]))) == 1
        assert len(dead.find()) == 4
        assert len(dead.drop(Selection())) == 4
        assert dead.find() == []


def test_a_body_that_was_cut_is_not_sent_again(place: BrokerConnection, broker: RabbitBroker) -> None:
    publish_raw(place, "index", INDEX.body + b" " * 9000, pika.BasicProperties(type="index.v1", message_id="long"))
    delivery = broker.receive(["indexer"], 3)
    assert delivery is not None
    delivery.dead("too large")
    with DeadLetters(place) as dead:
        (outcome,) = dead.redrive(Selection())
    assert (outcome.done, outcome.letter.original_bytes) == ("kept", len(INDEX.body) + 9000)


@pytest.mark.parametrize("table", [FAR_DATE, nested_tables(3000)], ids=["far date", "deep"])
def test_a_dead_letter_with_unreadable_headers_hides_no_other(place: BrokerConnection, table: bytes) -> None:
    publish_raw(place, "indexer", b"{}", RawHeaders(table), exchange="landseries.dead")
    publish_raw(place, "indexer", INDEX.body, pika.BasicProperties(type="index.v1"), exchange="landseries.dead")
    with DeadLetters(place) as dead:
        assert [letter.run_id for letter in dead.find()] == [None, "demo"]


def test_without_a_topology_the_remedy_is_named(bare_vhost: BrokerConnection) -> None:
    with DeadLetters(bare_vhost) as dead, pytest.raises(BrokerError, match="landseries topology apply"):
        dead.find()
