"""A laptop without a cluster: podman starts what the chart renders for it, and a whole run goes through."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from support.chart import CHART, helm
from support.containers import image_tag, need_images, podman
from support.delivery import wait_for
from support.small_run import artifacts, configuration, run_embedded, simulate_archive, write_config

from landseries.pipeline import SERVICES
from landseries.stores.local import LocalStore

pytestmark = [pytest.mark.deployment, pytest.mark.xdist_group("images"), pytest.mark.timeout(1800)]

#: Prints the digest of every artifact but the report, and whether that is there.
_LOOK: Final = """
import json
from landseries.artifacts.documents import digest_of
from landseries.connections import store_connection
from landseries.stores.minio import MinioStore
store = MinioStore(store_connection())
keys = [item.key for item in store.list("artifacts/") if not item.key.startswith("artifacts/report/")]
done = store.exists("runs/small/markers/report.json")
print(json.dumps({"done": done, "artifacts": {key: digest_of(store.get(key)) for key in keys} if done else {}}))
"""


@dataclass(frozen=True)
class Played:
    """Pods of a release of this name."""

    name: str

    def operator(self, *command: object) -> str:
        """Run a command in the operator's container."""
        return podman("exec", f"{self.name}-operator-pod-0-operator", *command)

    def logs(self) -> str:
        """How the containers are, and the end of what they said."""
        names = podman("ps", "-a", "--filter", f"name={self.name}", "--format", "{{.Names}}").split()
        said = [f"{name}:\n{podman('logs', '--tail', 15, name, check=False)}" for name in names if "infra" not in name]
        return "\n".join([podman("ps", "-a", "--filter", f"name={self.name}"), *said])


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kube-play")
    return simulate_archive(folder / "archive")


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory, archive: Path) -> Iterator[Played]:
    need_images([*SERVICES, "minio", "rabbitmq"])
    _need_pods()
    name = f"landseries-{secrets.token_hex(3)}"
    podman("volume", "create", "--opt", "type=none", "--opt", "o=bind", "--opt", f"device={archive}", f"{name}-archive")
    manifests = tmp_path_factory.mktemp("manifests") / "pods.yaml"
    try:
        manifests.write_text(_rendered(name, archive))
        podman("kube", "play", manifests)
        yield Played(name)
    finally:
        podman("kube", "down", manifests, check=False)
        kept = podman("volume", "ls", "-q", "--filter", f"name={name}").split()
        podman("volume", "rm", "-f", *kept, check=False)
        podman("secret", "rm", *_secrets(name), check=False)


def test_the_pods_start_and_every_worker_is_healthy(played: Played) -> None:
    wait_for("the doctor's content", lambda: _is_well(played), 180, played.logs)
    for service in SERVICES:
        container = f"{played.name}-{service}-pod-0-worker"
        wait_for(f"a healthy {service}", lambda c=container: _is_healthy(c), 120, played.logs)
    assert _is_healthy(f"{played.name}-rabbitmq-rabbitmq")


def test_a_run_leaves_the_bytes_of_an_embedded_run(played: Played, archive: Path, tmp_path: Path) -> None:
    config = write_config(archive, configuration(archive, "small"))
    run_embedded(config, tmp_path / "work", jobs=2)
    played.operator("landseries", "submit", config)
    wait_for("the report", lambda: bool(_look(played)["done"]), 900, played.logs)
    others = artifacts(LocalStore(tmp_path / "work" / "store"))
    assert _look(played)["artifacts"] == others
    assert len(others) > 50


def _rendered(name: str, archive: Path) -> str:
    values = {
        "image": {"tag": image_tag(), "registry": os.environ.get("REGISTRY", "localhost/landseries")},
        "podman": {"enabled": True},
        "rabbitmq": {"enabled": True},
        "minio": {"enabled": True},
        "archive": {"existingClaim": f"{name}-archive", "mountPath": str(archive)},
    }
    done = helm("template", name, CHART, "--skip-tests", "--kube-version", "1.33.0", values=values)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _need_pods() -> None:
    """Skip the test with the reason where podman cannot make pods; in CI that is a failure."""
    name = f"landseries-{secrets.token_hex(3)}"
    command = ["podman", "pod", "create", "--name", name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    podman("pod", "rm", "-f", name, check=False)
    if done.returncode == 0:
        return
    reason = f"podman makes no pods here (its package catatonit may be missing): {done.stderr.strip()}"
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI=true, and {reason}", pytrace=False)
    pytest.skip(reason)


def _is_well(played: Played) -> bool:
    return _returns_zero("exec", f"{played.name}-operator-pod-0-operator", "landseries", "doctor")


def _is_healthy(container: str) -> bool:
    """Whether the check that podman runs at its times finds nothing now."""
    return _returns_zero("healthcheck", "run", container)


def _returns_zero(*arguments: object) -> bool:
    command = ["podman", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=120, check=False).returncode == 0


def _look(played: Played) -> dict[str, object]:
    found: dict[str, object] = json.loads(played.operator("python", "-c", _LOOK))
    return found


def _secrets(name: str) -> list[str]:
    return [line for line in podman("secret", "ls", "--format", "{{.Name}}").split() if line.startswith(name)]
