"""Sources that are away are waited for, and those that refuse say what to mend; against servers on localhost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.archive_bench import HARMONY, SEARCH, archive_bench
from support.catalogue_run import put_into_catalogue, through_the_year
from support.dhus_server import dhus
from support.harness import Bench, decided
from support.range_server import RangeServer, range_server
from support.stac_server import StacServer, stac_server

from landseries.artifacts.documents import digest_of_file
from landseries.errors import ConfigError
from landseries.gates import SourceAway
from landseries.pipeline import Unit
from landseries_fetcher.handlers import fetch, search, search_outside
from landseries_fetcher.remote import persistence

(PRODUCT,) = through_the_year(1)
FETCH = Unit("fetch", ("32TQS", "2018", PRODUCT.acquisition))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(persistence, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.delenv("LANDSERIES_STORE_URL", raising=False)
    for name in ("USER", "PASSWORD", "PASSWORD_FILE"):
        monkeypatch.delenv(f"LANDSERIES_DHUS_{name}", raising=False)


@pytest.fixture
def api() -> Iterator[StacServer]:
    with stac_server() as server:
        yield server


@pytest.fixture
def store() -> Iterator[RangeServer]:
    with range_server() as server:
        yield server


@pytest.fixture
def catalogue(tmp_path: Path, api: StacServer, store: RangeServer) -> Bench:
    put_into_catalogue(tmp_path / "products", [PRODUCT], api, store)
    return archive_bench(
        tmp_path, "bench", {"kind": "earth-search", "url": api.url, "cache": "cache", "patience_s": 0.3}
    )


def _anew() -> None:
    """As a worker would that has just started: what the catalogue told is forgotten."""
    from landseries_fetcher.sources import stac

    stac._archive.cache_clear()


@pytest.mark.parametrize("fault", [(503, "0"), (502, "0"), (429, "0"), (429, "86400")])
def test_a_catalogue_that_goes_away_and_comes_back(catalogue: Bench, api: StacServer, fault: tuple[int, str]) -> None:
    _anew()
    api.fault = lambda path: fault
    for handler in (search_outside, search):
        with pytest.raises(SourceAway, match=f"status {fault[0]}"):
            catalogue.run(handler, SEARCH)
    api.fault = lambda path: None
    assert f"{PRODUCT.acquisition}.json" in catalogue.run(search, SEARCH)


@pytest.mark.parametrize("fault", ["status_503", "status_429", "reset", "no_answer", "truncated"])
def test_files_that_go_away_and_come_back(tmp_path: Path, catalogue: Bench, store: RangeServer, fault: str) -> None:
    store.fault = lambda path: fault
    with pytest.raises(SourceAway):
        catalogue.run(search, SEARCH)
    store.fault = lambda path: None
    given = {SEARCH: catalogue.run(search, SEARCH), HARMONY: decided(tmp_path, PRODUCT.acquisition)}
    store.fault = lambda path: fault
    with pytest.raises(SourceAway):
        catalogue.run(fetch, FETCH, given)
    store.fault = lambda path: None
    assert len(catalogue.run(fetch, FETCH, given)) == 4


def test_a_server_that_is_not_there_at_all(tmp_path: Path) -> None:
    with range_server() as store:
        with stac_server() as api:
            put_into_catalogue(tmp_path / "products", [PRODUCT], api, store)
            source = {"kind": "earth-search", "url": api.url, "cache": "cache", "patience_s": 0.3}
            bench = archive_bench(tmp_path, "bench", source)
        _anew()
        with pytest.raises(SourceAway, match="the server refuses connections"):
            bench.run(search, SEARCH)


def test_what_was_away_changes_no_byte(catalogue: Bench, api: StacServer, store: RangeServer) -> None:
    def digests(found: dict[str, Path]) -> dict[str, str]:
        return {name: digest_of_file(path) for name, path in found.items()}

    expected = digests(catalogue.run(search, SEARCH))
    _anew()
    api.fault = lambda path: (503, "0")
    with pytest.raises(SourceAway):
        catalogue.run(search, SEARCH)
    api.fault = lambda path: None
    assert digests(catalogue.run(search, SEARCH)) == expected


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (404, r"no such catalogue or collection \(status 404\); mend source\.url or source\.collection"),
        (401, r"source\.url: .* refuses \(status 401\)"),
        (403, r"source\.url: .* refuses \(status 403\)"),
    ],
)
def test_a_catalogue_that_refuses(catalogue: Bench, api: StacServer, status: int, said: str) -> None:
    _anew()
    api.fault = lambda path: (status, "0")
    with pytest.raises(ConfigError, match=said):
        catalogue.run(search, SEARCH)


@pytest.mark.parametrize("status", [401, 403])
def test_files_that_are_refused(catalogue: Bench, store: RangeServer, status: int) -> None:
    store.guard = lambda path, headers: status
    with pytest.raises(ConfigError, match=rf"source: .*status {status}.*a kind with keys, such as cdse"):
        catalogue.run(search, SEARCH)


def test_a_hub_that_goes_away_and_comes_back_and_one_that_refuses(tmp_path: Path, archive: Callable[..., Path]) -> None:
    with dhus(archive(PRODUCT)) as hub:
        source = {"kind": "dhus", "api_url": hub.url, "patience_s": 0.3, "product_types": ["S2MSI2A"]}
        bench = archive_bench(tmp_path, "bench", {**source, "cache": "cache"})
        hub.faults.share = 1.0
        with pytest.raises(SourceAway, match="HTTP 503"):
            bench.run(search, SEARCH)
        hub.faults.share = 0.0
        given = {SEARCH: bench.run(search, SEARCH), HARMONY: decided(tmp_path, PRODUCT.acquisition)}
        hub.login = ("somebody", "secret")
        with pytest.raises(ConfigError, match=r"source\.api_url: .*LANDSERIES_DHUS_USER"):
            bench.run(fetch, FETCH, given)
