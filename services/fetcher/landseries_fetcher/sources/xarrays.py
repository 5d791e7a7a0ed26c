"""Layers of NetCDF files and Zarr folders."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import rasterio
import xarray as xr

from landseries.errors import ConfigError, SourceError
from landseries.grid import Raster
from landseries_fetcher.sources.layers import Layer, raster_of_bounds, raster_of_centres, split_name

_X_NAMES: Final = ("x", "lon", "longitude", "easting")
_Y_NAMES: Final = ("y", "lat", "latitude", "northing")
_CRS_ATTRIBUTES: Final = ("crs_wkt", "spatial_ref")
_HDF5_SIGNATURE: Final = b"\x89HDF"


class XarrayFiles:
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
        wanted = name if any(name in dataset.data_vars for _, dataset in self._open) else variable
        for path, dataset in self._open:
            if wanted in dataset.data_vars:
                array = dataset[wanted] if wanted == name else _select(field, dataset[wanted], item or "")
                return self._layer(field, name, path, dataset, array, has_dates)
        known = sorted({str(other) for _, dataset in self._open for other in dataset.data_vars})
        raise ConfigError(f"{field}: no file of source.paths has a variable {variable!r}; there are {', '.join(known)}")

    def _layer(
        self, field: str, name: str, path: Path, dataset: xr.Dataset, array: xr.DataArray, has_dates: bool
    ) -> Layer:
        time_axis = next((d for d in array.dims if np.issubdtype(_coordinate(array, d).dtype, np.datetime64)), None)
        x_axis = next((d for d in array.dims if str(d).lower() in _X_NAMES), None)
        y_axis = next((d for d in array.dims if str(d).lower() in _Y_NAMES), None)
        wanted = {axis for axis in (time_axis if has_dates else None, x_axis, y_axis) if axis is not None}
        if x_axis is None or y_axis is None or (has_dates and time_axis is None) or wanted != set(array.dims):
            axes = "(time, y, x)" if has_dates else "(y, x)"
            raise ConfigError(
                f"{field}: {path.name}: {name} has the axes ({', '.join(map(str, array.dims))}); it must have {axes}, "
                "and one item of a further axis is chosen by `variable[item]`"
            )
        raster, is_from_south = self._raster(field, dataset, array, x_axis, y_axis)
        unsigned = str(array.attrs.get("_Unsigned", "false")).lower() == "true"

        def read(time: int | None, rows: slice, columns: slice) -> npt.NDArray[Any]:
            stored_rows = slice(raster.height - rows.stop, raster.height - rows.start) if is_from_south else rows
            place: dict[Any, Any] = {y_axis: stored_rows, x_axis: columns}
            if time_axis is not None and time is not None:
                place[time_axis] = time
            try:
                window = np.asarray(array.isel(place).transpose(y_axis, x_axis).values)
            except (OSError, RuntimeError, ValueError) as error:
                raise SourceError(f"{path} cannot be read: {error}") from error
            window = _as_unsigned(window) if unsigned else window
            return window[::-1] if is_from_south else window

        return Layer(
            name=name,
            raster=raster,
            times=() if time_axis is None else _times(_coordinate(array, time_axis)),
            fill=_fill(array, unsigned),
            files=(path,),
            read=read,
        )

    def _raster(
        self, field: str, dataset: xr.Dataset, array: xr.DataArray, x_axis: Any, y_axis: Any
    ) -> tuple[Raster, bool]:
        crs = _crs_name(field, self._crs or _crs_of(dataset, array))
        if x_axis in array.coords and y_axis in array.coords:
            x, y = (np.asarray(array.coords[axis].values, dtype=np.float64) for axis in (x_axis, y_axis))
            return raster_of_centres(field, crs, x, y)
        if self._bounds is None:
            raise ConfigError(f"{field}: its file has no x and y coordinates; give source.bounds")
        return raster_of_bounds(crs, self._bounds, (array.sizes[y_axis], array.sizes[x_axis])), False


def _open(path: Path) -> xr.Dataset:
    try:
        if path.is_dir():
            return xr.open_zarr(path, mask_and_scale=False, chunks=None)
        with path.open("rb") as stream:
            is_hdf5 = stream.read(4) == _HDF5_SIGNATURE
        # Not the netCDF4 library: it is not safe with threads, and files are closed on whichever collects garbage.
        return xr.open_dataset(path, mask_and_scale=False, engine="h5netcdf" if is_hdf5 else "scipy")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"source.paths: {path} cannot be read as NetCDF or Zarr: {error}") from error


def _select(field: str, array: xr.DataArray, item: str) -> xr.DataArray:
    """One item of the axis that is neither time nor place, by label or by number from 0."""
    if not item:
        return array
    further = [
        axis
        for axis in array.dims
        if str(axis).lower() not in (*_X_NAMES, *_Y_NAMES)
        and not np.issubdtype(_coordinate(array, axis).dtype, np.datetime64)
    ]
    if len(further) != 1:
        raise ConfigError(f"{field}: [{item}] needs one axis beside time, y and x; there are {len(further)}")
    labels = [str(label) for label in _coordinate(array, further[0])]
    if item in labels:
        return array.isel({further[0]: labels.index(item)})
    if item.isdigit() and int(item) < len(labels):
        return array.isel({further[0]: int(item)})
    raise ConfigError(f"{field}: the axis {further[0]} has no {item!r}; there are {', '.join(labels)}")


def _coordinate(array: xr.DataArray, axis: Any) -> npt.NDArray[Any]:
    return np.asarray(array[axis].values)


def _times(values: npt.NDArray[Any]) -> tuple[datetime, ...]:
    return tuple(value.astype("datetime64[s]").item() for value in values)


def _fill(array: xr.DataArray, unsigned: bool) -> float | None:
    found = array.attrs.get("_FillValue", array.attrs.get("missing_value"))
    if found is None:
        return None
    value = np.asarray(found).reshape(-1)[:1]
    return float(_as_unsigned(value)[0]) if unsigned else float(value[0])


def _as_unsigned(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return values.astype(values.dtype.str.replace("i", "u")) if values.dtype.kind == "i" else values


def _crs_of(dataset: xr.Dataset, array: xr.DataArray) -> str:
    """The CRS as the file says it, by the CF conventions or the habits of common writers; empty where it does not."""
    candidates = [array.attrs.get("grid_mapping"), "spatial_ref", "crs"]
    for name in candidates:
        if name is not None and name in dataset.variables:
            attributes = dataset.variables[name].attrs
            found = next((attributes[key] for key in _CRS_ATTRIBUTES if attributes.get(key)), None)
            if found is not None:
                return str(found)
    for attributes in (array.attrs, dataset.attrs):
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
