"""The worker and the markers over a real store: reuse, refusals, joins, crashes, and what a handler may see."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from support.toy_services import make_plan

from landseries import markers as markers_module
from landseries import worker as worker_module
from landseries.artifacts.documents import read_json, write_json
from landseries.errors import ArtifactError, LandseriesError, Refused, RunConflict
from landseries.gc import collect_garbage
from landseries.markers import Marker
from landseries.messages import BadMessage, encode
from landseries.openrun import OpenRun
from landseries.pipeline import SERVICES, STAGES, Unit, stages_of
from landseries.plan import RunPlan, freeze_plan, read_plan
from landseries.service import Assisted, Context, Handler, Service
from landseries.stores.local import LocalStore
from landseries.sweeping import due_messages
from landseries.worker import Processed, StageVersionMismatch, Worker


class Toy:
    """Services whose handlers write what they were given, so that every dependency shows in the digests."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.refuse: dict[str, str] = {}
        self.outputs: dict[str, list[str]] = {
            "index": ["series.zarr.zip", "clear_views.tif", "composite.tif", "indices.zarr.zip"],
            "train": ["weights.safetensors", "summary.json"],
        }
        self.hook: Callable[[Context], None] = lambda context: None

    def handle(self, context: Context) -> None:
        unit = context.unit
        self.calls.append(unit.name)
        self.hook(context)
        if unit.name in self.refuse:
            raise Refused(self.refuse[unit.name])
        if unit.stage == "search":
            chosen = {f"t{i:05d}": ["a1", "a2"] if i else ["a1"] for i in range(3)}
            write_json(context.output("chosen.json"), chosen)
            return
        seen = {}
        for need in STAGES[unit.stage].needs:
            for item in context.inputs(need.stage):
                for name in item.marker.outputs:
                    with context.local(item, name) as path:
                        seen[f"{item.unit.name} {name}"] = read_json(path) if path.stat().st_size < 300 else "much"
        names = self.outputs.get(unit.stage, ["out.json"])
        if unit.stage == "fetch":
            names = ["t00000.tif", "t00001.tif", "t00002.tif"]
        if unit.stage == "dataset":
            names = ["multi-year.parquet", "single-year.parquet", "summary.json"]
        for name in names:
            write_json(context.output(name), {"unit": unit.name, "seen": len(seen)})

    def outside(self, context: Context) -> Mapping[str, str]:
        return {"product": "checksum"}

    def services(self) -> dict[str, Service]:
        return {
            name: Service(
                name,
                {stage: Handler(self.handle, self.outside if stage == "search" else None) for stage in stages_of(name)},
            )
            for name in SERVICES
        }


@pytest.fixture
def toy() -> Toy:
    return Toy()


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def drain(store: LocalStore, plan: RunPlan, toy: Toy, scratch: Path) -> OpenRun:
    """Do a whole run on one worker."""
    freeze_plan(store, plan)
    worker = Worker(store, scratch, services=toy.services())
    queue = due_messages(store, plan)
    while queue:
        queue += worker.process(queue.pop(0)).due
    return OpenRun(store, plan)


def all_markers(run: OpenRun) -> dict[str, Marker]:
    return {unit.name: marker for stage in STAGES for unit, marker in run.markers.all_of(stage)}


def test_a_run_answers_every_unit_once(store: LocalStore, toy: Toy, tmp_path: Path) -> None:
    run = drain(store, make_plan(), toy, tmp_path / "scratch")
    expected = [unit.name for stage in STAGES for unit in run.pipeline.units(stage)]
    assert len(expected) == 4 - 2 + 3 + 1 + 4 + 6 + 3 + 1 + 3 + 1 + 6 + 3 + 1 + 3 + 1 + 2 + 6 + 3 + 2 + 1
    assert sorted(toy.calls) == sorted(expected)
    assert {marker.status for marker in all_markers(run).values()} == {"done"}
    assert list(run.markers.due_now()) == []


def test_a_second_run_of_the_same_work_computes_nothing(store: LocalStore, toy: Toy, tmp_path: Path) -> None:
    first = drain(store, make_plan("one"), toy, tmp_path / "scratch")
    toy.calls.clear()
    second = drain(store, make_plan("two"), toy, tmp_path / "scratch")
    assert toy.calls == []
    known = {name: marker.outputs for name, marker in all_markers(first).items()}
    assert {name: marker.outputs for name, marker in all_markers(second).items()} == known


