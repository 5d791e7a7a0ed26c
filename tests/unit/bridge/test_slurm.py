"""What is read from Slurm's commands; programs of these names stand where there is no Slurm."""

import os
from pathlib import Path

import pytest

from landseries.errors import ConfigError
from landseries_bridge.scheduler import JobState, SchedulerError
from landseries_bridge.slurm import SlurmScheduler


class Cluster:
    """A folder of programs on PATH, each a few lines of shell."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def program(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.folder}/calls\n{text}\n')
        path.chmod(0o755)

    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().splitlines()


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    found = Cluster(tmp_path)
    found.program("squeue", "")
    found.program("sacct", "")
    return found


def test_states_come_from_the_queue_and_then_from_accounting(cluster: Cluster) -> None:
    queue = r"1|RUNNING|None\n2|PENDING|Resources\n9|FAILED|NonZeroExitCode\n77|RUNNING|None\n"
    cluster.program("squeue", f'printf "{queue}"')
    cluster.program("sacct", r'printf "3|COMPLETED\n4|CANCELLED by 1000\n5|OUT_OF_MEMORY\n"')
    assert SlurmScheduler().look(["1", "2", "3", "4", "5", "6", "9"]) == {
        "1": JobState(False, "RUNNING"),
        "2": JobState(False, "PENDING", "Resources"),
        "9": JobState(True, "FAILED", "NonZeroExitCode"),
        "3": JobState(True, "COMPLETED"),
        "4": JobState(True, "CANCELLED"),
        "5": JobState(True, "OUT_OF_MEMORY"),
    }
    assert cluster.calls()[-1].endswith("--jobs=3,4,5,6"), "only those that the queue does not know"


@pytest.mark.parametrize("word", ["TIMEOUT", "PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "DEADLINE"])
def test_every_bad_end_is_an_end(cluster: Cluster, word: str) -> None:
    cluster.program("squeue", f'echo "1|{word}|None"')
    assert SlurmScheduler().look(["1"])["1"] == JobState(True, word)


@pytest.mark.parametrize("word", ["COMPLETING", "CONFIGURING", "SUSPENDED", "REQUEUED", "STAGE_OUT"])
def test_what_may_go_on_has_not_ended(cluster: Cluster, word: str) -> None:
    cluster.program("squeue", f'echo "1|{word}|None"')
    assert not SlurmScheduler().look(["1"])["1"].ended


def test_without_accounting_the_queue_alone_is_asked(cluster: Cluster) -> None:
    cluster.program("sacct", 'echo "Slurm accounting storage is disabled" >&2; exit 1')
    scheduler = SlurmScheduler()
    assert scheduler.look(["1"]) == {}
    assert scheduler.find("ls-map-0-1") is None
    assert sum(call.startswith("sacct") for call in cluster.calls()) == 1


def test_accounting_that_is_away_is_waited_for(cluster: Cluster) -> None:
    cluster.program("sacct", 'echo "Unable to contact slurmdbd" >&2; exit 1')
    scheduler = SlurmScheduler()
    for _ in range(2):
        with pytest.raises(SchedulerError, match="Unable to contact slurmdbd"):
            scheduler.look(["1"])


def test_a_job_is_found_by_its_name(cluster: Cluster) -> None:
    cluster.program("sacct", 'echo "12|COMPLETED"')
    assert SlurmScheduler().find("ls-map-0-1") == "12"
    cluster.program("squeue", "echo 34")
    assert SlurmScheduler().find("ls-map-0-1") == "34"
    assert "--name=ls-map-0-1" in cluster.calls()[-1]


@pytest.mark.parametrize("answer", ["17", "17;juwels", "warning: be nice\n17"])
def test_the_number_of_a_submitted_job_is_read(cluster: Cluster, answer: str, tmp_path: Path) -> None:
    cluster.program("sbatch", f"echo '{answer}'")
    assert SlurmScheduler().submit(tmp_path / "a b.sh") == "17"


def test_a_submission_that_is_refused_says_why(cluster: Cluster, tmp_path: Path) -> None:
    cluster.program("sbatch", 'echo "sbatch: error: invalid partition specified: x" >&2; exit 1')
    with pytest.raises(SchedulerError, match="invalid partition specified: x"):
        SlurmScheduler().submit(tmp_path / "job.sh")
    cluster.program("sbatch", "echo submitted, perhaps")
    with pytest.raises(SchedulerError, match="submitted, perhaps"):
        SlurmScheduler().submit(tmp_path / "job.sh")


def test_nothing_of_broker_and_store_is_passed_on(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANDSERIES_BROKER_PASSWORD", "s3cret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm.conf")
    cluster.program("sbatch", f"env > {cluster.folder}/env; echo 1")
    SlurmScheduler().submit(cluster.folder / "job.sh")
    seen = (cluster.folder / "env").read_text()
    assert "s3cret" not in seen
    assert "SLURM_CONF=/etc/slurm.conf" in seen


def test_variables_that_would_overrule_a_script_are_not_passed_on(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SBATCH_JOB_NAME", "SBATCH_ARRAY_INX", "SBATCH_WAIT", "SQUEUE_STATES", "SACCT_FORMAT"):
        monkeypatch.setenv(name, "1")
    cluster.program("sbatch", f"env > {cluster.folder}/env; echo 1")
    SlurmScheduler().submit(cluster.folder / "job.sh")
    seen = (cluster.folder / "env").read_text()
    assert not [line for line in seen.splitlines() if line.startswith(("SBATCH_", "SQUEUE_", "SACCT_"))]


def test_lines_that_are_no_answer_are_passed_over(cluster: Cluster) -> None:
    cluster.program("squeue", r'printf "slurm is busy\n\n1|RUNNING|None\n2||\nn\351ant|x|y\n"')
    cluster.program("sacct", r'printf "2| \nodd\n"')
    assert SlurmScheduler().look(["1", "2"]) == {"1": JobState(False, "RUNNING")}


def test_a_machine_without_slurm_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="squeue is not on PATH"):
        SlurmScheduler().check()
