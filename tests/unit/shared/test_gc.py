"""Garbage collection: what runs need stays, the rest goes, and a run that goes on afterwards gives the same bytes."""

import dataclasses
import tempfile
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.memory_store import MemoryStore
from unit.shared.test_worker import Toy, all_markers, make_plan

from landseries import gc
from landseries.artifacts.documents import digest_of
from landseries.errors import ConfigError, StoreUnavailable
from landseries.gc import GarbageReport, collect_garbage
from landseries.openrun import OpenRun
from landseries.pipeline import STAGES
from landseries.plan import RunPlan, freeze_plan, list_runs
from landseries.stores.base import Store, StoredObject
from landseries.stores.local import LocalStore
from landseries.sweeping import due_messages
from landseries.worker import Worker

CONSUMED = {"fetch", "index", "cluster", "pseudolabel", "strata", "sample", "map"}
DAY_S = 86_400.0

#: Runs that share some of their artifacts: `two` all until reliable, `three` all until train.
CHANGES: dict[str, dict[str, Any]] = {
    "one": {},
    "two": {"seed": 5},
    "three": {"trainer": {"train": {"hidden": 32}}},
}


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    store = MemoryStore()
    monkeypatch.setattr(gc.time, "time", lambda: store.now_s)
    return store


def work(store: Store, plan: RunPlan, scratch: Path, units: int | None = None) -> Toy:
    """Do so many units of a run, or all that are left; who did it is returned."""
    freeze_plan(store, plan)
    toy = Toy()
    worker = Worker(store, scratch, services=toy.services())
    queue = due_messages(store, plan)
    while queue and (units is None or len(toy.calls) < units):
        queue += worker.process(queue.pop(0)).due
    return toy


def outputs(store: MemoryStore, plan: RunPlan) -> dict[str, dict[str, str]]:
    """Digest of every output of every unit but the report, whose bytes tell of the run itself."""
    markers = all_markers(OpenRun(store, plan))
    return {unit: {name: output.digest for name, output in marker.outputs.items()} for unit, marker in markers.items()}


def stored(store: MemoryStore) -> set[str]:
    """Stages with artifacts in the store."""
    return {key.split("/")[1] for key in store.objects if key.startswith("artifacts/")}


@cache
def undisturbed() -> dict[str, dict[str, dict[str, str]]]:
    """What each run gives in a store that nobody cleans."""
    found = {}
    for run_id, changes in CHANGES.items():
        store, plan = MemoryStore(), make_plan(run_id, **changes)
        with tempfile.TemporaryDirectory() as scratch:
            work(store, plan, Path(scratch))
        found[run_id] = outputs(store, plan)
    return found


def sweep(store: MemoryStore, **changes: Any) -> GarbageReport:
    return collect_garbage(store, **({"dry_run": False, "grace_s": 0.0} | changes))


def test_of_a_complete_run_what_readers_are_done_with_goes(store: MemoryStore, tmp_path: Path) -> None:
    work(store, make_plan(), tmp_path)
    before = dict(store.objects)
    assert stored(store) == set(STAGES)
    store.now_s += 1
    report = sweep(store)
    assert stored(store) == set(STAGES) - CONSUMED
    for stage in STAGES:
        entry = report.stages[stage]
        assert list(entry.removed if stage in CONSUMED else entry.kept) == [
            gc.CONSUMED if stage in CONSUMED else gc.NAMED
        ]
        assert not (entry.kept if stage in CONSUMED else entry.removed)
    assert report.removed.objects == len(before) - len(store.objects)
    assert report.removed.size_bytes == sum(len(v[0]) for k, v in before.items() if k not in store.objects)
    assert report.kept.objects == len(store.objects)
    assert sweep(store).removed.objects == 0
    assert work(store, make_plan(), tmp_path).calls == []


