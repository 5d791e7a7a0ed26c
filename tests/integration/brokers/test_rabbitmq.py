"""RabbitMQ as the broker, on a real server."""

import threading
import time

import pika
import pytest

from landseries.brokers.management import Management
from landseries.brokers.rabbitmq import RabbitBroker
from landseries.connections import BrokerConnection
from landseries.errors import BrokerError, BrokerUnavailable
from landseries.messages import LARGEST_BODY_BYTES, Message, encode
from landseries.pipeline import Unit
from tests.integration.brokers.wire import publish_raw, raw_letters
from tests.unit.shared.brokers.behaviour import INDEX, OTHER, TRAIN, BrokerBehaviour

pytestmark = pytest.mark.integration


class TestRabbitBroker(BrokerBehaviour):
    """All of a broker's behaviour."""


def test_never_more_than_one_message_is_held(broker: RabbitBroker, place: BrokerConnection) -> None:
    broker.publish([INDEX, OTHER, TRAIN])
    held = broker.receive(["indexer"], 2)
    assert held is not None
    assert broker.receive(["indexer", "trainer"], 0.3) is None
    with RabbitBroker(place) as colleague:
        others = []
        for _ in range(2):
            delivery = colleague.receive(["indexer", "trainer"], 3)
            assert delivery is not None
            others.append(delivery.message.message_id)
            delivery.ack()
    assert sorted(others) == sorted([OTHER.message_id, TRAIN.message_id])
    held.ack()


def test_many_messages_arrive_each_once(broker: RabbitBroker) -> None:
    sent = [encode("demo", Unit("index", (f"t{number}", "2018"))) for number in range(700)]
    broker.publish(iter(sent))
    received = []
    while delivery := broker.receive(["indexer"], 0.5):
        received.append(delivery.message.message_id)
        delivery.ack()
    assert received == [message.message_id for message in sent]


def test_the_queue_wait_is_told(broker: RabbitBroker) -> None:
    broker.publish([INDEX])
    time.sleep(0.3)
    delivery = broker.receive(["indexer"], 2)
    assert delivery is not None
    assert delivery.waited_s == pytest.approx(0.35, abs=0.2)
    delivery.ack()


def test_the_last_attempt_ends_with_the_dead(broker: RabbitBroker, place: BrokerConnection) -> None:
    broker.publish([INDEX.model_copy(update={"attempt": 6})])
    delivery = broker.receive(["indexer"], 2)
    assert delivery is not None
    delivery.retry("still\nno\x1bspace")
    ((properties, body),) = raw_letters(place, "landseries.dead.indexer")
    assert properties.headers["reason"] == "still no space"
    assert properties.headers["attempt"] == 6
    assert (properties.type, properties.message_id, body) == (INDEX.type, INDEX.message_id, INDEX.body)
    assert properties.delivery_mode == 2


def test_a_large_body_is_cut_when_put_aside(broker: RabbitBroker, place: BrokerConnection) -> None:
    publish_raw(place, "index", b"x" * 1_000_000, pika.BasicProperties(type="index.v1"))
    delivery = broker.receive(["indexer"], 2)
    assert delivery is not None
    delivery.dead("y" * 10_000)
    ((properties, body),) = raw_letters(place, "landseries.dead.indexer")
    assert len(body) == LARGEST_BODY_BYTES
    assert properties.headers["original_bytes"] == 1_000_000
    assert len(properties.headers["reason"]) == 2000


def test_a_message_that_came_past_the_exchange_is_not_lost_in_a_retry(
    broker: RabbitBroker, place: BrokerConnection
) -> None:
    publish_raw(place, "landseries.indexer", b"{}", pika.BasicProperties(type="nonsense"), exchange="")
    delivery = broker.receive(["indexer"], 2)
    assert delivery is not None
    delivery.retry("why not")
    ((properties, _body),) = raw_letters(place, "landseries.dead.indexer")
    assert "landseries.indexer" in properties.headers["reason"]


