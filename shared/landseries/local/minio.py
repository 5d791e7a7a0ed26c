"""A MinIO server of one's own, with one drive, on 127.0.0.1."""

from __future__ import annotations

import os
import secrets
import shutil
import ssl
import urllib.request
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from landseries.connections import StoreConnection
from landseries.local.processes import Process, free_ports, remembered
from landseries.local.programs import find_minio
from landseries.local.server import MEMORY, Server


class MinioServer(Server):
    """A MinIO server with one drive, in a folder of its own.

    Args:
        folder: where its data and log go; port and keys are remembered there.
        port: for the S3 API; by default a free one.
        certs: folder with public.crt, private.key and ca.crt: the port then speaks TLS. None: it does not.
        bound: whether the server dies with this process.
    """

    name = "MinIO"

    def __init__(self, folder: Path, port: int | None = None, certs: Path | None = None, *, bound: bool = True) -> None:
        super().__init__(folder, certs)
        self._bound = bound
        memory = remembered(self.folder / MEMORY, lambda: _new_minio(port))
        self.port: int = memory["port"]
        self._access_key: str = memory["access_key"]
        self._secret_key: str = memory["secret_key"]

    @property
    def ports(self) -> tuple[int, ...]:
        """See `Server.ports`."""
        return (self.port,)

    @property
    def url(self) -> str:
        """Where the S3 API is."""
        return f"http{self.scheme_suffix}://localhost:{self.port}"

    def connection(self, bucket: str = "landseries", patience_s: float = 60) -> StoreConnection:
        """A bucket of this server, as its administrator; whether it exists is not looked at."""
        return StoreConnection(
            url=self.url,
            bucket=bucket,
            access_key=SecretStr(self._access_key),
            secret_key=SecretStr(self._secret_key),
            ca_file=self.certs / "ca.crt" if self.certs else None,
            patience_s=patience_s,
        )

    def ready(self) -> bool:
        """Whether it says that it takes reads and writes."""
        # Whether the certificate is good is for the clients to judge.
        context = ssl._create_unverified_context() if self.certs else None
        try:
            with urllib.request.urlopen(self.url + "/minio/health/ready", timeout=5, context=context) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _launch(self) -> Process:
        program = find_minio()
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        certs = self.folder / "certs"
        certs.mkdir(exist_ok=True)
        if self.certs:
            for name in ("public.crt", "private.key"):
                shutil.copyfile(self.certs / name, certs / name)
        env = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self.folder),
            "MINIO_ROOT_USER": self._access_key,
            "MINIO_ROOT_PASSWORD": self._secret_key,
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
            "MINIO_CALLHOME_ENABLE": "off",
        }
        address = f"127.0.0.1:{self.port}"
        command = [str(program), "server", str(data), "--address", address, "--certs-dir", str(certs), "--quiet"]
        return Process(command, env, self.log, bound=self._bound)


def _new_minio(port: int | None) -> dict[str, Any]:
    return {
        "port": port or free_ports(1)[0],
        "access_key": "landseries-" + secrets.token_hex(4),
        "secret_key": secrets.token_urlsafe(24),
    }