def test_a_folder_is_collected_as_well(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    work(store, make_plan("one"), tmp_path / "scratch")
    work(store, make_plan("two", seed=5), tmp_path / "scratch")
    assert collect_garbage(store, dry_run=False, grace_s=DAY_S).removed.objects == 0
    report = collect_garbage(store, dry_run=False, grace_s=0.0, forget=["one"])
    assert {item.key.split("/")[1] for item in store.list("artifacts/")} == set(STAGES) - CONSUMED
    assert report.kept.size_bytes == sum(item.size_bytes for item in store.list(""))
    assert collect_garbage(store, dry_run=False, grace_s=0.0, forget=["two"]).kept.objects == 0
    assert list(store.list("")) == []


def test_of_an_unfinished_run_what_will_be_read_stays(store: MemoryStore, tmp_path: Path) -> None:
    plan = make_plan()
    work(store, plan, tmp_path)
    for stage in ("map", "compare", "mosaic", "report"):  # as if these had not been done
        for unit in list(OpenRun(store, plan).pipeline.units(stage)):
            OpenRun(store, plan).markers.remove(unit)
    store.now_s += 1
    sweep(store)
    # Maps lie there without a marker; mosaics too, and both are as good as never made. The series will be read.
    assert stored(store) == set(STAGES) - {
        "fetch",
        "cluster",
        "pseudolabel",
        "strata",
        "sample",
        "map",
        "compare",
        "mosaic",
        "report",
    }
    toy = work(store, plan, tmp_path)
    assert {name.split()[0] for name in toy.calls} == {"map", "compare", "mosaic", "report"}


def test_each_artifact_goes_when_its_own_readers_are_done(store: MemoryStore, tmp_path: Path) -> None:
    plan = make_plan()
    freeze_plan(store, plan)
    worker = Worker(store, tmp_path, services=Toy().services())
    queue = [message for message in due_messages(store, plan) if message.stage == "search"]
    while queue:
        due = worker.process(queue.pop(0)).due
        queue += [m for m in due if m.stage in ("harmony", "fetch") or (m.stage == "index" and b"t00000" in m.body)]
    store.now_s += 1
    report = sweep(store)
    # Both acquisitions of the other two tiles are still to be read, and a1 is one of them.
    assert not report.stages["fetch"].removed
    queue = due_messages(store, plan)
    queue = [message for message in queue if message.stage == "index" and b"2018" in message.body]
    assert len(queue) == 2
    for message in queue:
        worker.process(message)
    report = sweep(store)
    assert report.stages["fetch"].removed[gc.CONSUMED].objects == 2 * 4
    assert report.stages["fetch"].kept[gc.NAMED].objects == 2 * 4


def test_settings_say_what_stays(store: MemoryStore, tmp_path: Path) -> None:
    work(store, make_plan(storage={"keep": {"index": "always", "train": "until consumed"}}), tmp_path)
    store.now_s += 1
    sweep(store)
    assert stored(store) == set(STAGES) - CONSUMED - {"train"} | {"index"}


def test_settings_of_the_store_change_no_byte(store: MemoryStore, tmp_path: Path) -> None:
    work(store, make_plan("one"), tmp_path)
    assert work(store, make_plan("two", storage={"keep": {"index": "always"}, "budget_gib": 1}), tmp_path).calls == []


def test_what_another_run_needs_stays(store: MemoryStore, tmp_path: Path) -> None:
    work(store, make_plan("one"), tmp_path)
    work(store, make_plan("two", seed=5), tmp_path, units=1)  # all until reliable is found; then it stops
    store.now_s += 1
    sweep(store)
    assert "index" in stored(store)
    toy = work(store, make_plan("two", seed=5), tmp_path)
    assert not {"search", "fetch", "index", "reference"} & {name.split()[0] for name in toy.calls}
    assert not list(store.list("runs/two/repairs/"))


def test_a_forgotten_run_goes_with_what_only_it_names(store: MemoryStore, tmp_path: Path) -> None:
    work(store, make_plan("one"), tmp_path)
    work(store, make_plan("three", **CHANGES["three"]), tmp_path)
    only_three = len(list(store.list("artifacts/train/"))) // 2
    store.put("scratch/checkpoints/three/train-all/x", b"1")
    store.put("runs/three/joins/a/L1/0.json", b"{}")
    store.now_s += 1
    report = sweep(store, forget=["three"])
    assert report.forgotten == ("three",)
    assert list_runs(store) == ["one"]
    assert not [key for key in store.objects if "three" in key]
    assert report.stages["train"].removed[gc.UNNAMED].objects == only_three
    assert report.stages["runs"].removed[gc.FORGOTTEN].objects > 40
    own = [key for key in store.deleted if "three" in key]
    kinds = [key.split("/")[2] if key.startswith("runs/") else key.split("/")[0] for key in own]
    assert list(dict.fromkeys(kinds)) == ["markers", "joins", "scratch", "plans"]
    results = [key for key in store.objects if key.startswith("artifacts/mosaic/")]
    assert results
    sweep(store, forget=["one"])
    assert not store.objects


def test_a_run_that_is_not_there_cannot_be_forgotten(store: MemoryStore, tmp_path: Path) -> None:
    work(store, make_plan("one"), tmp_path, units=1)
    before = dict(store.objects)
    with pytest.raises(ConfigError, match="no run 'tow' to forget in this store; it has one"):
        sweep(store, forget=["one", "tow"])
    assert store.objects == before


def test_what_is_young_stays(store: MemoryStore, tmp_path: Path) -> None:
    work(store, make_plan(), tmp_path)
    store.now_s += 3600
    report = sweep(store, grace_s=DAY_S)
    assert report.removed.objects == 0
    assert set(report.stages["fetch"].kept) == {gc.YOUNG}
    store.now_s += DAY_S
    # One output written anew (its marker is not there yet) makes all of its unit young.
    key = next(key for key in store.objects if key.startswith("artifacts/index/") and not key.endswith("manifest.json"))
    store.put(key, store.objects[key][0])
    report = sweep(store, grace_s=DAY_S)
    assert report.stages["index"].kept[gc.YOUNG].objects == 5
    assert store.exists(key)


def test_what_is_written_while_it_is_swept_stays(store: MemoryStore, tmp_path: Path) -> None:
    work(store, make_plan(), tmp_path)
    store.now_s += DAY_S
    listing = store.list

    def list_and_write(prefix: str) -> Iterator[StoredObject]:
        for item in listing(prefix):
            if prefix == "artifacts/" and item.key.startswith("artifacts/map/"):
                store.put(item.key, b"again")  # by a worker, after it was listed
            yield item

    store.list = list_and_write  # type: ignore[method-assign]
    report = sweep(store, grace_s=1.0)
    assert set(report.stages["map"].kept) == {gc.YOUNG}
    assert not report.stages["map"].removed


def test_no_manifest_promises_what_is_gone(store: MemoryStore, tmp_path: Path) -> None:
    work(store, make_plan(), tmp_path)
    store.now_s += 1
    whole = {key for key in store.objects if key.startswith("artifacts/")}
    sweep(store, forget=["demo"])
    gone: set[str] = set()
    for key in store.deleted:
        if key in whole and not key.endswith("manifest.json"):
            assert key.rsplit("/", 1)[0] + "/manifest.json" in gone
        gone.add(key)
    assert whole <= gone


def test_leases_checkpoints_and_what_has_no_plan(store: MemoryStore, tmp_path: Path) -> None:
    work(store, make_plan("done"), tmp_path)
    work(store, make_plan("open", seed=5), tmp_path, units=1)
    for run_id in ("done", "open", "lost"):
        store.put(f"runs/{run_id}/leases/train/all/multi-year.json", b"{}")
        store.put(f"runs/{run_id}/repairs/train/all.json", b"{}")
        store.put(f"scratch/checkpoints/{run_id}/train-all/state", b"123")
    store.put("runs/lost/markers/search/cube/2018.json", b"{}")
    young = sweep(store, grace_s=DAY_S)
    assert set(young.stages["runs"].kept) == {gc.OWN, gc.YOUNG}
    assert store.exists("runs/lost/leases/train/all/multi-year.json")
    store.now_s += 1
    report = sweep(store)
    left = {key for key in store.objects if "leases" in key or "scratch" in key}
    assert left == {"runs/open/leases/train/all/multi-year.json", "scratch/checkpoints/open/train-all/state"}
    assert store.exists("runs/done/repairs/train/all.json")  # `status` tells of it
    assert not [key for key in store.objects if "lost" in key]
    assert young.stages["scratch"].removed[gc.FINISHED].objects == 1
    assert report.stages["scratch"].removed[gc.WITHOUT_PLAN].objects == 1


def test_what_cannot_be_read_removes_nothing(store: MemoryStore, tmp_path: Path) -> None:
    work(store, make_plan("one"), tmp_path)
    work(store, make_plan("two", seed=5), tmp_path)
    store.now_s += 1
    store.put("runs/one/markers/map/t00000/multi-year.json", b"{broken")
    report = sweep(store)
    assert set(report.stages["map"].kept) == {gc.UNSURE}
    assert "runs/one/markers/map/t00000/multi-year.json cannot be read" in report.notes[0]
    assert stored(store) == set(STAGES) - CONSUMED | {"map"}
    work(store, make_plan("three", **CHANGES["three"]), tmp_path)
    store.put("plans/three.json", b'{"plan_version": 99}')
    store.put("artifacts/odd/name", b"?")
    store.now_s += 1
    report = sweep(store, forget=["one"])
    assert any("run 'three' are kept, because its plan is not understood" in note for note in report.notes)
    assert stored(store) >= CONSUMED
    assert list(report.stages["other"].kept) == [gc.FOREIGN]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    done=st.fixed_dictionaries({run_id: st.integers(0, 70) for run_id in CHANGES}),
    forget=st.sets(st.sampled_from(sorted(CHANGES))),
    crash=st.none() | st.integers(0, 150),
    always=st.sets(st.sampled_from(sorted(CONSUMED))),
)
def test_a_run_goes_on_after_any_collection_and_gives_the_same_bytes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    done: dict[str, int],
    forget: set[str],
    crash: int | None,
    always: set[str],
) -> None:
    store = MemoryStore()
    monkeypatch.setattr(gc.time, "time", lambda: store.now_s)
    storage = {"keep": dict.fromkeys(always, "always")}
    plans = {run_id: make_plan(run_id, storage=storage, **changes) for run_id, changes in CHANGES.items()}
    for run_id, plan in plans.items():
        work(store, plan, tmp_path, done[run_id])
    store.now_s += 1
    before = dict(store.objects)
    told = sweep(store, dry_run=True, forget=forget)
    assert store.objects == before
    store.deletions_left = crash
    try:
        report = sweep(store, forget=forget)
        assert dataclasses.replace(report, dry_run=True) == told
        assert before.keys() - store.objects.keys() == set(store.deleted)
        assert report.removed.objects == len(set(store.deleted)) == len(store.deleted)
    except StoreUnavailable:
        assert len(store.deleted) == crash
    store.deletions_left = None
    for run_id, plan in plans.items():
        work(store, plan, tmp_path)
        expected = undisturbed()[run_id]
        assert outputs(store, plan) == expected
        assert run_id in forget or not list(store.list(f"runs/{run_id}/repairs/")), "something needed was removed"
    for plan in plans.values():
        for unit, marker in all_markers(OpenRun(store, plan)).items():
            for output in marker.outputs.values():
                if unit.split()[0] not in CONSUMED:
                    assert digest_of(store.objects[output.key][0]) == output.digest


