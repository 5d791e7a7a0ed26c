"""Brokers for these tests: on the server that all tests share, or on one that may be harmed."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator

import pytest
from support.servers import need_rabbit

from landseries.brokers.management import Management
from landseries.brokers.rabbitmq import RabbitBroker
from landseries.brokers.topology import apply
from landseries.connections import BrokerConnection
from landseries.local.servers import RabbitServer

#: How long the own server waits for an acknowledgement, in seconds.
ACK_TIMEOUT_S = 4
#: It looks every second, and not once a minute as it would by default.
_ADVANCED = "[{rabbit, [{channel_tick_interval, 1000}]}].\n"


@pytest.fixture(scope="session")
def own_rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """A RabbitMQ that tests restart, fill up and give users; they are all in the group `own rabbit`."""
    need_rabbit()
    config = {"consumer_timeout": str(ACK_TIMEOUT_S * 1000)}
    with RabbitServer(tmp_path_factory.mktemp("own-rabbit"), config=config, advanced=_ADVANCED) as server:
        yield server


@pytest.fixture
def own_vhost(own_rabbit: RabbitServer) -> Iterator[BrokerConnection]:
    """A virtual host of the own server, with nothing in it."""
    name = f"v-{uuid.uuid4().hex[:12]}"
    yield own_rabbit.create_vhost(name)
    own_rabbit.delete_vhost(name)


@pytest.fixture
def place(bare_vhost: BrokerConnection) -> BrokerConnection:
    """A virtual host with the topology; of the own server where a module says that `bare_vhost` is."""
    apply(bare_vhost)
    return bare_vhost


@pytest.fixture
def broker(place: BrokerConnection) -> Iterator[RabbitBroker]:
    with RabbitBroker(place) as opened:
        yield opened


@pytest.fixture
def management(place: BrokerConnection) -> Iterator[Management]:
    with contextlib.closing(Management(place)) as client:
        yield client
