"""Whole runs of which some stages are done by Slurm jobs leave the bytes of the embedded run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.delivery import Workers, queues_of, ready_messages, wait_for, workers
from support.slurm import cpu_partition, gpu_partition, jobs_named, partitions_of_jobs, slurm, write_site
from support.small_run import artifacts, configuration, landseries, run_embedded, simulate_archive, write_config

from landseries.brokers.names import BRIDGED
from landseries.connections import BrokerConnection, StoreConnection
from landseries.jobs import JOBS
from landseries.openrun import OpenRun
from landseries.pipeline import SERVICES, Unit, stages_of
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
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The configuration, and the digest of every artifact of the embedded run."""
    folder = tmp_path_factory.mktemp("reference")
    config = write_config(folder, configuration(simulate_archive(folder / "archive"), RUN))
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
        # Containers may run as another user than this one, which then writes into the jobs' folders.
        before = os.umask(0)
        try:
            return self.workers.command("bridge", "--site", site, "--lease-s", 2, "--log-json")
        finally:
            os.umask(before)

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
def spool() -> Iterator[Path]:
    """A folder that other users see as well: containers may run as one."""
    with tempfile.TemporaryDirectory(prefix="landseries-spool-") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


@pytest.fixture
def stage(vhost: BrokerConnection, bucket: StoreConnection, tmp_path: Path) -> Iterator[Stage]:
    with workers(tmp_path / "workers", vhost, bucket) as started:
        yield Stage(tmp_path, vhost, bucket, started)


def test_every_compute_stage_in_its_partition(
    stage: Stage, reference: tuple[Path, dict[str, str]], spool: Path
) -> None:
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
            spool,
        )
        for _ in range(2):  # bridges of a site share its messages, and take turns at its jobs
            stage.bridge(site)
        for service in sorted(set(SERVICES) - set(BRIDGED)):
            stage.workers.real(service, "--threads", 1, "--log-json")
        stage.submit(config)
        went: dict[str, str] = {}

        def the_report_is_there() -> bool:
            went.update(partitions_of_jobs("ls-"))
            return stage.answered(Unit("report", ()))

        stage.wait("the report", the_report_is_there)
        stage.wait_for_rest()
        found = artifacts(stage.store)
        assert sorted(found) == sorted(wanted)
        assert [key for key in wanted if found[key] != wanted[key]] == []
        log = stage.workers.log()
        assert {(name.split("-")[1], part) for name, part in went.items() if f'"{name}"' in log} == {
            (done, part)
            for part, services in ((cpu, BRIDGED[:4]), (booster, BRIDGED[4:]))
            for service in services
            for done in stages_of(service)
        }, "every stage of a service ran in its partition, and nowhere else"
        assert log.count('"event": "looking after the jobs"') == 1
        assert all(stage.workers.end(process) == 0 for process in stage.workers.processes), stage.workers.log()


def called_in_sif() -> str:
    """How a job's script calls landseries in the SIF of its service; the test is skipped where there are none."""
    folder = Path(os.environ.get("LANDSERIES_TEST_SIFS", "/nowhere"))
    if not all((folder / f"{name}.sif").exists() for name in ("trainer", "mapper")):
        pytest.skip("LANDSERIES_TEST_SIFS names no folder with trainer.sif and mapper.sif: `make sif` builds them")
    program = os.environ.get("APPTAINER", "apptainer")
    if shutil.which(program) is None:
        pytest.skip(f"there is no {program} to run SIFs with")
    return f'{shutil.which(program)} exec --nv "{folder.resolve()}/$service.sif" landseries'


@pytest.mark.parametrize("how", ["python", "apptainer"])
def test_training_and_mapping_by_jobs_while_much_goes_wrong(
    stage: Stage, reference: tuple[Path, dict[str, str]], spool: Path, how: str
) -> None:
    """The bridge is killed twice, a job fails at first, one is cancelled, and every message comes several times."""
    config, wanted = reference
    booster, gres = gpu_partition()
    called = f"{sys.executable} -m landseries" if how == "python" else called_in_sif()
    flaky = stage.folder / "flaky.sh"
    flaky.write_text(
        'service=$1; shift\nif [ "$service" = trainer ] && mkdir "$(dirname "$0")/tried" 2>/dev/null; then\n'
        f'  echo "fails at first"; exit 3\nfi\nexec {called} "$@"\n'
    )
    common = {"time": "00:20:00", "command": ["bash", str(flaky), "{service}"], "pack_wait_s": 1, "cpus": 1}
    section = common | {"partition": booster, "units_per_job": 4, "attempts": 5} | ({"gres": gres} if gres else {})
    site = write_site(
        stage.folder,
        f"s-{uuid.uuid4().hex[:8]}",
        {"train": section | {"services": ["trainer"]}, "map": section | {"services": ["mapper"]}},
        spool,
    )
    bridge = stage.bridge(site)
    for service in sorted(set(SERVICES) - {"trainer", "mapper"}):
        stage.workers.real(service, "--threads", 1, "--log-json")
    stage.submit(config)
    labels: set[str] = set()

    def submitted(beginning: str, ending: str = "") -> list[str]:
        folders = [path.name for path in spool.glob("*/ls-*")]
        found = [job for name in folders for job in jobs_named(name)]
        labels.update(f"{number} {name}" for number, name, _ in found)
        return [number for number, name, _ in found if name.startswith(beginning) and name.endswith(ending)]

    stage.wait("a training job", lambda: submitted("ls-train"))
    stage.workers.end(bridge, signal.SIGKILL)
    landseries(stage.workers.variables, "sweep", RUN)
    bridge = stage.bridge(site)
    stage.wait("the second attempt", lambda: submitted("ls-train", "-2"))
    slurm("scancel", *submitted("ls-train", "-2"))
    landseries(stage.workers.variables, "sweep", RUN)
    stage.wait("a third attempt", lambda: submitted("ls-train", "-3"))
    assert "job ls-train-" in landseries(stage.workers.variables, "status", RUN)
    stage.wait("mapping jobs", lambda: len(submitted("ls-map")) >= 2)
    stage.workers.end(bridge, signal.SIGKILL)
    bridge = stage.bridge(site)
    stage.wait_for_report()
    stage.wait_for_rest()
    found = artifacts(stage.store)
    assert sorted(found) == sorted(wanted)
    assert [key for key in wanted if found[key] != wanted[key]] == []
    names = [label.split()[1] for label in labels]
    assert len(names) == len(set(names)), "each attempt was submitted once"
    killed = [process.args for process in stage.workers.processes if process.poll() is not None]
    assert len(killed) == 2
    assert stage.workers.end(bridge) == 0