def test_a_changed_setting_redoes_only_what_depends_on_it(store: LocalStore, toy: Toy, tmp_path: Path) -> None:
    drain(store, make_plan("one"), toy, tmp_path / "scratch")
    toy.calls.clear()
    drain(store, make_plan("two", trainer={"train": {"hidden": 32}}), toy, tmp_path / "scratch")
    # The toy's networks come out the same bytes, so that maps are found by their inputs' digests.
    assert {name.split()[0] for name in toy.calls} == {"train"}
    toy.calls.clear()
    drain(store, make_plan("three", seed=5), toy, tmp_path / "scratch")
    assert {"cluster", "reliable", "forest", "train"} <= {name.split()[0] for name in toy.calls}
    assert not {"search", "fetch", "index", "reference"} & {name.split()[0] for name in toy.calls}


def test_a_setting_at_its_default_is_the_same_as_none(store: LocalStore, toy: Toy, tmp_path: Path) -> None:
    drain(store, make_plan("one"), toy, tmp_path / "scratch")
    toy.calls.clear()
    drain(store, make_plan("two", trainer={"train": {"hidden": 64}}), toy, tmp_path / "scratch")
    assert toy.calls == []


def test_a_known_name_with_another_config_is_refused(store: LocalStore) -> None:
    freeze_plan(store, make_plan())
    freeze_plan(store, make_plan())
    with pytest.raises(RunConflict, match=r"differs in seed.*another `name:`"):
        freeze_plan(store, make_plan(seed=7))


def test_how_long_intermediates_stay_may_change_in_a_known_run(store: LocalStore) -> None:
    freeze_plan(store, make_plan())
    freeze_plan(store, make_plan(storage={"budget_gib": 5}))
    plan = read_plan(store, "demo")
    assert plan is not None
    assert plan.config.storage.budget_gib == 5


def test_a_refusal_is_recorded_and_the_rest_goes_on(store: LocalStore, toy: Toy, tmp_path: Path) -> None:
    toy.refuse = {"index t00001 2018": "no clear view", "fetch cube 2019 a2": "truncated"}
    run = drain(store, make_plan(), toy, tmp_path / "scratch")
    markers = all_markers(run)
    assert markers["index t00001 2018"].reason == "no clear view"
    assert markers["cluster t00001"].status == "refused"
    assert markers["cluster t00001"].reason == "because index t00001 2018 was refused: no clear view"
    assert markers["index t00001 2019"].status == "done"  # lives with a refused acquisition
    assert markers["classes all"].status == "done"
    assert markers["map t00001 multi-year"].status == "done"  # 2019 is there
    assert markers["report"].status == "done"


def test_a_stage_without_any_input_is_refused(store: LocalStore, toy: Toy, tmp_path: Path) -> None:
    toy.refuse = {"search cube 2018": "no product", "search cube 2019": "no product"}
    run = drain(store, make_plan(), toy, tmp_path / "scratch")
    markers = all_markers(run)
    assert markers["index t00000 2018"].reason == "because search cube 2018 was refused: no product"
    assert markers["forest all"].status == "refused"
    assert markers["report"].status == "done"


def test_redelivered_and_early_messages_do_no_harm(store: LocalStore, toy: Toy, tmp_path: Path) -> None:
    plan = make_plan()
    freeze_plan(store, plan)
    worker = Worker(store, tmp_path / "scratch", services=toy.services())
    assert worker.process(encode("demo", Unit("train", ("all", "multi-year")))) == Processed([], "skipped")
    assert toy.calls == []
    searches = [encode("demo", Unit("search", ("cube", year))) for year in ("2018", "2019")]
    assert worker.process(searches[0]).due == [], "acquisitions are compared when those of all years are known"
    (harmony,) = worker.process(searches[1]).due
    first = worker.process(harmony).due
    assert [m.type for m in first] == ["fetch.v1"] * 4
    again = worker.process(harmony).due
    assert [m.message_id for m in again] == [m.message_id for m in first]
    assert [m.message_id for m in worker.process(searches[0]).due] == [m.message_id for m in first[:2]]
    assert toy.calls == ["search cube 2018", "search cube 2019", "harmony cube"]


def test_a_crash_between_artifact_and_marker_is_made_good(store: LocalStore, toy: Toy, tmp_path: Path) -> None:
    run = drain(store, make_plan(), toy, tmp_path / "scratch")
    before = all_markers(run)
    for stage in ("dataset", "train", "map", "report"):
        for unit in list(run.pipeline.units(stage)):
            store.delete("/".join(("runs/demo/markers", stage, *unit.key)) + ".json")
    toy.calls.clear()
    after = all_markers(drain(store, make_plan(), toy, tmp_path / "scratch"))
    assert [name.split()[0] for name in toy.calls if not name.startswith("report")] == []
    assert {n: m.outputs for n, m in after.items()} == {n: m.outputs for n, m in before.items()}


