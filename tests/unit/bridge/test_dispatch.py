"""The bridge over a batch system that runs scripts on this machine at once."""

from collections.abc import Iterator

import pytest
from support.bash_scheduler import BashScheduler

from tests.unit.bridge.behaviour import DispatchBehaviour, System


@pytest.fixture
def system() -> Iterator[System]:
    scheduler = BashScheduler()
    yield System(scheduler)
    scheduler.end_all()


class TestOnThisMachine(DispatchBehaviour):
    """All of the bridge's behaviour."""
