"""Products in a real MinIO: the same as from a folder, and what its refusals mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.archive_bench import archive_bench
from support.bucket import Bucket
from support.catalogues import NEW, OLD, everything, tiles
from support.tiny_archive import write_product

from landseries.connections import StoreConnection
from landseries.errors import ConfigError
from landseries_fetcher.sources.safe import SafeFolder

pytestmark = pytest.mark.integration


@pytest.fixture
def products(bucket: StoreConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """Two products in a bucket, and its keys in the environment."""
    assert bucket.access_key is not None
    assert bucket.secret_key is not None
    keys = bucket.access_key.get_secret_value(), bucket.secret_key.get_secret_value()
    monkeypatch.delenv("LANDSERIES_STORE_URL", raising=False)
    for name, value in zip(("ACCESS", "SECRET"), keys, strict=True):
        monkeypatch.setenv(f"LANDSERIES_SAFE_{name}_KEY", value)
        monkeypatch.delenv(f"LANDSERIES_SAFE_{name}_KEY_FILE", raising=False)
    made = Bucket(bucket.url, bucket.bucket, keys, tmp_path / "cache")
    for product in (OLD, NEW):
        write_product(tmp_path / "products", product)
    made.put(tmp_path / "products")
    return made


@pytest.mark.parametrize("limits", [{}, {"max_connections": 2, "max_requests_per_minute": 60_000}])
def test_the_same_as_from_a_folder(products: Bucket, tmp_path: Path, limits: dict[str, Any]) -> None:
    found = everything(products.open(patience_s=20, **limits), tiles())
    assert found == everything(SafeFolder(tmp_path / "products"), tiles())


@pytest.mark.parametrize("given", [None, "hush-4711"])
def test_keys_that_are_missing_or_wrong(
    products: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    for name in ("LANDSERIES_SAFE_ACCESS_KEY", "LANDSERIES_SAFE_SECRET_KEY"):
        monkeypatch.setenv(name, given or "")
    with pytest.raises(ConfigError, match=r"403.*set LANDSERIES_SAFE_ACCESS_KEY and LANDSERIES_SAFE_SEC") as told:
        archive_bench(tmp_path, "bench", products.settings())
    assert "hush-4711" not in str(told.value)
