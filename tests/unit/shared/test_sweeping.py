"""Sweeps: what is due follows from the markers alone, and refused units are tried again without redoing the rest."""

from pathlib import Path

import pytest
from unit.shared.test_worker import Toy, all_markers, drain, make_plan

from landseries.messages import decode
from landseries.openrun import OpenRun
from landseries.pipeline import STAGES, Unit
from landseries.plan import freeze_plan
from landseries.stores.local import LocalStore
from landseries.sweeping import due_messages, due_units, reopen_refused
from landseries.worker import Worker


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def digests(run: OpenRun) -> dict[str, dict[str, str]]:
    return {
        unit: {name: output.digest for name, output in marker.outputs.items()}
        for unit, marker in all_markers(run).items()
    }


def test_a_new_run_begins_with_what_needs_nothing(store: LocalStore) -> None:
    plan = make_plan()
    freeze_plan(store, plan)
    due = due_units(store, plan)
    assert {unit.stage for unit in due} == {name for name, row in STAGES.items() if not row.needs}
    messages = due_messages(store, plan)
    assert [decode(message) for message in messages] == [("demo", unit) for unit in due]
    assert len({message.traceparent for message in messages}) == 1


@pytest.mark.parametrize("lost_every", [2, 3, 7])
def test_lost_messages_are_made_good(store: LocalStore, tmp_path: Path, lost_every: int) -> None:
    """Of all that becomes due many a message is lost; sweeps alone bring the run to its end."""
    plan, toy = make_plan(), Toy()
    freeze_plan(store, plan)
    worker = Worker(store, tmp_path / "scratch", services=toy.services())
    seen = sweeps = 0
    while queue := due_messages(store, plan):
        sweeps += 1
        while queue:
            for message in worker.process(queue.pop(0)).due:
                seen += 1
                if seen % lost_every:
                    queue.append(message)
    assert sweeps > 1
    expected = drain(LocalStore(tmp_path / "other"), plan, Toy(), tmp_path / "scratch")
    assert digests(OpenRun(store, plan)) == digests(expected)
    assert len(toy.calls) == len(set(toy.calls)), "and none is done twice"


def test_what_is_damaged_is_due_again(store: LocalStore, tmp_path: Path) -> None:
    run = drain(store, make_plan(), Toy(), tmp_path / "scratch")
    search = Unit("search", ("cube", "2018"))
    store.put(run.markers.key(search), b"\xff not a marker")
    assert due_units(store, run.plan) == [search]


def test_a_choice_whose_bytes_are_damaged_is_due_again(store: LocalStore, tmp_path: Path) -> None:
    run = drain(store, make_plan(), Toy(), tmp_path / "scratch")
    search = Unit("search", ("cube", "2018"))
    marker = run.markers.get(search)
    assert marker is not None
    store.put(marker.outputs["chosen.json"].key, b'{"t00000": []}')
    assert due_units(store, run.plan) == [search]


class TestReopening:
    def refused_run(self, store: LocalStore, tmp_path: Path) -> tuple[OpenRun, Toy]:
        toy = Toy()
        toy.refuse = {"index t00001 2019": "no clear view", "compare t00002": "out of memory"}
        return drain(store, make_plan(), toy, tmp_path / "scratch"), toy

    def finish(self, store: LocalStore, run: OpenRun, toy: Toy, tmp_path: Path) -> OpenRun:
        toy.calls.clear()
        return drain(store, run.plan, toy, tmp_path / "scratch")

    def test_only_what_depends_on_it_is_done_again_and_the_bytes_are_those_of_a_good_run(
        self, store: LocalStore, tmp_path: Path
    ) -> None:
        run, toy = self.refused_run(store, tmp_path)
        toy.refuse = {}
        assert {unit.name for unit in reopen_refused(store, run.plan)} == {"index t00001 2019", "compare t00002"}
        again = self.finish(store, run, toy, tmp_path)
        good = drain(LocalStore(tmp_path / "good"), run.plan, Toy(), tmp_path / "scratch")
        assert digests(again) == digests(good)
        assert {marker.status for marker in all_markers(again).values()} == {"done"}
        untouched = {"search", "reference", "fetch", "cluster", "classes", "reliable", "forest"}
        assert not untouched & {name.split()[0] for name in toy.calls}
        assert [name for name in toy.calls if name.startswith("index")] == ["index t00001 2019"]
        assert toy.calls.count("compare t00002") == 1

    def test_what_is_refused_again_is_so_again(self, store: LocalStore, tmp_path: Path) -> None:
        run, toy = self.refused_run(store, tmp_path)
        before = digests(run)
        statuses = {name: (marker.status, marker.reason) for name, marker in all_markers(run).items()}
        reopen_refused(store, run.plan)
        again = self.finish(store, run, toy, tmp_path)
        assert set(toy.calls) <= {"index t00001 2019", "compare t00002", "report"}
        assert digests(again) == before
        assert {name: (m.status, m.reason) for name, m in all_markers(again).items()} == statuses

    def test_a_refused_search_brings_its_acquisitions_back(self, store: LocalStore, tmp_path: Path) -> None:
        toy = Toy()
        toy.refuse = {"search cube 2019": "the archive is closed"}
        run = drain(store, make_plan(), toy, tmp_path / "scratch")
        assert not any(name.startswith("fetch cube 2019") for name in all_markers(run))
        toy.refuse = {}
        assert [unit.name for unit in reopen_refused(store, run.plan)] == ["search cube 2019"]
        again = self.finish(store, run, toy, tmp_path)
        good = drain(LocalStore(tmp_path / "good"), run.plan, Toy(), tmp_path / "scratch")
        assert digests(again) == digests(good)

    def test_cut_short_it_can_be_done_again(
        self, store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run, toy = self.refused_run(store, tmp_path)
        toy.refuse = {}
        deletions = iter(range(4))
        delete = store.delete

        def dying(key: str) -> None:
            if next(deletions, None) is None:
                raise KeyboardInterrupt
            delete(key)

        monkeypatch.setattr(store, "delete", dying)
        with pytest.raises(KeyboardInterrupt):
            reopen_refused(store, run.plan)
        monkeypatch.undo()
        left = [unit.name for unit in reopen_refused(store, run.plan)]
        assert left == ["index t00001 2019"], "what caused most is removed last"
        again = self.finish(store, run, toy, tmp_path)
        good = drain(LocalStore(tmp_path / "good"), run.plan, Toy(), tmp_path / "scratch")
        assert digests(again) == digests(good)

    def test_damaged_markers_do_not_stop_it(self, store: LocalStore, tmp_path: Path) -> None:
        run, toy = self.refused_run(store, tmp_path)
        store.put(run.markers.key(Unit("reference", ("t00000",))), b"{")
        toy.refuse = {}
        assert len(reopen_refused(store, run.plan)) == 2
        again = self.finish(store, run, toy, tmp_path)
        assert {marker.status for marker in all_markers(again).values()} == {"done"}

    def test_without_any_refusal_nothing_changes(self, store: LocalStore, tmp_path: Path) -> None:
        run = drain(store, make_plan(), Toy(), tmp_path / "scratch")
        before = {item.key for item in store.list("")}
        assert reopen_refused(store, run.plan) == []
        assert {item.key for item in store.list("")} == before
