"""What the searches of a run answered, by granule, year and acquisition."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, time
from functools import cached_property
from typing import Any, Final

from landseries.artifacts.documents import read_json
from landseries.calendar.gaps import SEEING_SHARE, longest_gap
from landseries.config import Period
from landseries.errors import ArtifactError, ConfigError, StoreError
from landseries.markers import Damaged, Marker
from landseries.openrun import OpenRun
from landseries.pipeline import Unit
from landseries.plan import RunPlan
from landseries.stores.base import Store

#: What becomes of an acquisition over a tile, in the order in which it is shown; and how people say it.
KINDS: Final = {
    "taken": "taken",
    "refused": "refused after the search",
    "spare": "not needed",
    "cloudy": "cloudy",
    "partial": "partial orbit",
    "unseen": "no clear view",
    "unusable": "unusable",
}
_LOST: Final = "what the search wrote is missing from the store, or damaged"


@dataclass(frozen=True)
class Verdict:
    """What became of an acquisition over one tile; shares in percent, None where it was not looked at."""

    kind: str
    reason: str
    cloud_percent: float | None
    nodata_percent: float | None


@dataclass(frozen=True)
class Look:
    """An acquisition, or a product that is left out before it is one, over the tiles of a granule.

    Attributes:
        name: id of the acquisition, or of the product.
        label: its platform and orbit, where they are known, and of a product its baseline; else the name.
        sensed: start of sensing, UTC.
        verdicts: by tile.
        fetch_bytes: what a fetch of the tiles that take it moves, roughly.
        acquisition: to which a product belongs that is left out; empty where that is `name`.
    """

    name: str
    label: str
    sensed: datetime
    verdicts: Mapping[str, Verdict]
    fetch_bytes: int
    acquisition: str = ""

    @cached_property
    def kinds(self) -> Counter[str]:
        """Tiles by kind of verdict."""
        return Counter(verdict.kind for verdict in self.verdicts.values())

    @property
    def kind(self) -> str:
        """What becomes of it over all tiles: taken or refused where it is by one, else what holds for most."""
        found = [kind for kind in ("taken", "refused") if self.kinds[kind]]
        return found[0] if found else self.kinds.most_common(1)[0][0]

    @property
    def cloud_percent(self) -> float | None:
        """Mean over the tiles of the share of the pixels with data that are masked."""
        return _mean([verdict.cloud_percent for verdict in self.verdicts.values()])

    @property
    def nodata_percent(self) -> float | None:
        """Mean over the tiles of the share without data."""
        return _mean([verdict.nodata_percent for verdict in self.verdicts.values()])


@dataclass(frozen=True)
class GranuleYear:
    """What one search answered.

    Attributes:
        period: the days of the year's series.
        tiles: the granule's tiles.
        looks: in order of time; empty where the search was refused.
        longest_gap_days: by tile: the longest time without an acquisition that shows at least half of it clearly.
        refused: why there is nothing; empty where there is something.
    """

    granule: str
    year: int
    period: Period
    tiles: tuple[str, ...]
    looks: tuple[Look, ...] = ()
    longest_gap_days: Mapping[str, float] = field(default_factory=dict)
    refused: str = ""

    @property
    def acquisitions(self) -> int:
        """How many acquisitions there are, each counted once, however many duplicates of it were left out."""
        return len({look.acquisition or look.name for look in self.looks})

    @property
    def taken(self) -> int:
        """Acquisitions that some tile takes."""
        return sum(1 for look in self.looks if look.kinds["taken"])

    @property
    def fetch_bytes(self) -> int:
        """What the fetch moves, roughly."""
        return sum(look.fetch_bytes for look in self.looks)

    def of_tile(self, tile: str) -> GranuleYear:
        """The same for one tile."""
        looks = [replace(look, verdicts={tile: look.verdicts[tile]}) for look in self.looks if tile in look.verdicts]
        gaps = {name: days for name, days in self.longest_gap_days.items() if name == tile}
        return replace(self, tiles=(tile,), looks=tuple(looks), longest_gap_days=gaps)


def read_calendar(store: Store, plan: RunPlan) -> list[GranuleYear]:
    """What the searches of a run answered so far, by granule and year."""
    return list(_read(store, OpenRun(store, plan)))


def refused_fetches(answers: Iterable[tuple[Unit, Marker]]) -> dict[tuple[str, int], dict[str, str]]:
    """Why acquisitions that a tile chose have no image, by granule and year, then by acquisition.

    Args:
        answers: markers of a run; those of other stages are passed over.
    """
    found: dict[tuple[str, int], dict[str, str]] = {}
    for unit, marker in answers:
        if unit.stage == "fetch" and marker.status != "done":
            found.setdefault((unit["granule"], int(unit["year"])), {})[unit["acquisition"]] = marker.reason
    return found


def granule_year(
    granule: str, year: int, plan: RunPlan, content: Mapping[str, Any], refused: Mapping[str, str]
) -> GranuleYear:
    """What a search answered, and what became of it since.

    Args:
        granule, year: of the search.
        plan: the run.
        content: its `search.json`.
        refused: why acquisitions were refused after it.
    """
    period = plan.periods[year]
    looks = tuple(_after_the_search(look, refused) for look in _looks(content))
    gaps = dict(content["longest_gap_days"])
    touched = {tile for look in looks for tile, verdict in look.verdicts.items() if verdict.kind == "refused"}
    gaps |= {tile: _gap_days(looks, tile, period) for tile in touched}
    return GranuleYear(granule, year, period, tuple(plan.extent.tiles_of.get(granule, ())), looks, gaps)


def check_tile(plan: RunPlan, tile: str) -> str:
    """A tile's id.

    Raises:
        ConfigError: the run has no such tile.
    """
    if tile in plan.tile:
        return tile
    near = difflib.get_close_matches(tile, plan.tile, n=3) or sorted(plan.tile)[:3]
    raise ConfigError(
        f"--tile: run {plan.run_id!r} has no tile {tile!r}; it has {len(plan.tile)}, such as {', '.join(near)}"
    )


def _read(store: Store, run: OpenRun) -> Iterator[GranuleYear]:
    for unit, marker in run.markers.all_of("search"):
        granule, year = unit["granule"], int(unit["year"])
        tiles = tuple(run.plan.extent.tiles_of.get(granule, ()))
        empty = GranuleYear(granule, year, run.plan.periods[year], tiles, refused=marker.reason)
        if marker.status != "done":
            yield empty
            continue
        try:
            with store.local(marker.outputs["search.json"].key) as path:
                content = read_json(path)
        except (StoreError, ArtifactError, ValueError):
            yield replace(empty, refused=_LOST)
            continue
        refused = refused_fetches(_fetched(run, unit, content))
        yield granule_year(granule, year, run.plan, content, refused.get((granule, year), {}))


def _fetched(run: OpenRun, search: Unit, content: Mapping[str, Any]) -> Iterator[tuple[Unit, Marker]]:
    """What the fetches of the acquisitions that a search chose answered so far."""
    for name in content["fetch_bytes"]:
        unit = Unit("fetch", (*search.key, name))
        # A marker that cannot be read says nothing; the unit is done again.
        with suppress(Damaged):
            marker = run.markers.get(unit)
            if marker is not None:
                yield unit, marker


def _after_the_search(look: Look, refused: Mapping[str, str]) -> Look:
    """An acquisition, no longer taken where it was refused."""
    if look.name not in refused or not look.kinds["taken"]:
        return look
    verdicts = {
        tile: replace(verdict, kind="refused", reason=refused[look.name]) if verdict.kind == "taken" else verdict
        for tile, verdict in look.verdicts.items()
    }
    return replace(look, verdicts=verdicts)


def _gap_days(looks: Sequence[Look], tile: str, period: Period) -> float:
    """The longest time in days without an acquisition that a tile takes and sees at least half of it clearly."""
    end, start = (period.end - period.start).days + 1.0, datetime.combine(period.start, time())
    days = []
    for look in looks:
        verdict = look.verdicts.get(tile)
        if verdict is None or verdict.kind != "taken" or verdict.cloud_percent is None:
            continue
        clear = (100 - (verdict.nodata_percent or 0.0)) * (100 - verdict.cloud_percent) / 10_000
        if clear >= SEEING_SHARE:
            days.append(min(max((look.sensed - start).total_seconds() / 86_400, 0.0), end))
    return round(longest_gap(days, end), 2)


def _looks(content: Mapping[str, Any]) -> tuple[Look, ...]:
    verdicts: dict[str, dict[str, Verdict]] = {}
    sensed: dict[str, datetime] = {}
    belongs: dict[str, str] = {}
    for tile, entries in content["tiles"].items():
        for entry in entries:
            # A product that is left out stands for itself; the halves of an acquisition share one verdict.
            name = entry["product"] if entry["kind"] == "unusable" else entry["acquisition"]
            belongs[name] = entry["acquisition"]
            sensed[name] = datetime.fromisoformat(entry["datetime"])
            verdicts.setdefault(name, {})[tile] = Verdict(
                entry["kind"], entry["reason"], entry["cloud_percent"], entry["nodata_percent"]
            )
    looks = [
        Look(
            name=name,
            label=_label(name, content["acquisitions"]),
            sensed=sensed[name],
            verdicts=found,
            fetch_bytes=content["fetch_bytes"].get(name, 0),
            acquisition=belongs[name],
        )
        for name, found in verdicts.items()
    ]
    return tuple(sorted(looks, key=lambda look: (look.sensed, look.name)))


def _label(name: str, acquisitions: Mapping[str, Any]) -> str:
    about = acquisitions.get(name, {})
    orbit = about.get("relative_orbit")
    if orbit is not None:
        return f"{about['platform']} R{orbit:03d}"
    steps = name.split("_")
    # Of a product: platform, orbit and baseline, which tell it from its duplicate.
    return " ".join((steps[0], steps[4], steps[3])) if len(steps) == 7 and steps[1] == "MSIL2A" else name


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
