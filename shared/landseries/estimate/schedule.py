"""A run in simulated time: workers take units in the order in which they become due, as the pipeline table says.

Every queue is worked off first come, first served, by workers that are all alike and never fail. A unit becomes due
when the last of its needs has been answered; the tiles of a bundle become due together, when the last of them could.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

from landseries.errors import ConfigError
from landseries.estimate.rates import (
    Assumptions,
    Rates,
    StageRate,
    is_merge,
    looks_for_views,
    reads_sample,
    reads_views,
    trains,
)
from landseries.estimate.world import World
from landseries.pipeline import SERVICES, STAGES, Pipeline, Unit
from landseries.rows import Stage


@dataclass
class StageEstimate:
    """What one stage takes.

    Attributes:
        units: units of work.
        worker_s: seconds of work of all workers.
        first_s, last_s: when its first unit begins and its last one ends, seconds after the start of the run.
        waited_s: seconds that due units waited for a worker, in all.
        read_bytes, written_bytes: from and to the store.
        archive_bytes: from the imagery's archive.
    """

    units: int = 0
    worker_s: float = 0.0
    first_s: float = float("inf")
    last_s: float = 0.0
    waited_s: float = 0.0
    read_bytes: float = 0.0
    written_bytes: float = 0.0
    archive_bytes: float = 0.0


@dataclass(frozen=True)
class Step:
    """A stage's part of the critical path: the chain of units each of which made the next one due.

    Attributes:
        stage: the stage.
        work_s: seconds of its units on the path.
        waiting_s: seconds in which they were due and waited for a worker, or for the other tiles of their bundle.
    """

    stage: str
    work_s: float
    waiting_s: float


@dataclass
class Estimate:
    """What a run takes: by stage, in the table's order, and what its end waited for, from the beginning."""

    stages: dict[str, StageEstimate]
    critical_path: list[Step] = field(default_factory=list)

    @property
    def wall_s(self) -> float:
        """Seconds from the first message to the last answer."""
        return max(stage.last_s for stage in self.stages.values())


@dataclass(frozen=True)
class Cost:
    """What one unit takes."""

    seconds: float
    read: float
    written: float
    archive: float


@dataclass(frozen=True)
class _Done:
    """How a unit (a bundle's last tile) was done: when due, when done, how long it worked, and what made it due."""

    due: float
    end: float
    seconds: float
    after: Unit | None


def simulate(world: World, rates: Rates, workers: Mapping[tuple[str, ...], int]) -> Estimate:
    """Walk the table.

    Args:
        world: the area.
        rates: what units take.
        workers: number of workers by the services whose queues they take units from; every service once.

    Raises:
        ConfigError: a service has no workers, or two groups of them.
    """
    return _Simulation(world, rates, workers).run()


class _Simulation:
    """One walk over the table."""

    def __init__(self, world: World, rates: Rates, workers: Mapping[tuple[str, ...], int]) -> None:
        self._world = world
        self._rates = rates
        self._pipeline = Pipeline(world.extent, world)
        self._free = _free_workers(workers)
        self._due: list[tuple[float, int, Unit, Unit | None]] = []
        self._order = itertools.count()
        self._missing: dict[Unit, int] = {}
        self._ready_at: dict[Unit, tuple[float, Unit | None]] = {}
        self._done: dict[Unit, _Done] = {}
        self._estimate = Estimate({stage: StageEstimate() for stage in STAGES})

    def run(self) -> Estimate:
        for stage in STAGES:
            for unit in self._pipeline.units(stage):
                needs = sum(1 for need in STAGES[stage].needs for _ in self._pipeline.needs(unit, need))
                self._missing[unit] = needs
                if needs == 0:
                    self._push(unit, 0.0, None)
        while self._due:
            ready, _, unit, after = heapq.heappop(self._due)
            self._work(unit, ready, after)
        last = max(self._done, key=lambda unit: self._done[unit].end)
        self._estimate.critical_path = _path(self._done, last)
        return self._estimate

    def _push(self, unit: Unit, ready: float, after: Unit | None) -> None:
        heapq.heappush(self._due, (ready, next(self._order), unit, after))

    def _work(self, unit: Unit, ready: float, after: Unit | None) -> None:
        """Give the units of a bundle (or the one unit) to workers, and find what becomes due."""
        row = STAGES[unit.stage]
        count = self._world.tiles_in[unit["tile"]] if "tile" in row.unit else 1
        cost = cost_of(self._world, self._rates.stages[unit.stage], self._rates.assumptions, row, self._inputs(unit))
        seconds = cost.seconds + self._rates.assumptions.overhead_s
        free, end, waited = self._free[row.service], ready, 0.0
        first = max(ready, free[0])
        for _ in range(count):
            start = max(ready, free[0])
            end = start + seconds
            waited += start - ready
            heapq.heapreplace(free, end)
        found = self._estimate.stages[unit.stage]
        found.units += count
        found.worker_s += count * seconds
        found.waited_s += waited
        found.first_s, found.last_s = min(found.first_s, first), max(found.last_s, end)
        found.read_bytes += count * cost.read
        found.written_bytes += count * cost.written
        found.archive_bytes += count * cost.archive
        self._done[unit] = _Done(ready, end, seconds, after)
        for waiting, _ in self._pipeline.dependents(unit):
            self._answer_need(waiting, unit, end)

    def _answer_need(self, waiting: Unit, unit: Unit, end: float) -> None:
        latest = self._ready_at.get(waiting, (-1.0, None))
        if end > latest[0]:
            self._ready_at[waiting] = latest = (end, unit)
        self._missing[waiting] -= 1
        if self._missing[waiting] == 0:
            del self._ready_at[waiting]
            self._push(waiting, *latest)

    def _inputs(self, unit: Unit) -> int:
        """Units that a merge reads."""
        row = STAGES[unit.stage]
        if not is_merge(row):
            return 0
        needed = (one for need in row.needs for one in self._pipeline.needs(unit, need))
        return sum(self._world.tiles_in[one["tile"]] if "tile" in STAGES[one.stage].unit else 1 for one in needed)


