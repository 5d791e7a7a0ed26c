"""The sampler: from pseudo-labels to the training and validation sets of every model.

`strata` counts a tile's candidates, stratum by stratum; `quotas` settles what the region takes of each stratum, part
and class; `sample` draws a tile's share of that, with its series; `dataset` merges the tiles' shares into one
stratified random sample of the region per stratum, and lays out each model's annual series.
"""

from __future__ import annotations

from landseries.service import Context, Handler, Service


def _strata(context: Context) -> None:
    from landseries_sampler.handlers import strata

    strata(context)


def _quotas(context: Context) -> None:
    from landseries_sampler.handlers import quotas

    quotas(context)


def _sample(context: Context) -> None:
    from landseries_sampler.handlers import sample

    sample(context)


def _dataset(context: Context) -> None:
    from landseries_sampler.handlers import dataset

    dataset(context)


SERVICE = Service(
    "sampler",
    {
        "strata": Handler(_strata),
        "quotas": Handler(_quotas),
        "sample": Handler(_sample),
        "dataset": Handler(_dataset),
    },
)
