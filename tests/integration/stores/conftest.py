"""A bucket for each of these tests, of calls that soon lose patience."""

import uuid

import pytest

from landseries.connections import StoreConnection
from landseries.local.servers import MinioServer
from landseries.stores.minio import MinioStore


@pytest.fixture
def bucket(minio_server: MinioServer) -> StoreConnection:
    connection = minio_server.connection(bucket=f"b-{uuid.uuid4().hex}", patience_s=20)
    MinioStore(connection).create_bucket()
    return connection
