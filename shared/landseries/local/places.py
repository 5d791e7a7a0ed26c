"""Where the local set-up keeps what, and the environment that leads a worker, or a person, to its broker and store."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from landseries.brokers.names import service_user, users
from landseries.connections import BROKER_PREFIX, STORE_PREFIX, BrokerConnection, StoreConnection
from landseries.filelocks import try_lock
from landseries.local.processes import ServerError, free_ports, remembered, write_private
from landseries.local.servers import MinioServer, RabbitServer

BUCKET: Final = "landseries"


@dataclass(frozen=True)
class WorkerPlace:
    """One worker process.

    Attributes:
        name: service and number, such as `indexer-1`.
        service: whose units it does.
        health_port: of 127.0.0.1, where it answers /healthz, /readyz and /metrics.
        log: its log.
        scratch: folder for its unfinished files.
    """

    name: str
    service: str
    health_port: int
    log: Path
    scratch: Path


class Places:
    """The folder of a local set-up.

    Args:
        folder: made where it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.env_file = self.folder / "env"
        self.logs = self.folder / "logs"
        self.supervisor_log = self.logs / "supervisor.log"
        self._secrets = self.folder / "secrets"
        self._state = self.folder / "running.json"
        self._workers = self.folder / "workers.json"

    @property
    def is_one(self) -> bool:
        """Whether the folder was made by `landseries up`."""
        return (self.folder / "rabbitmq" / "server.json").is_file() or self._workers.is_file()

    def rabbit(self) -> RabbitServer:
        """Its RabbitMQ."""
        return RabbitServer(self.folder / "rabbitmq")

    def minio(self) -> MinioServer:
        """Its MinIO."""
        return MinioServer(self.folder / "minio")

    def workers(self, services: Iterable[str], per_service: int) -> list[WorkerPlace]:
        """The workers; each keeps its port from one start to the next."""
        names = [(f"{service}-{number}", service) for service in services for number in range(1, per_service + 1)]
        ports = remembered(self._workers, dict)
        missing = [name for name, _ in names if name not in ports]
        if missing:
            ports |= dict(zip(missing, free_ports(len(missing)), strict=True))
            write_private(self._workers, json.dumps(ports, indent=1) + "\n")
        return [
            WorkerPlace(name, service, ports[name], self.logs / f"{name}.log", self.folder / "scratch" / name)
            for name, service in names
        ]

    def passwords(self) -> dict[str, str]:
        """The passwords of the broker's users, by user; made at the first call."""
        return {user: self._secret(user) for user in users()}

    def environment(self) -> dict[str, str]:
        """Variables that lead a person, as administrator, to broker and store."""
        broker = self.rabbit().connection()
        path = self._keep("broker-password", broker.password.get_secret_value())
        return self._broker(broker, broker.user, path) | self._store(self.minio().connection(BUCKET))

    def worker_environment(self, service: str) -> dict[str, str]:
        """Variables that lead a service's worker there, with no more rights at the broker than it needs."""
        user = service_user(service)
        self._secret(user)
        broker = self._broker(self.rabbit().connection(), user, self._secrets / user)
        broker.pop(f"{BROKER_PREFIX}MANAGEMENT_URL")
        return broker | self._store(self.minio().connection(BUCKET))

    def write_env_file(self) -> None:
        """Write what a shell can source; it names files with secrets, and holds none."""
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in sorted(self.environment().items())]
        write_private(self.env_file, "".join(lines))

    def running(self) -> dict[str, Any] | None:
        """What the supervisor says of itself, with its `pid`; None where none runs, or it is not that far yet."""
        if not self.is_held():
            return None
        try:
            state = json.loads(self._state.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return state if isinstance(state, dict) else None

    def tell(self, **state: Any) -> None:
        """Say what `running` will answer; for the supervisor."""
        write_private(self._state, json.dumps({"pid": os.getpid(), **state}) + "\n")

    def is_held(self) -> bool:
        """Whether a supervisor is at work, or just ending."""
        if not self.folder.is_dir():
            return False
        try:
            with self.held():
                return False
        except ServerError:
            return True

    @contextmanager
    def held(self, patience_s: float = 0.0) -> Iterator[None]:
        """Be the folder's one supervisor; a process that dies lets go.

        Args:
            patience_s: how long to try; who only asks whether there is a supervisor holds it for a moment as well.

        Raises:
            ServerError: there is one already.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)  # logs made it before, with the rights of any folder: it holds data and secrets
        with (self.folder / "lock").open("ab") as file:
            deadline = time.monotonic() + patience_s
            while not try_lock(file):
                if time.monotonic() > deadline:
                    raise ServerError(f"{self.folder}: another process holds it; `landseries down` ends it")
                time.sleep(0.02)
            yield

    def _secret(self, name: str) -> str:
        path = self._secrets / name
        if not path.exists():
            self._keep(name, secrets.token_urlsafe(24))
        return path.read_text(encoding="utf-8").strip()

    def _keep(self, name: str, secret: str) -> Path:
        path = self._secrets / name
        if not path.exists() or path.read_text(encoding="utf-8") != secret + "\n":
            write_private(path, secret + "\n")
        return path

    def _broker(self, broker: BrokerConnection, user: str, password_file: Path) -> dict[str, str]:
        return {
            f"{BROKER_PREFIX}URL": broker.url,
            f"{BROKER_PREFIX}VHOST": broker.vhost,
            f"{BROKER_PREFIX}USER": user,
            f"{BROKER_PREFIX}PASSWORD_FILE": str(password_file),
            f"{BROKER_PREFIX}MANAGEMENT_URL": broker.management_url or "",
        }

    def _store(self, store: StoreConnection) -> dict[str, str]:
        assert store.access_key is not None
        assert store.secret_key is not None
        return {
            f"{STORE_PREFIX}URL": store.url,
            f"{STORE_PREFIX}BUCKET": store.bucket,
            f"{STORE_PREFIX}ACCESS_KEY_FILE": str(self._keep("store-access-key", store.access_key.get_secret_value())),
            f"{STORE_PREFIX}SECRET_KEY_FILE": str(self._keep("store-secret-key", store.secret_key.get_secret_value())),
        }
