"""Every image, as a user of no name and with a root that cannot be written, does its units of a real run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from support.containers import (
    Conduct,
    Container,
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
from support.small_run import (
    artifacts,
    check_same_artifacts,
    configuration,
    run_embedded,
    simulate_archive,
    write_config,
)

from landseries.brokers.topology import apply
from landseries.connections import StoreConnection
from landseries.openrun import OpenRun
from landseries.pipeline import SERVICES, STAGES, Unit, stages_of
from landseries.plan import read_plan
from landseries.stores.local import LocalStore
from landseries.stores.minio import MinioStore

pytestmark = [pytest.mark.deployment, pytest.mark.xdist_group("images"), pytest.mark.timeout(1800)]

_SERVERS: Final = ("minio", "rabbitmq")


@dataclass(frozen=True)
class Walked:
    """A run that containers have done, and the same run without them."""

    markers: dict[str, list[str]]
    embedded: Path
    store: StoreConnection
    conducts: dict[str, Conduct]


@pytest.fixture(scope="module", autouse=True)
def images() -> None:
    need_images([*SERVICES, *_SERVERS])


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walked]:
    folder = tmp_path_factory.mktemp("images")
    archive = simulate_archive(folder / "archive")
    config = write_config(archive, configuration(archive, "small"))
    run_embedded(config, folder / "work", jobs=2)
    with yard() as place:
        broker, store, variables = start_servers(place)
        apply(broker)
        MinioStore(store).create_bucket()
        workers = {
            service: place.start(service, name=service, env=variables, volumes=[archive]) for service in SERVICES
        }
        place.start("fetcher", "submit", config, name="submit", env=variables, volumes=[archive])
        markers = _await_report(store, workers)
        yield Walked(markers, folder / "work", store, conducts(workers))


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_does_its_units(walked: Walked, service: str) -> None:
    for stage in stages_of(service):
        assert walked.markers[stage], stage
        assert set(walked.markers[stage]) <= {"done", "refused"}
        assert "done" in walked.markers[stage]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_healthy_as_any_user_and_ends_when_told(walked: Walked, service: str) -> None:
    check_conduct(walked.conducts[service])


def test_the_artifacts_are_those_of_an_embedded_run(walked: Walked) -> None:
    check_same_artifacts(artifacts(MinioStore(walked.store)), artifacts(LocalStore(walked.embedded / "store")))


@pytest.mark.parametrize("name", [*SERVICES, *_SERVERS])
def test_an_image_says_what_it_is_and_is_not_for_root(name: str) -> None:
    check_says_what_it_is(name)


def test_the_fetcher_says_that_it_holds_what_is_under_the_gpl() -> None:
    labels = inspected(image("fetcher"))["Config"]["Labels"]
    assert "GPL-3.0-or-later" in labels["org.opencontainers.image.licenses"]
    assert "sentinelsat" in labels["org.opencontainers.image.description"]


@pytest.mark.parametrize("service", sorted(set(SERVICES) - {"trainer", "mapper"}))
def test_only_trainer_and_mapper_hold_pytorch(service: str) -> None:
    check_holds_no_pytorch(service)


def test_trainer_and_mapper_share_the_layer_of_pytorch() -> None:
    trainer, mapper, torch = (inspected(image(name)) for name in ("trainer", "mapper", "torch"))
    layers = torch["RootFS"]["Layers"]
    assert trainer["RootFS"]["Layers"][: len(layers)] == mapper["RootFS"]["Layers"][: len(layers)] == layers
    assert trainer["Size"] - torch["Size"] < 20_000_000
    assert mapper["Size"] - torch["Size"] < 300_000_000


def _await_report(store: StoreConnection, workers: dict[str, Container]) -> dict[str, list[str]]:
    """Wait until the run is complete; the answers of its units by stage."""
    opened = MinioStore(store)
    wait_for("the plan", lambda: read_plan(opened, "small") is not None, 120, lambda: last_words(workers))
    plan = read_plan(opened, "small")
    assert plan is not None
    markers = OpenRun(opened, plan).markers
    wait_for("the report", lambda: markers.answered(Unit("report", ())), 900, lambda: last_words(workers))
    return {stage: [marker.status for _, marker in markers.all_of(stage)] for stage in STAGES}
