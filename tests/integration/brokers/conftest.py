"""A RabbitMQ of these tests' own: they restart it, fill its memory and let it lose patience with a worker."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator

import pytest

from landseries.brokers.management import Management
from landseries.brokers.rabbitmq import RabbitBroker
from landseries.brokers.topology import apply
from landseries.connections import BrokerConnection
from landseries.local.servers import RabbitServer

#: How long the broker waits for an acknowledgement, in seconds, and how often it looks.
ACK_TIMEOUT_S = 4
_ADVANCED = "[{rabbit, [{channel_tick_interval, 1000}]}].\n"


@pytest.fixture(scope="session")
def own_rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    config = {"consumer_timeout": str(ACK_TIMEOUT_S * 1000)}
    with RabbitServer(tmp_path_factory.mktemp("rabbit"), config=config, advanced=_ADVANCED) as server:
        yield server


@pytest.fixture
def bare_vhost(own_rabbit: RabbitServer) -> Iterator[BrokerConnection]:
    """A virtual host with nothing in it."""
    name = f"v-{uuid.uuid4().hex[:8]}"
    yield own_rabbit.create_vhost(name)
    own_rabbit.delete_vhost(name)


@pytest.fixture
def place(bare_vhost: BrokerConnection) -> BrokerConnection:
    """A virtual host with the topology."""
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
