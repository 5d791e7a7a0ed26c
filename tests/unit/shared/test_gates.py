"""Gates: cancelled runs, full stores and other processors hold units back; and a cancellation is never remembered."""

from pathlib import Path

import pytest
from unit.shared.test_worker import Toy, make_plan

from landseries import gates, numerics
from landseries.gates import (
    CancelledRuns,
    NotNow,
    OtherProfile,
    RunCancelled,
    SpaceBudget,
    cancel,
    own_profile,
    uncancel,
)
from landseries.messages import encode
from landseries.numerics import NumericsProfile
from landseries.openrun import OpenRun
from landseries.pipeline import Unit
from landseries.plan import freeze_plan
from landseries.stores.local import LocalStore
from landseries.sweeping import due_messages
from landseries.worker import Worker

FETCH = Unit("fetch", ("cube", "2018", "a1"))
INDEX = Unit("index", ("t00000", "2018"))
TRAIN = Unit("train", ("all", "multi-year"))


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that gates see; tests move them."""
    now = [1000.0]
    monkeypatch.setattr(gates.time, "monotonic", lambda: now[0])
    return now


class TestCancelled:
    def test_of_two_runs_one_is_dropped(self, store: LocalStore) -> None:
        gate = CancelledRuns(store)
        cancel(store, "gone", "too expensive")
        with pytest.raises(RunCancelled, match="'gone' was cancelled"):
            gate(OpenRun(store, make_plan("gone")), INDEX)
        gate(OpenRun(store, make_plan("wanted")), INDEX)

    def test_it_is_noticed_soon(self, store: LocalStore, clock: list[float]) -> None:
        gate, run = CancelledRuns(store), OpenRun(store, make_plan())
        gate(run, INDEX)
        cancel(store, "demo", "x")
        clock[0] += 5.1
        with pytest.raises(RunCancelled):
            gate(run, INDEX)

    def test_taken_up_again_no_message_is_dropped(self, store: LocalStore, clock: list[float]) -> None:
        gate, run = CancelledRuns(store), OpenRun(store, make_plan())
        cancel(store, "demo", "x")
        with pytest.raises(RunCancelled):
            gate(run, INDEX)
        assert uncancel(store, "demo")
        gate(run, INDEX)
        assert not uncancel(store, "demo"), "nothing is left to take back"

    def test_a_wanted_run_costs_a_look_now_and_then(
        self, store: LocalStore, clock: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looks: list[str] = []
        monkeypatch.setattr(store, "exists", lambda key: bool(looks.append(key)))
        gate, run = CancelledRuns(store), OpenRun(store, make_plan())
        for _ in range(100):
            gate(run, INDEX)
            clock[0] += 0.1
        assert 2 <= len(looks) <= 3

    def test_a_worker_does_nothing_for_it_and_goes_on_afterwards(self, store: LocalStore, tmp_path: Path) -> None:
        toy, plan = Toy(), make_plan()
        freeze_plan(store, plan)
        worker = Worker(store, tmp_path / "scratch", services=toy.services(), gates=(CancelledRuns(store),))
        cancel(store, "demo", "x")
        message = due_messages(store, plan)[0]
        with pytest.raises(RunCancelled):
            worker.process(message)
        assert toy.calls == []
        uncancel(store, "demo")
        worker.process(message)
        assert len(toy.calls) == 1


class TestBudget:
    def run(self, store: LocalStore, budget_gib: float | None) -> OpenRun:
        return OpenRun(store, make_plan(storage={"budget_gib": budget_gib}))

    def test_a_full_store_pauses_fetching_alone(self, store: LocalStore) -> None:
        store.put("artifacts/fetch/x/t.tif", bytes(2 << 20))
        gate, run = SpaceBudget(store), self.run(store, 1 / 1024)
        with pytest.raises(NotNow, match="landseries gc"):
            gate(run, FETCH)
        for unit in (INDEX, TRAIN):
            gate(run, unit)

    def test_with_room_or_without_a_budget_nothing_waits(self, store: LocalStore) -> None:
        store.put("artifacts/fetch/x/t.tif", bytes(2 << 20))
        for budget_gib in (3 / 1024, None):
            SpaceBudget(store)(self.run(store, budget_gib), FETCH)


class TestProfile:
    def run(self, store: LocalStore, profile: NumericsProfile) -> OpenRun:
        return OpenRun(store, make_plan().model_copy(update={"numerics": profile}))

    def test_a_unit_whose_bytes_depend_on_it_asks_for_its_profile(
        self, store: LocalStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        profile = NumericsProfile(training_threads=3)
        monkeypatch.setenv("OMP_NUM_THREADS", "7")
        run = self.run(store, profile)
        with pytest.raises(OtherProfile) as caught:
            own_profile(run, TRAIN)
        assert caught.value.profile == profile
        own_profile(run, INDEX)

    def test_under_the_profile_it_goes_on(self, store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
        profile = NumericsProfile()
        for name, value in numerics.process_environment(profile).items():
            monkeypatch.setenv(name, value)
        own_profile(self.run(store, profile), TRAIN)

    def test_another_processor_is_left_the_unit(self, store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(numerics, "processor_capability", lambda: "avx2")
        with pytest.raises(NotNow, match="no amx, which run 'demo' asks for"):
            own_profile(self.run(store, NumericsProfile(capability="amx")), TRAIN)

    def test_a_machine_without_a_gpu_leaves_the_unit_even_under_the_profile(
        self, store: LocalStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        profile = NumericsProfile(device="cuda")
        for name, value in numerics.process_environment(profile).items():
            monkeypatch.setenv(name, value)
        run = self.run(store, profile)
        monkeypatch.setattr(numerics, "visible_gpus", lambda: 0)
        with pytest.raises(NotNow, match="no NVIDIA GPU to this process, which run 'demo' asks for"):
            own_profile(run, TRAIN)
        own_profile(run, INDEX)
        monkeypatch.setattr(numerics, "visible_gpus", lambda: 1)
        own_profile(run, TRAIN)


def test_an_answered_unit_is_looked_at_by_no_gate(store: LocalStore, tmp_path: Path) -> None:
    plan, toy = make_plan(), Toy()
    freeze_plan(store, plan)
    Worker(store, tmp_path / "scratch", services=toy.services()).process(encode("demo", Unit("reference", ("t00000",))))
    cancel(store, "demo", "x")
    worker = Worker(store, tmp_path / "scratch", services=toy.services(), gates=(CancelledRuns(store),))
    assert worker.process(encode("demo", Unit("reference", ("t00000",)))).outcome == "skipped"
