"""Which units wait and which jobs there are, as the store has them; each record is read once."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from landseries.errors import ArtifactError
from landseries.jobs import JOBS, Job, WaitingUnit, encoded, is_unit_key, job_key, read_job, read_unit, unit_key
from landseries.logs import logger
from landseries.messages import BadMessage, decode
from landseries.pipeline import Unit
from landseries.stores.base import Store


@dataclass(frozen=True)
class Waiting:
    """A waiting unit with what its message names, and when this bridge read it first, by its own steady clock."""

    run_id: str
    unit: Unit
    record: WaitingUnit
    seen_s: float = field(default_factory=time.monotonic)

    @property
    def id(self) -> str:
        """The id of its message."""
        return self.record.message.message_id


class Records:
    """The records of one site. Only who holds the site's lease changes jobs and removes units.

    Attributes:
        units: by run and message id.
        jobs: by name.
    """

    def __init__(self, store: Store, site: str) -> None:
        self._store = store
        self._site = site
        self._log = logger(__name__)
        self.units: dict[tuple[str, str], Waiting] = {}
        self.jobs: dict[str, Job] = {}
        self._unreadable: set[str] = set()

    def refresh(self) -> None:
        """Read what is new, and forget what is gone."""
        listed = {item.key for item in self._store.list(f"{JOBS}/") if item.key.split("/")[2:3] == [self._site]}
        known = {self._unit_key(waiting): waiting for waiting in self.units.values()}
        for key in sorted(listed - known.keys() - self._unreadable):
            if is_unit_key(key):
                self._read_unit(key)
            elif key.split("/")[-1].removesuffix(".json") not in self.jobs:
                self._read_job(key)
        for key in known.keys() - listed:
            self.units.pop((known[key].run_id, known[key].id), None)
        for job in [job for job in self.jobs.values() if self._job_key(job) not in listed]:
            del self.jobs[job.name]

    def save_job(self, job: Job) -> None:
        """Write a job's record."""
        self._store.put(self._job_key(job), encoded(job))
        self.jobs[job.name] = job

    def drop_job(self, job: Job) -> None:
        """Forget a job."""
        self._store.delete(self._job_key(job))
        self.jobs.pop(job.name, None)

    def drop_unit(self, waiting: Waiting) -> None:
        """Forget a unit: it was answered, put aside, or nobody wants it any more."""
        self._store.delete(self._unit_key(waiting))
        self.units.pop((waiting.run_id, waiting.id), None)

    def units_of(self, job: Job) -> list[Waiting]:
        """The units of a job that are not settled, in the order of the job."""
        found = (self.units.get((job.run_id, message_id)) for message_id in job.units)
        return [waiting for waiting in found if waiting is not None]

    def unpacked(self) -> list[Waiting]:
        """The units that are in no job, those first that have waited longest."""
        packed = {(job.run_id, message_id) for job in self.jobs.values() for message_id in job.units}
        free = [waiting for key, waiting in self.units.items() if key not in packed]
        return sorted(free, key=lambda waiting: (waiting.record.recorded_s, waiting.id))

    def _read_unit(self, key: str) -> None:
        try:
            record = read_unit(self._store, key)
            if record is not None:
                run_id, unit = decode(record.message)
                self.units[(run_id, record.message.message_id)] = Waiting(run_id, unit, record)
        except (ArtifactError, BadMessage) as error:
            self._give_up(key, error)

    def _read_job(self, key: str) -> None:
        try:
            job = read_job(self._store, key)
            if job is not None:
                self.jobs[job.name] = job
        except ArtifactError as error:
            self._give_up(key, error)

    def _give_up(self, key: str, error: Exception) -> None:
        self._unreadable.add(key)
        self._log.error("a record cannot be read; remove it, and sweep its run", key=key, error=str(error))

    def _unit_key(self, waiting: Waiting) -> str:
        return unit_key(waiting.run_id, self._site, waiting.id)

    def _job_key(self, job: Job) -> str:
        return job_key(job.run_id, self._site, job.name)
