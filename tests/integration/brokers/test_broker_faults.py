"""A broker that loses patience, connections, itself, or its memory: nothing is lost, and the worker lives."""

import contextlib
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from landseries.brokers.management import Management
from landseries.brokers.rabbitmq import RabbitBroker
from landseries.connections import BrokerConnection
from landseries.errors import BrokerUnavailable
from landseries.local.programs import find_rabbitmq
from landseries.local.servers import RabbitServer
from landseries.messages import BadMessage, Message, decode, encode
from landseries.pipeline import Unit
from tests.integration.brokers.conftest import ACK_TIMEOUT_S
from tests.integration.brokers.wire import FAR_DATE, RawHeaders, nested_tables, publish_raw
from tests.unit.shared.brokers.behaviour import INDEX, OTHER, TRAIN

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("own rabbit")]


@pytest.fixture
def bare_vhost(own_vhost: BrokerConnection) -> BrokerConnection:
    return own_vhost


def test_a_redelivered_copy_does_not_wait_behind_its_own_unit(broker: RabbitBroker, place: BrokerConnection) -> None:
    broker.publish([INDEX])
    slow = broker.receive(["indexer"], 2)
    assert slow is not None
    with RabbitBroker(place) as colleague:
        copy = colleague.receive(["indexer"], ACK_TIMEOUT_S + 6)
        assert copy is not None, "the broker did not take the message back"
        assert copy.message.message_id == INDEX.message_id
        broker.publish([OTHER, TRAIN])  # what became due can still be sent
        assert broker.receive(["indexer"], 0.5) is None, "a second message while one is in work"
        slow.ack()  # does nothing: the copy is the colleague's
        after = broker.receive(["indexer"], 3)
        assert after is not None
        assert after.message.message_id == OTHER.message_id
        after.ack()
        copy.ack()
    assert broker.receive(["indexer"], 0.3) is None


def test_what_a_lost_delivery_says_is_not_heard(
    broker: RabbitBroker, place: BrokerConnection, management: Management
) -> None:
    broker.publish([INDEX])
    delivery = broker.receive(["indexer"], 2)
    assert delivery is not None
    _cut_all(management)
    delivery.retry("the connection went while this failed")
    again = broker.receive(["indexer"], 10)
    assert again is not None
    assert again.message.attempt == 1
    again.ack()
    assert broker.receive(["indexer"], 1.5) is None, "the lost delivery's retry went out as well"


def test_a_restart_under_load_loses_nothing(own_rabbit: RabbitServer, place: BrokerConnection) -> None:
    sent = [encode("demo", Unit("index", (f"t{number}", "2018"))) for number in range(400)]
    received: set[str] = set()
    ended = threading.Event()

    def work() -> None:
        with RabbitBroker(place) as broker:
            while not ended.is_set():
                if delivery := broker.receive(["indexer"], 0.2):
                    received.add(delivery.message.message_id)
                    delivery.ack()

    worker = threading.Thread(target=work)
    worker.start()
    with RabbitBroker(place, patience_s=60) as sender:
        restart = threading.Timer(0.2, own_rabbit.restart)
        restart.start()
        for start in range(0, len(sent), 4):
            _surely(sender, sent[start : start + 4])
        restart.join()
        deadline = time.monotonic() + 120
        while len(received) < len(sent) and time.monotonic() < deadline:
            time.sleep(0.1)
    ended.set()
    worker.join(20)
    assert received == {message.message_id for message in sent}


def test_a_blocked_broker_is_told_and_waited_for(own_rabbit: RabbitServer, place: BrokerConnection) -> None:
    with RabbitBroker(place, patience_s=2) as broker:
        with _short_of_memory(own_rabbit):
            with pytest.raises(BrokerUnavailable, match="memory"):
                broker.publish([INDEX])
            assert broker.state.status == "blocked"
            assert "memory" in (broker.state.error or "")
        _surely(broker, [OTHER])
        assert broker.state.status == "connected"
        found = set()
        while delivery := broker.receive(["indexer"], 1):
            found.add(delivery.message.message_id)
            delivery.ack()
        assert OTHER.message_id in found


@pytest.mark.parametrize("table", [FAR_DATE, nested_tables(3000)], ids=["far date", "deep"])
def test_headers_that_cannot_be_read_harm_nobody(broker: RabbitBroker, place: BrokerConnection, table: bytes) -> None:
    publish_raw(place, "index", b"not json", RawHeaders(table))
    broker.publish([INDEX])
    poison = broker.receive(["indexer"], 3)
    assert poison is not None
    assert (poison.message.type, poison.message.message_id, poison.message.attempt) == ("index.v1", "by hand", 1)
    with pytest.raises(BadMessage):
        decode(poison.message)
    poison.dead("unreadable")
    real = broker.receive(["indexer"], 3)
    assert real is not None
    assert real.message.message_id == INDEX.message_id
    real.ack()


def test_a_broker_that_is_away_at_first_is_said_so() -> None:
    started = time.monotonic()
    with pytest.raises(BrokerUnavailable, match="localhost:1"):
        RabbitBroker(BrokerConnection(url="amqp://localhost:1")).open(1)
    assert time.monotonic() - started < 5


def _surely(broker: RabbitBroker, messages: list[Message]) -> None:
    """Publish as a worker does: what was not confirmed is sent again."""
    for _ in range(300):
        try:
            broker.publish(messages)
            return
        except BrokerUnavailable:
            time.sleep(0.2)
    raise AssertionError("the broker never took the messages")


def _cut_all(management: Management) -> None:
    """Cut every connection to the virtual host, once the management API knows them."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        known = [item["name"] for item in management.listing("vhosts", management.vhost, "connections")]
        for name in known:
            management.delete("connections", name)
        if known:
            return
        time.sleep(0.2)
    raise AssertionError("the management API knows no connection")


@contextlib.contextmanager
def _short_of_memory(server: RabbitServer) -> Iterator[None]:
    def set_watermark(share: str) -> None:
        control = find_rabbitmq().with_name("rabbitmqctl")
        command = [str(control), "set_vm_memory_high_watermark", share]
        subprocess.run(command, env=server._environment(), check=True, capture_output=True, timeout=60)

    set_watermark("0.00001")
    try:
        yield
    finally:
        set_watermark("0.4")
