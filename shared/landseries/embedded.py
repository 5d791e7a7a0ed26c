"""The embedded run: everything in one process tree, a folder as the store, queues in memory.

The parent holds the queues; each job is a thread that hands messages to a worker process of its own and reads what
became due. A worker that dies is started again and its message redelivered.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from landseries.brokers.inprocess import DeadLetter, InProcessBroker, InProcessDelivery
from landseries.children import WorkerProcess, worker_environment
from landseries.errors import LandseriesError, SourceError, StoreFull
from landseries.markers import Marker
from landseries.messages import Message, decode
from landseries.openrun import OpenRun
from landseries.pipeline import SERVICES, STAGES, Unit, stages_of
from landseries.plan import RunPlan
from landseries.replanning import freeze_anew
from landseries.stores.local import LocalStore
from landseries.sweeping import due_messages

_POLL_S: Final = 1.0
#: How long a unit waits that cannot be done yet, such as one whose product a hub has to bring from its archive.
_WAIT_S: Final = 30.0
#: How long a source may be away, while no unit is answered, before the run ends with what it has.
_SOURCE_PATIENCE_S: Final = 3600.0


class Watcher(Protocol):
    """Whoever watches a run."""

    def begin(self, totals: dict[str, int], answered: dict[str, int]) -> None:
        """The run starts, with so many units known and so many of them answered before."""

    def total(self, stage: str, units: int) -> None:
        """A stage turns out to have so many units."""

    def answered(self, unit: Unit, marker: Marker) -> None:
        """A unit was answered."""

    def note(self, text: str) -> None:
        """Something worth telling."""


@dataclass
class Outcome:
    """How an embedded run ended."""

    complete: bool
    dead_letters: list[DeadLetter] = field(default_factory=list)


class EmbeddedRun:
    """One run in a work folder: `store/` holds its artifacts, `scratch/` what is unfinished."""

    def __init__(
        self,
        workdir: Path,
        plan: RunPlan,
        *,
        jobs: int,
        watcher: Watcher,
        stages: Collection[str] = tuple(STAGES),
        source_patience_s: float = _SOURCE_PATIENCE_S,
    ) -> None:
        """Freeze the plan.

        Args:
            workdir: the work folder.
            plan: the run.
            jobs: worker processes.
            watcher: told how it goes.
            stages: what to do of the run; with a stage also those that it needs.
            source_patience_s: how long a source may be away, while no unit is answered, before the run ends.

        Raises:
            ValueError: a stage is unknown, or needs one that is not to be done.
            RunConflict: the work folder has another run of this name, which has done more than its searches.
        """
        _check_stages(stages)
        self._workdir = workdir.resolve()
        self.store = LocalStore(self._workdir / "store")
        freeze_anew(self.store, plan)
        self._plan = plan
        self._run = OpenRun(self.store, plan)
        self._jobs = jobs
        self._stages = frozenset(stages)
        # A run of the first stages needs no other services to be installed.
        self._services = [service for service in SERVICES if self._stages.intersection(stages_of(service))]
        self._source_patience_s = source_patience_s
        self._away_since: float | None = None
        self._watcher = watcher
        self._broker = InProcessBroker()
        self._stop = threading.Event()
        self._failure: LandseriesError | None = None
        self._lock = threading.Lock()
        self._workers: list[WorkerProcess] = []

    def run(self) -> Outcome:
        """Do all that is missing.

        Raises:
            StoreFull: the disk is full; what was done stays done.
            SourceError: the source stayed away for too long; what was done stays done.
            KeyboardInterrupt: someone pressed Ctrl-C; what was done stays done.
        """
        self.store.clean()
        self._clean_scratch()
        self._begin()
        self._publish(due_messages(self.store, self._plan))
        threads = [threading.Thread(target=self._guarded, name=f"job-{i}", daemon=True) for i in range(self._jobs)]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.2)
        finally:
            self._stop.set()
            for worker in self._workers:
                worker.kill()
            for thread in threads:
                thread.join(5)
        if self._failure is not None:
            raise self._failure
        markers = self._run.markers
        complete = all(markers.answered(unit) for stage in self._stages for unit in self._run.pipeline.units(stage))
        return Outcome(complete, list(self._broker.dead_letters))

    def _publish(self, messages: Iterable[Message]) -> None:
        self._broker.publish(message for message in messages if message.stage in self._stages)

    def _begin(self) -> None:
        stages = [stage for stage in STAGES if stage in self._stages]
        totals = {stage: sum(1 for _ in self._run.pipeline.units(stage)) for stage in stages}
        done = {stage: sum(1 for _ in self._run.markers.all_of(stage)) for stage in stages}
        self._watcher.begin(totals, done)

    def _clean_scratch(self) -> None:
        """Remove what killed workers left; checkpoints stay, they let training go on."""
        for left in (self._workdir / "scratch").glob("tmp*"):
            shutil.rmtree(left, ignore_errors=True)

    def _guarded(self) -> None:
        try:
            self._job()
        except LandseriesError as error:
            self._fail(error)
        except Exception as error:
            self._fail(LandseriesError(f"the run cannot go on: {type(error).__name__}: {error}"))

    def _fail(self, error: LandseriesError) -> None:
        with self._lock:
            self._failure = self._failure or error
        self._stop.set()

    def _job(self) -> None:
        """One job: a worker process, and the messages it is given."""
        with self._lock:
            environment = worker_environment(self._plan.numerics, len(self._workers))
            worker = WorkerProcess(self._services, self._workdir, environment, self._note)
            self._workers.append(worker)
        try:
            while not self._stop.is_set():
                delivery = self._broker.receive(self._services, _POLL_S)
                if delivery is None:
                    if self._broker.idle():
                        return
                    continue
                answer = worker.ask(delivery.message, self._threads_for_next())
                if not self._stop.is_set() or "due" in answer:
                    self._settle(delivery, answer)
        finally:
            worker.kill()

    def _threads_for_next(self) -> int:
        """All cores for a unit that is alone, else a job's share; bytes do not depend on it."""
        cores = os.cpu_count() or 1
        return cores if self._broker.only_one() else max(1, cores // self._jobs)

    def _settle(self, delivery: InProcessDelivery, answer: dict[str, Any]) -> None:
        _, unit = decode(delivery.message)
        if "due" in answer:
            self._away_since = None
            self._publish(Message.model_validate(entry) for entry in answer["due"])
            marker = self._run.markers.get(unit)
            if marker is not None:
                self._tell(unit, marker)
            delivery.ack()
        elif "full" in answer:
            raise StoreFull(answer["full"])
        elif "later" in answer:
            self._check_patience(answer)
            self._note(f"{unit.name}: waits, and is tried again in {_WAIT_S:.0f} s: {answer['later']}")
            delivery.later(_WAIT_S)
        elif "retry" in answer:
            self._note(f"{unit.name}: try {delivery.message.attempt} failed: {answer['retry']}")
            delivery.retry(answer["retry"])
        else:
            delivery.dead(answer["dead"])

    def _check_patience(self, answer: dict[str, Any]) -> None:
        """Let a run that only waits for its source end some time; other reasons to wait end by themselves.

        Raises:
            SourceError: it has waited for too long.
        """
        if not answer.get("source_away"):
            return
        now = time.monotonic()
        self._away_since = self._away_since or now
        if now - self._away_since >= self._source_patience_s:
            raise SourceError(
                f"the source has been away for {(now - self._away_since) / 60:.0f} minutes: {answer['later']}; "
                "what was done is kept: start the same command again once it is back"
            )

    def _tell(self, unit: Unit, marker: Marker) -> None:
        with self._lock:
            if unit.stage == "search" and "fetch" in self._stages:
                self._watcher.total("fetch", sum(1 for _ in self._run.pipeline.units("fetch")))
            self._watcher.answered(unit, marker)

    def _note(self, text: str) -> None:
        with self._lock:
            self._watcher.note(text)


def _check_stages(stages: Collection[str]) -> None:
    """See that a set of stages can be done to its end."""
    unknown = sorted(set(stages) - STAGES.keys())
    if unknown:
        raise ValueError(f"stages: there is no {', '.join(unknown)}; there are {', '.join(STAGES)}")
    for stage in stages:
        missing = [need.stage for need in STAGES[stage].needs if need.stage not in stages]
        if missing:
            raise ValueError(f"stages: {stage} needs {', '.join(missing)}, which would not be done")