class _Vast(MemoryStore):
    """A store with so many artifacts of one kind that holding their keys would show."""

    def __init__(self, artifacts: int) -> None:
        super().__init__()
        self._artifacts = artifacts

    def list(self, prefix: str) -> Iterator[StoredObject]:
        if prefix != "artifacts/":
            yield from super().list(prefix)
            return
        for number in range(self._artifacts):
            for name in ("manifest.json", "out.json"):
                yield StoredObject(f"artifacts/fetch/00/{number:064x}/{name}", 1000, datetime(2020, 1, 1, tzinfo=UTC))


def test_memory_does_not_grow_with_the_store() -> None:
    peaks = []
    for artifacts in (500, 500, 10_000):
        store = _Vast(artifacts)
        tracemalloc.start()
        report = collect_garbage(store, dry_run=True, grace_s=0.0)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert report.removed.objects == 2 * artifacts
    assert peaks[2] < peaks[1] + 100_000


def test_a_damaged_search_leaves_what_it_chose(store: MemoryStore, tmp_path: Path) -> None:
    plan = make_plan()
    work(store, plan, tmp_path, units=7)  # two searches, three references, and the first acquisitions
    assert "index" not in stored(store)
    fetched = len(list(store.list("artifacts/fetch/")))
    assert fetched
    for item in list(store.list("artifacts/search/")):
        if item.key.endswith("chosen.json"):
            store.put(item.key, b"damaged")
    store.now_s += 1
    sweep(store)
    assert len(list(store.list("artifacts/fetch/"))) == fetched
    work(store, plan, tmp_path)
    assert outputs(store, plan) == undisturbed()["one"]


