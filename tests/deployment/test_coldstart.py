"""How long a worker's container takes from its start to its first unit, when a message waits and nothing else runs."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from support.containers import image, need_images, podman, yard
from support.delivery import wait_for
from support.servers_of_images import start_servers
from support.small_run import configuration, simulate_archive, write_config

from landseries.brokers.depths import queue_depths
from landseries.brokers.topology import apply
from landseries.connections import BrokerConnection
from landseries.pipeline import SERVICES, stages_of
from landseries.plan import read_plan
from landseries.stores.minio import MinioStore

pytestmark = [pytest.mark.deployment, pytest.mark.xdist_group("images"), pytest.mark.timeout(1800)]

_MOST_S: Final = {service: 10.0 if service in ("trainer", "mapper") else 5.0 for service in SERVICES}
_COMPILED: Final = ("indexer", "clusterer", "pseudolabeler", "mapper")


@pytest.fixture(scope="module", autouse=True)
def images() -> None:
    need_images([*SERVICES, "minio", "rabbitmq"])


def test_first_units_are_done_in_time(tmp_path: Path) -> None:
    archive = simulate_archive(tmp_path / "archive")
    config = write_config(archive, configuration(archive, "cold"))
    took: dict[str, float] = {}
    with yard() as place:
        broker, store, variables = start_servers(place)
        apply(broker)
        opened = MinioStore(store)
        opened.create_bucket()
        submitter = place.start("fetcher", "submit", config, name="submit", env=variables, volumes=[archive])
        wait_for("the plan", lambda: read_plan(opened, "cold") is not None, 120, submitter.logs)
        for service in SERVICES:
            _await_turn(broker, opened, service)
            started = time.monotonic()
            worker = place.start(service, name=service, env=variables, volumes=[archive])
            wait_for(f"a unit of {service}", partial(_has_answered, opened, service), 120, worker.logs)
            took[service] = time.monotonic() - started
    print("seconds from a container's start to its first unit:", {name: round(s, 1) for name, s in took.items()})
    assert {name: s for name, s in took.items() if s > _MOST_S[name]} == {}


@pytest.mark.parametrize("service", _COMPILED)
def test_an_image_brings_the_compiled_code_of_its_kernels(service: str) -> None:
    code = (
        f"from landseries.compiled import declared, precompile; print(precompile('landseries_{service}'), "
        "sum(sum(kernel.stats.cache_misses.values()) for kernel, _ in declared()))"
    )
    strict = ("--rm", "--no-healthcheck", "--read-only", "--user", "123456:123456", "--entrypoint", "python")
    kernels, missing = map(int, podman("run", *strict, image(service), "-c", code).split())
    assert kernels > 0
    assert missing == 0


def _await_turn(broker: BrokerConnection, store: MinioStore, service: str) -> None:
    """Wait until work for a service waits and the services before it have none left, so that the machine is its own."""
    answered = -1

    def rests() -> bool:
        nonlocal answered
        before, answered = answered, _answered(store)
        time.sleep(1.0)
        return before == answered and queue_depths(broker).waiting[service] > 0

    wait_for(f"work for {service}", rests, 300)


def _answered(store: MinioStore, stage: str = "") -> int:
    return sum(1 for _ in store.list(f"runs/cold/markers/{stage}"))


def _has_answered(store: MinioStore, service: str) -> bool:
    return any(_answered(store, f"{stage}/") for stage in stages_of(service))
