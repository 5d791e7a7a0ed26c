"""What delivery costs a trivial unit: requests to the store, exactly, and time beside a bare loop, roughly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.bare_loop import BareLoop
from support.overhead import Overhead, Phase

from landseries.connections import BrokerConnection, StoreConnection
from landseries.markers import GROUP_SIZE

pytestmark = pytest.mark.integration

TILES = 250
GROUPS = 3
#: The benchmark asks for 0.6; here the machine is shared with other tests.
LEAST_RATIO = 0.4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("overhead")


@pytest.fixture
def measured(vhost: BrokerConnection, bucket: StoreConnection, folder: Path) -> Iterator[list[Phase]]:
    with BareLoop(vhost, bucket) as bare:
        bare.run(20)
        yield Overhead(vhost, bucket, folder, tiles=TILES).measure(bare, block=50, bare_rounds=25)


def requests(phase: Phase) -> dict[str, int]:
    """Requests of all units of a phase; how often a cancellation is looked for depends on the time."""
    return {
        f"{method} {what}": count
        for (method, what), count in phase.asked.items()
        if what not in ("cancelled", "plans") and not what.startswith("markers/quotas")
    }


def test_a_trivial_unit_costs_few_requests_and_little_time(measured: list[Phase]) -> None:
    pseudolabel, strata = measured
    assert -(-TILES // GROUP_SIZE) == GROUPS
    units = TILES - 1  # the first one is not measured
    assert pseudolabel.units == strata.units == units
    assert requests(pseudolabel) == {
        "exists markers/pseudolabel": units,
        "get markers/forest": units,
        "get markers/index": units,
        "get artifacts/pseudolabel/manifest.json": units,
        "put artifacts/pseudolabel/out.json": units,
        "put artifacts/pseudolabel/manifest.json": units,
        "put_new markers/pseudolabel": units,
    }
    assert requests(strata) == {
        # Whether it was answered, and for the wide join whether its neighbour was; the last of each group knows.
        "exists markers/strata": 2 * units - GROUPS,
        "get markers/pseudolabel": units,
        "get artifacts/strata/manifest.json": units,
        "put artifacts/strata/out.json": units,
        "put artifacts/strata/manifest.json": units,
        "put_new markers/strata": units,
        # The marker of each group and of the whole; each group but the last finds its successor missing, the last all.
        "put joins/quotas": GROUPS + 1,
        "exists joins/quotas": GROUPS - 1 + GROUPS,
    }
    bare_rounds = sum(phase.units * phase.bare_rounds_per_unit for phase in measured)
    ratio = 2 * units / bare_rounds
    assert ratio >= LEAST_RATIO, f"{ratio:.2f} trivial units in the time of one bare round"
