"""Servers of one's own: they start, keep their data over a crash, and leave nothing running."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from support.servers import need_minio, need_rabbit

from landseries.connections import BrokerConnection, StoreConnection
from landseries.local.install import go_version, install
from landseries.local.places import Places
from landseries.local.processes import ServerError, accepts
from landseries.local.programs import find_minio
from landseries.local.servers import MinioServer, RabbitServer
from landseries.local.supervisor import Backoff
from landseries.local.up import down, environment, up
from landseries.stores.minio import MinioStore

pytestmark = pytest.mark.integration


def processes_of(folder: Path) -> list[psutil.Process]:
    """Processes whose environment or command line names a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            named = str(folder) in " ".join([*process.cmdline(), *process.environ().values()])
            if named and process.pid != psutil.Process().pid and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def test_fixtures_give_each_test_a_place_of_its_own(vhost: BrokerConnection, bucket: StoreConnection) -> None:
    assert vhost.vhost != "/"
    store = MinioStore(bucket)
    assert list(store.list("")) == []
    store.put("a", b"1")
    assert store.get("a") == b"1"


def test_rabbitmq_keeps_ports_secrets_and_queues_over_a_crash_and_leaves_nothing(tmp_path: Path) -> None:
    need_rabbit()
    folder = tmp_path / "rabbit"
    with RabbitServer(folder) as server:
        server.create_vhost("a/b")
        queue = "/api/queues/a%2Fb/kept"
        server.manage("PUT", queue, {"durable": True, "arguments": {"x-queue-type": "quorum"}})
        before = server.connection("a/b")
        assert psutil.Process(server.pid).name() == "beam.smp", "the process is the server, not a script that waits"
        server.kill()
        assert processes_of(folder) == []
        assert not accepts(server.port)
        server.start()
        assert server.connection("a/b") == before
        assert server.manage("GET", queue)["type"] == "quorum"
        assert RabbitServer(folder).connection("a/b") == before, "another process finds it by its folder"
        for path in ("server.json", "rabbitmq.conf", "home/.erlang.cookie"):
            assert (folder / path).stat().st_mode & 0o077 == 0, path
        server.kill()
    assert processes_of(folder) == []


def test_minio_keeps_port_and_objects_over_a_restart_and_leaves_nothing(tmp_path: Path) -> None:
    need_minio()
    folder = tmp_path / "minio"
    with MinioServer(folder) as server:
        store = MinioStore(server.connection("kept"))
        store.create_bucket()
        store.put("key", b"content")
        server.restart()
        server.kill()
        server.start()
        assert store.get("key") == b"content"
        assert (folder / "server.json").stat().st_mode & 0o077 == 0
    assert processes_of(folder) == []


def test_servers_die_with_who_started_them(tmp_path: Path) -> None:
    need_minio()
    code = (
        "import os, sys, signal; from pathlib import Path; from landseries.local.servers import MinioServer\n"
        "MinioServer(Path(sys.argv[1])).start(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    folder = tmp_path / "minio"
    ended = subprocess.run([sys.executable, "-c", code, str(folder)], timeout=60, check=False)
    assert ended.returncode == -9
    deadline = time.monotonic() + 10
    while processes_of(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_of(folder) == []


def test_a_server_that_cannot_start_says_why(tmp_path: Path, minio_server: MinioServer) -> None:
    taken = MinioServer(tmp_path / "minio", port=minio_server.port)
    with pytest.raises(ServerError, match=rf"MinIO in .*: something else listens on port {minio_server.port}"):
        taken.start()
    assert processes_of(tmp_path / "minio") == []


def test_only_who_started_a_server_can_stop_it(minio_server: MinioServer) -> None:
    with pytest.raises(ServerError, match="was not started here"):
        MinioServer(minio_server.folder).stop()
    assert minio_server.ready()


def test_up_starts_everything_and_keeps_it_running_and_down_leaves_nothing(tmp_path: Path) -> None:
    need_rabbit()
    need_minio()
    folder = tmp_path / "up"
    said: list[str] = []
    try:
        up(folder, say=said.append, services=["sampler", "indexer"])
        assert not [line for line in said if "warning" in line]
        assert f"source {folder}/env" in "\n".join(said)
        for path in (folder / "env", *(folder / "secrets").iterdir()):
            assert path.stat().st_mode & 0o077 == 0, path
        found = subprocess.run(
            ["/bin/sh", "-c", f". {folder}/env && {sys.executable} -m landseries topology show"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert found.stdout == "everything is there\n"
        broker = Places(folder).rabbit()
        own_users = {"landseries-sampler", "landseries-indexer"}
        assert _comes_true(lambda: _users(broker) == own_users), "each worker has a user of its own"

        up(folder, say=said.append)
        assert "up already" in said[-7]

        [worker] = [p for p in processes_of(folder) if p.cmdline()[1:5] == ["-m", "landseries", "worker", "sampler"]]
        [server] = [p for p in processes_of(folder / "rabbitmq") if p.name() == "beam.smp"]
        worker.kill()
        server.kill()
        killed = {worker.pid, server.pid}
        assert _comes_true(lambda: killed.isdisjoint(process.pid for process in processes_of(folder)))
        assert _comes_true(lambda: _users(broker) == own_users), "broker and worker were started again"
        assert environment(folder)["LANDSERIES_BROKER_URL"] == broker.connection().url
    finally:
        down(folder, say=said.append)
    assert processes_of(folder) == []
    with pytest.raises(ServerError, match="holds other files"):
        down(tmp_path, purge=True)
    down(folder, purge=True, say=said.append)
    assert not folder.exists()


def _users(broker: RabbitServer) -> set[str]:
    """Who consumes; the management API learns of it a little later."""
    try:
        consumers = broker.manage("GET", "/api/consumers")
    except ServerError:
        return set()
    return {consumer["channel_details"]["user"] for consumer in consumers if consumer["channel_details"]}


def _comes_true(condition: Callable[[], bool], patience_s: float = 60.0) -> bool:
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def test_a_worker_that_keeps_dying_is_started_ever_more_rarely() -> None:
    backoff = Backoff(started=0.0)
    assert [backoff.died(1.0) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert backoff.due == 61.0
    backoff.started = 100.0
    assert backoff.died(159.0) == 60
    backoff.started = 200.0
    assert backoff.died(260.0) == 1, "it ran steadily in between"


def test_go_versions_are_read_as_they_are_printed() -> None:
    assert go_version("go version go1.26.8 linux/amd64") == (1, 26)
    assert go_version("go version devel go1.27-abc linux") == (1, 27)
    assert go_version("not found") is None


def test_what_cannot_be_installed_is_told_with_what_was_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "go"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\n[ "$1" = version ] && echo go version go1.30 && exit\necho no network; exit 3\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("LANDSERIES_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LANDSERIES_RABBITMQ_SERVER", "/bin/true")
    said: list[str] = []
    [problem] = install(said.append)
    assert problem.startswith("MinIO could not be built")
    assert problem.endswith("ended with status 3 and said:\nno network")
    assert "MinIO" in said[0]
    with pytest.raises(ServerError, match="make servers"):
        find_minio()
    assert not list((tmp_path / "cache").rglob("minio")), "nothing half-built is taken for a program"


def test_a_tool_that_is_not_known_is_told() -> None:
    with pytest.raises(ServerError, match="there is no tool 'helmet'; known are helm, helm-docs"):
        install(tools=["helmet"])
