"""Units of work in a folder, without broker and network: what runs inside a job of a batch system.

The folder holds `store/` (a local store with the plan, and with all that the units need) and `scratch/`, where
checkpoints outlive a job that ends too early. Artifacts and markers go into the same store. Whoever laid the folder
out carries them on.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from landseries import numerics
from landseries.children import WorkerProcess, worker_environment
from landseries.errors import ConfigError, LandseriesError
from landseries.groups import membership
from landseries.messages import Message, decode
from landseries.openrun import OpenRun
from landseries.pipeline import STAGES
from landseries.plan import RunPlan, read_plan
from landseries.stores.local import LocalStore

STORE: Final = "store"
SCRATCH: Final = "scratch"


class UnitList(BaseModel):
    """The file that names the units: their messages, of one run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    messages: tuple[Message, ...]


@dataclass
class Report:
    """What became of the units.

    Attributes:
        answered: how many have their answer.
        helped: how many this process helped another to answer, as one of a group that torchrun or srun started.
        failures: of each other one, why it was not answered.
    """

    answered: int = 0
    helped: int = 0
    failures: dict[str, str] = field(default_factory=dict)


def read_units(path: Path) -> UnitList:
    """The units of a file.

    Raises:
        ConfigError: it cannot be read, or holds something else, or nothing.
    """
    try:
        found = UnitList.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ConfigError(f"{path}: holds no list of units as the bridge writes it: {error}") from None
    if not found.messages:
        raise ConfigError(f"{path}: names no unit")
    return found


def work(folder: Path, units: UnitList, *, processes: int, threads: int, say: Callable[[str], None]) -> Report:
    """Do units of one run, each once.

    Args:
        folder: with `store/` and `scratch/`.
        units: what to do; units that have their marker are left alone.
        processes: worker processes at once; several GPUs are dealt out to them.
        threads: threads of all processes together.
        say: told line by line what becomes of the units; called on several threads, one at a time.

    Raises:
        BadMessage: a message cannot be read.
        LandseriesError: units of several runs, no plan, or a processor that cannot do the run's numerics.
    """
    return _Shift(folder, units, processes, threads, say).work()


class _Shift:
    """One call of `work`."""

    def __init__(self, folder: Path, units: UnitList, processes: int, threads: int, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._say = say
        self._lock = threading.Lock()
        self._report = Report()
        self._threads_each = max(1, threads // processes)
        own = membership()
        self._only_helps = own is not None and own.rank > 0
        decoded = [decode(message) for message in units.messages]
        self._run = OpenRun(store := LocalStore(folder / STORE), _the_plan(store, {run_id for run_id, _ in decoded}))
        services = sorted({STAGES[unit.stage].service for _, unit in decoded})
        self._waiting: queue.SimpleQueue[Message] = queue.SimpleQueue()
        for message in units.messages:
            self._waiting.put(message)
        self._workers = [
            WorkerProcess(services, folder, worker_environment(self._run.plan.numerics, number), self._tell)
            for number in range(min(processes, len(units.messages)))
        ]

    def work(self) -> Report:
        threads = [threading.Thread(target=self._work, args=(worker,)) for worker in self._workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self._report

    def _work(self, worker: WorkerProcess) -> None:
        try:
            while True:
                self._do(worker, self._waiting.get_nowait())
        except queue.Empty:
            return
        finally:
            worker.kill()

    def _do(self, worker: WorkerProcess, message: Message) -> None:
        _, unit = decode(message)
        reason = _reason(worker.ask(message, self._threads_each))
        marker = self._run.markers.get(unit)
        if marker is not None:
            self._tell(f"{marker.status} {unit.name} in {marker.seconds:.1f} s {marker.reason}".rstrip())
        with self._lock:
            if marker is not None:
                self._report.answered += 1
            elif self._only_helps and reason is None:
                self._report.helped += 1  # process 0 may still be writing the answer
            else:
                self._report.failures[unit.name] = reason or "one of its inputs is missing or damaged in this folder"

    def _tell(self, text: str) -> None:
        with self._lock:
            self._say(text)


def _reason(answer: Mapping[str, Any]) -> str | None:
    return next((str(answer[kind]) for kind in ("dead", "retry", "later", "full") if kind in answer), None)


def _the_plan(store: LocalStore, run_ids: set[str]) -> RunPlan:
    if len(run_ids) != 1:
        raise LandseriesError(f"the units are of several runs: {', '.join(sorted(run_ids))}; a folder is for one")
    (run_id,) = run_ids
    plan = read_plan(store, run_id)
    if plan is None:
        raise LandseriesError(f"{store.folder}: holds no plan of run {run_id!r}")
    lacks = numerics.missing_for(plan.numerics)
    if lacks is not None:
        raise LandseriesError(
            f"{lacks}, which run {run_id!r} asks for: submit it with a `numerics` that the compute nodes have"
        )
    return plan
