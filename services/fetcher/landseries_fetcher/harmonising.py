"""The harmony stage: whether a granule's acquisitions of all years agree in level and in place, and what is done.

An offset that is missing or was taken off twice makes a year differ by 0.1 reflectance, and a shift makes false change
along every edge. Both show only where acquisitions are compared, so this is decided once per granule, from a few probe
tiles, before anything is fetched.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from landseries.artifacts.documents import read_json, write_json
from landseries.gates import NotNow
from landseries.pipeline import HARMONY
from landseries.service import Context, Input
from landseries.settings.fetcher import FetchSettings, HarmonySettings
from landseries_fetcher.harmony.levels import LevelFinding, LevelVerdict, judge_levels
from landseries_fetcher.harmony.probing import Probe, Prober, choose_probe_tiles
from landseries_fetcher.harmony.referencing import Placing, Standing, place
from landseries_fetcher.harmony.refusing import Making, making_of, refusals
from landseries_fetcher.harmony.shifts import Shift, ShiftMeasurement
from landseries_fetcher.sources.base import Acquisition, ImagerySource, UnreadableProduct
from landseries_fetcher.sources.metadata import REFINING


@dataclass(frozen=True)
class Decision:
    """What a fetch needs to know.

    Attributes:
        use: whether the acquisition is used.
        reason: why not, empty where it is.
        shift: what is to be corrected; None for nothing.
    """

    use: bool
    reason: str = ""
    shift: Shift | None = None

    def as_json(self) -> dict[str, Any]:
        """The decision as a JSON object."""
        shift = None if self.shift is None else {"north_m": self.shift.north_m, "east_m": self.shift.east_m}
        return {"use": self.use, "reason": self.reason, "shift": shift}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Decision:
        """The inverse of `as_json`."""
        shift = content["shift"]
        return cls(content["use"], content["reason"], None if shift is None else Shift(**shift))


@dataclass
class _Found:
    """What was found of a granule, by acquisition."""

    probes: dict[str, Probe] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    makings: dict[str, Making] = field(default_factory=dict)
    levels: dict[str, LevelFinding] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    accused: dict[str, str] = field(default_factory=dict)
    placing: Placing = field(default_factory=lambda: Placing(None, {}, {}))


def harmonise(context: Context, source: ImagerySource) -> None:
    """Write, for each acquisition that a tile chose, what its fetch has to know, and a table of all that was found.

    Raises:
        Refused: two groups of acquisitions differ by a step, and nothing tells which is right.
        NotNow: a product is still to come; what was read is kept for the next time.
    """
    settings = context.settings(HarmonySettings)
    acquisitions = _chosen(context)
    found = _Found()
    tiles = []
    # A cube has one grid and one scale: there is nothing to compare.
    if source.raster is None and (settings.levels != "off" or settings.measure_shifts):
        granule = context.tiles_of(context.unit["granule"])
        tiles = choose_probe_tiles(granule, _seen(context), settings.probe_tiles)
        assert isinstance(context.masking, FetchSettings)
        prober = Prober(source, tiles, context.masking, context.checkpoints, context.threads)
        _probe(context, prober, acquisitions, found)
        if settings.levels != "off":
            _judge(acquisitions, settings, found)
        if settings.measure_shifts:
            found.placing = place(_standings(context, acquisitions, found), context.threads, context.log)
    entries = {}
    for name, acquisition in acquisitions.items():
        decision, warnings = _decide(name, settings, found)
        write_json(context.output(f"{name}.json"), decision.as_json())
        entries[name] = _entry(acquisition, decision, warnings, found)
    table = {
        "granule": context.unit["granule"],
        "probe_tiles": [tile.id for tile in tiles],
        "used_within_m": settings.used_within_m,
        "reference": found.placing.reference,
        "references": {str(orbit): name for orbit, name in found.placing.references.items()},
        "acquisitions": entries,
    }
    write_json(context.output(HARMONY), table)


def outside(context: Context, source: ImagerySource) -> dict[str, str]:
    """Checksums of all products that tiles chose, as they are now, and what else decides how they are read."""
    found: dict[str, str] = {}
    for acquisition in _chosen(context).values():
        # One that is gone is missed when it is read.
        with suppress(UnreadableProduct):
            found |= source.checksums_of(acquisition)
    return {**found, **source.identity()}


def decision_for(context: Context) -> Decision:
    """What the harmony stage decided on the acquisition of a fetch."""
    with context.local(context.input("harmony"), f"{context.unit['acquisition']}.json") as path:
        return Decision.from_json(read_json(path))


def _chosen(context: Context) -> dict[str, Acquisition]:
    """Every acquisition that a tile chose in any year, in order of their ids."""
    found: dict[str, Acquisition] = {}
    for item in context.inputs("search"):
        if not item.done:
            continue
        with context.local(item, "search.json") as path:
            looked_at: Mapping[str, Mapping[str, Any]] = read_json(path)["acquisitions"]
        # A search writes a document of its own for each acquisition that a tile chose.
        found |= {
            name: Acquisition.from_json(name, document)
            for name, document in looked_at.items()
            if f"{name}.json" in item.marker.outputs
        }
    return dict(sorted(found.items()))


def _seen(context: Context) -> dict[str, float]:
    """Tile -> sum of the clear shares of all acquisitions of the training year, or of all years where it has none.

    Neither another year nor how many a year are taken changes where acquisitions are compared.
    """
    seen: dict[str, float] = {}
    searches = [item for item in context.inputs("search") if item.done]
    for item in [item for item in searches if _is_of_training_year(context, item)] or searches:
        with context.local(item, "search.json") as path:
            tiles: Mapping[str, Sequence[Mapping[str, Any]]] = read_json(path)["tiles"]
        for tile, verdicts in tiles.items():
            # Two halves of an acquisition share its figures.
            shares = {
                verdict["acquisition"]: (100 - verdict["nodata_percent"]) * (100 - verdict["cloud_percent"]) / 10_000
                for verdict in verdicts
                if verdict["cloud_percent"] is not None
            }
            seen[tile] = round(seen.get(tile, 0.0) + sum(shares.values()), 6)
    return seen


def _is_of_training_year(context: Context, searched: Input) -> bool:
    return searched.unit["year"] == str(context.training_year)


def _probe(context: Context, prober: Prober, acquisitions: Mapping[str, Acquisition], found: _Found) -> None:
    """Read the probes of all acquisitions; those that cannot be read are named, and left to their fetch."""
    waiting: NotNow | None = None
    for number, (name, acquisition) in enumerate(acquisitions.items(), start=1):
        try:
            found.probes[name] = prober.probe(acquisition)
            found.makings[name] = making_of(found.probes[name].products)
        except UnreadableProduct as error:
            found.unreadable[name] = str(error)
        except NotNow as error:
            # The others are read meanwhile, or ordered as well.
            waiting = waiting or error
        context.log(f"looked at {number} of {len(acquisitions)} acquisitions")
    if waiting is not None:
        raise waiting


def _judge(acquisitions: Mapping[str, Acquisition], settings: HarmonySettings, found: _Found) -> None:
    names = list(found.probes)
    if not names:
        return
    findings = judge_levels(
        np.stack([found.probes[name].sample for name in names]),
        [acquisitions[name].sensed.timetuple().tm_yday for name in names],
        [found.probes[name].known_dark for name in names],
    )
    found.levels = dict(zip(names, findings, strict=True))
    if settings.levels == "refuse":
        found.refused = refusals(found.levels, found.makings)
    else:
        found.accused = {
            name: f"its levels are doubtful: {finding.verdict.value}"
            for name, finding in found.levels.items()
            if finding.verdict in (LevelVerdict.MISSING, LevelVerdict.DOUBLED) or finding.conflict is not None
        }


def _standings(context: Context, acquisitions: Mapping[str, Acquisition], found: _Found) -> list[Standing]:
    searches = [item for item in context.inputs("search") if _is_of_training_year(context, item)]
    training = {output.removesuffix(".json") for item in searches for output in item.marker.outputs}
    return [
        Standing(
            name,
            acquisitions[name].relative_orbit,
            _refined(probe.products),
            name in training,
            probe.clear_share,
            probe.snow_share,
            probe.edge_images,
        )
        for name, probe in found.probes.items()
        if name not in found.refused
    ]


def _refined(products: Mapping[str, Mapping[str, Any]]) -> bool | None:
    """Of two halves both must be refined."""
    flags = [REFINING.get(product["refining"]) for product in products.values()]
    return False if False in flags else (None if None in flags or not flags else True)


def _decide(name: str, settings: HarmonySettings, found: _Found) -> tuple[Decision, list[str]]:
    """What is done with an acquisition, and what a person should know of it."""
    if name in found.refused:
        return Decision(False, found.refused[name]), []
    warnings = [found.accused[name]] if name in found.accused else []
    level = found.levels.get(name)
    if level is not None and level.verdict == LevelVerdict.UNKNOWN and name not in found.accused:
        warnings.append("its pixels do not tell whether its offset is right")
    placed = found.placing.found.get(name)
    if placed is None:
        return Decision(True), warnings
    if placed.shift is None:
        text = f"its shift cannot be measured: {placed.reason}"
        if settings.unmeasured == "refuse":
            return Decision(False, text), warnings
        return Decision(True), [*warnings, text]
    if placed.shift.length_m <= settings.used_within_m:
        return Decision(True), warnings
    text = f"it is shifted by {placed.shift.length_m:.1f} m, more than {settings.max_shift_m:g} m"
    if settings.above_max_shift == "refuse":
        return Decision(False, text), warnings
    if settings.above_max_shift == "warn":
        return Decision(True), [*warnings, text]
    return Decision(True, shift=placed.shift), warnings


def _entry(acquisition: Acquisition, decision: Decision, warnings: Sequence[str], found: _Found) -> dict[str, Any]:
    """A row of the table."""
    probe, level = found.probes.get(acquisition.id), found.levels.get(acquisition.id)
    making = found.makings.get(acquisition.id)
    return {
        "datetime": acquisition.sensed.isoformat(),
        "platform": acquisition.platform,
        "relative_orbit": acquisition.relative_orbit,
        "verdict": _verdict(decision, is_readable=acquisition.id not in found.unreadable),
        "reason": decision.reason or found.unreadable.get(acquisition.id, ""),
        "warnings": list(warnings),
        "group": None if making is None else making.group,
        "products": {} if probe is None else probe.products,
        "clear_share": None if probe is None else round(probe.clear_share, 4),
        "snow_share": None if probe is None else round(probe.snow_share, 4),
        "level": None if level is None or probe is None else _level(level, probe),
        "shift": _shift(found.placing.found.get(acquisition.id)),
    }


def _verdict(decision: Decision, is_readable: bool) -> str:
    """What becomes of an acquisition; of what cannot be read, its fetch has the last word."""
    if not decision.use:
        return "refused"
    if not is_readable:
        return "unreadable"
    return "used" if decision.shift is None else "corrected"


def _level(level: LevelFinding, probe: Probe) -> dict[str, Any]:
    return {
        "verdict": level.verdict.value,
        "dark_level": [_number(value) for value in level.dark_level],
        "rise": [_number(value) for value in level.rise],
        "known_dark": _number(probe.known_dark),
        "compared": level.compared,
    }


def _shift(placed: ShiftMeasurement | None) -> dict[str, Any] | None:
    if placed is None:
        return None
    shift = placed.shift
    return {
        "north_m": None if shift is None else shift.north_m,
        "east_m": None if shift is None else shift.east_m,
        "length_m": None if shift is None else round(shift.length_m, 1),
        "agreement": round(placed.agreement, 3),
        "error_m": _number(placed.error_m),
        "windows": placed.windows,
    }


def _number(value: float) -> float | None:
    """A figure for JSON, which knows no NaN."""
    return None if math.isnan(value) else round(value, 4)