def test_a_run_that_is_submitted_meanwhile_keeps_what_it_names(store: MemoryStore, tmp_path: Path) -> None:
    work(store, make_plan("one"), tmp_path)
    work(store, make_plan("two", seed=5), tmp_path)
    collect_garbage(store, dry_run=True, grace_s=0.0)
    sweep(store, forget=["two"], grace_s=DAY_S)  # its artifacts are still there, and nobody names them
    named = {key for key in store.objects if key.startswith("artifacts/")}
    store.now_s += DAY_S
    reading = store.get

    def read_and_submit(key: str) -> bytes | None:
        if key.endswith("/report.json") and not store.exists("plans/three.json"):
            work(store, make_plan("three", seed=5), tmp_path)
        return reading(key)

    store.get = read_and_submit  # type: ignore[method-assign]
    report = sweep(store)
    assert gc.UNNAMED not in {why for stage in report.stages.values() for why in stage.removed}
    gone = named - store.objects.keys()
    assert {key.split("/")[1] for key in gone} == CONSUMED


@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.generate],
)
@given(steps=st.lists(st.integers(0, 4), min_size=30, max_size=60))
def test_a_run_that_works_meanwhile_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: list[int]
) -> None:
    store = MemoryStore()
    monkeypatch.setattr(gc.time, "time", lambda: store.now_s)
    work(store, make_plan("old"), tmp_path)
    plan = make_plan("one")  # finds all that the old run wrote, while the old run is forgotten
    freeze_plan(store, plan)
    worker = Worker(store, tmp_path, services=Toy().services())
    queue = due_messages(store, plan)
    store.now_s += 100.0
    deleting, listing = store.delete, store.list
    pending = list(steps)

    def some_units() -> None:
        store.delete, store.list = deleting, listing  # type: ignore[method-assign]
        for _ in range(pending.pop() if pending else 0):
            if queue:
                queue.extend(worker.process(queue.pop(0)).due)
        store.delete, store.list = delete, list_  # type: ignore[method-assign]

    def delete(key: str) -> None:
        if key.startswith("artifacts/"):
            some_units()
        deleting(key)

    def list_(prefix: str) -> Iterator[StoredObject]:
        if prefix.startswith("artifacts/"):
            some_units()
        yield from listing(prefix)

    store.delete, store.list = delete, list_  # type: ignore[method-assign]
    sweep(store, forget=["old"], grace_s=10.0)
    store.delete, store.list = deleting, listing  # type: ignore[method-assign]
    while queue:
        queue += worker.process(queue.pop(0)).due
    work(store, plan, tmp_path)
    assert outputs(store, plan) == undisturbed()["one"]
