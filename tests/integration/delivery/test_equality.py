"""The same configuration through `run`, and through `submit` and workers, leaves the same bytes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.delivery import environment, queues_of, ready_messages, workers
from support.small_run import artifacts, landseries, run_distributed

from landseries.brokers.topology import apply
from landseries.connections import StoreConnection
from landseries.local.servers import MinioServer, RabbitServer
from landseries.pipeline import SERVICES
from landseries.stores.local import LocalStore
from landseries.stores.minio import MinioStore

pytestmark = [
    pytest.mark.integration,
    pytest.mark.end_to_end,
    pytest.mark.xdist_group("equality"),
    pytest.mark.timeout(1500),
]

#: What a rendering or a clock decides.
NOT_PROMISED = {"report.html", "run.json"}


@dataclass(frozen=True)
class Both:
    """The two runs, done: the work folder of the embedded one, and the store and environment of the other."""

    workdir: Path
    store: StoreConnection
    variables: dict[str, str]
    endings: list[int]
    left: dict[str, int]


@pytest.fixture(scope="module")
def both(
    rabbit_server: RabbitServer,
    minio_server: MinioServer,
    small_run_done: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("equality")
    vhost = f"v-{uuid.uuid4().hex[:12]}"
    broker = rabbit_server.create_vhost(vhost)
    apply(broker)
    store = minio_server.connection(bucket=f"b-{uuid.uuid4().hex}")
    MinioStore(store).create_bucket()
    with workers(folder / "workers", broker, store) as started:
        for service in SERVICES:
            started.real(service, "--threads", 1, "--log-json")
        run_distributed(small_run_done / "small.yaml", "small", broker, store, started)
        endings = [started.end(process) for process in started.processes]
    left = ready_messages(broker, queues_of(SERVICES))
    yield Both(small_run_done / "work", store, environment(broker, store), endings, left)
    rabbit_server.delete_vhost(vhost)


def test_every_artifact_is_the_same(both: Both) -> None:
    embedded, distributed = artifacts(LocalStore(both.workdir / "store")), artifacts(MinioStore(both.store))
    assert sorted(embedded) == sorted(distributed)
    assert [key for key in embedded if embedded[key] != distributed[key]] == []
    assert len(embedded) > 50


def test_workers_end_well_and_leave_no_message(both: Both) -> None:
    assert both.endings == [0] * len(SERVICES)
    assert not any(both.left.values())


def test_collected_results_are_those_of_the_embedded_run(both: Both, tmp_path: Path) -> None:
    assert "report:" in landseries(both.variables, "collect", "small", tmp_path / "results")
    one, other = both.workdir / "small", tmp_path / "results"
    names = sorted(str(path.relative_to(one)) for path in one.rglob("*") if path.is_file())
    assert names == sorted(str(path.relative_to(other)) for path in other.rglob("*") if path.is_file())
    promised = [name for name in names if name not in NOT_PROMISED]
    assert [name for name in promised if (one / name).read_bytes() != (other / name).read_bytes()] == []
    assert any(name.endswith(".tif") for name in promised)


def test_the_status_tells_that_all_is_done_and_a_sweep_finds_nothing(both: Both) -> None:
    shown = landseries(both.variables, "status", "small")
    for stage in ("fetch", "train", "map", "report"):
        assert stage in shown
    assert "small: 0 messages published" in landseries(both.variables, "sweep", "small")
