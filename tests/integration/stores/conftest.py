"""A private MinIO for these tests, found on the PATH or by LANDSERIES_MINIO."""

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from landseries.connections import StoreConnection
from landseries.stores.minio import MinioStore


class MinioServer:
    def __init__(self, folder: Path, certs: Path | None = None) -> None:
        program = os.environ.get("LANDSERIES_MINIO") or shutil.which("minio")
        if program is None:
            pytest.skip("there is no MinIO server; name it by LANDSERIES_MINIO")
        self._program, self._folder, self._certs = program, folder, certs
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        certs = [] if self._certs is None else ["--certs-dir", str(self._certs)]
        environment = os.environ | {
            "MINIO_ROOT_USER": "tester",
            "MINIO_ROOT_PASSWORD": "a-secret",
            "MINIO_BROWSER": "off",
        }
        address = f"127.0.0.1:{self._port}"
        self._process = subprocess.Popen(
            [self._program, "server", "--quiet", "--address", address, *certs, str(self._folder)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                with socket.create_connection(("127.0.0.1", self._port), 1):
                    pass
                if self._certs is None:
                    urllib.request.urlopen(f"http://{address}/minio/health/ready", timeout=2).close()
                return
            except (OSError, urllib.error.URLError):
                time.sleep(0.05)
        raise RuntimeError("MinIO did not start")

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(20)

    def connection(self) -> StoreConnection:
        scheme = "http" if self._certs is None else "https"
        return StoreConnection(
            url=f"{scheme}://127.0.0.1:{self._port}",
            bucket=f"b-{uuid.uuid4().hex}",
            access_key=SecretStr("tester"),
            secret_key=SecretStr("a-secret"),
            patience_s=20,
        )


@pytest.fixture(scope="session")
def minio_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinioServer]:
    server = MinioServer(tmp_path_factory.mktemp("minio"))
    yield server
    server.stop()


@pytest.fixture
def bucket(minio_server: MinioServer) -> StoreConnection:
    connection = minio_server.connection()
    MinioStore(connection).create_bucket()
    return connection
