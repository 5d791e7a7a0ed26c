"""Containers of our images under podman, as strict as a cluster would have them, and what must be there for it."""

from __future__ import annotations

import functools
import json
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from landseries.pipeline import SERVICES

ROOT: Final = Path(__file__).resolve().parents[2]
_TIMEOUT_S: Final = 300
#: No process of such a container may write but where a volume is, or become more than it is.
_STRICT: Final = (
    *("--read-only", "--read-only-tmpfs=false", "--cap-drop", "all", "--security-opt", "no-new-privileges"),
    *("--tmpfs", "/tmp:rw,mode=1777"),
)


def podman(*arguments: object, check: bool = True) -> str:
    """Run podman; what it prints."""
    command = ["podman", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    assert not check or done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout.strip()


@functools.cache
def image_tag() -> str:
    """The tag of the images made from this working tree, or the one that IMAGE_TAG names."""
    given = os.environ.get("IMAGE_TAG")
    return (
        given
        or subprocess.run([ROOT / "containers" / "tag"], capture_output=True, text=True, check=True).stdout.strip()
    )


def image(name: str) -> str:
    """An image's whole name."""
    return f"{os.environ.get('REGISTRY', 'localhost/landseries')}/{name}:{image_tag()}"


def need_images(names: Sequence[str]) -> None:
    """Skip the test with the reason where podman or images of this working tree are missing; in CI it fails."""
    missing = None
    if shutil.which("podman") is None:
        missing = "podman is not installed"
    else:
        absent = [name for name in map(image, names) if not _exists(name)]
        if absent:
            missing = f"there is no image {', '.join(absent)}: `make images` builds them"
    if missing is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI=true, and what tests of images need is missing: {missing}", pytrace=False)
    pytest.skip(missing)


def inspected(name: str) -> dict[str, Any]:
    """What podman tells of an image, by its whole name."""
    found: dict[str, Any] = json.loads(podman("image", "inspect", name))[0]
    return found


def _exists(name: str) -> bool:
    return subprocess.run(["podman", "image", "exists", name], check=False).returncode == 0


@dataclass(frozen=True)
class Container:
    """A running container."""

    name: str

    def port(self, inside: int) -> int:
        """The port of 127.0.0.1 behind which one of its ports is."""
        return int(podman("port", self.name, inside).rpartition(":")[2])

    def logs(self) -> str:
        """What it said."""
        done = subprocess.run(
            ["podman", "logs", self.name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        return done.stdout

    def run(self, *command: object) -> str:
        """Run a command in it; what it prints."""
        return podman("exec", self.name, *command)

    def stop(self, patience_s: int = 30) -> int:
        """End it orderly; its exit status."""
        podman("stop", "-t", patience_s, self.name)
        return int(podman("wait", self.name))


@dataclass(frozen=True)
class Conduct:
    """How a service behaved in its container.

    Attributes:
        healthy: what its image's health check printed, which is nothing where all is well.
        user: who it ran as.
        ending: its exit status when it was told to end.
    """

    healthy: str
    user: str
    ending: int


def conducts(workers: Mapping[str, Container]) -> dict[str, Conduct]:
    """Ask running services, by the name of their image, how they are, and end them."""
    checks = {name: inspected(image(name))["Healthcheck"]["Test"][1:] for name in workers}
    asked = {name: (worker.run(*checks[name]), worker.run("id", "-u")) for name, worker in workers.items()}
    return {name: Conduct(*asked[name], worker.stop()) for name, worker in workers.items()}


def last_words(containers: Mapping[str, Container]) -> str:
    """The ends of what containers said, for a failure's text."""
    return "\n".join(f"{name}:\n{container.logs()[-3000:]}" for name, container in containers.items())


def check_conduct(conduct: Conduct) -> None:
    """Whether a service was healthy as a user of no name, and ended when it was told to."""
    assert int(conduct.user) >= 100_000
    assert conduct.healthy == ""
    assert conduct.ending == 0


def check_says_what_it_is(name: str) -> None:
    """Whether an image has its labels and a user that is not root; a service's also its revision and a health check."""
    found = inspected(image(name))
    labels, user = found["Config"]["Labels"], found["Config"]["User"]
    for field in ("title", "description", "licenses", "version", "source"):
        assert labels[f"org.opencontainers.image.{field}"], field
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user), user
    if name in SERVICES:
        assert re.fullmatch(r"[0-9a-f]{40}", labels["org.opencontainers.image.revision"])
        assert found["Healthcheck"]["Test"][0] == "CMD"


def check_holds_no_pytorch(service: str) -> None:
    """Whether a service's image lacks PyTorch, pip and other services."""
    code = "import importlib.util as u; print(*map(u.find_spec, ('torch', 'pip', 'landseries_trainer')))"
    asked = podman("run", "--rm", "--no-healthcheck", "--entrypoint", "python", image(service), "-c", code)
    assert asked == "None None None"


class Yard:
    """Containers with a network of their own, in which they find each other by name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.containers: list[Container] = []

    def start(
        self,
        image_name: str,
        *command: object,
        name: str,
        env: Mapping[str, str],
        volumes: Sequence[Path] = (),
        writable: str | None = None,
        ports: Sequence[int] = (),
    ) -> Container:
        """Start an image of ours as a user that it has never heard of, with a root that cannot be written.

        Args:
            image_name: a service, or minio or rabbitmq.
            command: arguments of the image's program.
            name: what the others find it by.
            env: variables; values are handed over in a way that no process list shows.
            volumes: folders that are there to be read, under their own path.
            writable: a folder inside, besides /tmp, that it may write to.
            ports: ports to reach from 127.0.0.1.
        """
        container = Container(f"{self.name}-{name}")
        uid = 100_000 + secrets.randbelow(900_000_000)
        arguments: list[object] = ["run", "-d", "--name", container.name, "--user", f"{uid}:{uid}", *_STRICT]
        arguments += ["--network", self.name, "--network-alias", name, "--no-healthcheck"]
        arguments += [item for path in volumes for item in ("-v", f"{path}:{path}:ro")]
        arguments += ["--tmpfs", f"{writable}:rw,mode=1777"] if writable else []
        arguments += [item for port in ports for item in ("-p", f"127.0.0.1::{port}")]
        arguments += [item for variable in env for item in ("-e", variable)]
        done = subprocess.run(
            ["podman", *map(str, arguments), image(image_name), *map(str, command)],
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        self.containers.append(container)
        return container


@contextmanager
def yard() -> Iterator[Yard]:
    """A place for containers; none of them, nor the network, outlives the context."""
    place = Yard(f"landseries-{secrets.token_hex(4)}")
    podman("network", "create", place.name)
    try:
        yield place
    finally:
        for container in place.containers:
            podman("rm", "-f", "-v", container.name, check=False)
        podman("network", "rm", "-f", place.name, check=False)
