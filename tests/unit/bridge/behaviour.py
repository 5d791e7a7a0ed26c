"""What the bridge must do with units and jobs, whatever the batch system: specified once, inherited per system.

A subclass needs a fixture `system` that gives a `System`.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from support.delivery import journal_entries, steps_done
from support.toy_services import make_plan, seed

from landseries.gates import cancel, uncancel
from landseries.gc import collect_garbage
from landseries.jobs import JOBS, job_lines
from landseries.messages import Message, decode, encode
from landseries.openrun import OpenRun
from landseries.pipeline import Unit
from landseries.plan import freeze_plan
from landseries.stores.base import Store
from landseries.stores.local import LocalStore
from landseries_bridge.dispatch import Dispatcher, Stopped
from landseries_bridge.intake import Intake, Looker
from landseries_bridge.records import Records
from landseries_bridge.scheduler import JobState, Scheduler, SchedulerError
from landseries_bridge.settling import Settling
from landseries_bridge.site import Partition, Site

TESTS: Final = Path(__file__).resolve().parents[2]
FOREST: Final = Unit("forest", ("all",))
_TIMEOUT_S: Final = 90.0


@dataclass
class System:
    """A batch system, and the partition and GRES that its jobs name."""

    scheduler: Scheduler
    partition: str = "any"
    gres: str | None = None


@dataclass
class Sent:
    """Stands for the broker: what was published and put aside."""

    published: list[Message] = field(default_factory=list)
    dead: list[tuple[Message, str, str]] = field(default_factory=list)

    def publish(self, messages: Sequence[Message]) -> None:
        self.published += messages

    def put_aside(self, message: Message, service: str, reason: str) -> None:
        self.dead.append((message, service, reason))

    def units(self) -> list[Unit]:
        return [decode(message)[1] for message in self.published]


class Forgetful:
    """A batch system whose caller dies right after a submission."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.submitted: list[str] = []
        self.dies = True

    def submit(self, script: Path) -> str:
        self.submitted.append(self._scheduler.submit(script))
        if self.dies:
            raise SchedulerError("the caller died")
        return self.submitted[-1]

    def find(self, label: str) -> str | None:
        return self._scheduler.find(label)

    def look(self, jobs: Collection[str]) -> dict[str, JobState]:
        return self._scheduler.look(jobs)

    def cancel(self, job: str) -> None:
        self._scheduler.cancel(job)


