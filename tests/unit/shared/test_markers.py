"""Markers: what becomes due, and how little is asked of the store to know it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.counting_store import CountingStore
from support.memory_store import MemoryStore
from support.toy_services import make_plan, seed, toy_services

from landseries import markers as markers_module
from landseries.markers import Marker
from landseries.messages import encode
from landseries.openrun import OpenRun
from landseries.pipeline import Unit
from landseries.plan import freeze_plan
from landseries.worker import Worker

FOREST = Unit("forest", ("all",))
LABEL, STRATA = Unit("pseudolabel", ("t00000", "2018")), Unit("strata", ("t00000",))


@pytest.fixture
def store() -> CountingStore:
    return CountingStore(MemoryStore())


@pytest.fixture
def run(store: CountingStore) -> OpenRun:
    """A run of three tiles and one year whose pseudo-labels are due."""
    plan = make_plan(years=[2018])
    freeze_plan(store, plan)
    run = OpenRun(store, plan)
    seed(store, run, [FOREST, *run.pipeline.units("index")])
    store.asked.clear()
    return run


def test_the_first_marker_stays_and_says_so(run: OpenRun) -> None:
    assert run.markers.put(LABEL, Marker(status="refused", reason="clouds")) is True
    assert run.markers.put(LABEL, Marker(status="done")) is False
    found = run.markers.get(LABEL)
    assert found is not None
    assert found.reason == "clouds"


def test_who_waits_for_a_new_answer_is_not_looked_up(run: OpenRun, store: CountingStore) -> None:
    run.markers.put(LABEL, Marker(status="done"))
    assert run.markers.due_after(LABEL, first=True) == [STRATA]
    assert store.asked["exists", "markers/strata"] == 0
    assert run.markers.due_after(LABEL) == [STRATA]
    assert store.asked["exists", "markers/strata"] == 1


def test_who_was_answered_is_not_due_again_after_an_old_answer(run: OpenRun) -> None:
    run.markers.put(LABEL, Marker(status="done"))
    run.markers.put(STRATA, Marker(status="done"))
    assert run.markers.due_after(LABEL) == []


def test_a_repaired_unit_s_superfluous_message_ends_there(run: OpenRun, store: CountingStore, tmp_path: Path) -> None:
    worker = Worker(store, tmp_path, services=toy_services())
    first = worker.process(encode("demo", LABEL))
    assert [message.stage for message in first.due] == ["strata"]
    assert worker.process(first.due[0]).outcome == "done"
    run.markers.remove(LABEL)
    again = worker.process(encode("demo", LABEL))
    assert (again.outcome, [message.stage for message in again.due]) == ("reused", ["strata"])
    # The other tiles are not answered, so that nothing follows; and nothing is done twice.
    skipped = worker.process(again.due[0])
    assert (skipped.outcome, skipped.due) == ("skipped", [])


@pytest.mark.parametrize("backwards", [False, True])
def test_a_wide_join_asks_little_of_the_store_in_any_order(
    monkeypatch: pytest.MonkeyPatch, store: CountingStore, backwards: bool
) -> None:
    monkeypatch.setattr(markers_module, "GROUP_SIZE", 10)
    plan = make_plan("wide", tiles=200, years=[2018])
    freeze_plan(store, plan)
    run = OpenRun(store, plan)
    tallies = sorted(run.pipeline.units("strata"), reverse=backwards)
    due = []
    for unit in tallies:
        run.markers.put(unit, Marker(status="done"))
        due += run.markers.due_after(unit, first=True)
    assert due == [Unit("quotas", ("all",))]
    # One look at a neighbour per unit, and a group's own looks when it is complete.
    assert store.asked["exists", "markers/strata"] <= len(tallies)
    assert store.asked["put", "joins/quotas"] == 20 + 2 + 1
    assert store.asked["exists", "joins/quotas"] <= 20 * 10
