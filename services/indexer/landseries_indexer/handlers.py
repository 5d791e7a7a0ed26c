"""The stage index: the acquisitions that a tile chose in a year become one regular series."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Any, Final

import numpy as np
import rasterio
from numpy.typing import NDArray

from landseries import indices
from landseries.artifacts.rasters import write_cog
from landseries.artifacts.series import ROWS_PER_CHUNK, SeriesWriter, writing_series
from landseries.bands import BANDS
from landseries.errors import ArtifactError, Refused
from landseries.pipeline import COMPOSITE, COUNTS, INDICES, SERIES
from landseries.service import Context, Input
from landseries.settings.indexer import IndexSettings
from landseries_indexer.composite import quick_look
from landseries_indexer.regularise import RegularSeries, regular_days, regularise

#: Rows that are interpolated at a time: whole blocks of the acquisitions' rasters and whole chunks of the series.
_ROWS_AT_ONCE: Final = 256
assert _ROWS_AT_ONCE % ROWS_PER_CHUNK == 0


def index(context: Context) -> None:
    """Interpolate a tile's year onto the regular dates, block of rows by block of rows.

    Writes the series, the clear-view counts, a quick-look in colour and, in the training year, the spectral indices
    that the features allow.

    Raises:
        Refused: the tile has no acquisition in this year, or none of them could be fetched.
    """
    settings = context.settings(IndexSettings)
    tile = context.tile
    views = sorted((item for item in context.inputs("fetch") if item.done), key=lambda item: item.unit["acquisition"])
    if not views:
        raise Refused(_why_empty(context))
    dates = regular_days(dates=settings.dates)
    start = context.period(context.year).start
    counts = np.zeros((1, *tile.shape), np.uint8)
    colours = np.zeros((3, *tile.shape), np.uint8)
    names = _indices_of(context)
    with ExitStack() as stack:
        acquisitions = stack.enter_context(_opened(context, views))
        series = stack.enter_context(
            writing_series(context.output(SERIES), tile, features=context.features, days=dates.tolist())
        )
        written = None
        if names:
            output = context.output(INDICES)
            written = stack.enter_context(writing_series(output, tile, features=names, days=dates.tolist()))
        for first in range(0, tile.height, _ROWS_AT_ONCE):
            last = min(first + _ROWS_AT_ONCE, tile.height)
            block = acquisitions.regular(first, last, dates, settings.max_gap_days, context.threads)
            counts[0, first:last] = block.clear_views
            colours[:, first:last] = quick_look(block.values, context.features, dates, start)
            _write_blocks(series, first, block.values)
            if written is not None:
                _write_blocks(written, first, _compute_indices(names, context.features, block.values))
    write_cog(context.output(COUNTS), counts, tile, names=("clear_views",), nodata=None)
    write_cog(context.output(COMPOSITE), colours, tile, names=("red", "green", "blue"), nodata=0, overviews="none")


class _Acquisitions:
    """A tile's open acquisitions of a year, in order of time."""

    def __init__(self, context: Context, rasters: Sequence[Any]) -> None:
        self._features = context.features
        self._width = context.tile.width
        period = context.period(context.year)
        times = [datetime.fromisoformat(raster.tags()["ACQUIRED"].replace("Z", "+00:00")) for raster in rasters]
        order = sorted(range(len(rasters)), key=lambda i: times[i])
        self._rasters = [rasters[i] for i in order]
        self._days = np.array([period.day_of(times[i].date()) for i in order], np.int32)
        for raster in rasters:
            if raster.count != len(self._features) + 1 or raster.shape != context.tile.shape:
                raise ArtifactError(
                    f"acquisition of {raster.count} bands, {raster.shape} pixels where {len(self._features)} features "
                    f"and a clear mask of {context.tile.shape} pixels are expected"
                )

    def regular(
        self, first: int, last: int, dates: NDArray[np.int32], max_gap_days: int, threads: int
    ) -> RegularSeries:
        """The regular series of rows first..last-1."""
        window = rasterio.windows.Window(0, first, self._width, last - first)
        values = np.empty((len(self._rasters), len(self._features), last - first, self._width), np.int16)
        clear = np.empty((len(self._rasters), last - first, self._width), np.uint8)
        for position, raster in enumerate(self._rasters):
            bands = raster.read(window=window)
            values[position] = bands[:-1]
            clear[position] = bands[-1] == 1
        return regularise(values, clear, self._days, dates, max_gap_days=max_gap_days, threads=threads)


@contextmanager
def _opened(context: Context, views: Sequence[Input]) -> Iterator[_Acquisitions]:
    name = f"{context.unit['tile']}.tif"
    with ExitStack() as stack:
        rasters = [stack.enter_context(rasterio.open(stack.enter_context(context.local(v, name)))) for v in views]
        yield _Acquisitions(context, rasters)


def _indices_of(context: Context) -> tuple[str, ...]:
    """Indices that the clusterer reads: those that the bands allow, and features that are indices already."""
    if context.year != context.training_year:
        return ()
    ready = tuple(feature for feature in context.features if feature not in BANDS)
    computed = tuple(name for name in indices.computable(context.features, distinct=True) if name not in ready)
    return ready + computed


def _compute_indices(names: Sequence[str], features: Sequence[str], values: NDArray[np.int16]) -> NDArray[np.int16]:
    """Indices (date, index, y, x) int16 of a block of a regular series."""
    ready = [name for name in names if name in features]
    computed = indices.compute_series([name for name in names if name not in features], values, features)
    return np.concatenate([values[:, [features.index(name) for name in ready]], computed], axis=1)


def _write_blocks(writer: SeriesWriter, first: int, values: NDArray[np.int16]) -> None:
    for offset in range(0, values.shape[2], ROWS_PER_CHUNK):
        writer.write_rows(first + offset, values[:, :, offset : offset + ROWS_PER_CHUNK])


def _why_empty(context: Context) -> str:
    asked = context.inputs("fetch")
    if not asked:
        return f"no acquisition of {context.year} was chosen for this tile; the search says why each was left out"
    reasons = "; ".join(f"{item.unit['acquisition']}: {item.marker.reason}" for item in asked[:3])
    return f"none of its {len(asked)} acquisitions of {context.year} could be fetched ({reasons})"
