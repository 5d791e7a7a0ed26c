"""A unit far longer than the broker waits: its channel is closed, its message comes again, and it is computed once."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.delivery import Workers, journal_entries, queues_of, ready_messages, steps_done, wait_for
from support.toy_services import make_plan, seed

from landseries.brokers.names import work_queue
from landseries.brokers.rabbitmq import RabbitBroker
from landseries.connections import BrokerConnection, StoreConnection
from landseries.messages import encode
from landseries.openrun import OpenRun
from landseries.pipeline import Unit
from landseries.plan import freeze_plan
from landseries.stores.minio import MinioStore

from .conftest import ACK_TIMEOUT_S

pytestmark = pytest.mark.integration

FOREST = Unit("forest", ("all",))
TILES = 2
STEPS, STEP_S = 20, 0.5
#: Renewed, and the checkpoints copied, three times in this.
LEASE_S = 3.0


@dataclass
class LongRun:
    """A run of which the forest is due: a long unit, with pseudo-labels of two tiles and two years to follow."""

    store: MinioStore
    broker: BrokerConnection
    run: OpenRun
    journal: Path
    workers: Workers

    def start_worker(self, **options: object) -> int:
        chosen = {"--steps": STEPS, "--step-s": STEP_S, "--lease-s": LEASE_S, **options}
        arguments = [item for pair in chosen.items() for item in pair]
        return self.workers.toy("pseudolabeler", "--journal", self.journal, *arguments).pid

    def steps(self) -> list[int]:
        return sorted(int(step.removeprefix("step:")) for step in steps_done(self.journal, FOREST.name).elements())

    def wait(self, what: str, condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
        wait_for(what, condition, timeout_s, self.workers.log)

    def wait_for_end(self) -> None:
        """Until all is answered and no message of the service is left, ready or unacknowledged."""
        units = [FOREST, *self.run.pipeline.units("pseudolabel")]
        self.wait("all is answered", lambda: all(self.run.markers.answered(unit) for unit in units))
        queues = queues_of(["pseudolabeler"])
        self.wait("its queues are empty", lambda: not any(ready_messages(self.broker, queues).values()), 90.0)
        for process in self.workers.processes:
            if process.poll() is None:
                # What a worker holds while it ends goes back: empty after that is empty.
                self.workers.end(process)
        assert not any(ready_messages(self.broker, queues).values()), self.workers.log()

    def samples_waiting(self) -> int:
        return ready_messages(self.broker, [work_queue("sampler")])[work_queue("sampler")]


@pytest.fixture
def long_run(
    impatient_vhost: BrokerConnection, bucket: StoreConnection, impatient_workers: Workers, tmp_path: Path
) -> LongRun:
    store, plan = MinioStore(bucket), make_plan(tiles=TILES)
    freeze_plan(store, plan)
    run = OpenRun(store, plan)
    seed(store, run, [unit for stage in ("reliable", "index") for unit in run.pipeline.units(stage)])
    with RabbitBroker(impatient_vhost) as broker:
        broker.publish([encode(plan.run_id, FOREST)])
    return LongRun(store, impatient_vhost, run, tmp_path / "journal", impatient_workers)


def assert_one_result(long_run: LongRun) -> None:
    """Every unit is answered, by its one handler, and what follows was published."""
    whole = [unit for unit, what, _ in journal_entries(long_run.journal) if what == "whole"]
    assert sorted(whole) == sorted(unit.name for unit in long_run.run.pipeline.units("pseudolabel"))
    marker = long_run.run.markers.get(FOREST)
    assert marker is not None
    assert (marker.status, marker.reused) == ("done", False)
    artifacts = [item.key for item in long_run.store.list("artifacts/forest/")]
    assert sorted(key.rsplit("/", 1)[1] for key in artifacts) == ["manifest.json", "out.json"]
    assert list(long_run.store.list("scratch/")) == []
    assert long_run.samples_waiting() >= TILES


def test_a_unit_longer_than_the_ack_timeout_is_computed_once(long_run: LongRun) -> None:
    assert STEPS * STEP_S > 3 * ACK_TIMEOUT_S
    long_run.start_worker()
    queue = work_queue("pseudolabeler")
    long_run.wait("it has begun", lambda: len(long_run.steps()) > 0)
    long_run.wait("its message was taken back", lambda: ready_messages(long_run.broker, [queue])[queue] == 1)
    assert not long_run.run.markers.answered(FOREST)
    long_run.wait_for_end()
    assert long_run.steps() == list(range(STEPS))
    assert_one_result(long_run)


def test_a_second_worker_waits_for_the_first(long_run: LongRun) -> None:
    first = long_run.start_worker()
    long_run.wait("it has begun", lambda: len(long_run.steps()) > 0)
    second = long_run.start_worker()
    long_run.wait_for_end()
    assert long_run.steps() == list(range(STEPS))
    assert {pid for unit, _, pid in journal_entries(long_run.journal) if unit == FOREST.name} == {first}
    assert f"toy:{first} is at work on it" in long_run.workers.log()
    assert second != first
    assert_one_result(long_run)


@pytest.mark.parametrize("others", [0, 1], ids=["alone", "with another"])
def test_a_killed_worker_s_successor_goes_on_from_the_checkpoint(long_run: LongRun, others: int) -> None:
    first = long_run.start_worker()
    long_run.wait("it has begun", lambda: len(long_run.steps()) > 0)
    for _ in range(others):
        long_run.start_worker()
    long_run.wait("it is half-way", lambda: len(long_run.steps()) >= STEPS // 2)
    long_run.workers.end(long_run.workers.processes[0], signal.SIGKILL)
    if not others:
        long_run.start_worker()
    long_run.wait_for_end()
    done = long_run.steps()
    assert set(done) == set(range(STEPS))
    # A checkpoint is copied with each renewal of the lease; one step may have been under way.
    assert len(done) <= STEPS + LEASE_S / 3 / STEP_S + 2
    assert len({pid for unit, _, pid in journal_entries(long_run.journal) if unit == FOREST.name}) == 2
    assert f"{FOREST.name}\tfrom:0\t{first}" in long_run.journal.read_text()
    assert_one_result(long_run)


def test_who_is_told_to_stop_hands_a_long_unit_over_at_once(long_run: LongRun) -> None:
    long_run.start_worker(**{"--grace-s": 0})
    long_run.wait("a checkpoint is in the store", lambda: any(long_run.store.list("scratch/checkpoints/")))
    assert long_run.workers.end(long_run.workers.processes[0], signal.SIGTERM) == 0
    before = len(long_run.steps())
    long_run.start_worker()
    # Another worker need not wait until the lease runs out.
    long_run.wait("another goes on", lambda: len(long_run.steps()) > before, 20.0)
    long_run.wait_for_end()
    assert set(long_run.steps()) == set(range(STEPS))
    assert_one_result(long_run)
