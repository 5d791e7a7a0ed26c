"""The bridge's behaviour on a real Slurm."""

from collections.abc import Iterator

import pytest
from support.slurm import cpu_partition

from landseries_bridge.slurm import SlurmScheduler
from tests.unit.bridge.behaviour import DispatchBehaviour, System

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
