"""Whole runs of which some stages are done by Slurm jobs leave the bytes of the embedded run."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.delivery import Workers, queues_of, ready_messages, wait_for, workers
from support.servers import need_minio, need_rabbit
from support.slurm import cpu_partition, gpu_partition, jobs_named, slurm, write_site
from support.small_run import artifacts, landseries, run_embedded, simulate_archive, write_config

from landseries.brokers.names import BRIDGED
from landseries.brokers.topology import apply
from landseries.connections import BrokerConnection, StoreConnection
from landseries.jobs import JOBS
from landseries.local.servers import MinioServer, RabbitServer
from landseries.openrun import OpenRun
from landseries.pipeline import SERVICES, Unit
from landseries.plan import read_plan
from landseries.stores.local import LocalStore
from landseries.stores.minio import MinioStore

pytestmark = [
    pytest.mark.deployment,
    pytest.mark.end_to_end,
    pytest.mark.xdist_group("slurm"),
    pytest.mark.timeout(1500),
]

RUN = "small"
RUN_S = 900.0


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """The configuration, and every artifact of the embedded run."""
    folder = tmp_path_factory.mktemp("reference")
    config = write_config(simulate_archive(folder / "archive"), folder / "small.yaml", RUN)
    run_embedded(config, folder / "work", jobs=2)
    return config, artifacts(LocalStore(folder / "work" / "store"))


@dataclass
class Stage:
    """Servers and processes of one distributed run."""

    folder: Path
    broker: BrokerConnection
    bucket: StoreConnection
    workers: Workers

    @property
    def store(self) -> MinioStore:
        return MinioStore(self.bucket)

    def bridge(self, site: Path) -> subprocess.Popen[bytes]:
        return self.workers.command("bridge", "--site", site, "--lease-s", 2, "--log-json")

    def submit(self, config: Path) -> None:
        landseries(self.workers.variables, "submit", config)

    def answered(self, unit: Unit) -> bool:
        plan = read_plan(self.store, RUN)
        assert plan is not None
        return OpenRun(self.store, plan).markers.answered(unit)

    def wait(self, what: str, condition: Any, timeout_s: float = RUN_S) -> None:
        def so() -> bool:
            broken = [process.args for process in self.workers.processes if process.poll() not in (None, 0, -9)]
            assert not broken, f"ended by itself: {broken}\n{self.workers.log()}"
            return bool(condition())

        wait_for(what, so, timeout_s, self.workers.log)

    def wait_for_report(self) -> None:
        self.wait("the report", lambda: self.answered(Unit("report", ())))

    def wait_for_rest(self) -> None:
        """Until no record, no folder and no message is left."""
        self.wait("no record is left", lambda: not list(self.store.list(f"{JOBS}/")), 60)
        assert not any(ready_messages(self.broker, queues_of(SERVICES)).values()), self.workers.log()


@pytest.fixture
def stage(vhost: BrokerConnection, bucket: StoreConnection, tmp_path: Path) -> Iterator[Stage]:
    with workers(tmp_path / "workers", vhost, bucket) as started:
        yield Stage(tmp_path, vhost, bucket, started)


def job_numbers(stage_name: str, run_folder: Path) -> list[str]:
    """Numbers of the jobs of a stage whose files lie in a spool."""
    folders = [path.name for path in (run_folder / "spool").glob(f"*/ls-{stage_name}-*")]
    return [number for name in folders for number, _, _ in jobs_named(name)]


def test_every_compute_stage_in_its_partition(stage: Stage, reference: tuple[Path, dict[str, bytes]]) -> None:
    config, wanted = reference
    booster, gres = gpu_partition()
    with cpu_partition() as cpu:
        command = [sys.executable, "-m", "landseries"]
        common = {"time": "00:20:00", "command": command, "pack_wait_s": 1, "cpus": 1}
        site = write_site(
            stage.folder,
            f"s-{uuid.uuid4().hex[:8]}",
            {
                "cpu": common
                | {"services": list(BRIDGED[:4]), "partition": cpu, "units_per_job": 8, "processes": 2, "cpus": 2},
                "booster": common
                | {"services": list(BRIDGED[4:]), "partition": booster, "units_per_job": 8}
                | ({"gres": gres} if gres else {}),
            },
        )
        stage.bridge(site)
        for service in sorted(set(SERVICES) - set(BRIDGED)):
            stage.workers.real(service, "--threads", 1, "--log-json")
        stage.submit(config)
        stage.wait_for_report()
        stage.wait_for_rest()
        found = artifacts(stage.store)
        assert sorted(found) == sorted(wanted)
        assert [key for key in wanted if found[key] != wanted[key]] == []
        assert all(stage.workers.end(process) == 0 for process in stage.workers.processes), stage.workers.log()
