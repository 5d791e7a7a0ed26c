"""The bucket as a store while the service behind it is stopped, full, or shows a certificate that proves nothing."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from landseries.errors import StoreError, StoreFull, StoreUnavailable
from landseries.local.servers import MinioServer
from landseries.stores.minio import MinioStore

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def own_server(minio_server: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinioServer]:
    """A server that these tests may stop; `minio_server` is asked for so that a missing program is handled there."""
    server = MinioServer(tmp_path_factory.mktemp("own"))
    server.start()
    yield server
    server.stop()


class Traffic(threading.Thread):
    """Uses every method of a store, round after round, until told to end; keeps the first error."""

    def __init__(self, store: MinioStore, large: Path) -> None:
        super().__init__()
        self._store, self._large = store, large
        self.rounds = 0
        self.counted = 0
        self.error: BaseException | None = None
        self.end = threading.Event()

    def run(self) -> None:
        try:
            while not self.end.is_set():
                self._round(f"round/{self.rounds:06}")
                self.rounds += 1
        except BaseException as error:
            self.error = error

    def _round(self, key: str) -> None:
        store = self._store
        assert not store.exists(key)
        assert store.put_new(key, key.encode())
        assert not store.put_new(key, key.encode())
        assert store.get(key) == key.encode()
        store.put("large", self._large)
        with store.local("large") as path:
            assert path.stat().st_size == self._large.stat().st_size
        known = store.get_tagged("count")
        assert int(known.content if known else b"0") == self.counted
        self.counted += 1
        assert store.put_if("count", str(self.counted).encode(), known.tag if known else None) is not None
        assert [item.key for item in store.list("round/")][-1] == key


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_no_call_is_lost_or_done_twice_while_the_server_is_away(
    own_server: MinioServer, tmp_path: Path, ending: str
) -> None:
    (tmp_path / "large").write_bytes(os.urandom(20 << 20))
    store = MinioStore(own_server.connection(bucket=f"away-{ending}", patience_s=60), tmp_path / "scratch")
    store.create_bucket()
    traffic = Traffic(store, tmp_path / "large")
    traffic.start()
    wait_for_rounds(traffic, 3)
    getattr(own_server, ending)()
    time.sleep(3)
    own_server.start()
    wait_for_rounds(traffic, traffic.rounds + 3)
    traffic.end.set()
    traffic.join(60)
    assert traffic.error is None
    assert len(list(store.list("round/"))) == traffic.rounds
    assert store.get("count") == str(traffic.rounds).encode()
    assert not any((tmp_path / "scratch").iterdir())


def wait_for_rounds(traffic: Traffic, rounds: int) -> None:
    end = time.monotonic() + 60
    while traffic.rounds < rounds and traffic.error is None:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_store_that_was_away_too_long_works_again_later(own_server: MinioServer, tmp_path: Path) -> None:
    store = MinioStore(own_server.connection(bucket="too-long", patience_s=0.5), tmp_path)
    store.create_bucket()
    store.put("a", b"1")
    store.put_new("b", b"1")
    own_server.stop()
    try:
        for call in (lambda: store.get("a"), lambda: store.put_new("c", b"1"), lambda: list(store.list(""))):
            with pytest.raises(StoreUnavailable, match=r"too-long: cannot .* tries in"):
                call()
    finally:
        own_server.start()
    assert store.get("a") == b"1"
    assert store.put_new("c", b"1")


@contextmanager
def encrypted(folder: Path, authority: trustme.CA, host: str = "localhost", days: int = 1) -> Iterator[MinioServer]:
    """A server with a certificate for a host that is valid for that many days from now."""
    certs = folder / "tls"
    certs.mkdir()
    not_after = datetime.now(UTC) + timedelta(days=days)
    issued = authority.issue_cert(host, not_before=not_after - timedelta(days=10), not_after=not_after)
    (certs / "public.crt").write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    (certs / "private.key").write_bytes(issued.private_key_pem.bytes())
    authority.cert_pem.write_to_path(str(certs / "ca.crt"))
    server = MinioServer(folder / "server", certs=certs)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def assert_refused(store: MinioStore, says: str) -> None:
    for call in (lambda: store.put("a", b"1"), lambda: store.put_new("a", b"1"), lambda: store.exists("a")):
        begun = time.monotonic()
        with pytest.raises(StoreError, match=says) as raised:
            call()
        assert not isinstance(raised.value, StoreUnavailable)
        assert time.monotonic() - begun < 5


def test_tls(minio_server: object, tmp_path: Path) -> None:
    with encrypted(tmp_path, trustme.CA()) as server:
        good = server.connection(bucket="tls", patience_s=20)
        store = MinioStore(good, tmp_path / "scratch")
        store.create_bucket()
        (tmp_path / "large").write_bytes(os.urandom(9 << 20))
        store.put("large", tmp_path / "large")
        assert store.put_new("new", tmp_path / "large")
        assert store.put_if("lease", b"1", None) is not None
        for key in ("large", "new"):
            assert store.get(key) == (tmp_path / "large").read_bytes()
        trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
        unknown = good.model_copy(update={"ca_file": tmp_path / "other.pem"})
        assert_refused(MinioStore(unknown), "unknown authority; name its file in LANDSERIES_STORE_CA_FILE")
        system = good.model_copy(update={"ca_file": None})
        assert_refused(MinioStore(system), "unknown authority; name its file in LANDSERIES_STORE_CA_FILE")
        plain = good.model_copy(update={"url": good.url.replace("https", "http")})
        with pytest.raises(StoreError, match="write https:// in LANDSERIES_STORE_URL"):
            MinioStore(plain).get("a")


def test_an_expired_certificate(minio_server: object, tmp_path: Path) -> None:
    with encrypted(tmp_path, trustme.CA(), days=-1) as server:
        assert_refused(MinioStore(server.connection(patience_s=20)), "certificate has expired; renew it")


def test_a_certificate_for_another_host(minio_server: object, tmp_path: Path) -> None:
    with encrypted(tmp_path, trustme.CA(), host="store.example.org") as server:
        assert_refused(MinioStore(server.connection(patience_s=20)), "for another host")


def test_tls_where_there_is_none(own_server: MinioServer) -> None:
    plain = own_server.connection(patience_s=20)
    store = MinioStore(plain.model_copy(update={"url": plain.url.replace("http", "https")}))
    assert_refused(store, "write http:// in LANDSERIES_STORE_URL")


@pytest.mark.skipif(sys.platform != "linux", reason="the full disk is a small tmpfs, which needs Linux")
def test_a_full_store_is_said_so_and_nothing_is_lost(minio_server: object, tmp_path: Path) -> None:
    data = tmp_path / "server" / "data"
    data.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(data)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("a small file system cannot be mounted here: " + mounted.stderr.decode().strip())
    try:
        server = MinioServer(tmp_path / "server")
        server.start()
        try:
            fill(MinioStore(server.connection(bucket="small", patience_s=2), tmp_path / "scratch"), tmp_path / "large")
        finally:
            server.stop()
    finally:
        subprocess.run(["umount", str(data)], check=True)


def fill(store: MinioStore, large: Path) -> None:
    store.create_bucket()
    store.put("before", b"kept")
    large.write_bytes(os.urandom(100 << 20))
    with pytest.raises(StoreFull, match="the store is full"):
        store.put("large", large)
    with pytest.raises(StoreFull, match="the store is full"):
        put_parts(store)
    assert not store.exists("large")
    assert store.get("before") == b"kept"
    for item in list(store.list("part/")):
        store.delete(item.key)
    store.put("after", b"fits again")


def put_parts(store: MinioStore) -> None:
    for number in range(100):
        store.put_new(f"part/{number:03}", os.urandom(1 << 20))
