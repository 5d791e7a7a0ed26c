"""The topology on a real server: made once, compared, and least rights that suffice."""

import time

import pika
import pytest
from pydantic import SecretStr

from landseries.brokers.connection import parameters
from landseries.brokers.management import Management
from landseries.brokers.names import OPERATOR, service_user, stages_after, users, work_queue
from landseries.brokers.rabbitmq import RabbitBroker
from landseries.brokers.topology import apply, compare
from landseries.connections import BrokerConnection
from landseries.errors import BrokerError, BrokerUnavailable
from landseries.messages import Message
from landseries.pipeline import SERVICES, STAGES, stages_of
from tests.integration.brokers.wire import publish_raw, raw_letters

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("own rabbit")]


@pytest.fixture
def bare_vhost(own_vhost: BrokerConnection) -> BrokerConnection:
    return own_vhost


PASSWORDS = {user: f"secret of {user}" for user in users()}


def test_applied_twice_it_changes_nothing(bare_vhost: BrokerConnection) -> None:
    first = apply(bare_vhost, passwords=PASSWORDS)
    assert {change.kind for change in first} >= {"policy", "exchange", "queue", "binding", "permission"}
    assert "secret" not in " ".join(map(str, first)) + repr(first)
    assert apply(bare_vhost, passwords=PASSWORDS) == []


def test_what_was_changed_by_hand_is_shown_and_mended(place: BrokerConnection, management: Management) -> None:
    vhost = management.vhost
    management.delete("queues", vhost, "landseries.mapper")
    management.put("policies", vhost, "landseries.indexer", body={"pattern": "x", "definition": {"max-length": 1}})
    management.put("policies", vhost, "landseries.old", body={"pattern": "x", "definition": {"max-length": 1}})
    stray = {"routing_key": "index"}
    management.post("bindings", vhost, "e", "landseries", "q", "landseries.trainer", body=stray)
    shown = {(change.action, change.kind) for change in compare(place, management)}
    assert shown == {("create", "queue"), ("create", "binding"), ("remove", "binding"), ("update", "policy")} | {
        ("remove", "policy")
    }
    apply(place, management)
    assert compare(place, management) == []


def test_a_queue_of_another_kind_is_left_alone_and_explained(bare_vhost: BrokerConnection) -> None:
    management = Management(bare_vhost)
    path = ("queues", bare_vhost.vhost, "landseries.indexer")
    management.put(*path, body={"durable": True, "arguments": {"x-max-length": 5}})
    with pytest.raises(BrokerError, match=r"landseries\.indexer.*delete_queue"):
        apply(bare_vhost)
    assert management.get("exchanges", bare_vhost.vhost, "landseries") is None, "something was changed"


def test_another_password_is_set(bare_vhost: BrokerConnection) -> None:
    apply(bare_vhost, passwords=PASSWORDS)
    changed = {"landseries-indexer": "a new one"}
    assert [str(change) for change in apply(bare_vhost, passwords=changed)] == [
        "update user landseries-indexer: another password"
    ]
    with RabbitBroker(_as(bare_vhost, "landseries-indexer", "a new one")):
        pass


def test_every_user_can_do_its_work_and_nothing_else(bare_vhost: BrokerConnection) -> None:
    apply(bare_vhost, passwords=PASSWORDS)
    for service in SERVICES:
        user = service_user(service)
        with RabbitBroker(_as(bare_vhost, user)) as broker:
            for stage in STAGES:
                if stage in stages_after(service):
                    broker.publish([_message(stage)])
                else:
                    with pytest.raises(BrokerError, match=user):
                        broker.publish([_message(stage)])
            publish_raw(bare_vhost, stages_of(service)[0], b"{}", pika.BasicProperties(type="own"))
            taken = broker.receive([service], 3)
            assert taken is not None
            taken.retry("a retry of its own is allowed")
            publish_raw(bare_vhost, stages_of(service)[0], b"{}", pika.BasicProperties(type="own"))
            last = broker.receive([service], 3)
            assert last is not None
            last.dead("so is putting aside")
            other = next(name for name in SERVICES if name != service)
            with pytest.raises(BrokerError, match=user):
                broker.receive([other], 3)
        _may_not_declare(_as(bare_vhost, user))
        for name in SERVICES:
            raw_letters(bare_vhost, work_queue(name))
    with RabbitBroker(_as(bare_vhost, OPERATOR)) as operator:
        operator.publish(_message(stage) for stage in STAGES)
        with pytest.raises(BrokerError, match=OPERATOR):
            operator.receive(["indexer"], 3)


def test_messages_that_end_their_workers_are_put_aside_with_the_reason(place: BrokerConnection) -> None:
    publish_raw(place, "index", b"{}", pika.BasicProperties(type="index.v1"))
    for _ in range(21):
        with pika.BlockingConnection(parameters(place, "test")) as connection:
            channel = connection.channel()
            method = None
            while method is None:
                method, _properties, _body = channel.basic_get("landseries.indexer")
    letters: list[object] = []
    deadline = time.monotonic() + 10
    while not letters and time.monotonic() < deadline:
        letters = [dict(properties.headers) for properties, _ in raw_letters(place, "landseries.dead.indexer")]
    (headers,) = letters
    assert isinstance(headers, dict)
    assert headers["x-death"][0]["reason"] == "delivery_limit"


def test_the_management_api_that_is_not_there_is_named(place: BrokerConnection) -> None:
    nowhere = place.model_copy(update={"management_url": "http://localhost:1"})
    with pytest.raises(BrokerUnavailable, match=r"LANDSERIES_BROKER_MANAGEMENT_URL.*rabbitmq_management"):
        compare(nowhere)
    wrong = place.model_copy(update={"password": SecretStr("wrong")})
    with pytest.raises(BrokerError, match="LANDSERIES_BROKER_PASSWORD"):
        compare(wrong)
    elsewhere = place.model_copy(update={"vhost": "elsewhere"})
    with pytest.raises(BrokerError, match="LANDSERIES_BROKER_VHOST"):
        compare(elsewhere)


def _as(place: BrokerConnection, user: str, password: str | None = None) -> BrokerConnection:
    return place.model_copy(update={"user": user, "password": SecretStr(password or PASSWORDS[user])})


def _message(stage: str) -> Message:
    return Message(type=f"{stage}.v1", message_id=stage, traceparent="", body=b"{}")


def _may_not_declare(place: BrokerConnection) -> None:
    with pika.BlockingConnection(parameters(place, "test")) as connection:
        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="ACCESS_REFUSED"):
            connection.channel().queue_declare("landseries.mine")
        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="ACCESS_REFUSED"):
            connection.channel().queue_purge("landseries.assessor" if "indexer" in place.user else "landseries.indexer")
