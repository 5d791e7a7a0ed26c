"""The chart in a real cluster: installed, scaled, disturbed, upgraded, rolled back, removed; and the run's bytes.

The tests of this module are one story and run in their order; each needs those before it.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from pydantic import SecretStr
from support.chart import CHART, Manifest
from support.cluster import Namespace, kubectl, namespace, need_cluster
from support.containers import image_tag
from support.delivery import wait_for
from support.small_run import artifacts, run_embedded, simulate_archive, write_config

from landseries.connections import StoreConnection
from landseries.openrun import OpenRun
from landseries.pipeline import SERVICES, Unit
from landseries.plan import read_plan
from landseries.stores.local import LocalStore
from landseries.stores.minio import MinioStore

pytestmark = [pytest.mark.deployment, pytest.mark.xdist_group("kubernetes"), pytest.mark.timeout(3600)]

_RUN_S: Final = 1500
_LITTLE: Final = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "3Gi"}}
_JOBS: Final = ("trainer", "mapper")
_SHORT: Final = tuple(service for service in SERVICES if service not in _JOBS)


@dataclass
class World:
    """A namespace with an archive in it, and what the same run leaves without a cluster."""

    place: Namespace
    config: Path
    embedded: Path
    values: Manifest
    seen: Seen = field(default_factory=lambda: Seen())

    def operator(self, *arguments: object) -> str:
        """Run `landseries` in the operator's pod."""
        return self.place.kubectl("exec", "deploy/landseries-operator", "--", "landseries", *arguments)

    @contextmanager
    def store(self) -> Iterator[MinioStore]:
        """The store in the cluster."""
        [secret] = [item for item in self.place.get("secrets") if item["metadata"]["name"] == "landseries-store"]
        access, key = (
            SecretStr(base64.b64decode(secret["data"][name]).decode()) for name in ("accessKey", "secretKey")
        )
        with self.place.forwarded("landseries-minio", 9000) as port:
            yield MinioStore(StoreConnection(url=f"http://127.0.0.1:{port}", access_key=access, secret_key=key))

    def answered(self) -> int:
        """Units that have a marker."""
        with self.store() as store:
            return sum(1 for _ in store.list("runs/small/markers/"))


@dataclass
class Seen:
    """What a watcher saw of the services' pods."""

    most: dict[str, int] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    jobs: set[str] = field(default_factory=set)

    def look(self, place: Namespace) -> None:
        """Count each service's pods, and remember jobs."""
        now: dict[str, int] = {}
        for pod in place.pods():
            component = pod["metadata"]["labels"].get("app.kubernetes.io/component", "")
            now[component] = now.get(component, 0) + 1
            if any(owner["kind"] == "Job" for owner in pod["metadata"].get("ownerReferences", [])):
                self.jobs.add(component)
        for component, number in now.items():
            self.most[component] = max(number, self.most.get(component, 0))
            self.first.setdefault(component, time.monotonic())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    need_cluster()
    folder = tmp_path_factory.mktemp("kubernetes")
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)  # the cluster's users look for their volumes below it
    archive = simulate_archive(folder / "archive")
    config = write_config(archive, archive / "small.yaml", "small")
    run_embedded(config, folder / "work", jobs=2)
    with namespace(folder) as place:
        place.volume("archive", path=archive)
        place.volume("data-landseries-rabbitmq-0")
        place.volume("data-landseries-minio-0")
        place.apply(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": "archive"},
                "spec": {
                    "accessModes": ["ReadOnlyMany"],
                    "storageClassName": "",
                    "volumeName": f"{place.name}-archive",
                    "resources": {"requests": {"storage": "1Gi"}},
                },
            }
        )
        yield World(place, config, folder / "work", _values(archive))


def test_it_installs_under_the_restricted_level_and_the_doctor_is_content(world: World) -> None:
    world.place.helm("install", "landseries", CHART, "--wait", "--timeout", "10m", values=world.values)
    _await_topology(world)
    assert "Phase:          Succeeded" in world.place.helm("test", "landseries", "--timeout", "5m")
    said = world.place.kubectl("logs", "landseries-doctor")
    assert "every service has a user of its own" in said
    assert "bad " not in said


def test_keda_takes_over_and_without_work_no_worker_runs(world: World) -> None:
    # KEDA need not be in the cluster itself, and so may not know its names.
    [service] = [item for item in world.place.get("services") if item["metadata"]["name"] == "landseries-rabbitmq"]
    url = f"http://{service['spec']['clusterIP']}:15672"
    world.values["keda"] = {"enabled": True, "pollingIntervalS": 2, "cooldownS": 15, "managementUrl": url}
    world.place.helm("upgrade", "landseries", CHART, "--wait", "--timeout", "10m", values=world.values)
    wait_for("no worker", lambda: not _workers(world.place), 300, world.place.events)


