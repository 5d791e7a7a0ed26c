"""Training in several real processes: as one process does, the same each time, and never hanging on one that died."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from support.phenologies import phenologies
from support.training_jobs import trained_by
from support.training_tables import DATES, FEATURES, TRAIN, given_table, training_bench

from landseries.errors import LandseriesError
from landseries.neural.network import build_network
from landseries.neural.normalisation import network_input
from landseries.neural.weights import TrainedNetwork, read_weights
from landseries.pipeline import WEIGHTS
from landseries_trainer.group import Group
from landseries_trainer.handlers import job_of, train
from landseries_trainer.launch import train_in_group
from landseries_trainer.networks import train_networks

pytestmark = pytest.mark.integration

#: What docs/training.md promises of two processes against one, at the same batches.
WEIGHT_TOLERANCE = 0.01
LABEL_TOLERANCE = 0.001


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What two processes wrote that nothing disturbed."""
    folder = tmp_path_factory.mktemp("two")
    return training_bench(folder, "runs", processes=2).run(train, TRAIN, given_table(folder))


def _labels(network: TrainedNetwork) -> np.ndarray:
    series, _ = phenologies(20_000, 9, dates=DATES, features=len(FEATURES), classes=4, spread=0.7)
    channels = torch.from_numpy(network_input(series, network.normalisation))
    with torch.inference_mode():
        return build_network(network)(channels).argmax(dim=1).numpy()


def test_two_processes_train_what_one_does(two_processes: dict[str, Path], tmp_path: Path) -> None:
    bench = training_bench(tmp_path, "runs", processes=1)
    one = read_weights(bench.run(train, TRAIN, given_table(tmp_path))[WEIGHTS])["all"]
    two = read_weights(two_processes[WEIGHTS])["all"]
    differences = {
        name: float(np.abs(array - two.state[name]).max() / np.abs(array).max()) for name, array in one.state.items()
    }
    assert max(differences.values()) <= WEIGHT_TOLERANCE
    assert (_labels(one) != _labels(two)).mean() <= LABEL_TOLERANCE


def test_one_process_with_as_many_parts_writes_the_same_bytes(
    two_processes: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    alone = training_bench(tmp_path, "runs", processes=2).run(train, TRAIN, given_table(tmp_path))
    for name, path in two_processes.items():
        assert path.read_bytes() == alone[name].read_bytes(), name


def test_two_processes_do_three_parts_as_one_does(tmp_path: Path) -> None:
    bench, given = training_bench(tmp_path, "runs", processes=3, precision="float32", layers=2), given_table(tmp_path)
    contexts = [bench.context(TRAIN, given) for _ in range(2)]
    one = train_networks(job_of(contexts[0]), Group(parts=3), bench.messages.append)
    two = train_in_group(job_of(contexts[1]), 2, contexts[1].scratch / "group", bench.messages.append)
    for name, array in one.networks["all"].state.items():
        assert array.tobytes() == two.networks["all"].state[name].tobytes(), name
    assert one.described == two.described


def _member(folder: Path, rank: int) -> psutil.Process:
    for process in psutil.process_iter():
        try:
            line, environment = " ".join(process.cmdline()), process.environ()
        except psutil.Error:
            continue
        if str(folder) in line and "torch.distributed.run" not in line and environment.get("RANK") == str(rank):
            return process
    raise AssertionError(f"no process {rank} of {folder}")


def _alive(folder: Path) -> list[int]:
    return [
        process.pid
        for process in psutil.process_iter(["cmdline", "status"])
        if str(folder) in " ".join(process.info["cmdline"] or []) and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_group_and_the_next_try_goes_on_to_the_same_bytes(
    two_processes: dict[str, Path], tmp_path: Path, rank: int
) -> None:
    bench = training_bench(tmp_path, "runs", processes=2)
    given, checkpoints = given_table(tmp_path), tmp_path / "checkpoints"
    context = bench.context(TRAIN, given, checkpoints=checkpoints)

    def kill_after_two_epochs(text: str) -> None:
        if "epoch 2 of" in text:
            _member(context.scratch, rank).send_signal(signal.SIGKILL)

    context._notify = kill_after_two_epochs
    with pytest.raises(LandseriesError, match=rf"training process {rank} of 2 failed.*ended by signal 9"):
        train(context)
    assert _alive(tmp_path) == []
    again = bench.run(train, TRAIN, given, checkpoints=checkpoints)
    # The other process may have ended an epoch more before the signal came.
    assert re.match(r"network all, epoch [345] of", bench.messages[0]), "it goes on from the last epoch"
    for name, path in two_processes.items():
        assert path.read_bytes() == again[name].read_bytes(), name


def test_processes_end_with_the_one_that_wanted_the_result(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from support.training_tables import *; "
        "from landseries_trainer.handlers import train; folder = Path(sys.argv[1]); "
        "training_bench(folder, 'runs', processes=2, epochs=1000, patience=1000).run(train, TRAIN, given_table(folder))"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], env=_environment())
    try:
        _wait(lambda: any(tmp_path.rglob("all.safetensors")), 120)
    finally:
        parent.kill()
        parent.wait()
    _wait(lambda: not _alive(tmp_path), 60)


def test_a_process_that_torchrun_or_srun_started_joins_its_group(
    two_processes: dict[str, Path], tmp_path: Path
) -> None:
    given_table(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    members = [
        subprocess.Popen(
            [sys.executable, "-m", "support.one_of_a_group", str(tmp_path)],
            env=_environment() | group | {"RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    first, second = (member.communicate(timeout=240)[0].splitlines() for member in members)
    assert second == ["process 1 of 2; process 0 writes"] * 2
    for weights in first:
        assert Path(weights).read_bytes() == two_processes[WEIGHTS].read_bytes()
    assert len(first) == 2


def test_torchrun_starts_jobs_that_train_together(tmp_path: Path) -> None:
    alone, said_alone = trained_by(tmp_path / "alone")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    together, said = trained_by(tmp_path / "together", *torchrun)
    assert together == alone
    assert "1 units answered, 0 not" in said
    assert "0 units answered, 1 helped with, 0 not" in said
    assert "helped" not in said_alone
    assert trained_by(tmp_path / "other", processes=1)[0] != alone, "a training that does not depend on its parts"


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}


def _wait(done: object, seconds: float) -> None:
    assert callable(done)
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.2)
