"""The bridge's behaviour with jobs that are processes of this machine, and what hostile or unlucky surroundings do."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from support.bash_scheduler import BashScheduler

from landseries.errors import StoreFull
from landseries.jobs import JOBS
from landseries.markers import Output
from landseries.openrun import OpenRun
from landseries.pipeline import Unit
from landseries.stores.local import LocalStore
from landseries_bridge import staging
from landseries_bridge.dispatch import Stopped
from tests.unit.bridge.behaviour import FOREST, Bench, DispatchBehaviour, System

_TIMEOUT_S: Final = 60.0


@pytest.fixture
def system() -> Iterator[System]:
    scheduler = BashScheduler()
    yield System(scheduler)
    scheduler.end_all()


class TestOnThisMachine(DispatchBehaviour):
    """All of the bridge's behaviour."""


def _one_job(bench: Bench) -> Path:
    """Have the forest's job done, and leave its folder as the job did."""
    bench.take(FOREST)
    bench.dispatcher.look()
    (folder,) = bench.job_folders()
    deadline = time.monotonic() + _TIMEOUT_S
    while not (folder / "attempt-1.exit").exists():
        assert time.monotonic() < deadline, bench.logs()
        time.sleep(0.05)
    return folder


def _change(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def _lose_the_artifact(marker: Path, artifacts: Path) -> None:
    (artifacts / "out.json").unlink()


def _cut_the_marker(marker: Path, artifacts: Path) -> None:
    marker.write_bytes(marker.read_bytes()[:40])


def _lose_the_manifest(marker: Path, artifacts: Path) -> None:
    (artifacts / "manifest.json").unlink()


def _promise_more_in_the_manifest(marker: Path, artifacts: Path) -> None:
    _change(artifacts / "manifest.json", outputs={})


def _answer_nothing(marker: Path, artifacts: Path) -> None:
    _change(marker, outputs={})
    _change(artifacts / "manifest.json", outputs={})


def _break_the_manifest(marker: Path, artifacts: Path) -> None:
    (artifacts / "manifest.json").write_text("[")


def _name_another_fingerprint(marker: Path, artifacts: Path) -> None:
    _change(marker, fingerprint="0" * 64)


def _point_outside(marker: Path, artifacts: Path) -> None:
    output = json.loads(marker.read_text())["outputs"]["out.json"]
    identity = artifacts.name
    name = "../../../../../../plans/demo.json"
    _change(marker, outputs={name: output | {"key": f"artifacts/forest/{identity[:2]}/{identity}/{name}"}})


def _point_at_another_unit(marker: Path, artifacts: Path) -> None:
    output = json.loads(marker.read_text())["outputs"]["out.json"]
    _change(marker, outputs={"out.json": output | {"key": "plans/demo.json"}})


@pytest.mark.parametrize(
    "damage",
    [
        _lose_the_artifact,
        _cut_the_marker,
        _lose_the_manifest,
        _promise_more_in_the_manifest,
        _answer_nothing,
        _break_the_manifest,
        _name_another_fingerprint,
        _point_outside,
        _point_at_another_unit,
    ],
    ids=lambda function: function.__name__.removeprefix("_"),
)
def test_an_answer_that_is_half_written_or_hostile_is_computed_again(
    tmp_path: Path, system: System, damage: Callable[[Path, Path], None]
) -> None:
    bench = Bench(tmp_path, system, toy={"TOY_STEPS": "1"})
    folder = _one_job(bench)
    plan = (folder / "store" / "plans").rglob("*.json")
    before = {path: path.read_bytes() for path in plan}
    inside = LocalStore(folder / "store")
    marker = folder / "store" / OpenRun(inside, bench.plan).markers.key(FOREST)
    (artifacts,) = {path.parent for path in (folder / "store" / "artifacts" / "forest").rglob("out.json")}
    damage(marker, artifacts)
    bench.finish()
    whole = bench.run.markers.get(FOREST)
    assert whole is not None
    assert set(whole.outputs) == {"out.json"}
    with bench.run.local(FOREST, whole.outputs["out.json"]):
        pass
    assert [label.rsplit("-", 1)[1] for label in system.scheduler.labels()] == ["1", "2"]  # type: ignore[attr-defined]
    assert bench.sent.dead == []
    assert all(path.read_bytes() == content for path, content in before.items() if path.exists())


def test_a_full_spool_costs_no_attempt(tmp_path: Path, system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, system, attempts=1)
    units = bench.labels_due()
    bench.take(*units)
    put, full = LocalStore.put, [True]

    def put_where_there_is_space(store: LocalStore, key: str, content: bytes | Path) -> None:
        if full[0] and bench.site.spool in store.folder.parents and key.startswith("artifacts/"):
            raise StoreFull(f"{store.folder}: the disk is full")
        put(store, key, content)

    monkeypatch.setattr(LocalStore, "put", put_where_there_is_space)
    for _ in range(3):
        bench.dispatcher.look()
        assert "the disk is full" in str(bench.dispatcher.trouble)
    assert system.scheduler.labels() == []  # type: ignore[attr-defined]
    full[0] = False
    bench.finish()
    assert all(bench.answered(units))
    assert bench.sent.dead == []


def test_a_log_of_any_size_ends_in_a_short_reason(tmp_path: Path, system: System) -> None:
    noise = "head -c 30000000 /dev/zero | tr '\\0' x; printf '\\nthe end \\377 of it\\n'; exit 3"
    bench = Bench(tmp_path, system, attempts=1, command=("bash", "-c", noise))
    bench.take(FOREST)
    bench.finish()
    ((_, _, reason),) = bench.sent.dead
    assert "ended as FAILED" in reason
    assert "the end \N{REPLACEMENT CHARACTER} of it" in reason
    assert len(reason) < 3000


def test_a_unit_that_a_bridge_with_a_fast_clock_recorded_waits_no_longer(
    tmp_path: Path, system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, system, pack_wait_s=1.0)
    now = time.time
    with monkeypatch.context() as fast:
        fast.setattr("landseries_bridge.intake.time.time", lambda: now() + 3600)
        bench.take(FOREST)
    bench.dispatcher.look()
    assert system.scheduler.labels() == []  # type: ignore[attr-defined]
    bench.finish()
    assert bench.run.markers.answered(FOREST)


def test_a_bridge_that_another_took_over_from_submits_nothing_more(tmp_path: Path, system: System) -> None:
    """It may have slept for an hour between its last look at the lease and the submission."""
    bench = Bench(tmp_path, system)
    bench.take(*bench.labels_due())
    lost = threading.Event()
    bench.start_anew(stopping=lost.is_set)
    find = system.scheduler.find

    def lose_the_lease(label: str) -> str | None:
        lost.set()
        return find(label)

    system.scheduler.find = lose_the_lease  # type: ignore[method-assign]
    with pytest.raises(Stopped):
        bench.dispatcher.look()
    assert system.scheduler.labels() == []  # type: ignore[attr-defined]
    system.scheduler.find = find  # type: ignore[method-assign]
    bench.start_anew()
    bench.finish()
    assert len(system.scheduler.labels()) == 1  # type: ignore[attr-defined]


def test_two_bridges_that_look_in_turn_submit_each_job_once(tmp_path: Path, system: System) -> None:
    bench = Bench(tmp_path, system, units_per_job=2)
    units = bench.labels_due()
    bench.take(*units)
    bench.dispatcher.look()
    bench.start_anew()  # with records of its own, read from the store
    bench.finish()
    labels = system.scheduler.labels()  # type: ignore[attr-defined]
    assert len(labels) == len(set(labels)) == 3
    assert bench.done_by_jobs() == sorted(unit.name for unit in units)


@pytest.mark.parametrize(
    "record",
    [
        {"name": 7},
        {"name": "../../../outside"},
        {"name": "ls-forest-0", "scheduler_id": "--user=all"},
    ],
    ids=["no record", "a folder outside the spool", "an option for scancel"],
)
def test_a_record_that_is_none_does_nothing_and_holds_up_no_other(
    tmp_path: Path, system: System, record: dict[str, Any]
) -> None:
    bench = Bench(tmp_path, system)
    outside = tmp_path / "outside"
    outside.mkdir()
    units = bench.labels_due()
    whole = {"run_id": "demo", "partition": "main", "stage": "forest", "units": {}} | record
    for name in ("units/odd.json", "batches/ls-forest-0.json"):
        bench.store.put(f"{JOBS}/demo/here/{name}", json.dumps(whole).encode())
    bench.take(*units)
    bench.look_until("the units are done", lambda: all(bench.answered(units)))
    assert "ls-forest-0" not in bench.records.jobs
    assert outside.is_dir()


def test_the_next_attempt_goes_where_the_profile_says_by_then(tmp_path: Path, system: System) -> None:
    bench = Bench(tmp_path, system, attempts=1, partition=None)
    bench.failing.write_text(FOREST.name)
    folder = _one_job(bench)
    assert "#SBATCH --partition=main\n" in (folder / "attempt-1.sh").read_text()
    section = bench.site.partitions["main"].model_copy(update={"attempts": 2})
    bench.site = bench.site.model_copy(update={"partitions": {"renamed": section}})
    bench.start_anew()
    bench.look_until("the second attempt", lambda: (folder / "attempt-2.sh").exists())
    assert "#SBATCH --partition=renamed\n" in (folder / "attempt-2.sh").read_text()
    bench.failing.unlink(missing_ok=True)


def test_artifacts_are_copied_a_few_at_a_time(tmp_path: Path, system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, system)
    bench.take(FOREST)
    local, lock = OpenRun.local, threading.Lock()
    at_once, most = [0], [0]

    def slow(run: OpenRun, unit: Unit, output: Output) -> Any:
        with lock:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
        time.sleep(0.05)
        with lock:
            at_once[0] -= 1
        return local(run, unit, output)

    monkeypatch.setattr(OpenRun, "local", slow)
    monkeypatch.setattr(staging, "_COPIES", 2)
    bench.dispatcher.look()
    assert most == [2]
    monkeypatch.setattr(OpenRun, "local", local)
    bench.finish()
    assert bench.run.markers.answered(FOREST)
