"""Tasks that Slurm starts train one network together, and leave the bytes of a single process."""

from __future__ import annotations

import shutil
import sys
import time
import uuid
from pathlib import Path

import pytest
from support.slurm import gpu_partition
from support.training_jobs import LANDSERIES, UNITS, TrainingJob, trained_by

from landseries.jobs import Job
from landseries_bridge.scheduler import JobState
from landseries_bridge.script import JobFolder, Scripts
from landseries_bridge.site import Partition
from landseries_bridge.slurm import SlurmScheduler

pytestmark = [pytest.mark.deployment, pytest.mark.xdist_group("slurm"), pytest.mark.timeout(600)]

TASKS = 2
_JOB_S = 300.0


def _ended(scheduler: SlurmScheduler, number: str) -> JobState:
    deadline = time.monotonic() + _JOB_S
    while time.monotonic() < deadline:
        state = scheduler.look([number])[number]
        if state.ended:
            return state
        time.sleep(1)
    scheduler.cancel(number)
    raise AssertionError(f"job {number} did not end within {_JOB_S:.0f} s")


def test_two_tasks_of_a_job_train_what_one_process_does(tmp_path: Path) -> None:
    """The job's script names the meeting point, srun starts the tasks, and the second only helps the first."""
    (tmp_path / "together").mkdir()
    training = TrainingJob(tmp_path / "together", processes=TASKS)
    section = Partition(
        services=("trainer",),
        partition=gpu_partition()[0],
        time="00:10:00",
        tasks_per_node=TASKS,
        cpus=1,
        command=("srun", "--kill-on-bad-exit=1", sys.executable, *LANDSERIES),
    )
    job = Job(
        name=f"ls-train-{uuid.uuid4().hex[:16]}", run_id="test", partition="train", stage="train", units={"a": ""}
    )
    folder = JobFolder(training.folder)
    shutil.copy(training.folder / UNITS, folder.units(job))
    folder.script(job).write_text(Scripts(None).text("train", job, section, folder))
    scheduler = SlurmScheduler()
    state = _ended(scheduler, scheduler.submit(folder.script(job)))
    said = folder.log(job).read_text()
    assert state.word == "COMPLETED", said
    assert folder.exit_file(job).read_text() == "0\n"
    assert "1 units answered, 0 not" in said
    assert said.count("helped with") == TASKS - 1
    assert said.count("epoch 5 of at most 5") == 1, "the first task alone tells of it"
    assert training.answer() == trained_by(tmp_path / "alone", processes=TASKS)[0]
