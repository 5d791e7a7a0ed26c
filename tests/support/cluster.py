"""A Kubernetes cluster as tests use it: kubectl and helm at KUBECONFIG, a namespace, volumes of this machine."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

Manifest = dict[str, Any]
_TIMEOUT_S: Final = 900


def need_cluster() -> None:
    """Skip the test with the reason where there is no cluster whose node is this machine; in CI that is a failure."""
    missing = next((name for name in ("kubectl", "helm") if shutil.which(name) is None), None)
    if missing is not None:
        reason = f"{missing} is not on the PATH"
    elif "KUBECONFIG" not in os.environ:
        reason = "KUBECONFIG names no cluster"
    elif socket.gethostname().partition(".")[0] not in kubectl("get", "nodes", "-o", "name", check=False):
        reason = "no node of the cluster is this machine: its pods could not see the simulated archive"
    else:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI=true, and what tests in a cluster need is missing: {reason}", pytrace=False)
    pytest.skip(reason)


def run(*command: object, check: bool = True, text: str | None = None) -> str:
    """Run a command; what it prints on standard output."""
    words = list(map(str, command))
    done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    assert not check or done.returncode == 0, f"{' '.join(words)}\n{done.stdout}{done.stderr}"
    return done.stdout


def kubectl(*arguments: object, check: bool = True, text: str | None = None) -> str:
    """Run kubectl."""
    return run("kubectl", *arguments, check=check, text=text)


class Namespace:
    """A namespace that enforces the pod security level `restricted`, with volumes that are folders of this machine."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder

    def kubectl(self, *arguments: object, check: bool = True, text: str | None = None) -> str:
        """Run kubectl in it."""
        return kubectl("-n", self.name, *arguments, check=check, text=text)

    def helm(self, *arguments: object, values: Manifest | None = None) -> str:
        """Run helm in it, with values on its standard input where they are given."""
        more = () if values is None else ("--values", "-")
        return run("helm", "-n", self.name, *arguments, *more, text=None if values is None else yaml.safe_dump(values))

    def get(self, kind: str, *arguments: object) -> list[Manifest]:
        """The objects of a kind."""
        found: list[Manifest] = json.loads(self.kubectl("get", kind, "-o", "json", *arguments))["items"]
        return found

    def apply(self, *manifests: Manifest) -> None:
        """Make objects."""
        self.kubectl("apply", "-f", "-", text=yaml.safe_dump_all(manifests))

    def volume(self, claim: str, *, path: Path | None = None) -> None:
        """A volume for a claim of this name: a folder of this machine, by default a new one that any user may write."""
        if path is None:
            path = self.folder / claim
            path.mkdir()
            path.chmod(0o777)
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": f"{self.name}-{claim}"},
                "spec": {
                    "capacity": {"storage": "10Gi"},
                    "accessModes": ["ReadWriteOnce", "ReadOnlyMany"],
                    "persistentVolumeReclaimPolicy": "Retain",
                    "hostPath": {"path": str(path)},
                    "claimRef": {"namespace": self.name, "name": claim},
                },
            }
        )

    def claim(self, name: str) -> None:
        """A claim of the volume of this name, to be read by many pods."""
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": name},
                "spec": {
                    "accessModes": ["ReadOnlyMany"],
                    "storageClassName": "",
                    "volumeName": f"{self.name}-{name}",
                    "resources": {"requests": {"storage": "1Gi"}},
                },
            }
        )

    def pods(self, component: str | None = None) -> list[Manifest]:
        """Pods of a component, or all, that have neither ended nor been told to end."""
        chosen = [] if component is None else ["-l", f"app.kubernetes.io/component={component}"]
        return [
            pod
            for pod in self.get("pods", *chosen)
            if pod["status"].get("phase") in ("Pending", "Running") and "deletionTimestamp" not in pod["metadata"]
        ]

    def events(self) -> str:
        """What went on, for a person who looks for a failure's cause."""
        return "\n".join(
            (
                self.kubectl("get", "all", check=False),
                self.kubectl("get", "events", "--sort-by=.lastTimestamp", check=False)[-6000:],
                self.kubectl("logs", "-l", "landseries/worker=true", "--tail=5", "--prefix", check=False)[-6000:],
            )
        )

    @contextmanager
    def forwarded(self, service: str, port: int) -> Iterator[int]:
        """A service's port at 127.0.0.1."""
        command = ["kubectl", "-n", self.name, "port-forward", f"svc/{service}", f":{port}"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert "->" in line, line
            yield int(line.partition("->")[0].rpartition(":")[2])
        finally:
            process.kill()
            process.wait()


@contextmanager
def namespace(folder: Path) -> Iterator[Namespace]:
    """A namespace of the test's own; it goes with all that is in it, and so do its volumes."""
    name = f"landseries-{secrets.token_hex(3)}"
    level = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}
    place = Namespace(name, folder)
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": level}}
    kubectl("apply", "-f", "-", text=yaml.safe_dump(made))
    try:
        yield place
    finally:
        with contextlib.suppress(AssertionError):
            kubectl("uncordon", *kubectl("get", "nodes", "-o", "name").split())
        kubectl("delete", "namespace", name, "--wait=true", "--timeout=120s", check=False)
        for volume in kubectl("get", "pv", "-o", "name", check=False).split():
            if name in volume:
                kubectl("delete", volume, "--wait=false", check=False)
