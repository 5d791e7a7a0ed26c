"""Servers of one's own: they start, keep their data over a crash, and leave nothing running."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from support.servers import need_minio, need_rabbit

from landseries.connections import BrokerConnection, StoreConnection
from landseries.local.processes import ServerError, accepts
from landseries.local.servers import MinioServer, RabbitServer
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
