"""Products in a bucket: the same as from a folder, through the windows that are needed."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer
from support.archive_bench import SEARCH, archive_bench
from support.bucket import PREFIX, Bucket
from support.catalogue_run import through_the_year
from support.catalogues import MASKING, NEW, OLD, PERIOD, everything, tiles
from support.tiny_archive import TinyProduct

from landseries.errors import ConfigError, SourceError
from landseries.gates import SourceAway
from landseries_fetcher.handlers import search
from landseries_fetcher.remote import persistence
from landseries_fetcher.remote.persistence import Persistence
from landseries_fetcher.remote.reader import OpenGate, RemoteUnavailable
from landseries_fetcher.remote.s3_listing import Listing
from landseries_fetcher.sources import safe_bucket
from landseries_fetcher.sources.base import UnreadableProduct
from landseries_fetcher.sources.safe import SafeFolder

Archive = Callable[..., Path]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@pytest.fixture
def bucket(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """An empty bucket; no test waits as long as a server may need."""
    monkeypatch.setattr(persistence, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.delenv("LANDSERIES_STORE_URL", raising=False)
    for name in ("ACCESS", "SECRET"):
        monkeypatch.setenv(f"LANDSERIES_SAFE_{name}_KEY", name)
        monkeypatch.delenv(f"LANDSERIES_SAFE_{name}_KEY_FILE", raising=False)
    made = Bucket(endpoint, f"b-{uuid.uuid4().hex}", ("ACCESS", "SECRET"), tmp_path / "cache")
    made.client.create_bucket(Bucket=made.name)
    return made


def test_the_same_as_from_a_folder(bucket: Bucket, archive: Archive) -> None:
    folder = archive(OLD, NEW)
    bucket.put(folder)
    assert everything(bucket.open(), tiles()) == everything(SafeFolder(folder), tiles())


def test_only_products_in_the_place_are_seen(bucket: Bucket, archive: Archive) -> None:
    bucket.put(archive(OLD, NEW))
    for key in (f"{PREFIX}notes.txt", f"{PREFIX}other/{NEW.name}.SAFE/MTD_MSIL2A.xml", f"{OLD.name}.SAFE/x"):
        bucket.client.put_object(Bucket=bucket.name, Key=key, Body=b"-")
    source = bucket.open()
    assert source.granules_over(None, []) == ("32TQS",)
    assert source.count(["32TQS"], PERIOD) == 2
    assert source.place == f"s3://{bucket.name}/{PREFIX}"
    with pytest.raises(SourceError, match=r"holds no Level-2A product; it must hold folders such as"):
        bucket.open(path=f"s3://{bucket.name}/mission").granules_over(None, [])


def test_a_listing_of_many_pages_is_whole(bucket: Bucket) -> None:
    expected = [f"place/{number:02d}/file" for number in range(7)]
    client = bucket.client
    for key in (*expected, "place/03/"):
        client.put_object(Bucket=bucket.name, Key=key, Body=b"12")
    listing = Listing(_Short(client), bucket.name, OpenGate(), Persistence(patience_s=1))
    assert [one.key for one in listing.objects("place/", 100)] == expected
    assert {one.size for one in listing.objects("place/", 100)} == {2}
    assert listing.folders("place/") == [f"{number:02d}" for number in range(7)]
    assert 4 < len(listing.objects("place/", 4)) < 7


class _Short:
    """A client whose service gives two names a page."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def list_objects_v2(self, **arguments: Any) -> Any:
        return self._client.list_objects_v2(MaxKeys=2, **arguments)


def test_what_a_fetch_moves_is_told(bucket: Bucket, archive: Archive) -> None:
    folder = archive(OLD)
    bucket.put(folder)
    source = bucket.open()
    (acquisition,) = source.catalogue("32TQS", PERIOD, {}).acquisitions
    images = sum(path.stat().st_size for path in folder.rglob("*.jp2"))
    assert source.bytes_to_fetch(acquisition, tiles(), MASKING) == images, "the tiles touch each image's only block"


