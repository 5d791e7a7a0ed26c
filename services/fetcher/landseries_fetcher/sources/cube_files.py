"""Layers of NetCDF files and Zarr folders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import rasterio

from landseries.errors import ConfigError, SourceError
from landseries.grid import Raster
from landseries_fetcher.sources.layers import Layer, raster_of_bounds, raster_of_centres, split_name
from landseries_fetcher.sources.netcdf import open_netcdf
from landseries_fetcher.sources.variables import Variable, Variables, dates, labels
from landseries_fetcher.sources.zarr_folder import open_zarr

_X_NAMES: Final = ("x", "lon", "longitude", "easting")
_Y_NAMES: Final = ("y", "lat", "latitude", "northing")
_CRS_ATTRIBUTES: Final = ("crs_wkt", "spatial_ref")


class CubeFiles:
    """NetCDF files and Zarr folders, opened together; see `landseries_fetcher.sources.layers.LayerFiles`."""

    def __init__(
        self, paths: Sequence[Path], crs: str | None, bounds: tuple[float, float, float, float] | None
    ) -> None:
        """Open the files.

        Args:
            paths: NetCDF files and Zarr folders; a variable is taken from the first that has it.
            crs: the CRS where the files do not say.
            bounds: left, bottom, right, top where the files have no coordinates.

        Raises:
            SourceError: a file is not there, or is neither NetCDF nor Zarr.
        """
        self._crs = crs
        self._bounds = bounds
        self._open = [(path, _open(path)) for path in paths]

    def layer(self, field: str, name: str, has_dates: bool) -> Layer:
        """See `LayerFiles.layer`."""
        variable, item = split_name(name)
        # A name may itself hold brackets.
        wanted = name if any(name in found.data for _, found in self._open) else variable
        for path, found in self._open:
            if wanted in found.data:
                array = found.variables[wanted]
                if wanted != name:
                    array = _select(field, path, found, array, item or "")
                return self._layer(field, name, path, found, array, has_dates)
        known = sorted({other for _, found in self._open for other in found.data})
        raise ConfigError(f"{field}: no file of source.paths has a variable {variable!r}; there are {', '.join(known)}")

    def _layer(self, field: str, name: str, path: Path, file: Variables, array: Variable, has_dates: bool) -> Layer:
        time_axis = next((axis for axis in array.axes if _is_time(file, axis)), None)
        x_axis = next((axis for axis in array.axes if axis.lower() in _X_NAMES), None)
        y_axis = next((axis for axis in array.axes if axis.lower() in _Y_NAMES), None)
        wanted = {axis for axis in (time_axis if has_dates else None, x_axis, y_axis) if axis is not None}
        if x_axis is None or y_axis is None or (has_dates and time_axis is None) or wanted != set(array.axes):
            axes = "(time, y, x)" if has_dates else "(y, x)"
            raise ConfigError(
                f"{field}: {path.name}: {name} has the axes ({', '.join(array.axes)}); it must have {axes}, "
                "and one item of a further axis is chosen by `variable[item]`"
            )
        raster, is_from_south = self._raster(field, file, array, x_axis, y_axis)
        unsigned = str(array.attributes.get("_Unsigned", "false")).lower() == "true"

        def read(time: int | None, rows: slice, columns: slice) -> npt.NDArray[Any]:
            stored_rows = slice(raster.height - rows.stop, raster.height - rows.start) if is_from_south else rows
            place: dict[str, int | slice] = {y_axis: stored_rows, x_axis: columns}
            if time_axis is not None and time is not None:
                place[time_axis] = time
            with _reading(path):
                window = array.read(tuple(place[axis] for axis in array.axes))
            if array.axes.index(x_axis) < array.axes.index(y_axis):
                window = window.T
            window = _as_unsigned(window) if unsigned else window
            return window[::-1] if is_from_south else window

        times = () if time_axis is None else _times(path, file.variables[time_axis])
        return Layer(name, raster, times, _fill(array, unsigned), (path,), read)

    def _raster(self, field: str, file: Variables, array: Variable, x_axis: str, y_axis: str) -> tuple[Raster, bool]:
        crs = _crs_name(field, self._crs or _crs_of(file, array))
        x, y = file.axis(x_axis), file.axis(y_axis)
        if x is not None and y is not None:
            return raster_of_centres(field, crs, x.values.astype(np.float64), y.values.astype(np.float64))
        if self._bounds is None:
            raise ConfigError(f"{field}: its file has no x and y coordinates; give source.bounds")
        sizes = dict(zip(array.axes, array.shape, strict=True))
        return raster_of_bounds(crs, self._bounds, (sizes[y_axis], sizes[x_axis])), False


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """While the context is open, failures become errors that name the file.

    Raises:
        SourceError: it cannot be read.
    """
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        raise SourceError(f"{path} cannot be read: {error}") from error


def _open(path: Path) -> Variables:
    try:
        return open_zarr(path) if path.is_dir() else open_netcdf(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"source.paths: {path} cannot be read as NetCDF or Zarr: {error}") from error


def _is_time(file: Variables, axis: str) -> bool:
    found = file.axis(axis)
    return found is not None and found.is_time


def _select(field: str, path: Path, file: Variables, array: Variable, item: str) -> Variable:
    """One item of the axis that is neither time nor place, by label or by number from 0."""
    if not item:
        return array
    further = [axis for axis in array.axes if axis.lower() not in (*_X_NAMES, *_Y_NAMES) and not _is_time(file, axis)]
    if len(further) != 1:
        raise ConfigError(f"{field}: [{item}] needs one axis beside time, y and x; there are {len(further)}")
    position = array.axes.index(further[0])
    coordinates = file.axis(further[0])
    with _reading(path):
        named = tuple(map(str, range(array.shape[position]))) if coordinates is None else labels(coordinates)
    if item in named:
        return _item(array, position, named.index(item))
    if item.isdigit() and int(item) < len(named):
        return _item(array, position, int(item))
    raise ConfigError(f"{field}: the axis {further[0]} has no {item!r}; there are {', '.join(named)}")


def _item(array: Variable, position: int, index: int) -> Variable:
    """A variable without one of its axes, of which an item is taken."""
    return replace(
        array,
        axes=array.axes[:position] + array.axes[position + 1 :],
        shape=array.shape[:position] + array.shape[position + 1 :],
        read=lambda place: array.read((*place[:position], index, *place[position:])),
    )


def _times(path: Path, variable: Variable) -> tuple[datetime, ...]:
    try:
        with _reading(path):
            return dates(variable)
    except SourceError as error:
        raise SourceError(f"source.paths: {path}: {error}") from error


def _fill(array: Variable, unsigned: bool) -> float | None:
    found = array.attributes.get("_FillValue", array.attributes.get("missing_value"))
    if found is None:
        return None
    value = np.asarray(found).reshape(-1)[:1]
    return float(_as_unsigned(value)[0]) if unsigned else float(value[0])


def _as_unsigned(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return values.astype(values.dtype.str.replace("i", "u")) if values.dtype.kind == "i" else values


def _crs_of(file: Variables, array: Variable) -> str:
    """The CRS as the file says it, by the CF conventions or the habits of common writers; empty where it does not."""
    for name in (array.text("grid_mapping"), "spatial_ref", "crs"):
        if name in file.variables:
            found = next((text for key in _CRS_ATTRIBUTES if (text := file.variables[name].text(key))), None)
            if found is not None:
                return found
    for attributes in (array.attributes, file.attributes):
        if attributes.get("epsg"):
            return f"EPSG:{int(str(attributes['epsg']))}"
        if isinstance(attributes.get("crs"), str):
            return str(attributes["crs"])
    return ""


def _crs_name(field: str, text: str) -> str:
    if not text:
        return ""
    try:
        crs = rasterio.CRS.from_user_input(text)
    except rasterio.errors.CRSError as error:
        raise ConfigError(f"{field}: the CRS {text[:60]!r} is not known; give source.crs such as EPSG:32633") from error
    code = crs.to_epsg()
    return f"EPSG:{code}" if code is not None else str(crs.to_wkt())
