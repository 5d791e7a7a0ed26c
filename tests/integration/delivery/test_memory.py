"""A worker's memory does not grow with the units it has done."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.delivery import workers
from support.memory import grow

from landseries.connections import BrokerConnection, StoreConnection

pytestmark = pytest.mark.integration

FEW, MANY = 150, 600
MOST_GROWTH = 1.05


def test_memory_stays_as_it_is(vhost: BrokerConnection, bucket: StoreConnection, tmp_path: Path) -> None:
    with workers(tmp_path / "workers", vhost, bucket) as started:
        few, many = grow(started, vhost, bucket, [FEW, MANY])
    assert many <= MOST_GROWTH * few, f"{few:.1f} MiB after {FEW} units, {many:.1f} MiB after {MANY}"
