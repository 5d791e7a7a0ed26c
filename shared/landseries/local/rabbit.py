"""A RabbitMQ node of one's own, with a port mapper of its own, on 127.0.0.1."""

from __future__ import annotations

import base64
import json
import os
import secrets
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from pydantic import SecretStr

from landseries.connections import BrokerConnection
from landseries.local.processes import (
    Process,
    ServerError,
    accepts,
    free_ports,
    remembered,
    wait_until,
    write_private,
)
from landseries.local.programs import find_epmd, find_rabbitmq
from landseries.local.server import MEMORY, Server

#: One scheduler thread more than two buys nothing on a laptop, and each costs memory and time at the start.
_ERLANG_FLAGS: Final = "+S 2:2 +A 16 +SDio 2"


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
        memory = remembered(self.folder / MEMORY, lambda: _new_rabbit(port, management_port))
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
            url=f"amqp{self.scheme_suffix}://localhost:{self.port}",
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
        try:
            wait_until(lambda: accepts(self._mapper_port), self._epmd, "Erlang's port mapper", 10.0)
        except ServerError:
            self._stop_mapper()
            raise
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
