"""What a run would do: per stage, how many units are done, how many a known artifact answers, how many are new.

The real worker walks the real pipeline over a store that only reads, with handlers that never run: a unit whose
fingerprint is known is `done`, one that would have to be computed is `new`, and all that follows from a new unit is
new as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from landseries.messages import encode
from landseries.openrun import OpenRun
from landseries.pipeline import STAGES, Unit
from landseries.plan import RunPlan, freeze_plan
from landseries.service import Handler
from landseries.stores.base import Store, StoredObject
from landseries.stores.tagged import TaggedByDigest
from landseries.worker import Worker


@dataclass
class StageForecast:
    """Units of one stage: answered or answerable from known artifacts, and to be computed."""

    done: int = 0
    new: int = 0


class _WouldCompute(Exception):
    """Raised in place of computing."""


def forecast(store: Store, plan: RunPlan, scratch: Path) -> dict[str, StageForecast]:
    """What a run would do, by stage in the table's order; nothing is written to the store.

    The units of fetch are known only where the searches are; before that their number is 0.

    Raises:
        RunConflict: the store has another run of this name.
    """
    overlay = _Overlay(store)
    freeze_plan(overlay, plan)
    run = OpenRun(overlay, plan)
    worker = _DryWorker(overlay, scratch)
    stages: dict[str, StageForecast] = {}
    for stage in STAGES:
        stages[stage] = StageForecast()
        for unit in run.pipeline.units(stage):
            if _would_be_done(worker, run, unit):
                stages[stage].done += 1
            else:
                stages[stage].new += 1
    return stages


def _would_be_done(worker: Worker, run: OpenRun, unit: Unit) -> bool:
    if run.markers.answered(unit):
        return True
    if not run.markers.is_due(unit) or not all(list(run.pipeline.needs(unit, n)) for n in STAGES[unit.stage].needs):
        return False
    try:
        worker.process(encode(run.plan.run_id, unit))
    except _WouldCompute:
        return False
    return run.markers.answered(unit)


class _DryWorker(Worker):
    def _handler(self, stage: str) -> Handler:
        def stop(_: object) -> None:
            raise _WouldCompute

        return Handler(stop, super()._handler(stage).outside)


class _Overlay(TaggedByDigest):
    """A store whose writes stay in memory."""

    def __init__(self, base: Store) -> None:
        self._base = base
        self._written: dict[str, bytes] = {}

    def put(self, key: str, content: bytes | Path) -> None:
        self._written[key] = content if isinstance(content, bytes) else content.read_bytes()

    def put_new(self, key: str, content: bytes | Path) -> bool:
        if self.exists(key):
            return False
        self.put(key, content)
        return True

    def get(self, key: str) -> bytes | None:
        return self._written[key] if key in self._written else self._base.get(key)

    def local(self, key: str, digest: str | None = None) -> AbstractContextManager[Path]:
        return self._base.local(key, digest)

    def exists(self, key: str) -> bool:
        return key in self._written or self._base.exists(key)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        return self._base.list(prefix)

    def delete(self, key: str) -> None:
        self._written.pop(key, None)
