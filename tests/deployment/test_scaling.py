"""A second worker nearly doubles the throughput, for the same processor time per unit: measured in a cluster.

Every indexer is limited to 0.4 core; broker and store are not. The same units are done again and again, by one worker
and by two: what they left is removed, and `landseries sweep` publishes their messages anew. What a worker does first is
not counted, as it may compile kernels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import pytest
from support.chart import Manifest
from support.cluster import need_cluster
from support.delivery import wait_for
from support.release import Release, metric, release
from support.small_run import configuration, simulate_archive, write_config

from landseries.markers import Marker

pytestmark = [pytest.mark.deployment, pytest.mark.xdist_group("kubernetes"), pytest.mark.timeout(3000)]

_CORES: Final = 0.4
_SPEEDUP: Final = 1.8
_DEARER: Final = 1.1
_RUN: Final = "scaling"
#: Of the archive and of its tiles: 16 tiles, two years, hence 32 units.
_SIZE_PX: Final = 1024
_TILE_PX: Final = 256
_UNITS: Final = 32
_INDEXERS: Final = ("-l", "app.kubernetes.io/component=indexer")


@dataclass(frozen=True)
class Measured:
    """What some workers did.

    Attributes:
        rate: units a second, from the moment when each worker had done its first.
        cpu_s: processor seconds of the workers per unit.
        units: by worker.
    """

    rate: float
    cpu_s: float
    units: dict[str, int]


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    """A run whose index units wait, with no other worker about."""
    need_cluster()
    folder = tmp_path_factory.mktemp("scaling")
    archive = simulate_archive(folder / "archive", size_px=_SIZE_PX)
    config = write_config(archive, configuration(archive, _RUN, tile_px=_TILE_PX))
    with release(folder, archive, services=["fetcher"]) as found:
        found.values["services"]["fetcher"]["replicas"] = 2
        found.values["services"]["indexer"] = {"replicas": 0, "resources": _limited()}
        found.install()
        found.operator("submit", config)
        wait_for("the reflectances", lambda: _is_fetched(found), 1200, found.place.events)
        found.place.kubectl("scale", "deploy/landseries-fetcher", "--replicas=0")
        wait_for("no fetcher", lambda: not found.workers("fetcher"), 120, found.place.events)
        _scale(found, 1)
        _await_markers(found)
        yield found


def test_a_second_worker_nearly_doubles_the_throughput(released: Release) -> None:
    before = _index(released, 1)
    _scale(released, 2)
    _index(released, 2)
    two = _index(released, 2)
    _scale(released, 1)
    wait_for("one indexer", lambda: len(released.place.get("pods", *_INDEXERS)) == 1, 300, released.place.events)
    after = _index(released, 1)
    for replicas, found in ((1, before), (2, two), (1, after)):
        print(f"{replicas} x {_CORES} core: {found.rate:.3f} units/s, {found.cpu_s:.3f} CPU-s per unit, {found.units}")
    # Before and after: what else this machine does changes with time.
    speedup = 2 * two.rate / (before.rate + after.rate)
    dearer = 2 * two.cpu_s / (before.cpu_s + after.cpu_s)
    print(f"throughput x {speedup:.3f}, CPU-seconds per unit x {dearer:.3f}")
    assert speedup >= _SPEEDUP
    assert dearer <= _DEARER


def _scale(released: Release, replicas: int) -> None:
    released.place.kubectl("scale", "deploy/landseries-indexer", f"--replicas={replicas}")
    released.place.kubectl("rollout", "status", "deploy/landseries-indexer", "--timeout=300s")


def _index(released: Release, replicas: int) -> Measured:
    """Have all index units done anew by the workers that are there."""
    pods = released.workers("indexer")
    assert len(pods) == replicas
    _forget(released)
    cpu_before, throttled_before = _cpu_s(pods), _throttled(released, pods)
    released.operator("sweep", _RUN)
    markers, ended = _await_markers(released)
    cpu_s = _cpu_s(pods) - cpu_before
    assert all(now > then for now, then in zip(_throttled(released, pods), throttled_before, strict=True)), (
        "the limit holds the workers back; otherwise nothing is measured here"
    )
    assert all(marker.status == "done" and not marker.reused for marker in markers)
    units = {pod["metadata"]["name"]: 0 for pod in pods}
    for marker in markers:
        units[marker.host] += 1
    assert all(units.values()), "every worker had its share"
    seconds = (ended[-1] - ended[replicas - 1]).total_seconds()
    return Measured((len(ended) - replicas) / seconds, cpu_s / len(ended), units)


def _forget(released: Release) -> None:
    """Remove the results of the index stage and what says that there are some."""
    with released.store() as store:
        for prefix in ("artifacts/index/", f"runs/{_RUN}/markers/index/"):
            for item in list(store.list(prefix)):
                store.delete(item.key)


def _await_markers(released: Release) -> tuple[list[Marker], list[datetime]]:
    """Wait for every index unit; their markers, and when each was written, in order."""
    prefix = f"runs/{_RUN}/markers/index/"
    with released.store() as store:
        wait_for("all index units", lambda: sum(1 for _ in store.list(prefix)) == _UNITS, 900, released.place.events)
        found = list(store.list(prefix))
        markers = [Marker.model_validate_json(store.get(item.key) or b"") for item in found]
    return markers, sorted(item.modified for item in found)


def _is_fetched(released: Release) -> bool:
    """Whether every index unit has its message."""
    code = (
        "from landseries.brokers.depths import queue_depths; from landseries.connections import broker_connection; "
        "print(queue_depths(broker_connection()).waiting['indexer'])"
    )
    said = released.place.kubectl("exec", "deploy/landseries-operator", "--", "python", "-c", code)
    return int(said) >= _UNITS


def _cpu_s(pods: list[Manifest]) -> float:
    return sum(metric(pod, "process_cpu_seconds_total") for pod in pods)


def _throttled(released: Release, pods: list[Manifest]) -> list[int]:
    """How often the limit has held each worker back: `nr_throttled` of its control group, of either version."""
    found = []
    for pod in pods:
        text = released.place.kubectl(
            *("exec", pod["metadata"]["name"], "--", "sh", "-c"),
            "cat /sys/fs/cgroup/cpu/cpu.stat /sys/fs/cgroup/cpu.stat 2>/dev/null || true",
        )
        [line] = [line for line in text.splitlines() if line.startswith("nr_throttled")]
        found.append(int(line.split()[1]))
    return found


def _limited() -> Manifest:
    return {
        "requests": {"cpu": "10m", "memory": "64Mi"},
        "limits": {"cpu": f"{round(1000 * _CORES)}m", "memory": "3Gi"},
    }
