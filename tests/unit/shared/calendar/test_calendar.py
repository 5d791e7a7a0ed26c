"""The calendar of what the searches answered: read, printed and drawn."""

from __future__ import annotations

from datetime import date, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from support.harness import cube_plan

from landseries.artifacts.documents import canonical_json, digest_of
from landseries.calendar.charts import ROWS_MAX, year_chart
from landseries.calendar.page import render
from landseries.calendar.reading import GranuleYear, Look, Verdict, check_tile, read_calendar
from landseries.calendar.tables import calendar_table, totals_table, why_not
from landseries.config import Period
from landseries.errors import ConfigError
from landseries.markers import Marker, Output
from landseries.openrun import OpenRun
from landseries.pipeline import Unit
from landseries.plan import RunPlan
from landseries.stores.local import LocalStore

YEAR = Period(start=date(2018, 1, 1), end=date(2018, 12, 31))
NAMES = ("S2A_20180105T101021_R022_Tcube", "S2B_20180301T101021_R065_Tcube")
LEFT = "S2A_MSIL2A_20180105T101021_N0206_R022_T32TQS_20180105T134512"


def _entry(kind: str, name: str, reason: str, cloud: float | None, product: str = "") -> dict[str, Any]:
    return {
        "acquisition": name,
        "product": product or f"product of {name}",
        "datetime": f"{name[4:8]}-{name[8:10]}-{name[10:12]}T10:10:21",
        "verdict": "taken" if kind == "taken" else "left",
        "kind": kind,
        "reason": reason,
        "cloud_percent": cloud,
        "nodata_percent": None if cloud is None else 5.0,
    }


def _content(tiles: tuple[str, ...]) -> dict[str, Any]:
    """Two halves of one acquisition that the first tile takes, an old copy of it, and one too cloudy for all."""
    verdicts = {}
    for place, tile in enumerate(tiles):
        first = [
            _entry("taken", NAMES[0], "", 10.0, product=half)
            if place == 0
            else _entry("spare", NAMES[0], "not among the 1 of 2", 30.0, product=half)
            for half in ("upper", "lower")
        ]
        copy = _entry("unusable", NAMES[0], "a duplicate of upper", None, product=LEFT)
        verdicts[tile] = [*first, copy, _entry("cloudy", NAMES[1], f"cloudy: {90 + place} %", 90.0 + place)]
    about = {name: {"platform": name[:3], "relative_orbit": int(name[21:24])} for name in NAMES}
    gaps = {tile: 200.0 + place for place, tile in enumerate(tiles)}
    return {"tiles": verdicts, "acquisitions": about, "longest_gap_days": gaps, "fetch_bytes": {NAMES[0]: 3 * 2**20}}


@pytest.fixture
def plan(tmp_path: Path) -> RunPlan:
    return cube_plan(tmp_path, years=(2018, 2019), size_px=(64, 128))


@pytest.fixture
def store(tmp_path: Path, plan: RunPlan) -> LocalStore:
    """A search of 2018 that is done, and one of 2019 that was refused."""
    store = LocalStore(tmp_path / "store")
    run = OpenRun(store, plan)
    content = canonical_json(_content(tuple(plan.tile)))
    store.put("search.json", content)
    output = Output(key="search.json", digest=digest_of(content), size_bytes=len(content))
    (granule,) = plan.extent.tiles_of
    run.markers.put(Unit("search", (granule, "2018")), Marker(status="done", outputs={"search.json": output}))
    run.markers.put(Unit("search", (granule, "2019")), Marker(status="refused", reason="no product <of> 2019"))
    return store


def _printed(*tables: Any) -> str:
    console = Console(width=160)
    with console.capture() as capture:
        console.print(*tables)
    return capture.get()


def test_what_is_read(store: LocalStore, plan: RunPlan) -> None:
    done, refused = read_calendar(store, plan)
    assert (done.year, done.tiles, done.refused) == (2018, tuple(plan.tile), "")
    assert [look.label for look in done.looks] == ["S2A R022", "S2A R022 N0206", "S2B R065"]
    taken, copy, cloudy = done.looks
    assert taken.kinds == {"taken": 1, "spare": 1}, "halves of one acquisition count once"
    assert (taken.cloud_percent, taken.nodata_percent, taken.fetch_bytes) == (20.0, 5.0, 3 * 2**20)
    assert (copy.kinds, copy.cloud_percent) == ({"unusable": 2}, None)
    assert cloudy.kinds == {"cloudy": 2}
    assert (done.taken, done.fetch_bytes) == (1, 3 * 2**20)
    assert done.acquisitions == 2, "the copy is of an acquisition that is there already"
    assert (refused.looks, refused.refused) == ((), "no product <of> 2019")


