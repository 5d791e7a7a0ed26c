"""The sampler: from pseudo-labels to the training and validation sets of every model.

`sample` draws a tile's candidates, stratum by stratum; `dataset` merges the tiles' candidates into one stratified
random sample of the region per stratum, and lays out each model's annual series.
"""

from __future__ import annotations

from landseries.service import Context, Handler, Service


def _sample(context: Context) -> None:
    from landseries_sampler.handlers import sample

    sample(context)


def _dataset(context: Context) -> None:
    from landseries_sampler.handlers import dataset

    dataset(context)


SERVICE = Service("sampler", {"sample": Handler(_sample), "dataset": Handler(_dataset)})
