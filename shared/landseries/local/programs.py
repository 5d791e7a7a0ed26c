"""Where programs are on this machine: RabbitMQ as its package installs it, MinIO and chart tools in a cache of ours."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from landseries.local.processes import ServerError

#: The last release of MinIO's source that was published; there are no binaries of it.
MINIO_VERSION: Final = "v0.0.0-20260212201848-7aac2a2c5b7c"


@dataclass(frozen=True)
class Tool:
    """What Go builds a tool from.

    Attributes:
        command: the command's module.
        version: of it.
        variables: what the linker sets, by the variable's name, as the tool's own Makefile does.
        variant: tells in the name of the cache folder what was set.
    """

    command: str
    version: str
    variables: tuple[tuple[str, str], ...] = ()
    variant: str = ""

    @property
    def module(self) -> str:
        """What `go install` takes."""
        return f"{self.command}@{self.version}"

    @property
    def linker_flags(self) -> str:
        """What `-ldflags` takes: no symbols, and the variables."""
        return " ".join(["-s -w", *(f"-X {name}={value}" for name, value in self.variables)])


def _helm(version: str, kubernetes: str) -> Tool:
    """Helm; what it takes a cluster for where it is not told is v1.20 unless the linker sets another version."""
    parts = dict(zip(("Major", "Minor"), kubernetes.split("."), strict=True))
    packages = ("chartutil", "lint/rules")
    variables = [
        (f"helm.sh/helm/v3/pkg/{package}.k8sVersion{part}", parts[part]) for package in packages for part in parts
    ]
    return Tool("helm.sh/helm/v3/cmd/helm", version, tuple(variables), f"-kubernetes-{kubernetes}")


#: Tools of those who work on the Helm chart. Helm's Kubernetes is that of `k8s.io/client-go` (v0.34) in its go.mod.
TOOLS: Final = {
    "helm": _helm("v3.19.0", "1.34"),
    "helm-docs": Tool("github.com/norwoodj/helm-docs/cmd/helm-docs", "v1.14.2"),
}
#: A tool that only a Debian package brings, and the package; it is taken out of it, so that no server is installed.
PROMTOOL: Final = "promtool"
PROMTOOL_PACKAGE: Final = "prometheus"
CACHE_VARIABLE: Final = "LANDSERIES_CACHE"
RABBITMQ_VARIABLE: Final = "LANDSERIES_RABBITMQ_SERVER"

#: The script itself, where a package puts it: Debian's command of that name insists on a user of its own.
_RABBITMQ_SCRIPTS: Final = (
    "/usr/lib/rabbitmq/bin/rabbitmq-server",
    "/opt/rabbitmq/sbin/rabbitmq-server",
    "/opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server",
    "/usr/local/opt/rabbitmq/sbin/rabbitmq-server",
)


def cache_folder() -> Path:
    """Where programs are kept that were built for landseries: $LANDSERIES_CACHE, or the user's cache folder."""
    if given := os.environ.get(CACHE_VARIABLE):
        return Path(given).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "landseries"


def minio_path() -> Path:
    """Where the MinIO of our version is, or will be."""
    return cache_folder() / f"minio-{MINIO_VERSION}" / "minio"


def find_minio() -> Path:
    """The MinIO server of our version.

    Raises:
        ServerError: it was not built yet.
    """
    path = minio_path()
    if not os.access(path, os.X_OK):
        raise ServerError(f"MinIO is not built: there is no {path}; `make servers` builds it")
    return path


def tool_path(name: str) -> Path:
    """Where a tool of `TOOLS` is, or will be, in our version and variant: one built otherwise is not taken for it."""
    tool = TOOLS[name]
    return cache_folder() / f"{name}-{tool.version}{tool.variant}" / name


def find_tool(name: str) -> Path:
    """A tool of `TOOLS` in our version.

    Raises:
        ServerError: it was not built yet.
    """
    path = tool_path(name)
    if not os.access(path, os.X_OK):
        raise ServerError(f"{name} is not built: there is no {path}; `make chart-tools` builds it")
    return path


def promtool_path() -> Path:
    """Where the promtool is, or will be, that was taken out of its package."""
    return cache_folder() / PROMTOOL / PROMTOOL


def find_promtool() -> Path:
    """Prometheus' promtool, on the PATH or in our cache.

    Raises:
        ServerError: it is in neither.
    """
    path = shutil.which(PROMTOOL) or promtool_path()
    if not os.access(path, os.X_OK):
        raise ServerError(f"{PROMTOOL} is neither on the PATH nor at {path}; `make chart-tools` gets it")
    return Path(path)


def find_rabbitmq() -> Path:
    """RabbitMQ's start script.

    Raises:
        ServerError: RabbitMQ is not installed, or not where packages put it.
    """
    given = os.environ.get(RABBITMQ_VARIABLE)
    for path in (given,) if given else _RABBITMQ_SCRIPTS:
        if os.access(path, os.X_OK):
            return Path(path)
    if given:
        raise ServerError(f"{RABBITMQ_VARIABLE}: {given} is no program; name RabbitMQ's sbin/rabbitmq-server")
    raise ServerError(
        "RabbitMQ is not installed (looked for " + ", ".join(_RABBITMQ_SCRIPTS) + "); `make servers` installs it, or "
        f"set {RABBITMQ_VARIABLE} to its sbin/rabbitmq-server"
    )


def find_epmd() -> Path:
    """Erlang's port mapper, which finds RabbitMQ's node by its name.

    Raises:
        ServerError: Erlang is not installed.
    """
    path = shutil.which("epmd", path=os.environ.get("PATH", "") + ":/usr/bin:/usr/lib/erlang/bin:/opt/homebrew/bin")
    if path is None:
        raise ServerError("Erlang's epmd is not on the PATH; it comes with RabbitMQ's package, or with Erlang")
    return Path(path)
