"""JPEG 2000 images and metadata in a bucket: the same as from a folder, within the limits of all replicas."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer
from support.catalogues import MASKING, NEW, OLD, PERIOD, everything, tiles
from support.stac_server import StacServer, asset_of, files_of, item_of
from support.tiny_archive import TinyProduct

from landseries.errors import ConfigError
from landseries.settings.catalogues import CdseSource
from landseries_fetcher.remote.limits import StoreGate
from landseries_fetcher.remote.reader import RemoteForbidden
from landseries_fetcher.remote.s3_ranges import new_client
from landseries_fetcher.sources.catalogue_files import CatalogueFiles
from landseries_fetcher.sources.safe import SafeFolder
from landseries_fetcher.sources.stac import Stac

NAMES = {**CdseSource(kind="cdse").assets, **{kind: f"{kind}_metadata" for kind in ("product", "granule", "datastrip")}}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    new_client(url, "key", "secret", region="us-east-1").create_bucket(Bucket="eodata")
    try:
        yield url
    finally:
        server.stop()


@pytest.fixture
def cdse(
    api: StacServer, endpoint: str, archive: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Path]:
    """Puts products into the bucket and the catalogue, and into a folder; returns the folder."""
    monkeypatch.setenv("LANDSERIES_CDSE_ACCESS_KEY", "key")
    monkeypatch.setenv("LANDSERIES_CDSE_SECRET_KEY", "secret")
    client = new_client(endpoint, "key", "secret", region="us-east-1")

    def put(*products: TinyProduct) -> Path:
        folder = archive(*products)
        for product in products:
            assets: dict[str, Any] = {}
            root = folder / f"{product.name}.SAFE"
            for key, path in files_of(root).items():
                place = f"Sentinel-2/MSI/L2A/{path.relative_to(folder).as_posix()}"
                client.put_object(Bucket="eodata", Key=place, Body=path.read_bytes())
                assets[NAMES[key]] = asset_of(product, key, f"s3://eodata/{place}")
            api.items.append({**item_of(product, "sentinel-2-l2a", assets), "id": product.name})
        return folder

    return put


def test_the_same_as_from_a_folder(
    cdse: Callable[..., Path], open_source: Callable[..., Stac], endpoint: str, api: StacServer
) -> None:
    folder = cdse(OLD, NEW)
    source = open_source("cdse", s3_endpoint=endpoint, s3_region="us-east-1", max_requests_per_minute=60_000)
    assert everything(source, tiles()) == everything(SafeFolder(folder), tiles())
    assert api.searches[0]["query"] == {"grid:code": {"eq": "MGRS-32TQS"}}


def test_the_keys_come_from_files_and_complete(
    cdse: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LANDSERIES_CDSE_SECRET_KEY", raising=False)
    with pytest.raises(ConfigError, match=r"LANDSERIES_CDSE_SECRET_KEY.*only one"):
        CatalogueFiles(CdseSource(kind="cdse"), tmp_path)
    monkeypatch.setenv("LANDSERIES_CDSE_SECRET_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(ConfigError, match="cannot be read"):
        CatalogueFiles(CdseSource(kind="cdse"), tmp_path)
    (tmp_path / "key").write_text("secret\n")
    assert CatalogueFiles(CdseSource(kind="cdse"), tmp_path)._keys == ("key", "secret")


def test_all_processes_with_one_cache_folder_share_the_limits(tmp_path: Path) -> None:
    source = CdseSource(kind="cdse", max_connections=1)
    one, other = CatalogueFiles(source, tmp_path), CatalogueFiles(source, tmp_path)
    assert isinstance(one.gate, StoreGate)
    assert isinstance(other.gate, StoreGate)
    with one.gate.request():
        assert other.gate._taken() is None
    one.gate.close()
    taken = other.gate._taken()
    assert taken is not None
    other.gate._released(taken)
    other.gate.close()


def test_limits_of_the_store_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANDSERIES_STORE_URL", (tmp_path / "store").as_uri())
    files = CatalogueFiles(CdseSource(kind="cdse"), tmp_path)
    assert isinstance(files.gate, StoreGate)
    with files.gate.request():
        assert list((tmp_path / "store").rglob("*slot-00*"))
    files.gate.close()


def test_a_refusal_is_said(
    cdse: Callable[..., Path],
    open_source: Callable[..., Stac],
    endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cdse(NEW)
    for name in ("ACCESS", "SECRET"):
        monkeypatch.delenv(f"LANDSERIES_CDSE_{name}_KEY")
    source = open_source("cdse", s3_endpoint=endpoint, s3_region="us-east-1")
    with pytest.raises(RemoteForbidden, match="keys of the source"):
        list(source.images(source.catalogue("32TQS", PERIOD, {}).acquisitions[0], tiles(), MASKING, 1))
