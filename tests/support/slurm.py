"""A Slurm that is there already: found through PATH and SLURM_CONF, or else the test is skipped aloud."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

_TIMEOUT_S: Final = 60
#: Without a configuration Slurm's commands try for a minute.
_ANSWER_S: Final = 10.0


def need_slurm() -> None:
    """Skip the test with the reason where no Slurm answers; none can be installed for the purpose, in CI neither."""
    if shutil.which("sbatch") is None:
        pytest.skip("there is no sbatch on PATH: these tests need a Slurm, and run jobs on it")
    try:
        told = subprocess.run(["sinfo", "-h"], capture_output=True, text=True, timeout=_ANSWER_S, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"no Slurm answers within {_ANSWER_S:.0f} s: is SLURM_CONF set?")
    if told.returncode != 0 or not told.stdout.strip():
        pytest.skip(f"no Slurm answers: {told.stderr.strip()[:200]}")


def slurm(*command: str) -> str:
    """A command of Slurm that must succeed; what it prints."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def gpu_partition() -> tuple[str, str | None]:
    """A partition, and the GRES of GPUs that its jobs can ask for; the default partition where none has any."""
    lines = [line.split("|") for line in slurm("sinfo", "-h", "-o", "%R|%G").splitlines()]
    with_gpus = [name for name, gres in lines if gres.startswith("gpu")]
    return (with_gpus[0], "gpu:1") if with_gpus else (lines[0][0], None)


@contextmanager
def cpu_partition() -> Iterator[str]:
    """A partition for CPU stages: one that is made for the while, or the one there is where that is not allowed."""
    with _made_partition("cpu") as name:
        yield name or gpu_partition()[0]


@contextmanager
def preemptible_partition() -> Iterator[tuple[str, Callable[[], str]]]:
    """A partition whose jobs others push out, and what submits such a job on all nodes and tells its number.

    The test is skipped aloud where this Slurm lets no job push out another.
    """
    settings = slurm("scontrol", "show", "config")
    if not re.search(r"^PreemptType\s*= preempt/partition_prio$", settings, re.M):
        pytest.skip("this Slurm has no PreemptType=preempt/partition_prio: no job pushes out another here")
    options = ("PreemptMode=CANCEL", "OverSubscribe=NO")
    with (
        _made_partition("low", "PriorityTier=1", *options) as low,
        _made_partition("high", "PriorityTier=1000", *options) as high,
    ):
        if low is None or high is None:
            pytest.skip("this user may make no partitions here")
        urgent = (
            "sbatch",
            "--parsable",
            f"--partition={high}",
            "--exclusive",
            "--output=/dev/null",
            "--wrap=sleep 600",
        )
        yield low, lambda: slurm(*urgent).strip()


@contextmanager
def _made_partition(kind: str, *options: str) -> Iterator[str | None]:
    """A partition over all nodes for the while; None where this user may make none."""
    name = f"{kind}-{uuid.uuid4().hex[:8]}"
    command = ["scontrol", "create", f"PartitionName={name}", "Nodes=ALL", "State=UP", *options]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        yield None
        return
    try:
        yield name
    finally:
        _await_no_job(name)
        slurm("scontrol", "delete", f"PartitionName={name}")


def partitions_of_jobs(beginning: str) -> dict[str, str]:
    """Partition by name of the jobs whose names begin so, ended ones included while Slurm remembers them."""
    lines = slurm("squeue", "--me", "-h", "--states=all", "-o", "%j|%P").splitlines()
    return {name: partition for name, partition in (line.split("|") for line in lines) if name.startswith(beginning)}


def jobs_named(beginning: str) -> list[tuple[str, str, str]]:
    """Number, name and state of the jobs whose names begin so, ended ones included while Slurm remembers them."""
    lines = slurm("squeue", "--me", "-h", "--states=all", "-o", "%i|%j|%T").splitlines()
    found = [tuple(line.split("|")) for line in lines]
    return [(number, name, state) for number, name, state in found if name.startswith(beginning)]


def write_site(folder: Path, name: str, partitions: dict[str, dict[str, Any]], spool: Path) -> Path:
    """A profile in a folder; returns its path."""
    path = folder / f"{name}.yaml"
    content = {"name": name, "spool": str(spool), "poll_s": 0.5, "partitions": partitions}
    path.write_text(yaml.safe_dump(content))
    return path


def _await_no_job(partition: str) -> None:
    slurm("scancel", f"--partition={partition}")
    deadline = time.monotonic() + _TIMEOUT_S
    while slurm("squeue", "-h", f"--partition={partition}").strip() and time.monotonic() < deadline:
        time.sleep(0.2)
