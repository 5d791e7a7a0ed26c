"""Records of work that was handed to batch systems: which units wait for a job, and which jobs there are.

They lie in the store, so that a bridge that was killed goes on from them, and so that `status` can show them:

    jobs/<run>/<site>/units/<message id>.json    a unit that was taken from the broker and has not been answered yet
    jobs/<run>/<site>/batches/<job>.json         a job over some of these units

A unit's record is written on the condition that there is none, before its message is acknowledged, and removed when
its answer is in the store and what became due is published.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from landseries.artifacts.documents import canonical_json
from landseries.errors import ArtifactError
from landseries.messages import Message
from landseries.stores.base import Store

_RecordT = TypeVar("_RecordT", bound=BaseModel)

#: Where the records of all runs lie in a store.
JOBS: Final = "jobs"
_UNITS: Final = "units"
_BATCHES: Final = "batches"


class WaitingUnit(BaseModel):
    """A unit in the hands of a bridge.

    Attributes:
        message: the message that brought it.
        recorded_s: when it was recorded, in seconds since 1970 by the bridge's clock.
        token: tells this record from an earlier or later one of the same unit, which may have had jobs of their own.
    """

    model_config = ConfigDict(frozen=True)

    message: Message
    recorded_s: float
    token: str


class Job(BaseModel):
    """A job over some units of one stage of a run.

    Attributes:
        name: derived from the units' records, so that after a crash the same units make the same job.
        partition: name of the site's partition.
        stage: of all its units.
        units: message id -> fingerprint under which the unit was staged; empty before that.
        attempt: counts submissions, from 1.
        fruitless: attempts in a row that brought neither an answer nor a newer checkpoint.
        scheduler_id: what the batch system calls it; None while it is not submitted.
        reached: state of the checkpoints when the last attempt ended.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    run_id: str
    partition: str
    stage: str
    units: dict[str, str]
    attempt: int = 1
    fruitless: int = 0
    scheduler_id: str | None = None
    reached: str = ""

    @property
    def label(self) -> str:
        """The name under which this attempt is submitted."""
        return f"{self.name}-{self.attempt}"


def unit_key(run_id: str, site: str, message_id: str) -> str:
    """The key of a waiting unit's record."""
    return f"{JOBS}/{run_id}/{site}/{_UNITS}/{message_id}.json"


def job_key(run_id: str, site: str, name: str) -> str:
    """The key of a job's record."""
    return f"{JOBS}/{run_id}/{site}/{_BATCHES}/{name}.json"


def records_of(run_id: str) -> str:
    """What the keys of all records of a run begin with."""
    return f"{JOBS}/{run_id}/"


def encoded(record: WaitingUnit | Job) -> bytes:
    """A record as it is stored."""
    return canonical_json(record.model_dump(mode="json"))


def read_unit(store: Store, key: str) -> WaitingUnit | None:
    """A waiting unit; None where it is gone.

    Raises:
        ArtifactError: the record cannot be read.
    """
    return _read(store, key, WaitingUnit, "a waiting unit")


def read_job(store: Store, key: str) -> Job | None:
    """A job; None where it is gone.

    Raises:
        ArtifactError: the record cannot be read.
    """
    return _read(store, key, Job, "a job")


def _read(store: Store, key: str, model: type[_RecordT], what: str) -> _RecordT | None:
    content = store.get(key)
    try:
        return None if content is None else model.model_validate_json(content)
    except ValidationError as error:
        raise ArtifactError(f"{key}: is no record of {what}: {error}") from None


def is_unit_key(key: str) -> bool:
    """Whether a key under `jobs/` is that of a waiting unit."""
    return key.split("/")[3:4] == [_UNITS]


def job_lines(store: Store, run_id: str) -> Iterator[str]:
    """A line per job of a run, and one for the units that wait for a job, for people."""
    waiting: dict[str, int] = {}
    jobs: dict[str, list[Job]] = {}
    for item in store.list(records_of(run_id)):
        site = item.key.split("/")[2]
        if is_unit_key(item.key):
            waiting[site] = waiting.get(site, 0) + 1
        elif (job := read_job(store, item.key)) is not None:
            jobs.setdefault(site, []).append(job)
    for site in sorted(waiting.keys() | jobs.keys()):
        for job in jobs.get(site, []):
            where = f"submitted as {job.scheduler_id}" if job.scheduler_id else "being staged"
            units = f"{len(job.units)} units of {job.stage}"
            yield f"job {job.label} at {site}: {units}, partition {job.partition}, {where}"
        unpacked = waiting.get(site, 0) - sum(len(job.units) for job in jobs.get(site, []))
        if unpacked > 0:
            yield f"waiting for a job at {site}: {unpacked} units"
