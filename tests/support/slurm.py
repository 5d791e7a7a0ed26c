"""A Slurm that is there already: found through PATH and SLURM_CONF, or else the test is skipped aloud."""

from __future__ import annotations

import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
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
    name = f"cpu-{uuid.uuid4().hex[:8]}"
    made = subprocess.run(
        ["scontrol", "create", f"PartitionName={name}", "Nodes=ALL", "State=UP"], capture_output=True, check=False
    )
    if made.returncode != 0:
        yield gpu_partition()[0]
        return
    try:
        yield name
    finally:
        _await_no_job(name)
        slurm("scontrol", "delete", f"PartitionName={name}")


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
