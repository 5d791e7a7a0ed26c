"""Poison in front of a worker, with real work in between: what becomes of each, and how much the work is delayed.

Real units come in blocks, every other one with poison between them, through one queue to one worker process. What a
unit takes, from its delivery to its acknowledgement, is read from the worker's own log.
"""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pika

from landseries.brokers.connection import parameters
from landseries.brokers.names import WORK_EXCHANGE, dead_queue, work_queue
from landseries.brokers.rabbitmq import RabbitBroker
from landseries.connections import BrokerConnection, StoreConnection
from landseries.messages import encode
from landseries.openrun import OpenRun
from landseries.pipeline import Unit
from landseries.plan import freeze_plan
from landseries.stores.minio import MinioStore

from .delivery import Workers, queues_of, ready_messages, wait_for
from .poison import SERVICE, STAGE, Poison, publish
from .toy_services import make_plan, seed

#: Real units of a block.
BLOCK: Final = 25


@dataclass(frozen=True)
class Poisoned:
    """What came of it.

    Attributes:
        reasons: how many messages were put aside, by the beginning of their reason; "" where there is none.
        alive: whether the worker process that took the first message took the last one too.
        answered: whether every real unit has its marker.
        alone_s, between_s: median seconds of real units, without poison and with poison between them.
    """

    reasons: Counter[str]
    alive: bool
    answered: bool
    alone_s: float
    between_s: float


def expose(
    workers: Workers, broker: BrokerConnection, store_at: StoreConnection, poisons: Sequence[Poison], *, blocks: int
) -> Poisoned:
    """Publish blocks of real units, every other one mixed with its share of the poison, and have one worker do it.

    Raises:
        AssertionError: the queue is not empty after ten minutes.
    """
    store, plan = MinioStore(store_at), make_plan(tiles=blocks * BLOCK, years=[2018])
    freeze_plan(store, plan)
    run = OpenRun(store, plan)
    seed(store, run, [Unit("forest", ("all",)), *run.pipeline.units("index")])
    units = list(run.pipeline.units(STAGE))
    share = -(-len(poisons) // (blocks // 2))
    mixed: set[str] = set()
    left = iter(poisons)
    with RabbitBroker(broker) as publisher:
        for number in range(blocks):
            block = units[number * BLOCK : (number + 1) * BLOCK]
            messages = [encode(plan.run_id, unit) for unit in block]
            if number % 2 == 0:
                publisher.publish(messages)
                continue
            mixed.update(unit.name for unit in block)
            for message in messages:
                publish(broker, list(islice(left, -(-share // BLOCK))))
                publisher.publish([message])
    publish(broker, left)
    worker = workers.toy(SERVICE, "--journal", workers.folder / "journal")
    queues = [queue for queue in queues_of([SERVICE]) if queue != dead_queue(SERVICE)]
    wait_for("its queues are empty", lambda: not any(ready_messages(broker, queues).values()), 600.0, workers.log)
    wait_for("the last unit is answered", lambda: all(map(run.markers.answered, units[-3:])), 60.0, workers.log)
    alive = worker.poll() is None
    workers.end(worker)
    took = dict(_seconds(workers.folder))
    return Poisoned(
        reasons=Counter(_reasons(broker)),
        alive=alive and worker.returncode == 0 and not any(ready_messages(broker, [work_queue(SERVICE)]).values()),
        answered=run.markers.answered_units(STAGE) == set(units),
        alone_s=statistics.median(seconds for name, seconds in took.items() if name not in mixed),
        between_s=statistics.median(seconds for name, seconds in took.items() if name in mixed),
    )


def publish_good_with(broker: BrokerConnection, unit: Unit, headers: dict[str, Any]) -> None:
    """Publish a good message under bad headers."""
    message = encode("demo", unit)
    with pika.BlockingConnection(parameters(broker, "bad headers")) as connection:
        properties = pika.BasicProperties(type=message.type, message_id=message.message_id, headers=headers)
        connection.channel().basic_publish(WORK_EXCHANGE, unit.stage, message.body, properties)


def _seconds(folder: Path) -> Iterator[tuple[str, float]]:
    for log in folder.glob("worker-*.log"):
        for line in log.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            if entry.get("event") == "done":
                yield entry["unit"], float(entry["seconds"])


def _reasons(broker: BrokerConnection) -> Iterator[str]:
    with pika.BlockingConnection(parameters(broker, "test reads")) as connection:
        channel = connection.channel()
        while True:
            method, properties, _ = channel.basic_get(dead_queue(SERVICE), auto_ack=True)
            if method is None:
                return
            reason = (properties.headers or {}).get("reason", "")
            yield " ".join(str(reason).split()[:4])