def test_searches_that_have_not_answered_are_not_there(tmp_path: Path, plan: RunPlan) -> None:
    assert read_calendar(LocalStore(tmp_path / "empty"), plan) == []


def test_what_is_lost_is_told(store: LocalStore, plan: RunPlan) -> None:
    store.delete("search.json")
    assert "missing from the store" in read_calendar(store, plan)[0].refused


def test_one_tile(store: LocalStore, plan: RunPlan) -> None:
    first, second = plan.tile
    done = read_calendar(store, plan)[0].of_tile(second)
    assert done.tiles == (second,)
    assert [look.kinds.most_common(1)[0][0] for look in done.looks] == ["spare", "unusable", "cloudy"]
    assert done.longest_gap_days == {second: 201.0}
    text = _printed(calendar_table(done))
    assert "not among the 1 of 2" in text
    assert "cloudy: 91 %" in text
    assert first not in text
    assert check_tile(plan, second) == second
    with pytest.raises(ConfigError, match=f"--tile: run 'test' has no tile 'nowhere'; it has 2, such as .*{first}"):
        check_tile(plan, "nowhere")


def test_lines_of_all_tiles(store: LocalStore, plan: RunPlan) -> None:
    calendar = read_calendar(store, plan)
    lines = _printed(calendar_table(calendar[0])).splitlines()
    assert lines[2].split()[:8] == ["2018-01-05", "S2A", "R022", "20", "%", "5", "%", "1/2"]
    assert lines[3].split() == ["2018-01-05", "S2A", "R022", "N0206", "0/2", "a", "duplicate", "of", "upper"]
    assert lines[4].split()[-3:] == ["0/2", "cloudy", "(2)"]
    totals = _printed(totals_table(calendar, False)).splitlines()
    assert totals[1].split()[:5] == ["2018", "2", "1", "200", "days"]
    assert "201 days" in totals[1]
    assert totals[1].rstrip().endswith("about 3.0 MiB")
    assert "nothing: local" in _printed(totals_table(calendar, True))


def test_reasons_are_summarised() -> None:
    def verdict(kind: str, reason: str) -> Verdict:
        return Verdict(kind, reason, 10.0, 0.0)

    look = Look("a", "a", datetime(2018, 1, 5), {"t0": verdict("cloudy", "x"), "t1": verdict("taken", "")}, 0)
    assert why_not(look) == "x"
    many = {f"t{i}": verdict(kind, str(i)) for i, kind in enumerate(["cloudy", "partial", "cloudy", "taken", "new"])}
    assert why_not(Look("a", "a", datetime(2018, 1, 5), many, 0)) == "cloudy (2), new (1), partial orbit (1)"


class _Tags(HTMLParser):
    """Checks that elements are closed, and collects what they hold."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.count: dict[str, int] = {}
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page(store: LocalStore, plan: RunPlan) -> None:
    page = render(plan, read_calendar(store, plan))
    tags = _Tags()
    tags.feed(page)
    assert tags.open == []
    text = " ".join(tags.words)
    assert "no product <of> 2019" in text, "what comes from a source is no markup"
    assert "S2B R065" in text
    assert "200 days" in text
    assert tags.count["svg"] == 1
    assert tags.count["circle"] == 2, "a dot for each acquisition that was looked at"
    # Bars: taken and spare of the first, cloudy of the second; and a mark of both for each of the two tiles.
    assert tags.count["rect"] == 3 + 2 * 2
    assert "://" not in page, "it opens without a network"


def test_many_tiles_have_no_rows() -> None:
    tiles = tuple(f"t{i:03d}" for i in range(ROWS_MAX + 1))
    verdicts = {tile: Verdict("taken", "", 10.0, 0.0) for tile in tiles}
    found = GranuleYear("32TQS", 2018, YEAR, tiles, (Look("a", "a", datetime(2018, 7, 1), verdicts, 0),))
    assert year_chart(found).count("<rect") == 1
    assert "t000" not in year_chart(found)
