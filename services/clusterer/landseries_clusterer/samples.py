"""The reliable pixels that the forest may learn from, with their series of the training year."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from landseries.artifacts.series import reading_series
from landseries.artifacts.tables import write_points
from landseries.grid import Part, block_parts
from landseries.pipeline import SERIES
from landseries.priority import pixel_priority
from landseries.service import Context, Input
from landseries_clusterer.verdicts import Verdict, Verdicts

SAMPLES: Final = "samples.parquet"


def write_samples(
    context: Context, index: Input, classes: NDArray[np.uint8], verdicts: Verdicts, samples_per_class: int
) -> None:
    """Write `samples.parquet`: reliable pixels of training and validation blocks in reading order.

    Columns: row, column (int32 within the tile), class, part (of the blocks), priority (uint64), score, series
    (int16, dates x features, all features of a date together).

    Args:
        context: The unit; declares seed and blocks.
        index: The unit of the index stage, whose series is read.
        classes: (pixel,) uint8 class ids of the map.
        verdicts: The verdict on every pixel.
        samples_per_class: Samples per class at most: those of smallest priority.
    """
    tile = context.tile
    part = block_parts(tile, context.blocks.size_px, context.blocks.shares, context.seed).ravel()
    priority = pixel_priority(tile, context.seed, "reliable").ravel()
    allowed = (verdicts.verdict == Verdict.RELIABLE) & (part != Part.PREDICTION)
    chosen = first_of_each_class(np.flatnonzero(allowed), classes, priority, samples_per_class)
    row, column = np.divmod(chosen, tile.width)
    write_points(
        context.output(SAMPLES),
        {
            "row": row.astype(np.int32),
            "column": column.astype(np.int32),
            "class": classes[chosen],
            "part": part[chosen],
            "priority": priority[chosen],
            "score": verdicts.score[chosen],
            "series": _series(context, index, row, column),
        },
        crs=tile.crs,
        x=tile.left + (column + 0.5) * tile.pixel_width,
        y=tile.top - (row + 0.5) * tile.pixel_height,
    )


def first_of_each_class(
    pixels: NDArray[np.int64], classes: NDArray[np.uint8], priority: NDArray[np.uint64], limit: int
) -> NDArray[np.int64]:
    """Of each class the `limit` pixels of smallest priority, ascending by place.

    Args:
        pixels: (n,) candidates, ascending.
        classes, priority: (pixel,) of all pixels.
        limit: Pixels of a class at most.
    """
    chosen = [np.empty(0, np.int64)]
    for cover in np.unique(classes[pixels]):
        mine = pixels[classes[pixels] == cover]
        chosen.append(mine[np.argsort(priority[mine], kind="stable")[:limit]])
    return np.sort(np.concatenate(chosen))


def _series(context: Context, index: Input, row: NDArray[np.int64], column: NDArray[np.int64]) -> NDArray[np.int16]:
    """(sample, date x feature) int16 of samples in reading order."""
    with context.local(index, SERIES) as path, reading_series(path) as series:
        values = np.empty((len(row), len(series.days) * len(series.features)), np.int16)
        for first, block in series.blocks():
            a, b = np.searchsorted(row, (first, first + block.shape[2]))
            values[a:b] = block[:, :, row[a:b] - first, column[a:b]].reshape(values.shape[1], b - a).T
    return values
