"""Rates from the markers of a finished run: they carry each unit's seconds, memory and sizes of outputs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from landseries.errors import ConfigError
from landseries.estimate.rates import (
    Assumptions,
    Rates,
    StageRate,
    is_merge,
    looks_for_views,
    reads_sample,
    reads_views,
    trains,
)
from landseries.estimate.world import opened_share, sampled_series
from landseries.identity import declared_outputs
from landseries.markers import Marker
from landseries.openrun import OpenRun, StoredChoices
from landseries.pipeline import STAGES, Unit
from landseries.plan import RunPlan
from landseries.rows import Stage
from landseries.stores.base import Store

#: How many times the usual time a unit takes whose process has just been started.
_OUTLIER: Final = 3.0
#: How much larger the largest unit must be than the smallest, for a constant to be told from a slope.
_SPREAD: Final = 2.0


@dataclass(frozen=True)
class _Measured:
    """One unit's work, in megapixel-views, and what it took."""

    mpx: float
    seconds: float
    read: int
    inputs: int
    written: int
    peak_rss_mib: float


class _FinishedRun(OpenRun):
    """A run, with what its searches chose at hand."""

    def __init__(self, store: Store, plan: RunPlan) -> None:
        super().__init__(store, plan)
        self.choices = StoredChoices(store, plan.run_id)


def measure_rates(store: Store, plan: RunPlan) -> Rates:
    """The rates of a run's stages.

    Units whose artifact was known already took no time, and are left out; of a stage of which all were, nothing can be
    said.

    Raises:
        ConfigError: a stage has no unit that was computed.
    """
    run = _FinishedRun(store, plan)
    markers = {unit: marker for stage in STAGES for unit, marker in run.markers.all_of(stage)}
    found = _found_per_year(store, markers)
    stages = {}
    for row in STAGES.values():
        done = [(unit, m) for unit, m in markers.items() if unit.stage == row.name and m.status == "done"]
        measured = [_measure(run, row, unit, marker, markers, found) for unit, marker in done if not marker.reused]
        if not measured:
            raise ConfigError(
                f"run {plan.run_id!r} computed no unit of {row.name}, so it has no rate: measure on a complete run in "
                "a work folder of its own"
            )
        stages[row.name] = _rate(row, measured, sampled_series(plan.config), plan.config.trainer.train.epochs)
    assumed = Assumptions(found_per_year=round(found), taken_per_chosen=_taken_per_chosen(run))
    return Rates(measured_on=f"{plan.run_id}, {plan.numerics.device}", stages=stages, assumptions=assumed)


def _measure(
    run: _FinishedRun, row: Stage, unit: Unit, marker: Marker, markers: Mapping[Unit, Marker], found: float
) -> _Measured:
    read = inputs = 0
    for need in row.needs:
        for needed in run.pipeline.needs(unit, need):
            outputs = declared_outputs(markers[needed], need, unit).outputs if needed in markers else {}
            read += sum(output.size_bytes for output in outputs.values())
            inputs += 1
    written = sum(output.size_bytes for output in marker.outputs.values())
    return _Measured(_work(run, row, unit, found), marker.seconds, read, inputs, written, marker.peak_rss_mib)


def _work(run: _FinishedRun, row: Stage, unit: Unit, found: float) -> float:
    """Megapixel-views of a unit."""
    if is_merge(row):
        return 0.0
    if "acquisition" in row.unit:
        chosen = run.choices.chosen(unit["granule"], unit["year"]) or {}
        return sum(_mpx(run, tile) for tile, taken in chosen.items() if unit["acquisition"] in taken)
    if "tile" not in row.unit:
        return sum(_mpx(run, tile) for tile in run.plan.extent.tiles_of[unit["granule"]]) * (
            found if looks_for_views(row) else 1
        )
    views = 1
    if row.sampled:
        tile_years = len(run.plan.tile) * len(run.plan.extent.years)
        return _mpx(run, unit["tile"]) * opened_share(sampled_series(run.plan.config), tile_years)
    if reads_views(row):
        granule = run.plan.extent.granule_of[unit["tile"]]
        views = len((run.choices.chosen(granule, unit["year"]) or {}).get(unit["tile"], ()))
    return _mpx(run, unit["tile"]) * max(views, 1)


