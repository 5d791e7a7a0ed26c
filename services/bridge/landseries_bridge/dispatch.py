"""Packing, submitting and polling: one look at all units and jobs of a site after the other.

The state is in the records and in the jobs' folders; this object can be thrown away at any point. A job is submitted
once: its name is looked up at the batch system before each submission, because the last one may have ended between
the submission and the record of it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from landseries.artifacts.documents import digest_of
from landseries.brokers.envelope import clean
from landseries.errors import BrokerUnavailable, ConfigError, LandseriesError, StoreUnavailable
from landseries.jobs import Job
from landseries.logs import logger
from landseries.markers import Damaged
from landseries.marking import plan_key
from landseries.offline import UnitList
from landseries.pipeline import STAGES
from landseries.stores.base import Store
from landseries.stores.local import LocalStore
from landseries_bridge.records import Records, Waiting
from landseries_bridge.scheduler import JobState, Scheduler
from landseries_bridge.script import JobFolder, Scripts
from landseries_bridge.settling import Settling
from landseries_bridge.site import Partition, Site
from landseries_bridge.staging import NoRun, StageIn, UnusableAnswer, bring_back, open_run

#: How long a job may be unknown to the batch system, or its last files unseen on this machine, before it has ended.
_UNSEEN_S: Final = 60.0
#: Of a job's log, in a reason: no more characters than leave room for the rest. It may be of any size.
_LOG_CHARACTERS: Final = 1500


class Stopped(LandseriesError):
    """The bridge was told to stop in the middle of something, which the next one goes on with."""


class Dispatcher:
    """One site's units and jobs, for as long as this bridge holds the site's lease.

    Attributes:
        trouble: what is wrong at the moment, for people; None where nothing is.
    """

    def __init__(
        self,
        store: Store,
        site: Site,
        records: Records,
        settling: Settling,
        scheduler: Scheduler,
        stopping: Callable[[], bool],
    ) -> None:
        """Make it; `stopping` tells whether to leave off soon.

        Raises:
            ConfigError: the site's template cannot be used.
        """
        self._store = store
        self._site = site
        self._records = records
        self._settling = settling
        self._scheduler = scheduler
        self._stopping = stopping
        self._scripts = Scripts(site.template)
        self._log = logger(__name__)
        self._unseen_since: dict[str, float] = {}
        self._told: dict[str, str] = {}
        self.trouble: str | None = None

    def look(self) -> None:
        """Look at everything once; what goes wrong with one job holds up no other.

        Raises:
            Stopped: it was told to stop.
            StoreError, BrokerError, SchedulerError: none of the jobs can be looked at now.
        """
        self._records.refresh()
        self.trouble = None
        submitted = [job.scheduler_id for job in self._records.jobs.values() if job.scheduler_id]
        states = self._scheduler.look(submitted)
        for job in list(self._records.jobs.values()):
            self._guarded(job, states.get(job.scheduler_id or ""))
        self._pack()

    def _guarded(self, job: Job, state: JobState | None) -> None:
        if self._stopping():
            raise Stopped("told to stop")
        try:
            self._advance(job, state)
        except NoRun:
            self._forget(job, state)
        except (Stopped, StoreUnavailable, BrokerUnavailable):
            raise  # the others would meet the same
        except (LandseriesError, OSError) as error:
            self.trouble = f"{job.label}: {error}"
            self._log.error("the job waits", job=job.label, reason=str(error))
        except Exception as error:
            self.trouble = f"{job.label}: {type(error).__name__}: {error}"
            self._log.exception("the job waits", job=job.label)

    def _advance(self, job: Job, state: JobState | None) -> None:
        if not self._store.exists(plan_key(job.run_id)):
            raise NoRun(f"run {job.run_id!r} was removed")
        if job.scheduler_id is None:
            self._submit(job)
        elif self._has_ended(job, state):
            self._settle(job, state)
        elif self._settling.is_cancelled(job.run_id):
            self._log.info("cancelling", job=job.label, number=job.scheduler_id)
            self._scheduler.cancel(job.scheduler_id)

    def _pack(self) -> None:
        """Make jobs of the units that are in none."""
        groups: dict[tuple[str, str], list[Waiting]] = {}
        for waiting in self._records.unpacked():
            groups.setdefault((waiting.run_id, waiting.unit.stage), []).append(waiting)
        for (run_id, stage), group in groups.items():
            name = self._site.section_of(STAGES[stage].service)
            if name is None:
                self.trouble = f"{len(group)} units of {stage} wait, and no partition of the profile does their service"
                continue
            section = self._site.partitions[name]
            while group and (len(group) >= section.units_per_job or _age_s(group[0]) >= section.pack_wait_s):
                if sum(job.partition == name for job in self._records.jobs.values()) >= section.jobs_at_once:
                    break
                job = self._new_job(run_id, stage, name, group[: section.units_per_job])
                group = group[section.units_per_job :]
                self._records.save_job(job)
                self._guarded(job, None)

    def _new_job(self, run_id: str, stage: str, partition: str, units: list[Waiting]) -> Job:
        tokens = "".join(sorted(waiting.record.token for waiting in units))
        name = f"ls-{stage}-{hashlib.sha256(tokens.encode()).hexdigest()[:16]}"
        return Job(name=name, run_id=run_id, partition=partition, stage=stage, units={w.id: "" for w in units})

    def _submit(self, job: Job) -> None:
        """Stage a job and submit it, or find that it was submitted."""
        folder = self._folder(job)
        units = [waiting for waiting in self._records.units_of(job) if self._settling.look_again(waiting)]
        staged = self._stage(job, units, folder)
        if not staged:
            self._finish(job)
            return
        job = job.model_copy(update={"units": staged})
        self._records.save_job(job)
        number = self._scheduler.find(job.label)
        if number is None:
            self._write_attempt(job, [waiting for waiting in units if waiting.id in staged], folder)
            self._leave_off_if_told()  # as late as possible: another bridge may have taken over
            number = self._scheduler.submit(folder.script(job))
        self._log.info("submitted", job=job.label, number=number, units=len(staged), run=job.run_id)
        self._records.save_job(job.model_copy(update={"scheduler_id": number}))

    def _stage(self, job: Job, units: list[Waiting], folder: JobFolder) -> dict[str, str]:
        """Copy what units need; the fingerprints of those that can be submitted, by message id."""
        found: dict[str, str] = {}
        staging = StageIn(self._store, job.run_id, LocalStore(folder.store), self._leave_off_if_told)
        for waiting in units:
            try:
                identity = job.units[waiting.id] or staging.stage(waiting.unit)
            except Damaged as damage:
                self._settling.have_repaired(waiting, damage)
                continue
            if identity is None:
                self._settling.drop(waiting, "what it needs was removed; it comes again when that is there")
            else:
                found[waiting.id] = identity
        return found

    def _write_attempt(self, job: Job, units: list[Waiting], folder: JobFolder) -> None:
        name, section = self._section(job)
        listed = UnitList(messages=tuple(waiting.record.message for waiting in units))
        folder.units(job).write_text(listed.model_dump_json(), encoding="utf-8")
        folder.exit_file(job).unlink(missing_ok=True)
        for left in folder.scratch.glob("tmp*"):  # of the last attempt, which may have been killed
            shutil.rmtree(left, ignore_errors=True)
        folder.script(job).write_text(self._scripts.text(name, job, section, folder), encoding="utf-8")

    def _has_ended(self, job: Job, state: JobState | None) -> bool:
        """Whether nothing more comes of a job's attempt."""
        self._tell(job, state)
        if state is not None and not state.ended:
            self._unseen_since.pop(job.label, None)
            return False
        if self._folder(job).exit_file(job).exists() or (state is not None and state.word != "COMPLETED"):
            return True
        # Forgotten by the batch system, or its files are not seen here yet.
        since = self._unseen_since.setdefault(job.label, time.monotonic())
        return time.monotonic() - since > _UNSEEN_S

    def _settle(self, job: Job, state: JobState | None) -> None:
        """Bring back what an ended attempt answered, and decide about the rest."""
        folder = self._folder(job)
        run = open_run(self._store, job.run_id)
        store = LocalStore(folder.store)
        missing, answered = [], 0
        for waiting in self._records.units_of(job):
            self._leave_off_if_told()
            try:
                back = bring_back(store, run, self._store, waiting.unit, job.units[waiting.id])
            except UnusableAnswer as unusable:
                self._log.warning(
                    "an answer cannot be used", job=job.label, unit=waiting.unit.name, reason=str(unusable)
                )
                back = False
            if back and not self._settling.look_again(waiting):
                answered += 1
            else:
                missing.append(waiting)
        word = "gone" if state is None else state.word
        self._log.info("ended", job=job.label, state=word, answered=answered, missing=len(missing))
        if missing and self._settling.is_cancelled(job.run_id):
            for waiting in missing:
                self._settling.drop(waiting, f"run {job.run_id!r} was cancelled")
            missing = []
        if not missing:
            self._finish(job)
            return
        reached = _reached(folder.checkpoints)
        fruitless = 0 if answered or reached != job.reached else job.fruitless + 1
        if fruitless >= self._section(job)[1].attempts:
            self._give_up(job, missing, word, folder)
            return
        again = {"attempt": job.attempt + 1, "fruitless": fruitless, "reached": reached, "scheduler_id": None}
        # Without fingerprints: the inputs are looked at again, and what was damaged in the folder is copied again.
        self._records.save_job(job.model_copy(update=again | {"units": {w.id: "" for w in missing}}))

    def _give_up(self, job: Job, units: list[Waiting], word: str, folder: JobFolder) -> None:
        said = _end_of(folder.log(job))
        for waiting in units:
            reason = f"{job.attempt} jobs at {self._site.name} did not answer it; {job.label} ({job.scheduler_id}) "
            self._settling.put_aside(waiting, f"{reason}ended as {word}, and said last: {said}")
        shutil.rmtree(folder.store, ignore_errors=True)  # scripts and logs stay for those who look into it
        shutil.rmtree(folder.scratch, ignore_errors=True)
        self._records.drop_job(job)

    def _forget(self, job: Job, state: JobState | None) -> None:
        """End a job whose run is gone; once nothing writes into its folder any more, that goes too."""
        if job.scheduler_id is not None and not self._has_ended(job, state):
            self._scheduler.cancel(job.scheduler_id)
            return
        for waiting in self._records.units_of(job):
            self._settling.drop(waiting, f"run {job.run_id!r} was removed")
        self._finish(job)

    def _finish(self, job: Job) -> None:
        shutil.rmtree(self._folder(job).path, ignore_errors=True)
        self._records.drop_job(job)
        self._told.pop(job.name, None)

    def _folder(self, job: Job) -> JobFolder:
        return JobFolder(self._site.spool / self._site.name / job.name)

    def _section(self, job: Job) -> tuple[str, Partition]:
        """The section of the profile that a job belongs to now, and its name."""
        name = job.partition if job.partition in self._site.partitions else None
        name = name or self._site.section_of(STAGES[job.stage].service)
        if name is None:
            raise ConfigError(f"the profile has no partition for units of {job.stage} any more")
        return name, self._site.partitions[name]

    def _tell(self, job: Job, state: JobState | None) -> None:
        now = "unknown to the batch system" if state is None else f"{state.word} {state.reason}".strip()
        if self._told.get(job.name) != now:
            self._told[job.name] = now
            self._log.info("job", job=job.label, number=job.scheduler_id, state=now)

    def _leave_off_if_told(self) -> None:
        if self._stopping():
            raise Stopped("told to stop")


def _age_s(waiting: Waiting) -> float:
    """How long a unit has waited: by the clock of the bridge that recorded it, or at least since it was seen here."""
    return max(time.time() - waiting.record.recorded_s, time.monotonic() - waiting.seen_s)


def _end_of(log: Path) -> str:
    """The last characters of a job's log, or why there are none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4 * _LOG_CHARACTERS))
            text = file.read().decode("utf-8", errors="replace")
    except OSError as error:
        return f"(no log: {error.strerror})"
    return clean(text.strip()[-_LOG_CHARACTERS:]) or "(nothing)"


def _reached(checkpoints: Path) -> str:
    """What tells one state of the checkpoints from another."""
    files = sorted(path for path in checkpoints.rglob("*") if path.is_file())
    listed = [f"{path.relative_to(checkpoints)} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files]
    return digest_of("\n".join(listed).encode()) if listed else ""
