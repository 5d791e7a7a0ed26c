"""Searches alone, over a catalogue on localhost: what they show, what is reused, and a source that goes away."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.catalogue_run import put_into_catalogue, through_the_year, write_config
from support.range_server import RangeServer, range_server
from support.small_run import landseries
from support.stac_server import StacServer, stac_server
from support.tiny_archive import TinyProduct, scene_of, write_product

from landseries import embedded
from landseries.calendar.reading import read_calendar
from landseries.calendar.tables import why_not
from landseries.config import load_config
from landseries.embedded import EmbeddedRun
from landseries.errors import RunConflict, SourceError
from landseries.markers import Marker
from landseries.numerics import NumericsProfile
from landseries.pipeline import Unit
from landseries.plan import RunPlan, make_plan
from landseries_fetcher.describing import describe

pytestmark = pytest.mark.integration


@dataclass
class Told:
    """A watcher that remembers."""

    totals: dict[str, int] = field(default_factory=dict)
    answers: dict[Unit, Marker] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def begin(self, totals: dict[str, int], answered: dict[str, int]) -> None:
        self.totals = dict(totals)

    def total(self, stage: str, units: int) -> None:
        self.totals[stage] = units

    def answered(self, unit: Unit, marker: Marker) -> None:
        self.answers[unit] = marker

    def note(self, text: str) -> None:
        self.notes.append(text)


@dataclass
class World:
    """A catalogue with products, and a configuration over it."""

    api: StacServer
    store: RangeServer
    folder: Path

    def config(self, **fields: Any) -> Path:
        source = {"kind": "earth-search", "url": self.api.url, "cache": str(self.folder / "cache"), "patience_s": 0.5}
        return write_config(self.folder, source, **fields)

    def plan(self, **fields: Any) -> RunPlan:
        loaded = load_config(self.config(**fields))
        return make_plan(loaded, describe(loaded), NumericsProfile())

    def embedded(self, plan: RunPlan, told: Told, *stages: str, **options: Any) -> EmbeddedRun:
        return EmbeddedRun(self.folder / "work", plan, jobs=1, watcher=told, stages=stages or ("search",), **options)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.delenv("LANDSERIES_STORE_URL", raising=False)
    cloudy = TinyProduct(start="20180901T101021", discriminator="20180901T134512", scene=scene_of(9))
    with stac_server() as api, range_server() as store:
        put_into_catalogue(tmp_path / "products", [*through_the_year(4), cloudy], api, store)
        yield World(api, store, tmp_path)


def test_the_calendar_comes_before_anything_big(world: World) -> None:
    variables = {name: value for name, value in os.environ.items() if name != "LANDSERIES_STORE_URL"}
    said = landseries(
        {**variables, "COLUMNS": "200"}, "search", world.config(), "--workdir", world.folder / "work", "--jobs", 1
    )
    assert "32TQS 2018, 4 tiles" in said
    lines = {line[:10]: line for line in said.splitlines()}
    assert "4/4" in lines["2018-01-03"]
    assert "0/4 cloudy: 100.0 % masked over the tile, more than 80 %" in " ".join(lines["2018-09-01"].split())
    moved = {path.rpartition("/")[2] for path, size in world.store.bytes_sent.items() if size}
    assert moved == {"SCL.tif", "MTD_MSIL2A.xml", "MTD_TL.xml"}, "no band is read"
    total = next(line for line in said.splitlines() if line.startswith("2018 "))
    bands = sum(len(c) for name, c in world.store.files.items() if name.endswith(".tif") and "20180901" not in name)
    assert f"about {bands / 1024:.1f} KiB" in total
    page = world.folder / "work" / "tiny" / "calendar.html"
    assert f"calendar: {page.resolve()}" in said
    assert "<svg" in page.read_text()


def test_a_run_finds_what_a_search_has_done_and_settings_may_be_tried(world: World) -> None:
    first = Told()
    assert world.embedded(world.plan(), first).run().complete
    assert first.totals == {"search": 1}
    # Another setting under the same name takes the place of the first; the first again is found.
    fewer = Told()
    assert world.embedded(world.plan(fetcher={"search": {"per_year": 2}}), fewer).run().complete
    assert [marker.reused for marker in fewer.answers.values()] == [False]
    again, asked = Told(), world.store.requests.total()
    assert world.embedded(world.plan(), again).run().complete
    assert [marker.reused for marker in again.answers.values()] == [True]
    assert world.store.requests.total() == asked
    fetched = Told()
    assert world.embedded(world.plan(), fetched, "search", "harmony", "fetch").run().complete
    assert sorted(unit.stage for unit in fetched.answers) == [*["fetch"] * 4, "harmony"]
    assert fetched.totals["fetch"] == 4
    with pytest.raises(RunConflict, match=r"differs in fetcher\.search\.per_year"):
        world.embedded(world.plan(fetcher={"search": {"per_year": 2}}), Told())


def test_stages_come_with_those_that_they_need(world: World) -> None:
    with pytest.raises(ValueError, match="fetch needs harmony, which would not be done"):
        world.embedded(world.plan(), Told(), "search", "fetch")
    with pytest.raises(ValueError, match="there is no fecth; there are search, reference, harmony"):
        world.embedded(world.plan(), Told(), "search", "fecth")


def test_what_was_chosen_and_cannot_be_read_is_shown_as_refused(tmp_path: Path) -> None:
    first, second, third = through_the_year(3)
    roots = [write_product(tmp_path / "products", product) for product in (first, second, third)]
    (image,) = roots[0].rglob("*_B04_10m.jp2")
    image.write_bytes(image.read_bytes()[:-100])
    (image,) = roots[1].rglob("*_B11_20m.jp2")
    image.unlink()
    loaded = load_config(write_config(tmp_path, {"kind": "safe", "path": str(tmp_path / "products")}))
    plan = make_plan(loaded, describe(loaded), NumericsProfile())
    run = EmbeddedRun(tmp_path / "work", plan, jobs=1, watcher=Told(), stages=("search", "harmony", "fetch"))
    assert run.run().complete
    (year,) = read_calendar(run.store, plan)
    looks = {look.name: look for look in year.looks}
    assert [looks[product.acquisition].kind for product in (first, second, third)] == ["refused", "refused", "taken"]
    assert "is truncated" in why_not(looks[first.acquisition])
    assert "B11" in why_not(looks[second.acquisition])
    assert min(year.longest_gap_days.values()) > 200, "only the third is left"


def test_a_source_that_goes_away_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_WAIT_S", 0.5)
    plan, told = world.plan(), Told()
    world.api.fault = lambda path: (503, "0")

    def come_back() -> None:
        deadline = time.monotonic() + 60
        while not told.notes and time.monotonic() < deadline:
            time.sleep(0.05)
        world.api.fault = lambda path: None

    thread = threading.Thread(target=come_back)
    thread.start()
    outcome = world.embedded(plan, told).run()
    thread.join()
    assert outcome.complete
    assert outcome.dead_letters == []
    assert "search 32TQS 2018: waits, and is tried again in" in told.notes[0]
    assert "status 503" in told.notes[0]


def test_a_source_that_stays_away_ends_the_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_WAIT_S", 0.2)
    plan, told = world.plan(), Told()
    world.api.fault = lambda path: (429, "86400")
    with pytest.raises(SourceError, match=r"has been away for .*status 429.*start the same command again"):
        world.embedded(plan, told, source_patience_s=0.1).run()
    assert told.notes
    world.api.fault = lambda path: None
    assert world.embedded(plan, told).run().complete


def test_a_wrong_collection_stalls_with_what_to_mend(world: World) -> None:
    plan, told = world.plan(), Told()
    world.api.fault = lambda path: (404, "0")
    outcome = world.embedded(plan, told).run()
    assert not outcome.complete
    [letter] = outcome.dead_letters
    assert "mend source.url or source.collection" in letter.reason
    world.api.fault = lambda path: None
    assert world.embedded(plan, told).run().complete, "no marker says that it was refused for good"


def test_bad_input(world: World) -> None:
    config = world.config()
    command = [sys.executable, "-m", "landseries", "search", str(config), "--workdir", str(world.folder / "work")]
    done = subprocess.run([*command, "--tile", "x"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --tile: run 'tiny' has no tile 'x'; it has 4, such as ")
    assert not (world.folder / "work").exists(), "nothing was begun"
    content = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump({**content, "yeers": [2018]}))
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "did you mean `years`?" in done.stderr
