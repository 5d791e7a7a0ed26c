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
from landseries_bridge.script import JobFolder, Scripts, check_scripts
from landseries_bridge.site import Partition, load_site

JOB = Job(name="ls-map-0", run_id="demo", partition="gpus", stage="map", units={"a": "x", "b": "y"}, attempt=2)

TRAINING = JOB.model_copy(update={"name": "ls-train-0", "stage": "train"})


def section(**changes: Any) -> Partition:
    return Partition.model_validate({"services": ["mapper"], "time": "06:00:00"} | changes)


def test_everything_of_the_section_is_in_it(tmp_path: Path) -> None:
    given = section(
        services=["trainer"],
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
    )
    folder = JobFolder(tmp_path / "ls-train-0")
    text = Scripts(None).text("gpus", TRAINING, given, folder)
    options = [line.removeprefix("#SBATCH ") for line in text.splitlines() if line.startswith("#SBATCH ")]
    assert options == [
        "--job-name=ls-train-0-2",
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
    assert "module load Stages/2025 CUDA || exit 1" in lines
    assert """export NAME='it'"'"'s; rm -rf $HOME'""" in lines
    assert 'MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)i' in lines
    assert "export SRUN_CPUS_PER_TASK=48" in text
    command = (
        f"srun apptainer exec --nv /p/trainer.sif landseries offline {folder.path} --units {folder.path}/attempt-2.json"
    )
    assert f"{command} --processes 1 --threads 48 &" in lines


def test_units_are_shared_out_to_the_processes_of_a_job(tmp_path: Path) -> None:
    text = Scripts(None).text("gpus", JOB, section(cpus=48, processes=4), JobFolder(tmp_path))
    assert "--processes 4 --threads 48 &" in text


def test_each_job_has_a_meeting_point_of_its_own(tmp_path: Path) -> None:
    given = section(services=["trainer"], tasks_per_node=2, command=["bash", "-c", "echo $MASTER_PORT", "srun", "srun"])
    script = tmp_path / "job.sh"
    script.write_text(Scripts(None).text("gpus", TRAINING, given, JobFolder(tmp_path)))
    environment = {"PATH": "/usr/bin:/bin", "SLURM_JOB_NODELIST": "n1"}
    ports = [
        subprocess.run(
            ["bash", str(script)], env=environment | {"SLURM_JOB_ID": job}, capture_output=True, check=True
        ).stdout
        for job in ("1", "2", "19999", "4000000")
    ]
    assert len(set(ports)) == 4
    assert all(10_000 <= int(port) < 30_000 for port in ports)


def test_a_module_that_is_missing_ends_the_job(tmp_path: Path) -> None:
    script = tmp_path / "job.sh"
    given = section(modules=["Nothing/1"], command=["bash", "-c", "echo worked"])
    text = Scripts(None).text("gpus", JOB, given, JobFolder(tmp_path))
    script.write_text(text.replace("module load", "bash -c 'exit 4' module load"))
    done = subprocess.run(["bash", str(script)], capture_output=True, check=False)
    assert done.returncode == 1
    assert done.stdout == b""


def test_a_task_on_its_own_is_told_of_no_group(tmp_path: Path) -> None:
    assert "MASTER_ADDR" not in Scripts(None).text("gpus", JOB, section(), JobFolder(tmp_path))


def test_the_example_of_the_documentation_is_a_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRATCH", "/p/scratch/maps")
    site = load_site(Path(__file__).parents[3] / "examples" / "sites" / "juwels-booster.yaml")
    check_scripts(site)
    for name, found in site.partitions.items():
        job = JOB.model_copy(update={"partition": name})
        assert f"#SBATCH --partition={found.partition}" in Scripts(site.template).text(
            name, job, found, JobFolder(site.spool)
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
    assert "--job-name=ls-map-0-2\nlandseries offline" in Scripts(own).text("gpus", JOB, section(), JobFolder(tmp_path))
    own.write_text("{{ lable }}")
    with pytest.raises(ConfigError, match="'lable' is undefined"):
        Scripts(own).text("gpus", JOB, section(), JobFolder(tmp_path))
    own.write_text("{% if %}")
    with pytest.raises(ConfigError, match="template"):
        Scripts(own)
    with pytest.raises(ConfigError, match="template"):
        Scripts(tmp_path / "missing.j2")


def _started(folder: Path, work: str) -> "subprocess.Popen[bytes]":
    given = section(command=["bash", "-c", work, "value"], environment={"NAME": "a"})
    script = folder / "job.sh"
    script.write_text(Scripts(None).text("gpus", JOB, given, JobFolder(folder)))
    python = str(Path(sys.executable).parent)
    environment = {"PATH": f"{python}:/usr/bin:/bin"}
    return subprocess.Popen(["bash", str(script)], stdout=subprocess.PIPE, env=environment)
