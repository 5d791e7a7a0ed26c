"""What operators do to workers and runs: stop, cancel, lose a queue, sweep."""

from __future__ import annotations

from pathlib import Path

import pika
import pytest
from support.delivery import journal_entries, queues_of, ready_messages, steps_done, wait_for, workers
from support.toy_services import make_plan, seed

from landseries.brokers.connection import parameters
from landseries.brokers.names import work_queue
from landseries.brokers.rabbitmq import RabbitBroker
from landseries.connections import BrokerConnection, StoreConnection
from landseries.gates import cancel
from landseries.messages import encode
from landseries.openrun import OpenRun
from landseries.pipeline import Unit
from landseries.plan import RunPlan, freeze_plan
from landseries.stores.minio import MinioStore
from landseries.submitting import publish_all, submit
from landseries.sweeping import due_messages

pytestmark = pytest.mark.integration

FOREST = Unit("forest", ("all",))
STEPS, STEP_S = 8, 0.4


@pytest.fixture
def store(bucket: StoreConnection) -> MinioStore:
    return MinioStore(bucket)


@pytest.fixture
def plan() -> RunPlan:
    return make_plan(tiles=2)


@pytest.fixture
def run(store: MinioStore, plan: RunPlan) -> OpenRun:
    """A run of which the forest is due."""
    freeze_plan(store, plan)
    run = OpenRun(store, plan)
    seed(store, run, [unit for stage in ("reliable", "index", "reference") for unit in run.pipeline.units(stage)])
    return run


def test_who_is_told_to_stop_finishes_the_unit_and_takes_no_other(
    vhost: BrokerConnection, bucket: StoreConnection, run: OpenRun, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    with RabbitBroker(vhost) as broker, workers(tmp_path / "workers", vhost, bucket) as started:
        broker.publish([encode("demo", FOREST)])
        worker = started.toy("pseudolabeler", "--journal", journal, "--steps", STEPS, "--step-s", STEP_S)
        wait_for("it has begun", lambda: len(steps_done(journal, FOREST.name)) > 1, 60, started.log)
        assert started.end(worker) == 0
    assert run.markers.answered(FOREST)
    assert sorted(steps_done(journal, FOREST.name).values()) == [1] * STEPS
    assert {unit for unit, _, _ in journal_entries(journal)} == {FOREST.name}
    queue = work_queue("pseudolabeler")
    # What the forest made due was published before it was acknowledged: a label per tile and year.
    assert ready_messages(vhost, [queue]) == {queue: 4}


def test_a_cancelled_run_is_dropped_and_taken_up_again_by_submit(
    vhost: BrokerConnection, bucket: StoreConnection, store: MinioStore, run: OpenRun, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    with RabbitBroker(vhost) as broker, workers(tmp_path / "workers", vhost, bucket) as started:
        cancel(store, "demo", "no longer wanted")
        broker.publish([encode("demo", FOREST)])
        worker = started.toy("pseudolabeler", "--journal", journal)
        queues = queues_of(["pseudolabeler"])
        wait_for("its message is dropped", lambda: not any(ready_messages(vhost, queues).values()), 60, started.log)
        started.end(worker)
        assert not any(ready_messages(vhost, queues).values())
        assert journal_entries(journal) == []
        assert submit(store, broker, run.plan) > 0
        started.toy("pseudolabeler", "--journal", journal)
        labels = list(run.pipeline.units("pseudolabel"))
        wait_for("it is taken up", lambda: all(map(run.markers.answered, labels)), 60, started.log)


def test_a_sweep_makes_good_a_lost_queue(
    vhost: BrokerConnection, bucket: StoreConnection, store: MinioStore, run: OpenRun, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    with RabbitBroker(vhost) as broker, workers(tmp_path / "workers", vhost, bucket) as started:
        broker.publish([encode("demo", FOREST)])
        with pika.BlockingConnection(parameters(vhost, "loses a queue")) as connection:
            connection.channel().queue_purge(work_queue("pseudolabeler"))
        # Twice: what is published superfluously is found answered, and done once.
        for _ in range(2):
            assert FOREST.name in {unit.name for unit in run.markers.due_now()}
            publish_all(broker, due_messages(store, run.plan))
        started.toy("pseudolabeler", "--journal", journal, "--steps", STEPS)
        labels = list(run.pipeline.units("pseudolabel"))
        wait_for("all is done", lambda: all(map(run.markers.answered, labels)), 60, started.log)
    assert sorted(steps_done(journal, FOREST.name).values()) == [1] * STEPS