def test_sending_what_no_queue_takes_names_the_remedy(broker: RabbitBroker, management: Management) -> None:
    management.delete("queues", management.vhost, "landseries.trainer")
    with pytest.raises(BrokerError, match=r"'train'.*landseries topology apply") as caught:
        broker.publish([INDEX, TRAIN, OTHER])
    assert not isinstance(caught.value, BrokerUnavailable)
    broker.publish([INDEX])


def test_without_a_topology_every_call_names_the_remedy(bare_vhost: BrokerConnection) -> None:
    with RabbitBroker(bare_vhost) as broker:
        for _ in range(2):
            with pytest.raises(BrokerError, match=r"landseries.indexer.*landseries topology apply"):
                broker.receive(["indexer"], 5)
            with pytest.raises(BrokerError, match="landseries topology apply"):
                broker.publish([INDEX])


def test_a_queue_deleted_meanwhile_is_waited_for(broker: RabbitBroker, management: Management) -> None:
    assert broker.receive(["indexer"], 0.2) is None
    definition = {"durable": True, "arguments": {"x-queue-type": "quorum"}}
    binding = {"routing_key": "index"}
    management.delete("queues", management.vhost, "landseries.indexer")
    assert broker.receive(["indexer"], 1.5) is None
    assert "landseries.indexer" in (broker.state.error or "")
    management.put("queues", management.vhost, "landseries.indexer", body=definition)
    management.post("bindings", management.vhost, "e", "landseries", "q", "landseries.indexer", body=binding)
    broker.publish([INDEX])
    delivery = broker.receive(["indexer"], 15)
    assert delivery is not None
    delivery.ack()
    assert broker.state.error is None


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"password": "wrong"}, "LANDSERIES_BROKER_PASSWORD"),
        ({"user": "nobody"}, "LANDSERIES_BROKER_USER"),
        ({"vhost": "elsewhere"}, "LANDSERIES_BROKER_VHOST"),
    ],
)
def test_what_is_refused_at_the_first_connection_is_said_at_once(
    place: BrokerConnection, change: dict[str, str], names: str
) -> None:
    wrong = BrokerConnection.model_validate(place.model_dump() | change)
    started = time.monotonic()
    with pytest.raises(BrokerError, match=names) as caught:
        RabbitBroker(wrong).open(20)
    assert time.monotonic() - started < 10
    assert not isinstance(caught.value, BrokerUnavailable)
    assert "wrong" not in str(caught.value)


def test_stopping_leaves_messages_to_others(broker: RabbitBroker, place: BrokerConnection) -> None:
    broker.publish([INDEX, OTHER])
    delivery = broker.receive(["indexer"], 2)
    assert delivery is not None
    broker.stop_consuming()
    delivery.ack()
    assert broker.receive(["indexer"], 5) is None
    with RabbitBroker(place) as colleague:
        other = colleague.receive(["indexer"], 2)
        assert other is not None
        assert other.message.message_id == OTHER.message_id
        other.ack()


def test_closing_lets_go_of_the_message_and_the_thread(place: BrokerConnection) -> None:
    before = threading.active_count()
    with RabbitBroker(place) as broker:
        broker.publish([INDEX])
        assert broker.receive(["indexer"], 2) is not None
    assert threading.active_count() == before
    assert broker.state.status == "closed"
    with RabbitBroker(place) as colleague:
        delivery = colleague.receive(["indexer"], 2)
        assert delivery is not None
        delivery.ack()


def test_an_envelope_that_amqp_cannot_hold_is_refused_before_it_is_sent(broker: RabbitBroker) -> None:
    with pytest.raises(BrokerError, match="AMQP envelope"):
        broker.publish([Message(type="x" * 300, message_id="1", traceparent="", body=b"")])
    broker.publish([INDEX])


def test_threads_may_publish_while_one_receives(broker: RabbitBroker) -> None:
    sent = [encode("demo", Unit("index", (f"t{number}", "2018"))) for number in range(40)]
    threads = [threading.Thread(target=broker.publish, args=([message],)) for message in sent]
    for thread in threads:
        thread.start()
    received = set()
    while delivery := broker.receive(["indexer"], 1):
        received.add(delivery.message.message_id)
        delivery.ack()
    for thread in threads:
        thread.join()
    assert received == {message.message_id for message in sent}
