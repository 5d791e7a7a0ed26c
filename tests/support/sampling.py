"""The sampler's chain on a bench: from pseudo-labels and series to what every tile gives, and to the datasets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from landseries.pipeline import Unit
from landseries_sampler.handlers import dataset, quotas, sample, strata

from .harness import Bench, Given

QUOTAS = Unit("quotas", ("all",))
DATASET = Unit("dataset", ("all",))


def sampled(bench: Bench, given: Mapping[Unit, Given]) -> dict[Unit, Given]:
    """What strata, quotas and sample answer, after what was answered before.

    Args:
        bench: a bench; all tiles of its plan are done.
        given: what pseudolabel and index answered for every tile and year.
    """
    answers = dict(given)
    for tile in bench.plan.tile:
        answers[Unit("strata", (tile,))] = bench.run(strata, Unit("strata", (tile,)), answers)
    answers[QUOTAS] = bench.run(quotas, QUOTAS, answers)
    for tile in bench.plan.tile:
        answers[Unit("sample", (tile,))] = bench.run(sample, Unit("sample", (tile,)), answers)
    return answers


def datasets(bench: Bench, given: Mapping[Unit, Given]) -> dict[str, Path]:
    """What dataset writes."""
    return bench.run(dataset, DATASET, sampled(bench, given))
