"""Reliable samples of all tiles, merged: per class those of lowest priority, however many tiles there are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landseries.artifacts.tables import read_columns
from landseries.errors import ArtifactError, Refused
from landseries.grid import Part
from landseries.service import Context


@dataclass(frozen=True)
class ReliableSamples:
    """Samples of the training year.

    Attributes:
        series: (samples, dates * features) int16, date-major.
        labels: (samples,) uint8 class ids.
        dates: number of dates.
    """

    series: NDArray[np.int16]
    labels: NDArray[np.uint8]
    dates: int


def gather_reliable(context: Context, per_class: int) -> ReliableSamples:
    """The `per_class` reliable samples of each class with the lowest priority, from training blocks.

    Tiles are merged one after the other, and what cannot be among the lowest is dropped at once, so memory is bounded
    by the result. The order of the result is by class and priority, whatever the order of the tiles.

    Raises:
        Refused: no tile has a reliable sample.
        ArtifactError: a tile's samples have another number of features.
    """
    width = 0
    classes = np.empty(0, np.uint8)
    priorities = np.empty(0, np.uint64)
    series = np.empty((0, 0), np.int16)
    for item in context.inputs("reliable"):
        if not item.done:
            continue
        with context.local(item, "samples.parquet") as path:
            columns = read_columns(path, "class", "part", "priority", "series")
        training = columns["part"] == Part.TRAINING
        if not training.any():
            continue
        found = columns["series"][training]
        width = width or found.shape[1]
        if found.shape[1] != width:
            raise ArtifactError(f"{item.unit.name}: samples of {found.shape[1]} features where others have {width}")
        classes = np.concatenate([classes, columns["class"][training]])
        priorities = np.concatenate([priorities, columns["priority"][training].astype(np.uint64)])
        series = np.concatenate([series.reshape(-1, width), found])
        kept = _lowest(classes, priorities, per_class)
        classes, priorities, series = classes[kept], priorities[kept], series[kept]
    if not classes.size:
        raise Refused("no tile has a reliable sample in a training block: look at the existing map and the clear views")
    return ReliableSamples(series, classes, width // len(context.features))


def _lowest(classes: NDArray[np.uint8], priorities: NDArray[np.uint64], per_class: int) -> NDArray[np.int64]:
    """Positions of the `per_class` lowest priorities of each class, ordered by class and priority."""
    order = np.lexsort((priorities, classes))
    ordered = classes[order]
    rank = np.arange(order.size) - np.searchsorted(ordered, ordered, side="left")
    return order[rank < per_class]