def cost_of(world: World, rate: StageRate, assumed: Assumptions, row: Stage, inputs: int = 0) -> Cost:
    """What one unit of a stage takes; of a merge with so many inputs."""
    if trains(row):
        units = len(world.extent.models)
        seconds = rate.seconds_per_unit + rate.seconds_per_sample * world.samples * world.epochs
        return Cost(seconds, rate.read_per_sample * world.samples / units, rate.written_per_unit, 0.0)
    if is_merge(row):
        sampled = rate.read_per_sample * world.samples
        read = sampled if reads_sample(row) else max(rate.read_per_unit, rate.read_per_input * inputs)
        more = max(0.0, read - rate.read_per_unit) / (assumed.merge_mb_per_s * 1e6)
        more += max(0.0, inputs - rate.inputs_per_unit) * assumed.merge_input_s
        written = rate.written_per_unit + rate.written_per_sample * world.samples
        return Cost(rate.seconds_per_unit + more, read, written, 0.0)
    mpx = world.mpx
    archive = 0.0
    if "tile" not in row.unit:
        mpx *= world.tiles / len(world.extent.tiles_of)
    if "acquisition" in row.unit:
        mpx *= world.views / world.taken  # not every tile takes every acquisition
        archive = mpx * assumed.archive_mb_per_mpx * 1e6
    elif looks_for_views(row):
        mpx *= world.found
    elif reads_views(row):
        mpx *= world.views
    elif row.sampled:
        mpx *= world.opened_share
    written = rate.written_per_unit + rate.written_per_mpx * mpx
    return Cost(
        rate.seconds_per_unit + rate.seconds_per_mpx * mpx,
        rate.read_per_unit + rate.read_per_mpx * mpx,
        rate.written_per_sample * world.samples / world.tiles if row.sampled else written,
        archive,
    )


def _free_workers(workers: Mapping[tuple[str, ...], int]) -> dict[str, list[float]]:
    """When each worker is free next, by service; services that share workers share the list."""
    free: dict[str, list[float]] = {}
    for services, count in workers.items():
        own = [0.0] * count
        for service in services:
            if service not in SERVICES:
                raise ConfigError(f"--workers: there is no service {service!r}; services are {', '.join(SERVICES)}")
            if service in free or count < 1:
                raise ConfigError(f"--workers: {service}: give each service once, with at least one worker")
            free[service] = own
    without = [service for service in SERVICES if service not in free]
    if without:
        raise ConfigError(f"--workers: nobody does the units of {', '.join(without)}: give each service its workers")
    return free


def _path(done: Mapping[Unit, _Done], last: Unit) -> list[Step]:
    """The chain that ended with the run's last unit, with neighbours of one stage as one step, from the beginning."""
    steps: list[Step] = []
    unit: Unit | None = last
    while unit is not None:
        one = done[unit]
        step = Step(unit.stage, one.seconds, max(0.0, one.end - one.due - one.seconds))
        if steps and steps[-1].stage == unit.stage:
            known = steps.pop()
            step = Step(unit.stage, known.work_s + step.work_s, known.waiting_s + step.waiting_s)
        steps.append(step)
        unit = one.after
    return steps[::-1]
