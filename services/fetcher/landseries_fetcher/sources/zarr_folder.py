"""Variables of a Zarr folder, version 2 or 3, as xarray writes them."""

from __future__ import annotations

import base64
import struct
from pathlib import Path
from typing import Any, Final

import numpy as np
import zarr

from landseries_fetcher.sources.variables import Read, Variable, Variables

#: Where version 2 has the names of the axes.
_AXES: Final = "_ARRAY_DIMENSIONS"


def open_zarr(path: Path) -> Variables:
    """The variables at the root of a folder.

    Raises:
        OSError, ValueError, KeyError, TypeError: it is no Zarr folder, or damaged.
    """
    group = zarr.open_group(path, mode="r")
    return Variables({name: _variable(name, array) for name, array in group.arrays()}, group.attrs.asdict())


def _variable(name: str, array: Any) -> Variable:
    attributes = dict(array.attrs)
    is_old = array.metadata.zarr_format == 2
    axes = attributes.pop(_AXES, None) if is_old else array.metadata.dimension_names
    axes = axes or ()  # an array without axes need not say so
    if len(axes) != array.ndim:
        raise ValueError(f"its array {name} has no names of axes, as {_AXES} or dimension_names")
    if is_old and array.fill_value is not None:
        attributes["_FillValue"] = array.fill_value
    elif "_FillValue" in attributes:
        attributes["_FillValue"] = _fill(attributes["_FillValue"], array.dtype)
    return Variable(tuple(map(str, axes)), tuple(array.shape), np.dtype(array.dtype), attributes, _reader(array))


def _fill(value: Any, dtype: np.dtype[Any]) -> Any:
    """The value without data as xarray writes it: floats as the base64 of their eight bytes."""
    if dtype.kind == "f" and isinstance(value, str):
        return struct.unpack("<d", base64.standard_b64decode(value))[0]
    return value


def _reader(array: Any) -> Read:
    return lambda place: np.asarray(array[place])