def test_wide_joins_are_trees_and_lose_nothing(
    store: LocalStore, toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(markers_module, "GROUP_SIZE", 3)
    toy.refuse = {"search cube 2018": "nothing", "search cube 2019": "nothing"}
    plan = make_plan(tiles=20)
    run = drain(store, plan, toy, tmp_path / "scratch")
    assert run.markers.answered(Unit("report", ()))
    groups = [item.key for item in store.list("runs/demo/joins/")]
    assert any("/L3/" in key for key in groups)
    # A worker that died before it marked its group: the sweep marks it again.
    for key in groups:
        store.delete(key)
    store.delete("runs/demo/markers/classes/all.json")
    assert Unit("classes", ("all",)) in list(run.markers.due_now())


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        (Unit("index", ("elsewhere", "2018")), "no tile 'elsewhere'"),
        (Unit("index", ("t00000", "2030")), "no year '2030'"),
        (Unit("train", ("all", "best")), "no model 'best'"),
    ],
)
def test_a_unit_that_the_run_does_not_have_is_poison(
    store: LocalStore, toy: Toy, tmp_path: Path, unit: Unit, message: str
) -> None:
    freeze_plan(store, make_plan())
    with pytest.raises(BadMessage, match=message):
        Worker(store, tmp_path, services=toy.services()).process(encode("demo", unit))


def test_a_message_for_an_unknown_run_is_poison(store: LocalStore, toy: Toy, tmp_path: Path) -> None:
    with pytest.raises(BadMessage, match="no run named 'other'"):
        Worker(store, tmp_path, services=toy.services()).process(encode("other", Unit("reference", ("t00000",))))


