"""The images that fetch and index do their part of a real run, with RabbitMQ and MinIO from images: the short proof.

`test_images` has all images do a whole run. Containers run as users of no name, with a root that cannot be written.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from support.containers import (
    Conduct,
    check_conduct,
    check_holds_no_pytorch,
    check_says_what_it_is,
    conducts,
    image,
    inspected,
    last_words,
    need_images,
    yard,
)
from support.delivery import wait_for
from support.servers_of_images import start_servers
from support.small_run import artifacts, check_same_artifacts, configuration, simulate_archive, write_config

from landseries.brokers.topology import apply
from landseries.openrun import OpenRun
from landseries.pipeline import stages_of
from landseries.plan import read_plan
from landseries.stores.base import Store
from landseries.stores.local import LocalStore
from landseries.stores.minio import MinioStore

pytestmark = [pytest.mark.deployment, pytest.mark.xdist_group("images"), pytest.mark.timeout(900)]

_SERVICES: Final = ("fetcher", "indexer")
_STAGES: Final = [stage for service in _SERVICES for stage in stages_of(service)]
_SERVERS: Final = ("rabbitmq", "minio")
_PART_S: Final = 400
_LARGEST_FETCHER_BYTES: Final = 450_000_000


@dataclass(frozen=True)
class Part:
    """The part of a run that was done, by containers and without: SHA-256 by artifact.

    Attributes:
        ours, others: artifacts of the services, from containers and from an embedded run.
        statuses: of the units, by stage.
        conducts: how the services behaved.
    """

    ours: dict[str, str]
    others: dict[str, str]
    statuses: dict[str, list[str]]
    conducts: dict[str, Conduct]


@pytest.fixture(scope="module", autouse=True)
def images() -> None:
    need_images([*_SERVICES, *_SERVERS])


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Part]:
    folder = tmp_path_factory.mktemp("light-images")
    archive = simulate_archive(folder / "archive")
    config = write_config(archive, configuration(archive, "small"))
    with yard() as place:
        broker, connection, variables = start_servers(place)
        apply(broker)
        store = MinioStore(connection)
        store.create_bucket()
        workers = {
            service: place.start(service, name=service, env=variables, volumes=[archive]) for service in _SERVICES
        }
        place.start("fetcher", "submit", config, name="submit", env=variables, volumes=[archive])
        wait_for("the part of containers", lambda: _is_done(store), _PART_S, lambda: last_words(workers))
        behaved = conducts(workers)
        embedded = _embedded(config, folder / "work")
        yield Part(_of_services(store), _of_services(embedded), _statuses(store), behaved)


def test_every_unit_is_answered(part: Part) -> None:
    for stage, statuses in part.statuses.items():
        assert "done" in statuses, stage
        assert set(statuses) <= {"done", "refused"}, stage


def test_the_artifacts_are_those_of_an_embedded_run(part: Part) -> None:
    check_same_artifacts(part.ours, part.others)


@pytest.mark.parametrize("service", _SERVICES)
def test_a_service_is_healthy_as_any_user_and_ends_when_told(part: Part, service: str) -> None:
    check_conduct(part.conducts[service])


@pytest.mark.parametrize("name", [*_SERVICES, *_SERVERS])
def test_an_image_says_what_it_is_and_is_not_for_root(name: str) -> None:
    check_says_what_it_is(name)


@pytest.mark.parametrize("service", _SERVICES)
def test_it_holds_neither_pytorch_nor_another_service(service: str) -> None:
    check_holds_no_pytorch(service)


def test_the_fetcher_is_small_as_it_lies_on_a_node() -> None:
    assert inspected(image("fetcher"))["Size"] <= _LARGEST_FETCHER_BYTES


def _run(store: Store) -> OpenRun | None:
    plan = read_plan(store, "small")
    return None if plan is None else OpenRun(store, plan)


def _is_done(store: Store) -> bool:
    """Whether all units of the services are answered; which there are to fetch is known when the last stage is done."""
    run = _run(store)
    return run is not None and all(
        run.markers.answered(unit) for stage in reversed(_STAGES) for unit in run.pipeline.units(stage)
    )


def _statuses(store: Store) -> dict[str, list[str]]:
    run = _run(store)
    assert run is not None
    return {stage: [marker.status for _, marker in run.markers.all_of(stage)] for stage in _STAGES}


def _of_services(store: Store) -> dict[str, str]:
    return {key: digest for key, digest in artifacts(store).items() if key.split("/")[1] in _STAGES}


def _embedded(config: Path, workdir: Path) -> LocalStore:
    """The store of `landseries run`, which is ended when it has done the same part."""
    command = [sys.executable, "-m", "landseries", "run", str(config), "--workdir", str(workdir), "--jobs", "2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    store = LocalStore(workdir / "store")
    try:
        wait_for("the embedded part", lambda: process.poll() is not None or _is_done(store), _PART_S)
        assert process.returncode in (None, 0), process.communicate()[0]
    finally:
        process.terminate()
        process.communicate()
    assert _is_done(store)
    return store
