"""A RabbitMQ and a MinIO of one's own, on 127.0.0.1: each in a folder, which remembers its ports and secrets."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import ssl
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

from pydantic import SecretStr

from landseries.connections import BrokerConnection, StoreConnection
from landseries.local.processes import (
    Process,
    ServerError,
    accepts,
    free_ports,
    remembered,
    wait_until,
    write_private,
)
from landseries.local.programs import find_epmd, find_minio, find_rabbitmq

_START_S: Final = 90.0
_MEMORY: Final = "server.json"
#: One scheduler thread more than two buys nothing on a laptop, and each costs memory and time at the start.
_ERLANG_FLAGS: Final = "+S 2:2 +A 16 +SDio 2"


class Server(ABC):
    """What the two servers have in common.

    An object whose `start` was never called stands for a server that another process runs from the same folder:
    it can say where it is, but not stop it.
    """

    name: str

    def __init__(self, folder: Path, certs: Path | None) -> None:
        self.folder = folder.resolve()
        self.certs = certs
        self.process: Process | None = None

    @property
    def log(self) -> Path:
        """The file with its output."""
        return self.folder / "server.log"

    @property
    def running(self) -> bool:
        """Whether this object started it and it has not ended."""
        return self.process is not None and self.process.running

    @property
    def pid(self) -> int:
        """The server's process id.

        Raises:
            ServerError: this object has not started it.
        """
        return self._own().pid

    def start(self, *, wait: bool = True) -> Self:
        """Start it, and wait until it answers (see `wait_ready`).

        Raises:
            ServerError: its program is missing, or it does not come up; with the end of its log.
        """
        if self.running:
            raise ServerError(f"{self.name} in {self.folder} is running already")
        for port in self.ports:
            if accepts(port):
                raise ServerError(
                    f"{self.name} in {self.folder}: something else listens on port {port} already, perhaps this "
                    f"server, started by another process; the ports are in {self.folder / _MEMORY}"
                )
        self.process = self._launch()
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout_s: float = _START_S) -> None:
        """Wait until it answers.

        Raises:
            ServerError: it ended, or does not answer in time; with the end of its log.
        """
        try:
            wait_until(self.ready, self._own(), f"{self.name} in {self.folder}", timeout_s)
        except ServerError:
            self.kill()
            raise

    @property
    @abstractmethod
    def ports(self) -> tuple[int, ...]:
        """The ports of 127.0.0.1 on which it listens."""

    @abstractmethod
    def ready(self) -> bool:
        """Whether it does its work."""

    @abstractmethod
    def _launch(self) -> Process:
        """Write its configuration and start its process."""

    def stop(self) -> None:
        """End it orderly; its data stay."""
        self._own().stop()

    def kill(self) -> None:
        """End it at once (SIGKILL), as a crash would; its data stay."""
        self._own().kill()

    def restart(self) -> None:
        """Stop it where it runs, and start it on the same ports with the same data."""
        if self.running:
            self.stop()
        self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _own(self) -> Process:
        if self.process is None:
            raise ServerError(f"{self.name} in {self.folder} was not started here; who started it can stop it")
        return self.process

    @property
    def _scheme_suffix(self) -> str:
        return "s" if self.certs else ""


class RabbitServer(Server):
    """A RabbitMQ node with the management plugin, in a folder of its own.

    Its port mapper is private as well, so that nothing stays behind when it stops.

    Args:
        folder: where its data, configuration and log go; ports and password are remembered there.
        port: for AMQP; by default a free one.
        management_port: for the management API; by default a free one.
        config: settings of rabbitmq.conf, besides or instead of ours.
        advanced: advanced.config, an Erlang term that ends with a dot.
        certs: folder with public.crt, private.key and ca.crt: the AMQP port then speaks TLS. None: it does not.
        bound: whether the server dies with this process.
    """

    name = "RabbitMQ"

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        management_port: int | None = None,
        config: Mapping[str, str] | None = None,
        advanced: str = "",
        certs: Path | None = None,
        *,
        bound: bool = True,
    ) -> None:
        super().__init__(folder, certs)
        self._config = dict(config or {})
        self._advanced = advanced
        self._bound = bound
        self._epmd: Process | None = None
        memory = remembered(self.folder / _MEMORY, lambda: _new_rabbit(port, management_port))
        self.port: int = memory["port"]
        self.management_port: int = memory["management_port"]
        self.user: str = memory["user"]
        self._password: str = memory["password"]
        self._cookie: str = memory["cookie"]
        self._distribution_port: int = memory["distribution_port"]
        self._mapper_port: int = memory["mapper_port"]

    @property
    def ports(self) -> tuple[int, ...]:
        """See `Server.ports`."""
        return self.port, self.management_port, self._distribution_port, self._mapper_port

    @property
    def management_url(self) -> str:
        """Where the management API is."""
        return f"http://127.0.0.1:{self.management_port}"

    def connection(self, vhost: str = "/", heartbeat_s: int = 60) -> BrokerConnection:
        """A virtual host of this server, as its administrator."""
        return BrokerConnection(
            url=f"amqp{self._scheme_suffix}://localhost:{self.port}",
            vhost=vhost,
            user=self.user,
            password=SecretStr(self._password),
            ca_file=self.certs / "ca.crt" if self.certs else None,
            heartbeat_s=heartbeat_s,
            management_url=self.management_url,
        )

    def ready(self) -> bool:
        """Whether it takes connections, and its management API answers the administrator."""
        if not accepts(self.port):
            return False
        try:
            self.manage("GET", "/api/whoami")
        except ServerError:
            return False
        return True

    def manage(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """A call of the management API.

        Raises:
            ServerError: it does not answer, or refuses; with what it says.
        """
        credentials = base64.b64encode(f"{self.user}:{self._password}".encode()).decode()
        request = urllib.request.Request(
            self.management_url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Basic {credentials}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                answer = response.read()
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            raise ServerError(f"{method} {path}: RabbitMQ says {error.code} {text}") from None
        except OSError as error:
            raise ServerError(f"{method} {path}: RabbitMQ's management API does not answer ({error})") from None
        return json.loads(answer) if answer else None

    def create_vhost(self, vhost: str) -> BrokerConnection:
        """A new virtual host in which the administrator may do everything."""
        name = quote(vhost, safe="")
        self.manage("PUT", f"/api/vhosts/{name}", {})
        self.manage("PUT", f"/api/permissions/{name}/{self.user}", {"configure": ".*", "write": ".*", "read": ".*"})
        return self.connection(vhost)

    def delete_vhost(self, vhost: str) -> None:
        """Remove a virtual host with all its queues."""
        self.manage("DELETE", f"/api/vhosts/{quote(vhost, safe='')}")

    def stop(self) -> None:
        """End it orderly, and its port mapper; its data stay."""
        super().stop()
        self._stop_mapper()

    def kill(self) -> None:
        """End it at once (SIGKILL), as a crash would; its data stay."""
        super().kill()
        self._stop_mapper()

    def _stop_mapper(self) -> None:
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd = None

    def _launch(self) -> Process:
        script, mapper = find_rabbitmq(), find_epmd()
        self._write_configuration()
        env = self._environment()
        # RabbitMQ starts a port mapper that outlives it where it finds none.
        command = [str(mapper), "-address", "127.0.0.1", "-port", str(self._mapper_port)]
        self._epmd = Process(command, env, self.folder / "epmd.log", bound=self._bound)
        wait_until(lambda: accepts(self._mapper_port), self._epmd, "Erlang's port mapper", 10.0)
        return Process([str(script)], env, self.log, bound=self._bound)

    def _write_configuration(self) -> None:
        listener = "ssl" if self.certs else "tcp"
        settings = {
            f"listeners.{listener}.1": f"127.0.0.1:{self.port}",
            "management.tcp.ip": "127.0.0.1",
            "management.tcp.port": str(self.management_port),
            "default_user": self.user,
            "default_pass": self._password,
            "log.console": "true",
            "log.file": "false",
        }
        if self.certs:
            settings |= {
                "listeners.tcp": "none",
                "ssl_options.certfile": str(self.certs / "public.crt"),
                "ssl_options.keyfile": str(self.certs / "private.key"),
                "ssl_options.cacertfile": str(self.certs / "ca.crt"),
                "ssl_options.verify": "verify_none",
                "ssl_options.fail_if_no_peer_cert": "false",
            }
        settings |= self._config
        write_private(self.folder / "rabbitmq.conf", "".join(f"{key} = {value}\n" for key, value in settings.items()))
        write_private(self.folder / "advanced.config", self._advanced or "[].\n")
        write_private(self.folder / "enabled_plugins", "[rabbitmq_management].\n")
        write_private(self.folder / "environment.conf", "")
        cookie = self.folder / "home" / ".erlang.cookie"
        write_private(cookie, self._cookie)
        cookie.chmod(0o400)

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", "") + ":/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "HOME": str(self.folder / "home"),
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_CRASH_DUMP_SECONDS": "0",
            "RABBITMQ_NODENAME": f"landseries-{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_PID_FILE": str(self.folder / "node.pid"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            # The machine's own configuration is not ours.
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "environment.conf"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _ERLANG_FLAGS,
            # The script then becomes the server instead of waiting for it, and its process id is the server's.
            "RUNNING_UNDER_SYSTEMD": "true",
        }


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
        memory = remembered(self.folder / _MEMORY, lambda: _new_minio(port))
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
        return f"http{self._scheme_suffix}://localhost:{self.port}"

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


def _new_rabbit(port: int | None, management_port: int | None) -> dict[str, Any]:
    ports = free_ports(4)
    return {
        "port": port or ports[0],
        "management_port": management_port or ports[1],
        "distribution_port": ports[2],
        "mapper_port": ports[3],
        "user": "landseries-admin",
        "password": secrets.token_urlsafe(24),
        "cookie": secrets.token_hex(20),
    }


def _new_minio(port: int | None) -> dict[str, Any]:
    return {
        "port": port or free_ports(1)[0],
        "access_key": "landseries-" + secrets.token_hex(4),
        "secret_key": secrets.token_urlsafe(24),
    }
