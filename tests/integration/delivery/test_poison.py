"""Hundreds of messages that nobody can read: each is put aside with its reason, and the work goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.delivery import wait_for, workers
from support.poison import SERVICE, STAGE, draw
from support.poisoning import expose, publish_good_with
from support.toy_services import make_plan, seed

from landseries.connections import BrokerConnection, StoreConnection
from landseries.openrun import OpenRun
from landseries.pipeline import Unit
from landseries.plan import freeze_plan
from landseries.stores.minio import MinioStore

pytestmark = pytest.mark.integration

POISONS = 500
BLOCKS = 8
#: The benchmark asks for 1.1; here a few units are timed beside other tests.
MOST_DELAY = 1.6


def test_poison_is_put_aside_and_work_goes_on(vhost: BrokerConnection, bucket: StoreConnection, tmp_path: Path) -> None:
    with workers(tmp_path / "workers", vhost, bucket) as started:
        found = expose(started, vhost, bucket, draw(POISONS), blocks=BLOCKS)
    assert found.alive
    assert found.answered
    assert found.reasons.total() == POISONS
    assert "" not in found.reasons, "some have no reason: the broker gave them up, not the worker"
    assert found.between_s <= MOST_DELAY * found.alone_s


def test_a_good_message_is_done_whatever_its_headers_say(
    vhost: BrokerConnection, bucket: StoreConnection, tmp_path: Path
) -> None:
    headers = [
        {"attempt": -1},
        {"attempt": "many", "traceparent": "00-zz"},
        {"attempt": 2**62, "published_ms": "yesterday"},
        {"traceparent": {"deep": [{"er": []}]}, "x-death": 7, "published_ms": -5},
    ]
    store, plan = MinioStore(bucket), make_plan(tiles=len(headers), years=[2018])
    freeze_plan(store, plan)
    run = OpenRun(store, plan)
    seed(store, run, [Unit("forest", ("all",)), *run.pipeline.units("index")])
    units = list(run.pipeline.units(STAGE))
    for unit, bad in zip(units, headers, strict=True):
        publish_good_with(vhost, unit, bad)
    with workers(tmp_path / "workers", vhost, bucket) as started:
        started.toy(SERVICE, "--journal", tmp_path / "journal")
        wait_for("all are done", lambda: all(map(run.markers.answered, units)), 60, started.log)
