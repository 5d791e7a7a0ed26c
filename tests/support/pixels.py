"""Labels and series of a whole area, cut into the tiles of a plan as the stages before write them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from landseries.artifacts.rasters import write_cog
from landseries.artifacts.series import ROWS_PER_CHUNK, writing_series
from landseries.grid import Tile
from landseries.pipeline import COUNTS, SERIES, Unit
from landseries.plan import RunPlan


def random_labels(
    shape: tuple[int, int], years: tuple[int, ...], *, classes: int = 4, change: float = 0.2, seed: int = 0
) -> dict[int, npt.NDArray[np.uint8]]:
    """Labels (rows, columns) of each year: a base map, of which each year replaces a share at random; 0 is no label."""
    random = np.random.default_rng(seed)
    base = random.integers(1, classes + 1, shape, dtype=np.uint8)
    labels = {}
    for year in years:
        other = random.integers(0, classes + 1, shape, dtype=np.uint8)
        labels[year] = np.where(random.random(shape) < change, other, base)
    return labels


def series_of_labels(
    labels: npt.NDArray[np.uint8], *, dates: int = 5, features: int = 2, seed: int = 0
) -> npt.NDArray[np.int16]:
    """Series (date, feature, row, column) int16 that tell classes apart, with noise and some missing dates."""
    random = np.random.default_rng(seed)
    date = np.arange(dates)[:, None, None, None]
    feature = np.arange(features)[None, :, None, None]
    wave = np.sin(2 * np.pi * (date / dates + labels * 0.37 + feature * 0.2)) * 1500
    values = 2000 + labels * 300.0 + wave + random.normal(0, 150, (dates, features, *labels.shape))
    missing = random.random((dates, 1, *labels.shape)) < 0.1
    return np.where(missing, -32768, values).astype(np.int16)


def cut(values: npt.NDArray[np.generic], tile: Tile, tile_size_px: int) -> npt.NDArray[np.generic]:
    """The part of an array (..., row, column) of the whole cube that lies in a tile."""
    top, left = tile.row * tile_size_px, tile.column * tile_size_px
    return values[..., top : top + tile.height, left : left + tile.width]


def write_series(path: Path, tile: Tile, values: npt.NDArray[np.int16], features: tuple[str, ...]) -> Path:
    """Write a tile's series as the index stage does."""
    days = [int(365 * (i + 0.5) / values.shape[0]) for i in range(values.shape[0])]
    with writing_series(path, tile, features=features, days=days) as writer:
        for first in range(0, tile.height, ROWS_PER_CHUNK):
            writer.write_rows(first, values[:, :, first : first + ROWS_PER_CHUNK])
    return path


def pseudo_labelled(
    folder: Path,
    plan: RunPlan,
    labels: Mapping[int, npt.NDArray[np.uint8]],
    series: Mapping[int, npt.NDArray[np.int16]],
    *,
    probability: int = 180,
) -> dict[Unit, dict[str, Path]]:
    """What index and pseudolabel answer for every tile and year of a plan.

    Args:
        folder: an empty folder for the files.
        plan: the plan; its tiles cut the arrays.
        labels: year -> (rows, columns) of the whole cube.
        series: year -> (date, feature, row, column) of the whole cube.
        probability: every label's probability in steps of 1/200.
    """
    size = plan.config.grid.tile_size_px
    given: dict[Unit, dict[str, Path]] = {}
    for tile in plan.tile.values():
        for year, found in labels.items():
            place = folder / f"{tile.id}-{year}"
            place.mkdir(parents=True)
            own = np.asarray(cut(found, tile, size), dtype=np.uint8)
            bands = np.stack([own, np.full_like(own, probability)])
            write_cog(place / "labels.tif", bands, tile, names=["label", "probability"], nodata=None)
            values = np.asarray(cut(series[year], tile, size), dtype=np.int16)
            write_series(place / SERIES, tile, values, plan.features)
            counts = np.full((1, *own.shape), 9, dtype=np.uint8)
            write_cog(place / COUNTS, counts, tile, names=["clear_views"], nodata=None)
            given[Unit("pseudolabel", (tile.id, str(year)))] = {"labels.tif": place / "labels.tif"}
            given[Unit("index", (tile.id, str(year)))] = {SERIES: place / SERIES, COUNTS: place / COUNTS}
    return given
