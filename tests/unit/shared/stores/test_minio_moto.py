"""The bucket as a store, against a stand-in for the service that runs in this process.

What only the real service does (TLS, full disks, restarts) is in tests/integration/stores.
"""

import uuid
from pathlib import Path

import pytest
from pydantic import SecretStr

from landseries.connections import StoreConnection
from landseries.stores.minio import MinioStore
from tests.unit.shared.stores.behaviour import StoreBehaviour


@pytest.fixture
def store(s3_service: str, tmp_path: Path) -> MinioStore:
    connection = StoreConnection(
        url=s3_service,
        bucket=f"b-{uuid.uuid4().hex}",
        access_key=SecretStr("key"),
        secret_key=SecretStr("secret"),
        patience_s=5,
    )
    made = MinioStore(connection, tmp_path / "scratch")
    made.create_bucket()
    return made


class TestMinioStore(StoreBehaviour):
    """All of a store's behaviour."""
