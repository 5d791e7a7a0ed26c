"""A job's script: what Slurm reads in it, and how it runs, ends, and hears of its end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from landseries.errors import ConfigError
from landseries.jobs import Job
from landseries_bridge.script import JobFolder, Scripts
from landseries_bridge.site import Partition, load_site

JOB = Job(name="ls-map-0", run_id="demo", partition="gpus", stage="map", units={"a": "x", "b": "y"}, attempt=2)


def section(**changes: Any) -> Partition:
    return Partition.model_validate({"services": ["mapper"], "time": "06:00:00"} | changes)


def test_everything_of_the_section_is_in_it(tmp_path: Path) -> None:
    given = section(
        partition="booster",
        account="maps",
        nodes=2,
        cpus=48,
        gres="gpu:4",
        memory="90G",
        directives=["--signal=B:USR1@300"],
        modules=["Stages/2025", "CUDA"],
        environment={"NAME": "it's; rm -rf $HOME"},
        master_suffix="i",
        command=["srun", "apptainer", "exec", "--nv", "/p/{service}.sif", "landseries"],
        processes=4,
    )
    folder = JobFolder(tmp_path / "ls-map-0")
    text = Scripts(None).text(JOB, given, folder)
    options = [line.removeprefix("#SBATCH ") for line in text.splitlines() if line.startswith("#SBATCH ")]
    assert options == [
        "--job-name=ls-map-0-2",
        f"--output={folder.path}/attempt-2.log",
        "--partition=booster",
        "--time=06:00:00",
        "--nodes=2",
        "--ntasks-per-node=1",
        "--no-requeue",
        "--account=maps",
        "--cpus-per-task=48",
        "--gres=gpu:4",
        "--mem=90G",
        "--signal=B:USR1@300",
    ]
    lines = text.splitlines()
    assert lines[0] == "#!/bin/bash -l"
    assert "module load Stages/2025 CUDA" in lines
    assert """export NAME='it'"'"'s; rm -rf $HOME'""" in lines
    assert 'MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)i' in lines
    command = (
        f"srun apptainer exec --nv /p/mapper.sif landseries offline {folder.path} --units {folder.path}/attempt-2.json"
    )
    assert f"{command} --processes 4 --threads 48 &" in lines


def test_a_task_on_its_own_is_told_of_no_group(tmp_path: Path) -> None:
    assert "MASTER_ADDR" not in Scripts(None).text(JOB, section(), JobFolder(tmp_path))


def test_the_example_of_the_documentation_is_a_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRATCH", "/p/scratch/maps")
    site = load_site(Path(__file__).parents[3] / "examples" / "sites" / "juwels-booster.yaml")
    for name, found in site.partitions.items():
        job = JOB.model_copy(update={"partition": name})
        assert f"#SBATCH --partition={found.partition}" in Scripts(site.template).text(
            job, found, JobFolder(site.spool)
        )


@pytest.mark.parametrize(("ends", "told"), [("exit 0", 0), ("exit 7", 7)])
def test_the_exit_status_is_left_behind(tmp_path: Path, ends: str, told: int) -> None:
    process = _started(tmp_path, f"echo $NAME $0 $1; {ends}")
    out, _ = process.communicate(timeout=30)
    assert process.returncode == told
    assert out.split()[:2] == [b"a", b"value"]
    assert JobFolder(tmp_path).exit_file(JOB).read_text() == f"{told}\n"


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_the_signal_before_the_end_reaches_the_work(tmp_path: Path, number: signal.Signals) -> None:
    process = _started(tmp_path, "trap 'echo ended in order; exit 5' TERM; touch began; while :; do sleep 0.1; done")
    deadline = time.monotonic() + 30
    while not (tmp_path / "began").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, number)
    out, _ = process.communicate(timeout=30)
    assert b"ended in order" in out
    assert process.returncode == 5
    assert JobFolder(tmp_path).exit_file(JOB).read_text() == "5\n"


def test_a_site_may_bring_its_own_template(tmp_path: Path) -> None:
    own = tmp_path / "own.j2"
    own.write_text("#!/bin/sh\n#SBATCH --job-name={{ label }}\n{{ command | join(' ') }}\n")
    assert "--job-name=ls-map-0-2\nlandseries offline" in Scripts(own).text(JOB, section(), JobFolder(tmp_path))
    own.write_text("{{ lable }}")
    with pytest.raises(ConfigError, match="'lable' is undefined"):
        Scripts(own).text(JOB, section(), JobFolder(tmp_path))
    own.write_text("{% if %}")
    with pytest.raises(ConfigError, match="template"):
        Scripts(own)
    with pytest.raises(ConfigError, match="template"):
        Scripts(tmp_path / "missing.j2")


def _started(folder: Path, work: str) -> "subprocess.Popen[bytes]":
    given = section(command=["bash", "-c", work, "value"], environment={"NAME": "a"})
    script = folder / "job.sh"
    script.write_text(Scripts(None).text(JOB, given, JobFolder(folder)))
    python = str(Path(sys.executable).parent)
    environment = {"PATH": f"{python}:/usr/bin:/bin"}
    return subprocess.Popen(["bash", str(script)], stdout=subprocess.PIPE, env=environment)