class Bench:
    """A store with a run of which pseudo-labels (or the forest) are due, and a dispatcher over it."""

    def __init__(self, folder: Path, system: System, **section: Any) -> None:
        self.folder = folder
        self.store: Store = LocalStore(folder / "real")
        self.plan = make_plan(tiles=3)
        freeze_plan(self.store, self.plan)
        self.run = OpenRun(self.store, self.plan)
        self.system = system
        self.sent = Sent()
        self.journal = folder / "journal"
        self.failing = folder / "failing"
        toy = {"TOY_JOURNAL": str(self.journal), "TOY_FAILING": str(self.failing), "PYTHONPATH": str(TESTS)}
        options = {
            "services": ("pseudolabeler",),
            "partition": system.partition,
            "gres": system.gres,
            "time": "00:10:00",
            "command": (sys.executable, "-m", "support.toy_offline"),
            "units_per_job": 6,
            "pack_wait_s": 0.0,
            "environment": toy | section.pop("toy", {}),
        }
        partition = Partition.model_validate(options | section)
        self.site = Site(name="here", spool=folder / "spool", partitions={"main": partition})
        seed(
            self.store, self.run, [*self.run.pipeline.units("reliable"), *self.run.pipeline.units("index")], whole=True
        )
        self.start_anew()

    def start_anew(self, scheduler: Scheduler | None = None, stopping: Callable[[], bool] = lambda: False) -> None:
        """Another bridge goes on from what is in the store; `stopping` tells it when to leave off."""
        records = Records(self.store, self.site.name)
        settling = Settling(self.store, self.sent, records, partial(Looker, self.store, self.folder / "scratch"))
        used = scheduler or self.system.scheduler
        self.dispatcher = Dispatcher(self.store, self.site, records, settling, used, stopping)
        self.records = records

    def labels_due(self) -> list[Unit]:
        """The pseudo-labels, with the forest done."""
        seed(self.store, self.run, [FOREST], whole=True)
        return list(self.run.pipeline.units("pseudolabel"))

    def take(self, *units: Unit) -> list[str]:
        """Let messages come; what the bridge says of each."""
        intake = Intake(self.store, self.folder / "scratch", self.site.name)
        return [intake.process(encode(self.plan.run_id, unit)).outcome for unit in units]

    def look_until(self, what: str, condition: Callable[[], bool], timeout_s: float = _TIMEOUT_S) -> None:
        deadline = time.monotonic() + timeout_s
        while True:
            self.dispatcher.look()
            if condition():
                return
            assert time.monotonic() < deadline, f"not in time: {what}; {self.dispatcher.trouble}; {self.logs()}"
            time.sleep(0.1)

    def finish(self) -> None:
        self.look_until("no record is left", lambda: not list(self.store.list(f"{JOBS}/")))

    def answered(self, units: Sequence[Unit]) -> list[bool]:
        return [self.run.markers.answered(unit) for unit in units]

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("spool/**/*.log")))

    def job_folders(self) -> list[Path]:
        return sorted(self.folder.glob("spool/here/ls-*"))

    def done_by_jobs(self) -> list[str]:
        return sorted(unit for unit, what, _ in journal_entries(self.journal) if what == "whole")


