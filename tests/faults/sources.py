"""Faults of a source: `python -m tests.faults.sources --faults 500`.

Searches and fetches of a catalogue on localhost by four worker processes, first undisturbed, then with connections
that are reset, bodies that end early or crawl, and servers that answer 429 and 5xx. Every artifact must have the bytes
of the undisturbed run, and the servers must never see more connections or requests than the quota allows all workers
together. It prints the figures, and ends with status 1 where one does not hold.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from landseries.artifacts.documents import digest_of
from landseries.config import load_config
from landseries.embedded import EmbeddedRun
from landseries.markers import Marker
from landseries.numerics import NumericsProfile
from landseries.pipeline import Unit
from landseries.plan import make_plan
from landseries_fetcher.describing import describe
from tests.support.catalogue_run import put_into_catalogue, through_the_year, write_config
from tests.support.catalogues import C1, COLOURS
from tests.support.range_server import FAULTS, RangeServer, range_server
from tests.support.stac_server import IMAGES, StacServer, asset_of, item_of, stac_server

CONNECTIONS: Final = 4
WORKERS: Final = 4
#: Of the requests go wrong: a third, so that ten tries in a row almost never do.
_SHARE: Final = 0.35
_WINDOW_S: Final = 60.0
#: Products with metadata files; the catalogue alone describes the others.
_WITH_METADATA: Final = 6
_STAGES: Final = ("search", "harmony", "fetch")


@dataclass
class Figures:
    """What came out.

    Attributes:
        faults: by kind, of both servers.
        requests: of both servers, with those that went wrong.
        at_once: the largest number of requests at the same time at both servers together.
        in_a_minute: the largest number of requests in any minute.
        quota: requests that are allowed in a minute.
        units: searches and fetches that were done.
        stalled: units that were put aside.
        artifacts: that were written.
        differing: artifacts that are not those of the undisturbed run.
    """

    faults: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    at_once: int = 0
    in_a_minute: int = 0
    quota: int = 0
    units: int = 0
    stalled: int = 0
    artifacts: int = 0
    differing: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def failures(self, wanted: int) -> list[str]:
        """What does not hold."""
        found = []
        if self.faults.total() < wanted:
            found.append(f"only {self.faults.total()} of {wanted} faults were met: more products are needed")
        if self.stalled or not self.units:
            found.append(f"{self.units} units done, {self.stalled} stalled")
        if self.differing:
            found.append(f"{len(self.differing)} artifacts differ, such as {self.differing[0]}")
        if self.at_once > CONNECTIONS or self.in_a_minute > self.quota:
            found.append("more connections or requests than the quota allows")
        return found


class _Quiet:
    """A watcher that tells nothing."""

    def begin(self, totals: dict[str, int], answered: dict[str, int]) -> None:
        pass

    def total(self, stage: str, units: int) -> None:
        pass

    def answered(self, unit: Unit, marker: Marker) -> None:
        pass

    def note(self, text: str) -> None:
        pass


def trial(folder: Path, *, faults: int, products: int, per_minute: int, seed: int) -> Figures:
    """Do the run undisturbed and disturbed.

    Args:
        folder: for everything; must be empty.
        faults: how many there are.
        products: of two years together.
        per_minute: requests that the quota allows.
        seed: of the faults.
    """
    with stac_server() as api, range_server() as store:
        offer(folder / "products", products, api, store)
        api.page_size = 50
        expected, _ = _run(folder / "undisturbed", api, store, per_minute)
        figures = Figures(quota=per_minute)
        api.times.clear()
        api.answers.clear()
        store.forget()
        api.enter, api.leave = store.enter, store.leave  # both servers count together
        budget = _Budget(faults, seed, figures.faults)
        api.fault, store.fault = budget.of_the_api, budget.of_the_files
        began = time.monotonic()
        found, figures.stalled = _run(folder / "disturbed", api, store, per_minute)
        figures.seconds = time.monotonic() - began
        figures.at_once = store.at_once_max
        times = sorted(store.times)  # which the catalogue's requests are in
        figures.requests = len(times)
        figures.in_a_minute = _most_in_a_window(times)
    figures.units = sum(1 for name in found if "/markers/" in name)
    expected, found = (
        {name: digest for name, digest in content.items() if name.startswith("artifacts/")}
        for content in (expected, found)
    )
    figures.artifacts = len(found)
    figures.differing = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    return figures


def offer(folder: Path, products: int, api: StacServer, store: RangeServer) -> None:
    """Put products of 2018 and 2019 into the catalogue; but for a few they share the content of their images."""
    first, second = through_the_year(products - products // 2), through_the_year(products // 2, 2019)
    whole, others = (
        [*first[:_WITH_METADATA], *second[:_WITH_METADATA]],
        [*first[_WITH_METADATA:], *second[_WITH_METADATA:]],
    )
    put_into_catalogue(folder, whole, api, store)
    for product in others:
        assets = {}
        for image, _ in IMAGES:
            href = f"{product.name}/{image}.tif"
            content = store.files[f"{whole[0].name}/{image}.tif"]
            store.files[href] = content
            assets[COLOURS[image]] = _sized(asset_of(product, image, f"{store.url}/{href}", 0.0), len(content))
        api.items.append(item_of(product, C1, assets))


def _sized(asset: dict[str, Any], size: int) -> dict[str, Any]:
    return {**asset, "file:size": size}


class _Budget:
    """Faults by chance, until so many were met."""

    def __init__(self, faults: int, seed: int, done: Counter[str]) -> None:
        self._left, self._chance, self._done = faults, random.Random(seed), done
        self._lock = threading.Lock()

    def of_the_files(self, path: str) -> str | None:
        return self._drawn(FAULTS, "files")

    def of_the_api(self, path: str) -> tuple[int, str] | None:
        found = self._drawn(("status_429", "status_500", "status_502", "status_503"), "catalogue")
        return None if found is None else (int(found.removeprefix("status_")), "1")

    def _drawn(self, kinds: Sequence[str], server: str) -> str | None:
        with self._lock:
            if not self._left or self._chance.random() >= _SHARE:
                return None
            self._left -= 1
            kind = self._chance.choice(kinds)
            self._done[f"{server} {kind}"] += 1
            return kind


def _run(folder: Path, api: StacServer, store: RangeServer, per_minute: int) -> tuple[dict[str, str], int]:
    """Search and fetch; digests by key of all that the store then holds, and how many units stalled."""
    source = {
        "kind": "earth-search",
        "url": api.url,
        "cache": str(folder / "cache"),
        "max_connections": CONNECTIONS,
        "max_requests_per_minute": per_minute,
    }
    options = {"years": [2018, 2019], "fetcher": {"search": {"per_year": 365}}}
    loaded = load_config(write_config(folder, source, **options))
    plan = make_plan(loaded, describe(loaded), NumericsProfile())
    run = EmbeddedRun(folder / "work", plan, jobs=WORKERS, watcher=_Quiet(), stages=_STAGES)
    outcome = run.run()
    keys = [item.key for item in run.store.list("")]
    return {key: digest_of(run.store.get(key) or b"") for key in keys}, len(outcome.dead_letters)


def _most_in_a_window(times: Sequence[float]) -> int:
    first, most = 0, 0
    for last, at in enumerate(times):
        while times[first] <= at - _WINDOW_S:
            first += 1
        most = max(most, last + 1 - first)
    return most


def main(arguments: Sequence[str] | None = None) -> int:
    """One trial; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.sources")
    parser.add_argument("--faults", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--per-minute", type=int, default=1200, help="requests that the quota allows")
    given = parser.parse_args(arguments)
    os.environ.pop("LANDSERIES_STORE_URL", None)
    folder = Path(tempfile.mkdtemp(prefix="landseries-faults-"))
    try:
        products = 12 + given.faults // 5
        figures = trial(folder, faults=given.faults, products=products, per_minute=given.per_minute, seed=given.seed)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(
        f"{figures.faults.total()} faults over {figures.requests} requests of {WORKERS} workers in "
        f"{figures.seconds:.0f} s: {figures.units} units done, {figures.stalled} stalled; {figures.artifacts} "
        f"artifacts, {len(figures.differing)} differ from the undisturbed run; at most {figures.at_once} of "
        f"{CONNECTIONS} connections and {figures.in_a_minute} of {figures.quota} requests in a minute"
    )
    print(", ".join(f"{kind}: {number}" for kind, number in sorted(figures.faults.items())))
    failures = figures.failures(given.faults)
    for failure in failures:
        print(f"FAILED: {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
