"""What the searches of a run answered, by granule, year and acquisition."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any, Final

from landseries.artifacts.documents import read_json
from landseries.config import Period
from landseries.errors import ArtifactError, ConfigError, StoreError
from landseries.openrun import OpenRun
from landseries.plan import RunPlan
from landseries.stores.base import Store

#: What becomes of an acquisition over a tile, in the order in which it is shown; and how people say it.
KINDS: Final = {
    "taken": "taken",
    "spare": "not needed",
    "cloudy": "cloudy",
    "partial": "partial orbit",
    "unseen": "no clear view",
    "unusable": "unusable",
}
_LOST: Final = "what the search wrote is missing from the store, or damaged"
#: Kinds of sources whose files are read where they lie.
LOCAL_KINDS: Final = ("safe", "cube")


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
        yield replace(empty, looks=_looks(content), longest_gap_days=content["longest_gap_days"], refused="")


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
