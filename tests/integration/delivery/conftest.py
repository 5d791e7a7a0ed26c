"""A RabbitMQ that soon loses patience with whoever does not acknowledge, for the tests of long units."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.delivery import Workers, workers
from support.servers import need_rabbit

from landseries.brokers.topology import apply
from landseries.connections import BrokerConnection, StoreConnection
from landseries.local.servers import RabbitServer

#: How long the broker waits for an acknowledgement; with the tick below it looks each second instead of each minute.
ACK_TIMEOUT_S = 3
TICK_EACH_SECOND = "[{rabbit, [{channel_tick_interval, 1000}]}].\n"


@pytest.fixture(scope="session")
def impatient_rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """A RabbitMQ that closes the channel of who has not acknowledged after `ACK_TIMEOUT_S`."""
    need_rabbit()
    config = {"consumer_timeout": str(ACK_TIMEOUT_S * 1000)}
    with RabbitServer(tmp_path_factory.mktemp("impatient"), config=config, advanced=TICK_EACH_SECOND) as server:
        yield server


@pytest.fixture
def impatient_vhost(impatient_rabbit: RabbitServer) -> Iterator[BrokerConnection]:
    """A virtual host of it with the topology."""
    name = f"v-{uuid.uuid4().hex[:12]}"
    connection = impatient_rabbit.create_vhost(name)
    apply(connection)
    yield connection
    impatient_rabbit.delete_vhost(name)


@pytest.fixture
def impatient_workers(tmp_path: Path, impatient_vhost: BrokerConnection, bucket: StoreConnection) -> Iterator[Workers]:
    """Worker processes behind it."""
    with workers(tmp_path / "workers", impatient_vhost, bucket) as started:
        yield started
