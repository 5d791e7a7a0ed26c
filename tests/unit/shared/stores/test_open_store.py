"""Which store a connection opens."""

from pathlib import Path

from landseries.connections import StoreConnection
from landseries.stores import open_store
from landseries.stores.local import LocalStore
from landseries.stores.minio import MinioStore


def test_open_store(tmp_path: Path) -> None:
    assert isinstance(open_store(StoreConnection(url=f"file://{tmp_path}/store")), LocalStore)
    assert isinstance(open_store(StoreConnection(url="http://localhost:9000")), MinioStore)
