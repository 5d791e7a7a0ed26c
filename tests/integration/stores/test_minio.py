"""The bucket as a store, against a real MinIO."""

import hashlib
import io
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
from minio import Minio
from pydantic import SecretStr

from landseries.connections import StoreConnection
from landseries.errors import ArtifactError, StoreError, StoreUnavailable
from landseries.stores.minio import DIGEST, MinioStore
from tests.unit.shared.stores.behaviour import StoreBehaviour

pytestmark = pytest.mark.integration


@pytest.fixture
def store(bucket: StoreConnection, tmp_path: Path) -> MinioStore:
    return MinioStore(bucket, tmp_path / "scratch")


def raw(connection: StoreConnection) -> Minio:
    assert connection.access_key is not None
    assert connection.secret_key is not None
    return Minio(
        connection.url.removeprefix("http://"),
        connection.access_key.get_secret_value(),
        connection.secret_key.get_secret_value(),
        secure=False,
        region=connection.region,
    )


class TestMinioStore(StoreBehaviour):
    """All of a store's behaviour."""


def test_a_listing_of_several_pages_is_whole_and_in_order(bucket: StoreConnection, store: MinioStore) -> None:
    client = raw(bucket)
    expected = sorted(f"many/{number % 7}/{number}" for number in range(2_100))
    for key in expected:
        client.put_object(bucket.bucket, key, io.BytesIO(b""), 0)
    assert [item.key for item in store.list("many/")] == expected
    assert [item.key for item in store.list("many/3/")] == [key for key in expected if key.startswith("many/3/")]


@pytest.mark.parametrize("size_bytes", [(8 << 20) - 1, 8 << 20, (8 << 20) + 1, (20 << 20) + 3])
def test_files_around_the_size_of_a_part(store: MinioStore, tmp_path: Path, size_bytes: int) -> None:
    content = os.urandom(size_bytes)
    (tmp_path / "large").write_bytes(content)
    store.put("large", tmp_path / "large")
    with store.local("large") as path:
        assert path.read_bytes() == content
    assert store.get("large") == content
    assert not any((tmp_path / "scratch").iterdir())


_OPEN = """
import sys
from pathlib import Path
from landseries.connections import store_connection
from landseries.stores import open_store
store = open_store(store_connection(), Path(sys.argv[1]))
"""
_MEMORY = """
def peak_mib():
    # Not from getrusage, which starts with the peak of the process that started this one.
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024

store.put("small", b"x"), store.get("small"), store.put_new("other", b"x")
before = peak_mib()
store.put("large", Path(sys.argv[2]))
assert store.put_new("new", Path(sys.argv[2]))
with store.local("large") as path:
    assert path.stat().st_size == 300 << 20
print(peak_mib() - before)
"""
_RACE = """
store.exists("lease")
print("ready", flush=True)
sys.stdin.readline()
print("lost" if store.put_if("lease", sys.argv[2].encode(), sys.argv[3]) is None else "won")
"""


