"""What goes wrong around a distributed run, met through the command line: a clear line, a remedy, and nothing lost."""

from __future__ import annotations

import datetime
import io
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trustme
import yaml
from support.commands import Place, tiny_run
from support.delivery import wait_for
from support.servers import need_minio, need_rabbit
from unit.shared.test_worker import Toy, all_markers, drain, make_plan

from landseries.brokers.management import Management
from landseries.brokers.rabbitmq import RabbitBroker
from landseries.connections import BrokerConnection, StoreConnection
from landseries.local.servers import MinioServer, RabbitServer
from landseries.messages import encode
from landseries.numerics import process_environment
from landseries.openrun import OpenRun
from landseries.pipeline import STAGES, Unit
from landseries.plan import freeze_plan
from landseries.stores.local import LocalStore
from landseries.stores.minio import MinioStore

pytestmark = pytest.mark.integration

INDEX = Unit("index", ("t00000", "2018"))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_run(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def place(vhost: BrokerConnection, bucket: StoreConnection) -> Place:
    return Place(vhost, bucket)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Toy:
    """A toy under whose process the run's numerics profile holds."""
    for name, value in process_environment(make_plan().numerics).items():
        monkeypatch.setenv(name, value)
    return Toy()


class TestConnections:
    @pytest.mark.parametrize("command", [("worker", "indexer"), ("sweep",), ("dead", "list"), ("submit", "CONFIG")])
    def test_wrong_broker_password(self, place: Place, config: Path, command: tuple[str, ...]) -> None:
        command = tuple(str(config) if word == "CONFIG" else word for word in command)
        line = place.refused(*command, says="LANDSERIES_BROKER_PASSWORD", LANDSERIES_BROKER_PASSWORD="hush-4711")
        assert "hush-4711" not in line

    def test_wrong_broker_password_at_the_management(self, place: Place) -> None:
        place.refused("topology", "show", says="LANDSERIES_BROKER_PASSWORD", LANDSERIES_BROKER_PASSWORD="hush-4711")

    @pytest.mark.parametrize("command", [("worker", "indexer"), ("sweep",), ("status",), ("gc",), ("submit", "CONFIG")])
    @pytest.mark.parametrize(
        ("variable", "says"),
        [("ACCESS_KEY", "the access key is unknown there"), ("SECRET_KEY", "does not belong to the access key")],
    )
    def test_wrong_store_keys(
        self, place: Place, config: Path, command: tuple[str, ...], variable: str, says: str
    ) -> None:
        command = tuple(str(config) if word == "CONFIG" else word for word in command)
        line = place.refused(*command, says=says, **{f"LANDSERIES_STORE_{variable}": "hush-4711"})
        assert "hush-4711" not in line
        assert "LANDSERIES_STORE_ACCESS_KEY and LANDSERIES_STORE_SECRET_KEY" in line

    def test_a_worker_with_wrong_keys_takes_no_message(self, place: Place) -> None:
        freeze_plan(place.open_store(), make_plan())
        publish(place, INDEX)
        place.refused("worker", "indexer", says="check LANDSERIES", LANDSERIES_STORE_SECRET_KEY="wrong-wrong")
        assert depth(place, "landseries.indexer") == 1

    @pytest.mark.parametrize("command", [("worker", "indexer"), ("sweep",), ("status",), ("submit", "CONFIG")])
    def test_missing_bucket(self, place: Place, config: Path, command: tuple[str, ...]) -> None:
        command = tuple(str(config) if word == "CONFIG" else word for word in command)
        says = "there is no such bucket; create it, or set LANDSERIES_STORE_BUCKET"
        line = place.refused(*command, says=says, LANDSERIES_STORE_BUCKET="not-there")
        assert "/not-there: " in line

    @pytest.mark.parametrize("command", [("worker", "indexer"), ("sweep",), ("dead", "list"), ("submit", "CONFIG")])
    def test_missing_queues(
        self, bare_vhost: BrokerConnection, bucket: StoreConnection, config: Path, command: tuple[str, ...]
    ) -> None:
        place = Place(bare_vhost, bucket)
        freeze_plan(place.open_store(), make_plan())
        command = tuple(str(config) if word == "CONFIG" else word for word in command)
        place.refused(*command, says="`landseries topology apply` makes it")

    @pytest.mark.parametrize("command", [("worker", "indexer"), ("sweep",), ("dead", "list"), ("submit", "CONFIG")])
    def test_wrong_vhost(self, place: Place, config: Path, command: tuple[str, ...]) -> None:
        command = tuple(str(config) if word == "CONFIG" else word for word in command)
        line = place.refused(*command, says="check LANDSERIES_BROKER_VHOST", LANDSERIES_BROKER_VHOST="elsewhere")
        assert "'elsewhere'" in line

    def test_expired_certificate_of_the_broker(self, bucket: StoreConnection, tmp_path: Path) -> None:
        need_rabbit()
        with RabbitServer(tmp_path / "rabbit", certs=expired(tmp_path / "certs")) as server:
            place = Place(server.connection(), bucket)
            for command in (("worker", "indexer"), ("sweep",)):
                line = place.refused(*command, says="certificate is not accepted")
                assert "expired" in line
                assert "check its date" in line

    def test_expired_certificate_of_the_store(self, vhost: BrokerConnection, tmp_path: Path) -> None:
        need_minio()
        with MinioServer(tmp_path / "minio", certs=expired(tmp_path / "certs")) as server:
            place = Place(vhost, server.connection())
            for command in (("worker", "indexer"), ("status",), ("sweep",)):
                place.refused(*command, says="the store's certificate has expired; renew it there")


@pytest.mark.skipif(sys.platform != "linux", reason="the full disk is a small tmpfs, which needs Linux")
def test_a_full_store_puts_off_and_loses_nothing(
    vhost: BrokerConnection, bucket: StoreConnection, tmp_path: Path, config: Path
) -> None:
    data = tmp_path / "minio" / "data"
    data.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(data)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("a small file system cannot be mounted here: " + mounted.stderr.decode().strip())
    try:
        with MinioServer(tmp_path / "minio") as server:
            store = MinioStore(server.connection(), tmp_path / "scratch")
            store.create_bucket()
            place = Place(vhost, server.connection(patience_s=2))
            assert place.call("submit", config).returncode == 0
            filled = fill(data)
            other = config.with_name("other.yaml")
            other.write_text(yaml.safe_dump({**yaml.safe_load(config.read_text()), "name": "other"}))
            place.refused("submit", other, says="the store is full")
            waiting = depth(place, "landseries.fetcher")
            done = place.call("worker", "fetcher", "--max-messages", "1", "--log-json")
            assert done.returncode == 0, done.stderr
            assert '"kind": "full"' in done.stderr
            assert depth(place, "landseries.fetcher") == waiting - 1
            assert depth(place, "landseries.retry.120s") == 1
            assert depth(place, "landseries.dead.fetcher") == 0
            filled.unlink()
            until = time.monotonic() + 30  # the server looks at its disk now and then only
            while (again := place.call("submit", config)).returncode != 0 and time.monotonic() < until:
                time.sleep(1)
            assert again.returncode == 0, again.stderr
            assert place.call("worker", "fetcher", "--exit-when-idle").returncode == 0
            assert "0 messages published" not in place.call("sweep", "tiny").stdout, "the indexer's turn has come"
            assert depth(place, "landseries.fetcher") == 0
            assert depth(place, "landseries.indexer") > 0
            assert depth(place, "landseries.dead.fetcher") == 0
    finally:
        subprocess.run(["umount", str(data)], check=True)


def test_two_runs_of_one_name(place: Place, config: Path, tmp_path: Path) -> None:
    assert place.call("submit", config).returncode == 0
    waiting = depth(place, "landseries.fetcher")
    other = tmp_path / "tiny.yaml"
    other.write_text(yaml.safe_dump({**yaml.safe_load(config.read_text()), "seed": 77}))
    line = place.refused("submit", other, says="a run named 'tiny' is here already, and differs in seed")
    assert "another `name:`" in line
    assert depth(place, "landseries.fetcher") == waiting
    again = place.call("submit", config)
    assert again.returncode == 0, "the same run may be submitted again"
    assert "messages published" in again.stdout


def test_a_message_for_an_unknown_run(place: Place) -> None:
    publish(place, INDEX, run_id="never-planned")
    done = place.call("worker", "indexer", "--max-messages", "1")
    assert done.returncode == 0
    told = place.call("dead", "list")
    assert "there is no run named 'never-planned' in this store" in told.stdout
    assert "1 dead letters" in told.stdout
    assert "index t00000 2018" in told.stdout


def test_a_worker_of_another_stage_version(place: Place, toy: Toy, tmp_path: Path) -> None:
    """Put off with growing delays, dead in the end with both versions in the reason, and brought back by a redrive."""
    versions = {name: row.version for name, row in STAGES.items()} | {"reference": 99}
    plan = make_plan().model_copy(update={"stage_versions": versions})
    store = place.open_store()
    freeze_plan(store, plan)
    unit = Unit("reference", ("t00000",))
    publish(place, unit)
    for attempt in (1, 2):
        done = place.call("worker", "fetcher", "--max-messages", "1", "--log-json")
        assert "was planned with version 99 of stage reference, this worker has 1" in done.stderr
        assert f'"attempt": {attempt}' in done.stderr
        # Short delays may be over before the queues are looked at, and even between two looks: it comes back.
        wait_for("the next attempt", lambda: depth(place, "landseries.fetcher") == 1, 60)
    purge(place, "landseries.fetcher")
    for attempt, queue in ((5, "retry.600s"), (6, "dead.fetcher")):
        publish(place, unit, attempt)
        assert place.call("worker", "fetcher", "--max-messages", "1").returncode == 0
        assert depth(place, f"landseries.{queue}") == 1
    told = place.call("dead", "list", "--service", "fetcher").stdout  # one line per reason, whatever the width
    assert "version 99 of stage reference, this worker has 1: use the landseries version that planned it" in told
    assert store.get("runs/demo/markers/reference/t00000.json") is None
    # A worker of the version that planned it comes.
    store.delete("plans/demo.json")
    freeze_plan(store, make_plan())
    assert "1 redriven" in place.call("dead", "redrive", "--all", "--service", "fetcher").stdout
    place.toy_worker(toy, tmp_path / "scratch", max_messages=1)
    assert toy.calls == ["reference t00000"]
    assert depth(place, "landseries.dead.fetcher") == 0


def test_a_damaged_artifact_is_written_again_and_the_run_has_the_same_bytes(
    place: Place, toy: Toy, tmp_path: Path
) -> None:
    """An acquisition is damaged as soon as it lies in the store, before anyone reads it."""
    plan, store = make_plan(), place.open_store()
    good = drain(LocalStore(tmp_path / "good"), plan, Toy(), tmp_path / "scratch")
    harmed: list[str] = []

    def harm(context: object) -> None:
        keys = [item.key for item in store.list("artifacts/fetch/") if item.key.endswith(".tif")]
        if keys and not harmed:
            harmed.append(keys[0])
            damage(place, keys[0])

    freeze_plan(store, plan)
    assert place.call("sweep", "demo").returncode == 0
    toy.hook = harm
    assert place.toy_worker(toy, tmp_path / "distributed") == "idle"
    assert harmed
    run = OpenRun(store, plan)
    assert digests(run) == digests(good)
    fetches = [name for name in toy.calls if name.startswith("fetch")]
    assert len(fetches) == len(set(fetches)) + 1, "one was done a second time"
    told = place.call("status", "demo").stdout
    assert "repaired fetch cube" in told
    assert "was damaged in the store" in told
    assert "stalled" not in told


def test_a_real_acquisition_that_was_damaged_is_fetched_again(place: Place, config: Path) -> None:
    store = place.open_store()
    assert place.call("submit", config).returncode == 0
    assert place.call("worker", "fetcher", "indexer", "--exit-when-idle").returncode == 0
    markers = [item.key for item in store.list("runs/tiny/markers/index/")]
    before = {item.key: store.get(item.key) for item in store.list("artifacts/index/")}
    assert before
    (key, *_) = [item.key for item in store.list("artifacts/fetch/") if item.key.endswith(".tif")]
    content = store.get(key)
    damage(place, key)
    for gone in (*markers, *before):
        store.delete(gone)
    assert place.call("sweep", "tiny").returncode == 0
    done = place.call("worker", "fetcher", "indexer", "--exit-when-idle", "--log-json")
    assert done.returncode == 0
    assert "repaired" in done.stderr
    assert store.get(key) == content
    assert {item.key: store.get(item.key) for item in store.list("artifacts/index/")} == before


def publish(place: Place, unit: Unit, attempt: int = 1, run_id: str = "demo") -> None:
    assert place.broker is not None
    with RabbitBroker(place.broker) as broker:
        broker.publish([encode(run_id, unit).model_copy(update={"attempt": attempt})])


def depth(place: Place, queue: str) -> int:
    """Messages that lie ready in a queue, asked of the queue itself: the management's numbers come late."""
    import pika

    from landseries.brokers.connection import parameters

    assert place.broker is not None
    with pika.BlockingConnection(parameters(place.broker, "test")) as opened:
        count: int = opened.channel().queue_declare(queue, passive=True).method.message_count
        return count


def purge(place: Place, *queues: str) -> None:
    assert place.broker is not None
    management = Management(place.broker)
    for queue in queues:
        management.delete("queues", place.broker.vhost, queue, "contents")
    management.close()


def damage(place: Place, key: str) -> None:
    """Replace an object by another one with the metadata of the first."""
    from landseries.stores.s3_clients import S3Clients

    client, bucket = S3Clients(place.store).minio, place.store.bucket
    known = client.stat_object(bucket, key).metadata or {}
    kept = {
        name.lower().removeprefix("x-amz-meta-"): value
        for name, value in known.items()
        if name.lower().startswith("x-amz-meta-")
    }
    client.put_object(bucket, key, io.BytesIO(b"damaged"), 7, metadata=kept)


def digests(run: OpenRun) -> dict[str, dict[str, str]]:
    found = all_markers(run).items()
    return {unit: {name: output.digest for name, output in marker.outputs.items()} for unit, marker in found}


def expired(folder: Path) -> Path:
    """A server's certificate whose time is over, signed by who is trusted."""
    folder.mkdir()
    authority = trustme.CA()
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    issued = authority.issue_cert("localhost", "127.0.0.1", not_before=now - 9 * day, not_after=now - day)
    (folder / "public.crt").write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(str(folder / "private.key"))
    authority.cert_pem.write_to_path(str(folder / "ca.crt"))
    return folder


def fill(folder: Path) -> Path:
    """Take the rest of a file system."""
    path = folder / "filling"
    with path.open("wb") as file:
        try:
            while True:
                file.write(bytes(1 << 16))
                file.flush()
        except OSError:
            return path