def test_a_disturbed_run_scales_and_leaves_the_bytes_of_an_embedded_run(world: World) -> None:
    place, seen = world.place, world.seen
    started = time.monotonic()
    assert "messages published" in world.operator("submit", world.config)
    with _watching(place, seen):
        wait_for("the first units", lambda: world.answered() > 2, 300, place.events)
        print(f"first pod after {seen.first['fetcher'] - started:.1f} s, units by {time.monotonic() - started:.1f} s")
        _delete_a_busy_worker(place)
        place.helm("upgrade", "landseries", CHART, values=_changed(world.values))
        before = world.answered()
        wait_for("units after the upgrade", lambda: world.answered() > before, 600, place.events)
        _drain(place)
        place.helm("rollback", "landseries", "2")
        wait_for("the report", lambda: _has_report(world), _RUN_S, place.events)
    print(f"whole run {time.monotonic() - started:.0f} s; most pods {seen.most}; jobs of {sorted(seen.jobs)}")
    assert set(_SHORT) <= set(seen.most)
    assert set(_JOBS) <= seen.jobs
    assert max(seen.most[service] for service in _SHORT) > 1, "more than one worker where messages wait"
    with world.store() as store:
        ours, others = artifacts(store), artifacts(LocalStore(world.embedded / "store"))
    assert sorted(ours) == sorted(others)
    assert [key for key in ours if ours[key] != others[key]] == []


def test_nothing_is_put_aside_and_workers_go_when_nothing_is_left(world: World) -> None:
    assert "stalled" not in world.operator("status", "small")
    wait_for("no worker", lambda: not _workers(world.place), 300, world.place.events)


def test_what_is_removed_leaves_only_the_data(world: World) -> None:
    place = world.place
    place.helm("uninstall", "landseries", "--wait", "--timeout", "5m")
    wait_for("the end of all pods", lambda: not place.pods(), 120, place.events)
    kinds = "deployments,statefulsets,jobs,services,networkpolicies,poddisruptionbudgets,scaledobjects,scaledjobs"
    assert place.get(kinds) == []
    assert {item["metadata"]["name"] for item in place.get("secrets")} == {"landseries-store"}
    claims = {item["metadata"]["name"] for item in place.get("persistentvolumeclaims")}
    assert claims == {"archive", "data-landseries-rabbitmq-0", "data-landseries-minio-0"}
    assert any((place.folder / "data-landseries-minio-0").rglob("*"))


def _values(archive: Path) -> Manifest:
    """Everything inside, with small requests: the node is a small machine."""
    return {
        "image": {"tag": image_tag()},
        "archive": {"existingClaim": "archive", "mountPath": str(archive)},
        "defaults": {"resources": _LITTLE, "maxReplicas": 3, "graceS": 60, "leaseS": 20},
        "services": {service: {"resources": _LITTLE} for service in ("fetcher", *_JOBS)},
        "operator": {"resources": _LITTLE},
        "rabbitmq": {"enabled": True, "volumeSize": "1Gi", "resources": _LITTLE},
        "minio": {"enabled": True, "volumeSize": "1Gi", "resources": _LITTLE},
    }


def _changed(values: Manifest) -> Manifest:
    """Values by which every worker's pod is made anew."""
    return {**values, "defaults": {**values["defaults"], "podAnnotations": {"landseries/upgraded": "yes"}}}


def _workers(place: Namespace) -> list[Manifest]:
    return [pod for pod in place.pods() if "landseries/worker" in pod["metadata"]["labels"]]


def _await_topology(world: World) -> None:
    def done() -> bool:
        return any(
            job["status"].get("succeeded") for job in world.place.get("jobs") if "topology" in job["metadata"]["name"]
        )

    wait_for("the topology", done, 300, world.place.events)


@contextmanager
def _watching(place: Namespace, seen: Seen) -> Iterator[None]:
    """Look at the pods each second meanwhile."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(1.0):
            try:
                seen.look(place)
            except (AssertionError, json.JSONDecodeError):
                continue  # the API server was busy

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _delete_a_busy_worker(place: Namespace) -> None:
    """Kill a worker that holds a unit, without time to hand it back."""

    def running() -> list[str]:
        return [pod["metadata"]["name"] for pod in _workers(place) if pod["status"]["phase"] == "Running"]

    wait_for("a running worker", lambda: bool(running()), 300, place.events)
    place.kubectl("delete", "pod", running()[0], "--grace-period=0", "--force")


def _drain(place: Namespace) -> None:
    """Take everything from the only node, broker and store included, and let it come back."""
    [node] = kubectl("get", "nodes", "-o", "name").split()
    selector = "app.kubernetes.io/name=landseries"
    kubectl("drain", node, "--pod-selector", selector, "--delete-emptydir-data", "--force", "--timeout=300s")
    kubectl("uncordon", node)
    for server in ("rabbitmq", "minio"):
        place.kubectl("rollout", "status", f"statefulset/landseries-{server}", "--timeout=300s")


def _has_report(world: World) -> bool:
    try:
        with world.store() as store:
            plan = read_plan(store, "small")
            assert plan is not None
            return OpenRun(store, plan).markers.answered(Unit("report", ()))
    except Exception as error:  # the store may be just coming back
        print(f"the store: {error}")
        return False
