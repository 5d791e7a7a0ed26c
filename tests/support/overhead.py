"""Trivial units through a real worker loop, in blocks between blocks of the bare loop, so that noise hits both.

The units are those of two stages: `pseudolabel` of every tile, each of which makes the tile's `strata` due, and
`strata`, which feeds the wide join `quotas`. Each stage has a worker of its own, as it has in a deployment.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from landseries.brokers.rabbitmq import RabbitBroker
from landseries.connections import BrokerConnection, StoreConnection
from landseries.messages import Message, encode
from landseries.metrics import WorkerMetrics
from landseries.openrun import OpenRun
from landseries.pipeline import STAGES, Unit
from landseries.plan import freeze_plan
from landseries.serving import ServiceLoop, Serving
from landseries.stores.minio import MinioStore
from landseries.worker import Processed, Worker

from .bare_loop import BareLoop
from .counting_store import CountingStore
from .toy_services import make_plan, seed, toy_services

STAGES_MEASURED: Final = ("pseudolabel", "strata")
_DEADLINE_S: Final = 600.0


@dataclass
class Phase:
    """What was measured of one stage; each list holds one number of seconds per block.

    Attributes:
        units: number of units.
        asked: requests to the store by (method, what for).
    """

    stage: str
    units: int = 0
    sizes: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    bare_rounds: int = 0
    bare_seconds: list[float] = field(default_factory=list)
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        """Units per second."""
        return self.units / sum(self.seconds)

    @property
    def bare_rate(self) -> float:
        """Bare rounds per second."""
        return self.bare_rounds / sum(self.bare_seconds)

    @property
    def bare_rounds_per_unit(self) -> float:
        """How many bare rounds fit into a unit's time; the median over blocks, each beside its own bare block."""
        blocks = zip(self.sizes, self.seconds, self.bare_seconds, strict=True)
        rounds = self.bare_rounds / len(self.sizes)
        return statistics.median(seconds / size / (bare / rounds) for size, seconds, bare in blocks)

    @property
    def ratio(self) -> float:
        """Units per bare round in the same time."""
        return 1 / self.bare_rounds_per_unit


class _Gate:
    """Lets a worker do a block of units and then holds it, until the next block."""

    def __init__(self) -> None:
        self._left = 0
        self._go = threading.Event()
        self._held = threading.Event()
        self._ended = 0.0

    def pass_one(self) -> None:
        """Called by the worker when it has a unit in hand: all before are acknowledged."""
        if self._left == 0:
            self._ended = time.perf_counter()
            self._go.clear()
            self._held.set()
            assert self._go.wait(_DEADLINE_S)
        self._left -= 1

    def wait_held(self) -> None:
        """Until the worker has a unit in hand and waits."""
        assert self._held.wait(_DEADLINE_S), "the worker stands still"

    def block(self, units: int) -> float:
        """Let it do some units; the seconds until it had the one after them in hand."""
        self._left = units
        self._held.clear()
        started = time.perf_counter()
        self._go.set()
        self.wait_held()
        return self._ended - started

    def open(self) -> None:
        """Let it go on without end."""
        self._left = 1 << 40
        self._go.set()


class Overhead:
    """One run whose two stages are measured in turn."""

    def __init__(self, broker: BrokerConnection, store: StoreConnection, scratch: Path, *, tiles: int) -> None:
        """Freeze the plan and mark what comes before the stages, in a bucket of the run's own: nothing is reused."""
        self._store_at = store.model_copy(update={"bucket": f"{store.bucket}-{tiles}"})
        self._broker_at, self._scratch = broker, scratch
        self.store = MinioStore(self._store_at)
        self.store.create_bucket()
        self.plan = make_plan(f"demo-{tiles}", tiles=tiles, years=[2018])
        freeze_plan(self.store, self.plan)
        self.run = OpenRun(self.store, self.plan)
        before = [Unit("forest", ("all",)), *self.run.pipeline.units("index")]
        seed(self.store, self.run, before)

    def measure(self, bare: BareLoop, *, block: int, bare_rounds: int) -> list[Phase]:
        """Do all units of both stages; ends with `quotas` due and not done."""
        with RabbitBroker(self._broker_at) as broker:
            broker.publish(encode(self.plan.run_id, unit) for unit in self.run.pipeline.units(STAGES_MEASURED[0]))
            # The one after the last unit holds the gate, so that the last one is seen acknowledged.
            broker.publish([encode(self.plan.run_id, Unit(STAGES_MEASURED[0], ("t00000", "2018")))])
        return [self._phase(stage, bare, block, bare_rounds) for stage in STAGES_MEASURED]

    def _phase(self, stage: str, bare: BareLoop, block: int, bare_rounds: int) -> Phase:
        store, gate, phase = CountingStore(MinioStore(self._store_at)), _Gate(), Phase(stage)

        class Gated(Worker):
            def process(self, message: Message, threads: int | None = None) -> Processed:
                gate.pass_one()
                return super().process(message, threads)

        def worker(*arguments: Any, **options: Any) -> Worker:
            return Gated(*arguments, services=toy_services(), **options)

        service = STAGES[stage].service
        serving = Serving(services=(service,), scratch=self._scratch, threads=1, owner="bench", exit_when_idle=True)
        with RabbitBroker(self._broker_at) as broker:
            loop = ServiceLoop(store, broker, serving, WorkerMetrics(service), worker=worker)
            thread = threading.Thread(target=loop.run)
            thread.start()
            gate.wait_held()
            gate.block(1)  # the plan is read, and connections are made
            store.asked.clear()
            left = len(self.plan.tile) - 1
            while left > 0:
                size = min(block, left)
                phase.bare_seconds.append(bare.run(bare_rounds))
                phase.seconds.append(gate.block(size))
                phase.bare_rounds += bare_rounds
                phase.sizes.append(size)
                phase.units += size
                left -= size
            phase.asked = store.asked.copy()
            loop.stop()
            gate.open()
            thread.join()
        return phase
