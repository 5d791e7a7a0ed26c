"""The chart in a real cluster: installed, scaled, disturbed, upgraded, rolled back, removed; and the run's bytes.

The tests of this module are one story and run in their order; each needs those before it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from support.chart import Manifest
from support.cluster import Namespace, kubectl, need_cluster
from support.delivery import wait_for
from support.release import Release, keda_in, metric, release, watching
from support.small_run import (
    artifacts,
    check_same_artifacts,
    configuration,
    run_embedded,
    simulate_archive,
    write_config,
)

from landseries.openrun import OpenRun
from landseries.pipeline import SERVICES, Unit
from landseries.plan import read_plan
from landseries.stores.local import LocalStore

pytestmark = [pytest.mark.deployment, pytest.mark.xdist_group("kubernetes"), pytest.mark.timeout(3600)]

_RUN_S: Final = 1500
_JOBS: Final = ("trainer", "mapper")
_SHORT: Final = tuple(service for service in SERVICES if service not in _JOBS)


@dataclass
class World:
    """A release, a run's configuration, and what the same run leaves without a cluster."""

    release: Release
    config: Path
    embedded: Path
    seen: Seen = field(default_factory=lambda: Seen())


@dataclass
class Seen:
    """What a watcher saw of the services' pods."""

    most: dict[str, int] = field(default_factory=dict)
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


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    need_cluster()
    folder = tmp_path_factory.mktemp("kubernetes")
    archive = simulate_archive(folder / "archive")
    config = write_config(archive, configuration(archive, "small"))
    run_embedded(config, folder / "work", jobs=2)
    with release(folder, archive) as released:
        yield World(released, config, folder / "work")


def test_it_installs_under_the_restricted_level_and_the_doctor_is_content(world: World) -> None:
    world.release.install()
    place = world.release.place
    assert "Phase:          Succeeded" in place.helm("test", "landseries", "--timeout", "5m")
    said = place.kubectl("logs", "landseries-doctor")
    assert "every service has a user of its own" in said
    assert "bad " not in said


def test_keda_takes_over_and_without_work_no_worker_runs(world: World) -> None:
    place = world.release.place
    world.release.values["keda"] = {**keda_in(place), "cooldownS": 15}
    world.release.upgrade("--wait", "--timeout", "10m")
    wait_for("no worker", lambda: not world.release.workers(), 300, place.events)


def test_a_disturbed_run_scales_and_leaves_the_bytes_of_an_embedded_run(world: World) -> None:
    released, seen = world.release, world.seen
    place = released.place
    started = time.monotonic()
    assert "messages published" in released.operator("submit", world.config)
    with watching(lambda: seen.look(place)):
        wait_for("the first units", lambda: released.answered("small") > 2, 300, place.events)
        _kill_a_worker_in_mid_unit(released)
        released.upgrade(values=_changed(released.values))
        before = released.answered("small")
        wait_for("units after the upgrade", lambda: released.answered("small") > before, 600, place.events)
        _drain(place)
        place.helm("rollback", "landseries", "2")
        wait_for("the report", lambda: _has_report(released), _RUN_S, place.events)
    print(f"whole run {time.monotonic() - started:.0f} s; most pods {seen.most}; jobs of {sorted(seen.jobs)}")
    assert set(_SHORT) <= set(seen.most)
    assert set(_JOBS) <= seen.jobs
    assert max(seen.most[service] for service in _SHORT) > 1, "more than one worker where messages wait"
    with released.store() as store:
        ours, others = artifacts(store), artifacts(LocalStore(world.embedded / "store"))
    check_same_artifacts(ours, others)
    print(f"{len(ours)} artifacts, byte for byte those of the embedded run")


def test_nothing_is_put_aside_and_workers_go_when_nothing_is_left(world: World) -> None:
    assert "stalled" not in world.release.operator("status", "small")
    assert world.release.operator("dead", "list").strip() == "0 dead letters"
    wait_for("no worker", lambda: not world.release.workers(), 300, world.release.place.events)


def test_what_is_removed_leaves_only_the_data(world: World) -> None:
    place = world.release.place
    place.helm("uninstall", "landseries", "--wait", "--timeout", "5m")
    wait_for("the end of all pods", lambda: not place.pods(), 120, place.events)
    kinds = "deployments,statefulsets,jobs,services,networkpolicies,poddisruptionbudgets,scaledobjects,scaledjobs"
    # What KEDA made goes when Kubernetes finds that its owner has gone.
    wait_for("the end of all objects", lambda: not place.get(kinds), 120, place.events)
    secrets = {item["metadata"]["name"] for item in place.get("secrets")}
    assert secrets == {"landseries-store", "landseries-broker-admin"}, "what opens the volumes again"
    claims = {item["metadata"]["name"] for item in place.get("persistentvolumeclaims")}
    assert claims == {"archive", "data-landseries-rabbitmq-0", "data-landseries-minio-0"}
    assert any((place.folder / "data-landseries-minio-0").rglob("*"))


def test_another_installation_goes_on_with_the_data(world: World) -> None:
    del world.release.values["keda"]  # names the address of the broker that has gone
    world.release.install()
    assert "small" in world.release.operator("status", "small")
    assert _has_report(world.release)


def _changed(values: Manifest) -> Manifest:
    """Values by which every worker's pod is made anew."""
    return {**values, "defaults": {**values["defaults"], "podAnnotations": {"landseries/upgraded": "yes"}}}


def _kill_a_worker_in_mid_unit(released: Release) -> None:
    """Kill workers at their units, without time to hand them back, until the broker has delivered one's message again.

    A unit may end between the look and the kill; its worker then took no message with it, and another one must go.
    """
    place, before = released.place, released.redelivered()
    busy: list[str] = []

    def is_busy() -> bool:
        busy[:] = [pod["metadata"]["name"] for pod in released.workers() if metric(pod, "landseries_units_in_flight")]
        return bool(busy)

    for number in range(1, 6):
        wait_for("a worker at a unit", is_busy, 300, place.events)
        place.kubectl("delete", "pod", busy[0], "--grace-period=0", "--force")
        print(f"killed {busy[0]} at a unit")
        deadline = time.monotonic() + 20  # the broker counts every five seconds
        while time.monotonic() < deadline:
            again = released.redelivered() - before
            if again > 0:
                print(f"{again} messages delivered again after {number} kills")
                return
            time.sleep(1)
    raise AssertionError(f"no message of a killed worker was delivered again\n{place.events()}")


def _drain(place: Namespace) -> None:
    """Take everything from the only node, broker and store included, and let it come back."""
    [node] = kubectl("get", "nodes", "-o", "name").split()
    selector = "app.kubernetes.io/name=landseries"
    kubectl("drain", node, "--pod-selector", selector, "--delete-emptydir-data", "--force", "--timeout=300s")
    kubectl("uncordon", node)
    for server in ("rabbitmq", "minio"):
        place.kubectl("rollout", "status", f"statefulset/landseries-{server}", "--timeout=300s")


def _has_report(released: Release) -> bool:
    try:
        with released.store() as store:
            plan = read_plan(store, "small")
            assert plan is not None
            return OpenRun(store, plan).markers.answered(Unit("report", ()))
    except Exception as error:  # the store may be just coming back
        print(f"the store: {error}")
        return False
