"""A layer of a cube: one variable on its own pixel grid, read by date and window, and brought onto another grid.

A layer may be stored with rows from the south, or coarser than the cube's other layers (the 20 m bands beside the
10 m ones); where layers are read together, each pixel of the finest grid takes the pixel of the layer that holds its
centre, which is nearest neighbour and resamples nothing that is on the grid already.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from landseries.errors import ConfigError
from landseries.grid import Raster

_NAME = re.compile(r"(?P<variable>.+?)(?:\[(?P<item>[^\[\]]+)\])?")
_CENTRE_TOLERANCE: Final = 1e-6

#: Reads (date or None, rows, columns) -> (rows, columns), rows from the north.
ReadWindow = Callable[[int | None, slice, slice], npt.NDArray[Any]]


@dataclass(frozen=True)
class Layer:
    """One variable of a cube.

    Attributes:
        name: as the configuration calls it.
        raster: its own grid, north-up; the CRS is empty where the file does not say.
        times: dates of a series, UTC without a time zone; empty for a layer without dates.
        fill: stored value without data, as the file says; None where it does not.
        files: what it is read from.
        read: reads a window of one date.
    """

    name: str
    raster: Raster
    times: tuple[datetime, ...]
    fill: float | None
    files: tuple[Path, ...]
    read: ReadWindow

    def on_grid(self, time: int | None, raster: Raster) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """The layer on another grid of the same CRS.

        Args:
            time: index of the date; None for a layer without dates.
            raster: the other grid.

        Returns:
            Values (rows, columns), and where the layer covers the grid; elsewhere values mean nothing.
        """
        rows = _places(raster.top, -raster.pixel_height, raster.height, self.raster.top, -self.raster.pixel_height)
        columns = _places(raster.left, raster.pixel_width, raster.width, self.raster.left, self.raster.pixel_width)
        row_inside = (rows >= 0) & (rows < self.raster.height)
        column_inside = (columns >= 0) & (columns < self.raster.width)
        covered = row_inside[:, None] & column_inside[None, :]
        if not covered.any():
            return np.zeros(raster.shape, np.int16), covered
        rows, columns = rows.clip(0, self.raster.height - 1), columns.clip(0, self.raster.width - 1)
        window = self.read(
            time, slice(int(rows.min()), int(rows.max()) + 1), slice(int(columns.min()), int(columns.max()) + 1)
        )
        return window[np.ix_(rows - rows.min(), columns - columns.min())], covered


class LayerFiles(Protocol):
    """Where layers come from: NetCDF and Zarr files, or a folder of arrays."""

    def layer(self, field: str, name: str, has_dates: bool) -> Layer:
        """A layer by its name.

        Args:
            field: field of the configuration, for messages.
            name: variable, or `variable[item]` for one item of a variable with a further axis.
            has_dates: whether it must be a series, or must not.

        Raises:
            ConfigError: there is no such variable, or its axes are not those wanted.
            SourceError: a file cannot be read.
        """


def split_name(name: str) -> tuple[str, str | None]:
    """Variable and item of `variable[item]`."""
    found = _NAME.fullmatch(name)
    assert found is not None, "every text of at least one character matches"
    return found["variable"], found["item"]


def raster_of_centres(
    field: str, crs: str, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]
) -> tuple[Raster, bool]:
    """The grid of pixel centres, and whether its rows are stored from the south.

    Raises:
        ConfigError: an axis has fewer than two pixels, is not evenly spaced, or runs from east to west.
    """
    steps = []
    for axis, centres in (("x", x), ("y", y)):
        if centres.ndim != 1 or len(centres) < 2:
            raise ConfigError(f"{field}: its {axis} axis has {centres.size} pixels; at least two are needed")
        step = (centres[-1] - centres[0]) / (len(centres) - 1)
        if step == 0 or np.abs(np.diff(centres) - step).max() > 1e-3 * abs(step):
            raise ConfigError(f"{field}: its {axis} coordinates are not evenly spaced, which a pixel grid needs")
        steps.append(float(step))
    width, height = steps[0], abs(steps[1])
    if width < 0:
        raise ConfigError(f"{field}: its x coordinates run from east to west; store them ascending")
    raster = Raster(
        crs=crs,
        left=round(float(x[0]) - width / 2, 9),
        top=round(float(max(y[0], y[-1])) + height / 2, 9),
        pixel_width=round(width, 9),
        pixel_height=round(height, 9),
        width=len(x),
        height=len(y),
    )
    return raster, steps[1] > 0


def raster_of_bounds(crs: str, bounds: Sequence[float], shape: tuple[int, int]) -> Raster:
    """The grid of (rows, columns) pixels between left, bottom, right and top."""
    left, bottom, right, top = bounds
    return Raster(crs, left, top, (right - left) / shape[1], (top - bottom) / shape[0], shape[1], shape[0])


def utc(time: datetime) -> datetime:
    """A time in UTC, without a time zone; one without is taken to be UTC."""
    return time if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)


def _places(start: float, step: float, count: int, own_start: float, own_step: float) -> npt.NDArray[np.int64]:
    """Index of the own pixel that holds the centre of each of `count` pixels along one axis."""
    centres = start + (np.arange(count) + 0.5) * step
    # Rounding errors of coordinates must not push a centre that lies on an edge to either side at random.
    places: npt.NDArray[np.int64] = np.floor((centres - own_start) / own_step + _CENTRE_TOLERANCE).astype(np.int64)
    return places