def test_the_checksum_changes_with_any_file(bucket: Bucket, archive: Archive) -> None:
    bucket.put(archive(OLD))
    (first,) = bucket.open().checksums("32TQS", PERIOD).values()
    assert bucket.open().checksums("32TQS", PERIOD) == {OLD.name: first}
    for body in (b"-", b"+"):
        bucket.client.put_object(Bucket=bucket.name, Key=f"{PREFIX}{OLD.name}.SAFE/INSPIRE.xml", Body=body)
        (again,) = bucket.open().checksums("32TQS", PERIOD).values()
        assert again != first
        first = again


def test_a_replaced_product_is_read_anew(bucket: Bucket, archive: Archive, tmp_path: Path) -> None:
    bucket.put(archive(OLD))
    before = everything(bucket.open(), tiles())
    folder = archive(TinyProduct(level=2_500))
    bucket.put(folder)
    after = everything(bucket.open(), tiles())
    assert after == everything(SafeFolder(folder), tiles())
    assert after != before


def test_a_truncated_image_is_refused(bucket: Bucket, archive: Archive) -> None:
    folder = archive(OLD)
    (image,) = folder.rglob("*_B04_10m.jp2")
    image.write_bytes(image.read_bytes()[: image.stat().st_size * 2 // 3])
    bucket.put(folder)
    source = bucket.open()
    (acquisition,) = source.catalogue("32TQS", PERIOD, {}).acquisitions
    with pytest.raises(UnreadableProduct, match="B04"):
        list(source.images(acquisition, tiles(), MASKING, 1))


@pytest.mark.parametrize(
    ("lost", "reason"),
    [("MTD_MSIL2A.xml", "has no MTD_MSIL2A.xml"), ("MTD_TL.xml", "has no GRANULE/*/MTD_TL.xml")],
)
def test_a_product_without_metadata_is_left_with_the_reason(
    bucket: Bucket, archive: Archive, lost: str, reason: str
) -> None:
    folder = archive(OLD, NEW)
    next((folder / f"{OLD.name}.SAFE").rglob(lost)).unlink()
    bucket.put(folder)
    found = bucket.open().catalogue("32TQS", PERIOD, {})
    assert [a.id for a in found.acquisitions] == [NEW.acquisition]
    assert [(left.product, left.reason) for left in found.left] == [(OLD.name, reason)]


def test_a_product_that_vanished(bucket: Bucket, archive: Archive) -> None:
    folder = archive(OLD)
    bucket.put(folder)
    (acquisition,) = bucket.open().catalogue("32TQS", PERIOD, {}).acquisitions
    for path in folder.rglob("*.*"):
        bucket.client.delete_object(Bucket=bucket.name, Key=PREFIX + path.relative_to(folder).as_posix())
    with pytest.raises(UnreadableProduct, match="is no longer in s3://"):
        list(bucket.open().images(acquisition, tiles(), MASKING, 1))


def test_a_bucket_that_is_not_there(bucket: Bucket) -> None:
    with pytest.raises(SourceError, match=r"s3://nowhere/a/: there is no such bucket"):
        bucket.open(path="s3://nowhere/a").granules_over(None, [])


def test_only_one_key(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LANDSERIES_SAFE_SECRET_KEY")
    with pytest.raises(ConfigError, match=r"LANDSERIES_SAFE_SECRET_KEY.*only one"):
        bucket.open()


def test_a_service_that_is_away_is_waited_for(bucket: Bucket, archive: Archive, tmp_path: Path) -> None:
    (product,) = through_the_year(1)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    passing = Bucket(f"http://{host}:{port}", "passing", bucket.keys, bucket.cache)
    try:
        passing.client.create_bucket(Bucket=passing.name)
        passing.put(archive(product))
        bench = archive_bench(tmp_path, "bench", passing.settings())
    finally:
        server.stop()
    safe_bucket._archive.cache_clear()
    with pytest.raises(SourceAway, match="s3://passing/"):
        bench.run(search, SEARCH)
    with pytest.raises(RemoteUnavailable):
        passing.open().granules_over(None, [])
