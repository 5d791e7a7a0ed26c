"""The bridge's behaviour on a real Slurm, and jobs that Slurm itself ends before they are done."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.delivery import steps_done
from support.slurm import cpu_partition, preemptible_partition, slurm

from landseries_bridge.slurm import SlurmScheduler
from tests.unit.bridge.behaviour import FOREST, Bench, DispatchBehaviour, System

pytestmark = [pytest.mark.deployment, pytest.mark.xdist_group("slurm")]


@pytest.fixture(scope="module")
def partition() -> Iterator[str]:
    with cpu_partition() as name:
        yield name


@pytest.fixture
def system(partition: str) -> System:
    scheduler = SlurmScheduler()
    scheduler.check()
    return System(scheduler, partition)


def _half_way(bench: Bench, steps: int) -> str:
    """Wait until a forest has done so many steps; the number of its job."""
    bench.take(FOREST)
    bench.look_until("it is half-way", lambda: _steps(bench) >= steps)
    (job,) = bench.records.jobs.values()
    assert job.scheduler_id is not None
    return job.scheduler_id


def _steps(bench: Bench) -> int:
    return sum(steps_done(bench.journal, FOREST.name).values())


class TestOnSlurm(DispatchBehaviour):
    """All of the bridge's behaviour."""

    @pytest.mark.timeout(400)
    def test_a_job_that_hears_of_its_time_limit_ends_and_the_next_goes_on(self, tmp_path: Path, system: System) -> None:
        # Slurm knows limits of whole minutes, and gives the signal up to a minute early.
        bench = Bench(
            tmp_path,
            system,
            time="00:02:00",
            directives=["--signal=B:USR1@50"],
            toy={"TOY_STEPS": "160", "TOY_STEP_S": "0.5"},
        )
        bench.take(FOREST)
        bench.look_until("the second attempt", lambda: [job.attempt for job in bench.records.jobs.values()] == [2], 180)
        assert not bench.run.markers.answered(FOREST)
        bench.look_until("it is done", lambda: bench.run.markers.answered(FOREST), 180)
        assert _steps(bench) <= 162

    @pytest.mark.timeout(600)
    def test_jobs_that_their_time_limit_kills_go_on_or_are_put_aside(self, tmp_path: Path, system: System) -> None:
        """One gets further in each attempt, the other nowhere."""
        (tmp_path / "slow").mkdir()
        (tmp_path / "stuck").mkdir()
        limited = {"time": "00:01:00", "attempts": 2}
        slow = Bench(tmp_path / "slow", system, **limited, toy={"TOY_STEPS": "220", "TOY_STEP_S": "0.5"})
        stuck = Bench(tmp_path / "stuck", system, **limited, toy={"TOY_STEPS": "1", "TOY_STEP_S": "3600"})
        slow.take(FOREST)
        stuck.take(FOREST)
        deadline = time.monotonic() + 500
        while not (slow.run.markers.answered(FOREST) and stuck.sent.dead) and time.monotonic() < deadline:
            slow.dispatcher.look()
            stuck.dispatcher.look()
            time.sleep(0.5)
        slow.finish()
        assert slow.run.markers.answered(FOREST)
        assert slow.sent.dead == []
        assert 220 <= _steps(slow) <= 223, "each attempt went on from the last one's checkpoint"
        ((_, service, reason),) = stuck.sent.dead
        assert service == "pseudolabeler"
        assert "2 jobs at here did not answer it" in reason
        assert "ended as TIMEOUT" in reason
        assert "DUE TO TIME LIMIT" in reason, "the end of the job's log"
        assert _steps(stuck) == 0

    @pytest.mark.timeout(300)
    def test_a_job_that_slurm_puts_back_into_its_queue_goes_on_under_its_number(
        self, tmp_path: Path, system: System
    ) -> None:
        toy = {"TOY_STEPS": "40", "TOY_STEP_S": "0.25"}
        bench = Bench(tmp_path, system, directives=["--requeue", "--open-mode=append"], toy=toy)
        number = _half_way(bench, 15)
        slurm("scontrol", "requeue", number)
        bench.look_until("it waits again", lambda: system.scheduler.look([number])[number].word == "PENDING")
        assert not bench.run.markers.answered(FOREST)
        slurm("scontrol", "update", f"JobId={number}", "StartTime=now")
        bench.finish()
        assert bench.run.markers.answered(FOREST)
        assert "attempt-2" not in " ".join(path.name for path in bench.folder.rglob("attempt-*"))
        assert 40 <= _steps(bench) <= 41
        assert bench.sent.dead == []

    @pytest.mark.timeout(300)
    def test_a_job_that_another_pushes_out_is_submitted_again(self, tmp_path: Path, system: System) -> None:
        with preemptible_partition() as (low, push_out):
            system = System(system.scheduler, low)
            toy = {"TOY_STEPS": "40", "TOY_STEP_S": "0.25"}
            bench = Bench(tmp_path, system, toy=toy)
            number = _half_way(bench, 15)
            other = push_out()
            bench.look_until("it was pushed out", lambda: system.scheduler.look([number])[number].word == "PREEMPTED")
            bench.look_until("the second attempt", lambda: [j.attempt for j in bench.records.jobs.values()] == [2])
            system.scheduler.cancel(other)
            bench.finish()
            assert bench.run.markers.answered(FOREST)
            assert 40 <= _steps(bench) <= 41
            assert bench.sent.dead == []
