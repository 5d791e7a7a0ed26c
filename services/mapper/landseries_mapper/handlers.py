"""The mapper's stage: weights and series in, a map per year and the number of changes out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from landseries.artifacts.rasters import read_raster, write_cog
from landseries.artifacts.series import ROWS_PER_CHUNK, SeriesReader, reading_series
from landseries.errors import ArtifactError, Refused
from landseries.grid import area_mask
from landseries.models import network_of
from landseries.neural.devices import device_of
from landseries.neural.weights import TrainedNetwork, read_weights
from landseries.numerics import NumericsProfile
from landseries.pipeline import COUNTS, SERIES, WEIGHTS
from landseries.service import Context, Input
from landseries.settings.mapper import MapSettings
from landseries_mapper.gpu import GpuNetwork
from landseries_mapper.inference import MappingNetwork
from landseries_mapper.maps import YearMap, band_names, count_changes

_CHANGES_FILE = "changes.tif"


def map_tile(context: Context) -> None:
    """Map every year that has a series and a network: `<year>.tif`; and count the changes: `changes.tif`.

    Raises:
        Refused: no year has both.
        ArtifactError: a series has other features or dates than the network was trained on.
    """
    train = context.input("train")
    with context.local(train, WEIGHTS) as path:
        trained = read_weights(path)
    inside = area_mask(context.tile, context.area)
    networks: dict[str, MappingNetwork | GpuNetwork] = {}
    maps: list[npt.NDArray[np.uint8]] = []
    reasons: list[str] = []
    for item in context.inputs("index"):
        year = item.unit["year"]
        name = network_of(context.unit["model"], year)
        if not item.done:
            reasons.append(f"{item.unit.name} was {item.marker.status}: {item.marker.reason}")
        elif name not in trained:
            reasons.append(f"{train.unit.name} has no network of {year}; its dataset's summary says why")
        else:
            if name not in networks:
                networks[name] = _on_device(trained[name], context.profile)
            maps.append(_map_year(context, item, trained[name], networks[name], inside))
    if not maps:
        raise Refused("no year can be mapped: " + "; ".join(reasons))
    write_cog(
        context.output(_CHANGES_FILE), count_changes(maps)[np.newaxis], context.tile, names=["changes"], nodata=255
    )


def _on_device(trained: TrainedNetwork, profile: NumericsProfile) -> MappingNetwork | GpuNetwork:
    if profile.device == "cuda":
        return GpuNetwork(trained, device_of("cuda"), profile.precision)
    return MappingNetwork(trained, profile.precision)


def _map_year(
    context: Context,
    item: Input,
    trained: TrainedNetwork,
    network: MappingNetwork | GpuNetwork,
    inside: npt.NDArray[np.bool_],
) -> npt.NDArray[np.uint8]:
    """Write one year's map and return its classes, (rows, columns) uint8."""
    settings = context.settings(MapSettings)
    with context.local(item, COUNTS) as path:
        clear_views = read_raster(path, context.tile)[0]
    year_map = YearMap(context.legend, clear_views, inside & (clear_views >= settings.min_clear_views))
    with context.local(item, SERIES) as path, reading_series(path) as reader:
        _check(context, item, reader, trained)
        for first, series in _read_ahead(reader, year_map, network.pixels_at_once):
            labels, probabilities = network.predict(series, threads=context.threads)
            year_map.fill(first, labels, probabilities, network.settings.classes)
    write_cog(
        context.output(f"{item.unit['year']}.tif"),
        year_map.bands,
        context.tile,
        names=band_names(context.legend),
        nodata=None,
        level=1,
    )
    context.log(f"{item.unit['year']}: {np.count_nonzero(year_map.classes)} of {inside.sum()} pixels mapped")
    return year_map.classes


def _read_ahead(reader: SeriesReader, year_map: YearMap, pixels: int) -> Iterator[tuple[int, npt.NDArray[np.int16]]]:
    """The rows that hold pixels to map, some at a time, as (first row, series); the next ones are read meanwhile.

    Args:
        reader: of the year's series.
        year_map: tells which rows it wants.
        pixels: wanted at a time; at least one chunk of rows comes.
    """
    chunks = max(1, math.ceil(pixels / (reader.width * ROWS_PER_CHUNK)))
    ends = [
        (first, min(first + chunks * ROWS_PER_CHUNK, reader.height))
        for first in range(0, reader.height, chunks * ROWS_PER_CHUNK)
    ]
    wanted = [(first, last) for first, last in ends if year_map.wants(first, last)]
    with ThreadPoolExecutor(1, thread_name_prefix="series") as pool:
        coming = [pool.submit(reader.rows, *rows) for rows in wanted[:1]]
        for number, (first, _) in enumerate(wanted):
            series = coming.pop().result()
            coming += [pool.submit(reader.rows, *rows) for rows in wanted[number + 1 : number + 2]]
            yield first, series


def _check(context: Context, item: Input, reader: SeriesReader, trained: TrainedNetwork) -> None:
    """Make sure that the series is of the tile, and what the network was trained on."""
    where, train = f"{context.unit.name}: the series of {item.unit.name}", context.input("train").unit.name
    pixels = (reader.height, reader.width)
    if pixels != context.tile.shape:
        raise ArtifactError(f"{where} has {pixels} pixels where the tile has {context.tile.shape}")
    try:
        trained.check(features=reader.features, dates=len(reader.days))
    except ArtifactError as error:
        raise ArtifactError(f"{where} and the weights of {train} do not fit: {error}") from error
    unknown = sorted(set(trained.settings.classes) - set(context.legend.ids))
    if unknown:
        raise ArtifactError(f"the weights of {train} know the classes {unknown}, which the legend has not")
