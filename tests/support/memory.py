"""How much memory a worker process has after some number of trivial units."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from landseries.brokers.names import work_queue
from landseries.brokers.rabbitmq import RabbitBroker
from landseries.connections import BrokerConnection, StoreConnection
from landseries.messages import encode
from landseries.openrun import OpenRun
from landseries.pipeline import STAGES, Unit
from landseries.plan import freeze_plan
from landseries.stores.minio import MinioStore

from .delivery import Workers, ready_messages, wait_for
from .toy_services import make_plan

#: Every tile's unit of this stage is due at once, and makes nothing due.
STAGE = "reference"
_PAGE_MIB = 4096 / 2**20


def grow(workers: Workers, broker: BrokerConnection, store: StoreConnection, counts: Sequence[int]) -> list[float]:
    """Resident memory in MiB of one worker process after each of some growing numbers of units."""
    plan = make_plan(tiles=counts[-1], years=[2018])
    freeze_plan(MinioStore(store), plan)
    run = OpenRun(MinioStore(store), plan)
    units = list(run.pipeline.units(STAGE))
    service = STAGES[STAGE].service
    worker = workers.toy(service, "--journal", workers.folder / "journal")
    found: list[float] = []
    with RabbitBroker(broker) as publisher:
        for start, end in zip((0, *counts), counts, strict=False):
            publisher.publish(encode(plan.run_id, unit) for unit in units[start:end])
            _wait_for_answers(workers, broker, run, service, units[end - 1])
            found.append(resident_mib(worker.pid))
    return found


def resident_mib(pid: int) -> float:
    """Resident memory of a process in MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_MIB


def _wait_for_answers(workers: Workers, broker: BrokerConnection, run: OpenRun, service: str, last: Unit) -> None:
    queue = work_queue(service)
    wait_for("the queue is empty", lambda: ready_messages(broker, [queue])[queue] == 0, 1800.0, workers.log)
    wait_for("the last unit is answered", lambda: run.markers.answered(last), 60.0, workers.log)
