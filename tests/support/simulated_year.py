"""One year of the simulated archive as regular series, without products on the way."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_dilation

from landseries.bands import BANDS, SceneClass
from landseries.indices import computable, compute_series
from landseries.simulation.difficulty import Difficulty
from landseries.simulation.geometry import Geometry
from landseries.simulation.orbits import plan_datatakes
from landseries.simulation.reference import draw_map
from landseries.simulation.sensor import Camera
from landseries_indexer.regularise import regular_days, regularise

_ACQUISITIONS = 26
_CLOUD_SHARE_MAX = 0.6
_MASKED = (SceneClass.CLOUD_SHADOW, SceneClass.CLOUD_MEDIUM, SceneClass.CLOUD_HIGH, SceneClass.THIN_CIRRUS)
_NO_DATA = (SceneClass.NO_DATA, SceneClass.SATURATED)


@dataclass(frozen=True)
class SimulatedYear:
    """A year.

    Attributes:
        truth, mapped: (row, column) uint8 class ids, true ones and those of the existing map.
        series: (date, band, row, column) int16, bands in the order of `BANDS`.
        indices: Names of the indices that the bands allow.
        index_series: (date, index, row, column) int16.
        views: (row, column) uint8 clear views.
    """

    truth: npt.NDArray[np.uint8]
    mapped: npt.NDArray[np.uint8]
    series: npt.NDArray[np.int16]
    indices: list[str]
    index_series: npt.NDArray[np.int16]
    views: npt.NDArray[np.uint8]


def simulated_year(seed: int, size_px: int, year: int = 2018) -> SimulatedYear:
    """Take the images of a year, mask them as the fetcher does, and interpolate them as the indexer does."""
    geometry, difficulty = Geometry(size_px), Difficulty()
    camera = Camera(geometry, year, difficulty, seed)
    values, clear, days = [], [], []
    for datatake in plan_datatakes([year], _ACQUISITIONS, geometry, difficulty, seed):
        if datatake.cloud_share <= _CLOUD_SHARE_MAX:
            image = camera.take(datatake)
            values.append(np.stack([_at_10_m(image.bands[band], size_px) for band in BANDS]))
            hidden = binary_dilation(np.isin(image.scene, _MASKED), iterations=2) | np.isin(image.scene, _NO_DATA)
            clear.append(~_at_10_m(hidden, size_px))
            days.append((datatake.day - date(year, 1, 1)).days)
    regular = regularise(np.stack(values), np.stack(clear), np.array(days), regular_days(), threads=1)
    names = computable(BANDS, distinct=True)
    truth = camera.history.truth(year)
    drawn = draw_map(camera.history.truth(year - difficulty.map_age_years), truth, geometry, difficulty, seed)
    indices = compute_series(names, regular.values, BANDS)
    return SimulatedYear(truth, drawn.classes, regular.values, names, indices, regular.clear_views)


def _at_10_m(layer: npt.NDArray[Any], size_px: int) -> npt.NDArray[Any]:
    repeat = size_px // len(layer)
    return layer.repeat(repeat, axis=0).repeat(repeat, axis=1)
