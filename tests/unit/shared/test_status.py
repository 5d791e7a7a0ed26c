"""Status: counts, refusals, repairs and cancellations, each marker read once, and damage that hides nothing."""

from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table
from unit.shared.test_worker import Toy, drain, make_plan

from landseries.connections import BROKER_PREFIX
from landseries.gates import cancel
from landseries.gc import collect_garbage
from landseries.messages import encode
from landseries.pipeline import STAGES, Unit
from landseries.plan import freeze_plan
from landseries.status import RunStatus, broker_lines, garbage_table, usage_table
from landseries.stores.local import LocalStore
from landseries.sweeping import reopen_refused
from landseries.worker import Worker


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def rows(table: Table) -> dict[str, list[str]]:
    """A table's cells by the first one."""
    cells = zip(*(list(column.cells) for column in table.columns), strict=True)
    return {str(first): [str(cell) for cell in rest] for first, *rest in cells}


def look(store: LocalStore, run_id: str = "demo") -> RunStatus:
    status = RunStatus(store, make_plan(run_id))
    status.look()
    return status


def test_a_run_that_has_not_begun_shows_what_is_known(store: LocalStore) -> None:
    freeze_plan(store, make_plan())
    status = look(store)
    assert not status.complete
    found = rows(status.table())
    assert list(found) == list(STAGES)
    assert found["reference"] == ["0", "0", "3", "0.0"]
    assert found["fetch"][2] == "0", "nobody knows before the searches"
    assert status.lines() == []


def test_a_complete_run(store: LocalStore, tmp_path: Path) -> None:
    drain(store, make_plan(), Toy(), tmp_path / "scratch")
    status = look(store)
    assert status.complete
    for stage, (done, refused, units, _) in rows(status.table()).items():
        assert (done, refused) == (units, "0"), stage


def test_refusals_are_listed_in_the_pipelines_order(store: LocalStore, tmp_path: Path) -> None:
    toy = Toy()
    toy.refuse = {"compare t00002": "[bold]brackets[/]", "index t00001 2019": "no clear view"}
    drain(store, make_plan(), toy, tmp_path / "scratch")
    status = look(store)
    own = [line for line in status.lines() if ": because" not in line]
    assert own == ["refused index t00001 2019: no clear view", "refused compare t00002: [bold]brackets[/]"]
    assert rows(status.table())["index"][:3] == ["5", "1", "6"]


def test_looking_again_reads_only_what_is_new_and_sees_what_was_taken_back(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = Toy()
    toy.refuse = {"index t00001 2019": "no clear view"}
    run = drain(store, make_plan(), toy, tmp_path / "scratch")
    status = look(store)
    reads: list[str] = []
    get = store.get
    monkeypatch.setattr(store, "get", lambda key: reads.append(key) or get(key))
    status.look()
    assert not [key for key in reads if "/markers/" in key and "/markers/search/" not in key]
    monkeypatch.undo()
    reopen_refused(store, run.plan)
    status.look()
    assert not status.complete
    assert rows(status.table())["index"][:2] == ["5", "0"]
    assert status.lines() == []


def test_a_cancelled_run_is_complete_and_says_so(store: LocalStore) -> None:
    freeze_plan(store, make_plan())
    cancel(store, "demo", "x")
    status = look(store)
    assert status.complete
    assert "(cancelled)" in str(status.table().title)


def test_repairs_are_told(store: LocalStore, tmp_path: Path) -> None:
    run = drain(store, make_plan(), Toy(), tmp_path / "scratch")
    unit = Unit("index", ("t00000", "2018"))
    store.put(run.markers.key(unit), b"{")
    worker = Worker(store, tmp_path / "scratch", services=Toy().services())
    run.markers.remove(Unit("cluster", ("t00000",)))
    processed = worker.process(encode("demo", Unit("cluster", ("t00000",))))
    assert processed.outcome == "repaired"
    assert look(store).lines() == ["repaired index t00000 2018: what it wrote was damaged in the store"]


@pytest.mark.parametrize("unit", [Unit("index", ("t00000", "2018")), Unit("search", ("cube", "2018"))])
def test_a_damaged_marker_hides_no_other(store: LocalStore, tmp_path: Path, unit: Unit) -> None:
    run = drain(store, make_plan(), Toy(), tmp_path / "scratch")
    store.put(run.markers.key(unit), b"{")
    status = look(store)
    damaged = [line for line in status.lines() if line.startswith("damaged")]
    assert damaged == [
        f"damaged {unit.name}: {run.markers.key(unit)} cannot be read; `landseries sweep demo` has it written again"
    ]
    found = rows(status.table())
    assert found["report"][0] == "1"
    assert int(found[unit.stage][0]) == int(found[unit.stage][2]) - 1


def test_the_store_is_shown_by_stage(store: LocalStore, tmp_path: Path) -> None:
    drain(store, make_plan(), Toy(), tmp_path / "scratch")
    found = rows(usage_table(store))
    assert {"index", "fetch", "runs", "all"} <= set(found)
    assert int(found["all"][0]) == len(list(store.list("")))


def test_a_collection_says_what_it_would_remove_and_why(store: LocalStore, tmp_path: Path) -> None:
    drain(store, make_plan(), Toy(), tmp_path / "scratch")
    before = len(list(store.list("")))
    table = garbage_table(collect_garbage(store, dry_run=True, grace_s=0))
    assert table.title == "would be removed"
    assert len(list(store.list(""))) == before
    told = int(rows(table)["all"][2])
    assert told > 0
    removed = garbage_table(collect_garbage(store, dry_run=False, grace_s=0))
    assert removed.title == "removed"
    assert len(list(store.list(""))) == before - told
    Console(file=(tmp_path / "out").open("w")).print(table)


def test_without_a_broker_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith(BROKER_PREFIX)]:
        monkeypatch.delenv(name)
    assert broker_lines() == []


def test_a_broker_that_is_away_is_a_line_not_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANDSERIES_BROKER_URL", "amqp://127.0.0.1:1")
    (line,) = broker_lines()
    assert line.startswith("the broker does not say what waits: amqp://127.0.0.1:1")