def environment(connection: StoreConnection) -> dict[str, str]:
    assert connection.access_key is not None
    assert connection.secret_key is not None
    return os.environ | {
        "LANDSERIES_STORE_URL": connection.url,
        "LANDSERIES_STORE_BUCKET": connection.bucket,
        "LANDSERIES_STORE_ACCESS_KEY": connection.access_key.get_secret_value(),
        "LANDSERIES_STORE_SECRET_KEY": connection.secret_key.get_secret_value(),
    }


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from /proc, which needs Linux")
def test_memory_does_not_grow_with_an_object(bucket: StoreConnection, tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        for _ in range(300):
            file.write(os.urandom(1 << 20))
    done = subprocess.run(
        [sys.executable, "-c", _OPEN + _MEMORY, str(tmp_path / "scratch"), str(tmp_path / "large")],
        env=environment(bucket),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    print(f"300 MiB put, put_new and read as a file: {float(done.stdout):.0f} MiB more")
    assert float(done.stdout) < 64


def test_changed_bytes_are_found_and_never_given(bucket: StoreConnection, store: MinioStore) -> None:
    store.put("runs/a/artifact.tif", b"as it was put")
    metadata = raw(bucket).stat_object(bucket.bucket, "runs/a/artifact.tif").metadata
    assert metadata is not None
    digest = metadata[f"x-amz-meta-{DIGEST}"]
    assert digest == hashlib.sha256(b"as it was put").hexdigest()
    content = b"changed later"
    raw(bucket).put_object(
        bucket.bucket, "runs/a/artifact.tif", io.BytesIO(content), len(content), metadata={DIGEST: digest}
    )
    for read in (store.get, store.get_tagged):
        with pytest.raises(ArtifactError, match=r"runs/a/artifact.tif are not those that were put"):
            read("runs/a/artifact.tif")
    with pytest.raises(ArtifactError, match=r"runs/a/artifact.tif"), store.local("runs/a/artifact.tif"):
        pass
    store.put("runs/a/artifact.tif", b"made again")
    assert store.get("runs/a/artifact.tif") == b"made again"


def test_an_object_that_someone_else_put_is_read_as_it_is(bucket: StoreConnection, store: MinioStore) -> None:
    raw(bucket).put_object(bucket.bucket, "by/hand", io.BytesIO(b"no digest"), 9)
    assert store.get("by/hand") == b"no digest"
    with store.local("by/hand") as path:
        assert path.read_bytes() == b"no digest"


def test_one_winner_of_eight_processes(bucket: StoreConnection, store: MinioStore, tmp_path: Path) -> None:
    tag = store.put_if("lease", b"nobody", None)
    assert tag is not None
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _OPEN + _RACE, str(tmp_path), str(number), tag],
            env=environment(bucket),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(8)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert sorted(answers) == ["lost"] * 7 + ["won"]
    assert store.get("lease") == str(answers.index("won")).encode()


def test_a_fork_makes_clients_of_its_own(store: MinioStore) -> None:
    store.put("a", b"1")
    store.put_new("b", b"1")
    child = multiprocessing.get_context("fork").Process(target=_use, args=(store,))
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert store.get("from/child") == b"2"


def _use(store: MinioStore) -> None:
    store.put("from/child", b"2")
    assert not store.put_new("b", b"2")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"access_key": SecretStr("nobody")}, "access key is unknown there; check LANDSERIES_STORE_ACCESS_KEY"),
        ({"secret_key": SecretStr("wrong-secret")}, "secret key does not belong to the access key"),
        ({"access_key": None, "secret_key": None}, "no keys were given; set LANDSERIES_STORE_ACCESS_KEY"),
        ({"bucket": "not-there"}, "there is no such bucket; create it, or set LANDSERIES_STORE_BUCKET"),
    ],
    ids=["access key", "secret key", "no keys", "bucket"],
)
def test_a_wrong_connection_is_told_at_once(
    bucket: StoreConnection, change: dict[str, object], says: str, tmp_path: Path
) -> None:
    store = MinioStore(bucket.model_copy(update=change), tmp_path)
    calls = {
        "put": lambda: store.put("k", b"1"),
        "put_new": lambda: store.put_new("k", b"1"),
        "put_if": lambda: store.put_if("k", b"1", '"0"'),
        "get": lambda: store.get("k"),
        "exists": lambda: store.exists("k"),
        "list": lambda: list(store.list("")),
        "delete": lambda: store.delete("k"),
        "local": lambda: store.local("k").__enter__(),
    }
    for name, call in calls.items():
        with pytest.raises(StoreError) as raised:
            call()
        assert says in str(raised.value), name
        assert not isinstance(raised.value, StoreUnavailable)
        assert "secret" not in str(raised.value).replace("secret key", "")


def test_check_bucket(bucket: StoreConnection, store: MinioStore) -> None:
    store.check_bucket()
    assert list(store.list("")) == []
    store.create_bucket()
    missing = MinioStore(bucket.model_copy(update={"bucket": "not-there"}))
    with pytest.raises(StoreError, match="no bucket not-there; create it"):
        missing.check_bucket()
