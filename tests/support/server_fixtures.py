"""Fixtures of real servers: one set for the whole session, and a virtual host and a bucket for each test."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from landseries.brokers.topology import apply
from landseries.connections import BrokerConnection, StoreConnection
from landseries.local.servers import MinioServer, RabbitServer
from landseries.stores.minio import MinioStore

from .servers import need_minio, need_rabbit, shared_server


@pytest.fixture(scope="session")
def session_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all test processes of this session share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def rabbit_server(session_folder: Path) -> Iterator[RabbitServer]:
    """A RabbitMQ that all tests share; they neither stop it nor use its virtual host `/`."""
    need_rabbit()
    with shared_server(RabbitServer, session_folder / "rabbit-server") as server:
        yield server


@pytest.fixture(scope="session")
def minio_server(session_folder: Path) -> Iterator[MinioServer]:
    """A MinIO that all tests share; they do not stop it."""
    need_minio()
    with shared_server(MinioServer, session_folder / "minio-server") as server:
        yield server


@pytest.fixture
def bare_vhost(rabbit_server: RabbitServer) -> Iterator[BrokerConnection]:
    """A virtual host with nothing in it."""
    name = f"v-{uuid.uuid4().hex[:12]}"
    yield rabbit_server.create_vhost(name)
    rabbit_server.delete_vhost(name)


@pytest.fixture
def vhost(bare_vhost: BrokerConnection) -> BrokerConnection:
    """A virtual host with the topology."""
    apply(bare_vhost)
    return bare_vhost


@pytest.fixture
def bucket(minio_server: MinioServer) -> StoreConnection:
    """An empty bucket."""
    connection = minio_server.connection(bucket=f"b-{uuid.uuid4().hex}")
    MinioStore(connection).create_bucket()
    return connection