def _mpx(run: _FinishedRun, tile: str) -> float:
    return run.plan.tile[tile].width * run.plan.tile[tile].height / 1e6


def _rate(row: Stage, measured: Sequence[_Measured], samples: int, epochs: int) -> StageRate:
    usual = _without_outliers(measured)
    seconds = _fit(usual, [one.seconds for one in usual])
    learned = seconds[0] / (samples * epochs) if trains(row) else 0.0
    drawn = row.sampled or reads_sample(row)
    written = (0.0, 0.0) if drawn else _fit(measured, [one.written for one in measured])
    read = _fit(measured, [one.read for one in measured])
    inputs = sum(one.inputs for one in measured) if is_merge(row) else 0
    all_read, all_written = sum(one.read for one in measured), sum(one.written for one in measured)
    return StageRate(
        units=len(measured),
        seconds_per_unit=0.0 if trains(row) else seconds[0],
        seconds_per_mpx=seconds[1],
        written_per_unit=written[0],
        written_per_mpx=written[1],
        read_per_unit=read[0],
        read_per_mpx=read[1],
        read_per_input=round(all_read / inputs, 3) if inputs else 0.0,
        inputs_per_unit=round(inputs / len(measured), 3),
        written_per_sample=round(all_written / samples, 9) if drawn else 0.0,
        read_per_sample=round(all_read / samples, 9) if reads_sample(row) or trains(row) else 0.0,
        seconds_per_sample=round(learned, 12),
        peak_rss_mib=max(one.peak_rss_mib for one in measured),
    )


def _without_outliers(measured: Sequence[_Measured]) -> list[_Measured]:
    """Without the first units of processes, which load and compile libraries: many times slower than the others."""
    usual_s = float(np.median([one.seconds for one in measured]))
    return [one for one in measured if one.seconds <= _OUTLIER * usual_s] or list(measured)


def _fit(measured: Sequence[_Measured], values: Sequence[float]) -> tuple[float, float]:
    """A constant and a slope over the units' work, neither below 0; all is slope where units are much alike."""
    work, found = np.array([one.mpx for one in measured]), np.array(values, dtype=np.float64)
    if not work.any():
        return round(float(found.mean()), 6), 0.0
    proportional = 0.0, round(float(found.sum() / work.sum()), 6)
    if work.max() < _SPREAD * max(work.min(), 1e-9):
        return proportional
    slope, constant = np.polyfit(work, found, 1)
    return proportional if min(slope, constant) < 0 else (round(float(constant), 6), round(float(slope), 6))


def _found_per_year(store: Store, markers: Mapping[Unit, Marker]) -> float:
    """Acquisitions that a search found, on average."""
    counts = []
    for unit, marker in markers.items():
        if unit.stage == "search" and "search.json" in marker.outputs:
            content = store.get(marker.outputs["search.json"].key)
            counts.append(len(json.loads(content or b"{}").get("acquisitions", ())))
    return max(1.0, sum(counts) / len(counts)) if counts else 1.0


def _taken_per_chosen(run: _FinishedRun) -> float:
    """Acquisitions fetched for a granule and year, per acquisition that one of its tiles chose."""
    ratios = []
    for granule in run.plan.extent.values["granule"]:
        for year in run.plan.extent.years:
            chosen = [set(taken) for taken in (run.choices.chosen(granule, year) or {}).values() if taken]
            if chosen:
                ratios.append(len(set.union(*chosen)) / (sum(map(len, chosen)) / len(chosen)))
    return round(max(1.0, sum(ratios) / len(ratios)), 3) if ratios else 1.0
