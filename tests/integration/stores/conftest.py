"""A MinIO for these tests."""

import os
import uuid
from collections.abc import Iterator

import pytest

from landseries.connections import StoreConnection
from landseries.local.processes import ServerError
from landseries.local.programs import find_minio
from landseries.local.servers import MinioServer
from landseries.stores.minio import MinioStore


@pytest.fixture(scope="session")
def minio_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinioServer]:
    try:
        find_minio()
    except ServerError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    with MinioServer(tmp_path_factory.mktemp("minio")) as server:
        yield server


@pytest.fixture
def bucket(minio_server: MinioServer) -> StoreConnection:
    connection = minio_server.connection(bucket=f"b-{uuid.uuid4().hex}", patience_s=20)
    MinioStore(connection).create_bucket()
    return connection
