"""The bridge's behaviour on a real Slurm."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.delivery import steps_done
from support.slurm import cpu_partition

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
        assert sum(steps_done(bench.journal, FOREST.name).values()) <= 162
