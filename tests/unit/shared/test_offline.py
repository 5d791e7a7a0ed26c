"""Units in a folder without a broker: done by worker processes, each once; of others it is told why not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.toy_services import OUTPUTS, make_plan, seed

from landseries.children import worker_environment
from landseries.errors import ConfigError, LandseriesError
from landseries.messages import encode
from landseries.numerics import NumericsProfile, process_environment
from landseries.offline import UnitList, read_units, work
from landseries.openrun import OpenRun
from landseries.pipeline import Unit
from landseries.plan import RunPlan, freeze_plan
from landseries.stores.local import LocalStore


def laid_out(folder: Path, plan: RunPlan, units: list[Unit]) -> UnitList:
    freeze_plan(LocalStore(folder / "store"), plan)
    return UnitList(messages=tuple(encode(plan.run_id, unit) for unit in units))


def prepared(folder: Path) -> tuple[OpenRun, UnitList]:
    """A folder in which the classes of a region are due, whose clusters are said to be done but are not there."""
    plan = make_plan(tiles=2)
    units = laid_out(folder, plan, [Unit("classes", ("all",))])
    run = OpenRun(LocalStore(folder / "store"), plan)
    seed(LocalStore(folder / "store"), run, run.pipeline.units("cluster"))
    return run, units


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("out.json", "KeyError: 'summary.json'"),
        ("summary.json", "one of its inputs is missing or damaged in this folder"),
    ],
    ids=["the handler failed", "an input is missing"],
)
def test_what_could_not_be_done_is_told_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, reason: str
) -> None:
    monkeypatch.setitem(OUTPUTS, "cluster", (output,))
    run, units = prepared(tmp_path)
    said: list[str] = []
    report = work(tmp_path, units, processes=3, threads=4, say=said.append)
    assert report.answered == 0
    assert list(report.failures) == ["classes all"]
    assert reason in report.failures["classes all"]
    assert not run.markers.answered(Unit("classes", ("all",)))


def test_a_refusal_is_an_answer_and_units_with_an_answer_are_left_alone(tmp_path: Path) -> None:
    plan = make_plan(tiles=2)
    units = laid_out(tmp_path, plan, [Unit("classes", ("all",))])
    store = LocalStore(tmp_path / "store")
    run = OpenRun(store, plan)
    for cluster in run.pipeline.units("cluster"):
        store.put(run.markers.key(cluster), b'{"status": "refused", "reason": "no map"}')
    said: list[str] = []
    for _ in range(2):
        assert work(tmp_path, units, processes=1, threads=1, say=said.append).answered == 1
    assert len(said) == 2
    assert all(line.startswith("refused classes all in ") and "no map" in line for line in said)


def test_the_command_says_it_with_its_exit_status(tmp_path: Path) -> None:
    _, units = prepared(tmp_path)
    (tmp_path / "units.json").write_text(units.model_dump_json())
    command = [sys.executable, "-m", "landseries", "offline", str(tmp_path), "--units", str(tmp_path / "units.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "0 units answered, 1 not"
    (tmp_path / "units.json").write_text("[]")
    wrong = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert wrong.returncode == 2
    assert "holds no list of units" in wrong.stderr


def test_a_folder_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    unit = Unit("classes", ("all",))
    with pytest.raises(LandseriesError, match="holds no plan of run 'demo'"):
        work(tmp_path, UnitList(messages=(encode("demo", unit),)), processes=1, threads=1, say=print)
    both = UnitList(messages=(encode("demo", unit), encode("other", unit)))
    with pytest.raises(LandseriesError, match="several runs: demo, other"):
        work(tmp_path, both, processes=1, threads=1, say=print)
    (tmp_path / "none.json").write_text('{"messages": []}')
    with pytest.raises(ConfigError, match="names no unit"):
        read_units(tmp_path / "none.json")


def test_a_processor_that_cannot_do_the_run_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_plan().model_copy(update={"numerics": NumericsProfile(capability="amx")})
    units = laid_out(tmp_path, plan, [Unit("classes", ("all",))])
    monkeypatch.setattr("landseries.numerics.processor_capability", lambda: "avx2")
    with pytest.raises(LandseriesError, match="no amx, which run 'demo' asks for"):
        work(tmp_path, units, processes=1, threads=1, say=print)


def test_processes_on_gpus_take_them_in_turn() -> None:
    gpus = NumericsProfile(device="cuda")
    assert [worker_environment(gpus, number)["LOCAL_RANK"] for number in range(3)] == ["0", "1", "2"]
    assert worker_environment(gpus, 0).items() >= process_environment(gpus).items()


def test_members_of_a_group_keep_the_gpus_that_are_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"MASTER_ADDR": "node1i", "MASTER_PORT": "1", "SLURM_PROCID": "6", "SLURM_NTASKS": "8"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert "LOCAL_RANK" not in worker_environment(NumericsProfile(device="cuda"), 0), "SLURM_LOCALID says it"
    monkeypatch.setenv("LOCAL_RANK", "2")
    assert worker_environment(NumericsProfile(device="cuda"), 0)["LOCAL_RANK"] == "2"