class DispatchBehaviour:
    """The behaviour."""

    def test_units_are_packed_answered_and_published(self, tmp_path: Path, system: System) -> None:
        bench = Bench(tmp_path, system, units_per_job=4)
        units = bench.labels_due()
        assert bench.take(*units) == ["queued"] * 6
        bench.dispatcher.look()
        assert sorted(len(job.units) for job in bench.records.jobs.values()) == [2, 4]
        lines = list(job_lines(bench.store, "demo"))
        assert len(lines) == 2
        assert all("units of pseudolabel, partition main, submitted as" in line for line in lines)
        bench.finish()
        assert all(bench.answered(units))
        assert bench.done_by_jobs() == sorted(unit.name for unit in units)
        # Due as behind a worker: every tile's strata, once its last year is there.
        assert set(bench.sent.units()) == set(bench.run.pipeline.units("strata"))
        assert bench.job_folders() == []
        assert bench.sent.dead == []
        marker = bench.run.markers.get(units[0])
        assert marker is not None
        assert (marker.status, marker.reused) == ("done", False)
        assert bench.take(*units) == ["skipped"] * 6, "a redelivery finds them done"

    def test_duplicates_are_recorded_and_submitted_once(self, tmp_path: Path, system: System) -> None:
        bench = Bench(tmp_path, system)
        units = bench.labels_due()
        threads = [threading.Thread(target=bench.take, args=units) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(list(bench.store.list(f"{JOBS}/demo/here/units/"))) == len(units)
        bench.dispatcher.look()
        assert bench.take(*units) == ["queued"] * 6
        bench.finish()
        assert bench.done_by_jobs() == sorted(unit.name for unit in units)

    def test_a_bridge_that_dies_after_the_submission_submitted_once(self, tmp_path: Path, system: System) -> None:
        bench = Bench(tmp_path, system)
        units = bench.labels_due()
        bench.take(*units)
        forgetful = Forgetful(system.scheduler)
        bench.start_anew(forgetful)
        bench.dispatcher.look()
        assert bench.dispatcher.trouble is not None
        forgetful.dies = False
        bench.start_anew(forgetful)
        bench.finish()
        assert len(forgetful.submitted) == 1
        assert bench.done_by_jobs() == sorted(unit.name for unit in units)

    def test_a_bridge_that_is_stopped_while_it_copies_leaves_the_rest_to_the_next(
        self, tmp_path: Path, system: System
    ) -> None:
        bench = Bench(tmp_path, system)
        units = bench.labels_due()
        bench.take(*units)
        answers = iter([False] * 8)
        bench.start_anew(stopping=lambda: next(answers, True))
        with pytest.raises(Stopped):
            bench.dispatcher.look()
        (folder,) = bench.job_folders()
        assert any((folder / "store" / "artifacts").rglob("*.*"))
        assert not list(folder.glob("attempt-*"))
        bench.start_anew()
        bench.finish()
        assert bench.done_by_jobs() == sorted(unit.name for unit in units)

    def test_what_failed_at_first_is_submitted_again_without_what_is_done(self, tmp_path: Path, system: System) -> None:
        bench = Bench(tmp_path, system)
        units = bench.labels_due()
        bench.failing.write_text(units[1].name)
        bench.take(*units)
        others = [unit for unit in units if unit != units[1]]
        bench.look_until("the others are done", lambda: all(bench.answered(others)))
        bench.failing.unlink()
        bench.finish()
        assert all(bench.answered(units))
        assert bench.done_by_jobs() == sorted(unit.name for unit in units), "none was computed twice"
        assert bench.sent.dead == []

    def test_what_fails_always_is_put_aside_with_the_log_and_can_be_redriven(
        self, tmp_path: Path, system: System
    ) -> None:
        bench = Bench(tmp_path, system, attempts=2)
        units = bench.labels_due()
        bench.failing.write_text(units[1].name)
        bench.take(*units)
        bench.finish()
        assert bench.answered(units).count(False) == 1
        ((message, service, reason),) = bench.sent.dead
        assert decode(message) == ("demo", units[1])
        assert service == "pseudolabeler"
        assert "3 jobs at here did not answer it" in reason, "the first brought the others' answers"
        assert f"not done: {units[1].name} was told to fail" in reason
        (left,) = bench.job_folders()
        assert not (left / "store").exists()
        assert (left / "attempt-3.log").exists()
        bench.failing.unlink()
        assert bench.take(units[1]) == ["queued"]
        bench.finish()
        assert all(bench.answered(units))

    def test_a_job_that_is_ended_goes_on_from_its_checkpoint(self, tmp_path: Path, system: System) -> None:
        bench = Bench(tmp_path, system, toy={"TOY_STEPS": "12", "TOY_STEP_S": "0.25"})
        bench.take(FOREST)
        bench.look_until("it is half-way", lambda: sum(steps_done(bench.journal, FOREST.name).values()) >= 6)
        (job,) = bench.records.jobs.values()
        assert job.scheduler_id is not None
        system.scheduler.cancel(job.scheduler_id)
        (folder,) = bench.job_folders()
        (folder / "scratch" / "tmp-left").mkdir()
        bench.look_until("the second attempt", lambda: (folder / "attempt-2.sh").exists())
        assert not (folder / "scratch" / "tmp-left").exists()
        bench.finish()
        steps = sorted(int(step.removeprefix("step:")) for step in steps_done(bench.journal, FOREST.name).elements())
        assert set(steps) == set(range(12))
        assert len(steps) <= 13, "at most the step under way was done again"
        marker = bench.run.markers.get(FOREST)
        assert marker is not None
        assert marker.status == "done"

    def test_a_cancelled_run_ends_its_jobs_and_can_be_taken_up_again(self, tmp_path: Path, system: System) -> None:
        bench = Bench(tmp_path, system, toy={"TOY_STEPS": "200", "TOY_STEP_S": "0.25"})
        bench.take(FOREST)
        bench.look_until("it has begun", lambda: bool(journal_entries(bench.journal)))
        cancel(bench.store, "demo", "a test")
        bench.finish()
        assert bench.job_folders() == []
        assert not bench.run.markers.answered(FOREST)
        assert bench.sent.dead == []
        seen = len(journal_entries(bench.journal))
        uncancel(bench.store, "demo")
        assert bench.take(FOREST) == ["queued"]
        bench.look_until("it began anew", lambda: len(journal_entries(bench.journal)) > seen)
        cancel(bench.store, "demo", "the test is over")
        bench.finish()

    def test_a_run_that_is_forgotten_takes_its_jobs_along(self, tmp_path: Path, system: System) -> None:
        bench = Bench(tmp_path, system, toy={"TOY_STEPS": "200", "TOY_STEP_S": "0.25"})
        bench.take(FOREST)
        bench.look_until("it has begun", lambda: bool(journal_entries(bench.journal)))
        for item in list(bench.store.list("plans/")):
            bench.store.delete(item.key)
        bench.finish()
        assert bench.job_folders() == []

    def test_a_damaged_input_is_written_again_and_the_rest_goes_on(self, tmp_path: Path, system: System) -> None:
        bench = Bench(tmp_path, system)
        units = bench.labels_due()
        bench.take(*units)
        damaged = Unit("index", units[0].key)
        marker = bench.run.markers.get(damaged)
        assert marker is not None
        bench.store.put(marker.outputs["series.zarr.zip"].key, b"something else")
        bench.finish()
        assert bench.answered(units) == [False, *[True] * 5]
        assert damaged in bench.sent.units()
        assert not bench.run.markers.answered(damaged)

    def test_an_answer_that_was_damaged_on_the_way_is_not_taken(self, tmp_path: Path, system: System) -> None:
        bench = Bench(tmp_path, system, toy={"TOY_STEPS": "1"})
        bench.take(FOREST)
        bench.dispatcher.look()
        (folder,) = bench.job_folders()
        deadline = time.monotonic() + _TIMEOUT_S
        while not list(folder.glob("attempt-1.exit")) and time.monotonic() < deadline:
            time.sleep(0.1)
        (output,) = (folder / "store" / "artifacts" / "forest").rglob("out.json")
        output.write_bytes(b"{}")
        bench.finish()
        whole = bench.run.markers.get(FOREST)
        assert whole is not None
        with bench.run.local(FOREST, whole.outputs["out.json"]) as path:
            assert path.read_bytes() != b"{}"
        assert len([what for _, what, _ in journal_entries(bench.journal) if what == "from:0"]) >= 1

    def test_a_refusal_comes_back_with_its_reason(self, tmp_path: Path, system: System) -> None:
        bench = Bench(tmp_path, system, toy={"TOY_REFUSED": FOREST.name})
        bench.take(FOREST)
        bench.finish()
        marker = bench.run.markers.get(FOREST)
        assert marker is not None
        assert (marker.status, marker.reason) == ("refused", "was told to be refused")
        assert set(bench.sent.units()) == set(bench.run.pipeline.units("pseudolabel"))

    def test_jobs_learn_nothing_of_broker_and_store(
        self, tmp_path: Path, system: System, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LANDSERIES_STORE_SECRET_KEY", "s3cret")
        monkeypatch.setenv("LANDSERIES_BROKER_PASSWORD", "s3cret")
        bench = Bench(tmp_path, system)
        bench.take(*bench.labels_due()[:1])
        bench.dispatcher.look()
        (folder,) = bench.job_folders()
        assert "s3cret" not in "".join(path.read_text() for path in folder.glob("attempt-*"))
        bench.finish()
        if type(system.scheduler).__name__ != "BashScheduler":
            assert (tmp_path / "journal.leaked").read_text() == ""

    def test_garbage_collection_knows_the_records(self, tmp_path: Path, system: System) -> None:
        bench = Bench(tmp_path, system, pack_wait_s=3600.0)
        bench.take(FOREST)
        collect_garbage(bench.store, dry_run=False, grace_s=0.0)
        assert list(job_lines(bench.store, "demo")) == ["waiting for a job at here: 1 units"]
        collect_garbage(bench.store, dry_run=False, grace_s=0.0, forget=["demo"])
        assert list(bench.store.list(f"{JOBS}/")) == []