def test_a_run_that_takes_the_name_of_a_forgotten_one_is_not_taken_for_it(
    store: LocalStore, toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a worker that did the forgotten one's units: not its settings, not what its searches chose."""
    monkeypatch.setattr(worker_module, "_LOOK_EVERY_S", 0.0)
    first, second = make_plan(), make_plan(seed=5)
    seen: list[int] = []

    def gate(run: OpenRun, unit: Unit) -> None:
        seen.append(run.plan.config.seed)

    worker = Worker(store, tmp_path / "scratch", services=toy.services(), gates=[gate])
    for plan in (first, second):
        freeze_plan(store, plan)
        queue = due_messages(store, plan)
        published = [message.message_id for message in queue]
        while queue:
            due = worker.process(queue.pop(0)).due
            queue += due
            published += [message.message_id for message in due]
        assert len(set(published)) == len(published), "nothing is taken for answered that was so in the forgotten run"
        assert set(seen) == {plan.config.seed}
        seen.clear()
        collect_garbage(store, dry_run=False, grace_s=0, forget=["demo"])
    with pytest.raises(BadMessage, match="no run named 'demo'"):
        worker.process(encode("demo", Unit("reference", ("t00000",))))


def test_what_a_run_says_anew_about_its_storage_reaches_workers_that_know_it(
    store: LocalStore, toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "_LOOK_EVERY_S", 0.0)
    budgets: list[float | None] = []

    def gate(run: OpenRun, unit: Unit) -> None:
        budgets.append(run.plan.config.storage.budget_gib)

    worker = Worker(store, tmp_path, services=toy.services(), gates=[gate])
    for tile, budget in (("t00000", 1.0), ("t00001", 2.0)):
        freeze_plan(store, make_plan(storage={"budget_gib": budget}))
        worker.process(encode("demo", Unit("reference", (tile,))))
    assert budgets == [1.0, 2.0]


def test_a_worker_of_another_stage_version_hands_back(store: LocalStore, toy: Toy, tmp_path: Path) -> None:
    plan = make_plan()
    plan = plan.model_copy(update={"stage_versions": plan.stage_versions | {"reference": 99}})
    freeze_plan(store, plan)
    with pytest.raises(StageVersionMismatch, match="version 99 of stage reference"):
        Worker(store, tmp_path, services=toy.services()).process(encode("demo", Unit("reference", ("t00000",))))


@pytest.mark.parametrize("how", ["changed", "gone"])
@pytest.mark.parametrize(
    ("unit", "output"),
    [
        (Unit("cluster", ("t00000",)), "out.json"),
        (Unit("index", ("t00001", "2018")), "series.zarr.zip"),
        (Unit("search", ("cube", "2018")), "chosen.json"),
    ],
)
def test_a_damaged_artifact_is_never_used_but_written_again(
    store: LocalStore, toy: Toy, tmp_path: Path, unit: Unit, output: str, how: str
) -> None:
    toy.refuse = {"classes all": "stop here"}
    run = drain(store, make_plan(), toy, tmp_path / "scratch")
    marker = run.markers.get(unit)
    assert marker is not None
    key = marker.outputs[output].key
    right = store.get(key)
    store.put(key, b"{}") if how == "changed" else store.delete(key)
    for stage in ("classes", "reliable", "index", "cluster"):
        for waiting in run.pipeline.units(stage):
            if waiting != unit:
                run.markers.remove(waiting)
    toy.refuse = {}
    drain(store, make_plan(), toy, tmp_path / "scratch")
    assert toy.calls.count(unit.name) == 2
    assert store.get(key) == right
    assert OpenRun(store, make_plan()).markers.answered(Unit("classes", ("all",)))
    assert list(OpenRun(store, make_plan()).markers.due_now()) == []


def test_what_was_whole_once_is_looked_at_again(store: LocalStore, toy: Toy, tmp_path: Path) -> None:
    run = drain(store, make_plan(), toy, tmp_path / "scratch")
    cluster = Unit("cluster", ("t00000",))
    marker = run.markers.get(cluster)
    assert marker is not None
    waiting = [Unit("classes", ("all",)), Unit("reliable", ("t00000",))]
    for unit in waiting:
        run.markers.remove(unit)
    for item in [*store.list("artifacts/classes/"), *store.list("artifacts/reliable/")]:
        store.delete(item.key)
    worker = Worker(store, tmp_path / "scratch", services=toy.services())
    assert worker.process(encode("demo", waiting[0])).outcome == "done"
    key = marker.outputs["out.json"].key
    store.put(key, b"?" + (store.get(key) or b"")[1:])
    assert worker.process(encode("demo", waiting[1])).outcome == "repaired"


def test_what_is_damaged_again_and_again_is_reported(store: LocalStore, toy: Toy, tmp_path: Path) -> None:
    toy.refuse = {"classes all": "stop here"}
    run = drain(store, make_plan(), toy, tmp_path / "scratch")
    cluster = Unit("cluster", ("t00000",))
    marker = run.markers.get(cluster)
    assert marker is not None
    run.markers.remove(Unit("classes", ("all",)))
    toy.refuse = {}
    worker = Worker(store, tmp_path / "scratch", services=toy.services())
    for _ in range(3):
        store.put(marker.outputs["out.json"].key, b"{}")
        assert worker.process(encode("demo", Unit("classes", ("all",)))).outcome == "repaired"
        worker.process(encode("demo", cluster))
        worker = Worker(store, tmp_path / "scratch", services=toy.services())
    store.put(marker.outputs["out.json"].key, b"{}")
    with pytest.raises(ArtifactError, match=r"out.json, written by cluster t00000.*4th time: check the store's disks"):
        worker.process(encode("demo", Unit("classes", ("all",))))


def test_an_unreadable_marker_is_written_again(store: LocalStore, toy: Toy, tmp_path: Path) -> None:
    run = drain(store, make_plan(), toy, tmp_path / "scratch")
    cluster = Unit("cluster", ("t00000",))
    store.put(run.markers.key(cluster), b"{not json")
    run.markers.remove(Unit("classes", ("all",)))
    drain(store, make_plan(), toy, tmp_path / "scratch")
    assert OpenRun(store, make_plan()).markers.get(cluster) is not None
    assert OpenRun(store, make_plan()).markers.answered(Unit("classes", ("all",)))


def test_a_handler_sees_only_what_its_row_declares(store: LocalStore, toy: Toy, tmp_path: Path) -> None:
    def look(context: Context) -> None:
        if context.unit.stage == "pseudolabel":
            assert context.legend.ids
            assert set(context.input("index").marker.outputs) == {"series.zarr.zip", "clear_views.tif"}
            with pytest.raises(LandseriesError, match="'seed', which its row"):
                _ = context.seed
            with pytest.raises(LandseriesError, match="numerics"):
                _ = context.profile

    toy.hook = look
    run = drain(store, make_plan(), toy, tmp_path / "scratch")
    assert run.markers.answered(Unit("report", ()))


def test_no_scratch_is_left(store: LocalStore, toy: Toy, tmp_path: Path) -> None:
    drain(store, make_plan(), toy, tmp_path / "scratch")
    assert not list((tmp_path / "scratch").glob("tmp*"))


def test_a_process_that_helped_another_leaves_the_answer_to_it(store: LocalStore, tmp_path: Path) -> None:
    plan, toy = make_plan(), Toy()
    freeze_plan(store, plan)
    unit = Unit("reference", ("t00000",))

    def help_only(context: Context) -> None:
        raise Assisted("process 1 of 2; process 0 writes")

    toy.hook = help_only
    helped = Worker(store, tmp_path / "helper", services=toy.services()).process(encode("demo", unit))
    assert (helped.outcome, helped.due) == ("skipped", [])
    assert not OpenRun(store, plan).markers.answered(unit)
    assert list(store.list("artifacts/")) == []
