"""Layers of a folder of NumPy arrays with a JSON list of dates beside them, as eo-learn's EOPatches have them."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from landseries.errors import ConfigError, SourceError
from landseries_fetcher.sources.layers import Layer, raster_of_bounds, split_name, utc

_TIMESTAMP_FILES: Final = ("timestamps.json", "timestamp.json")


class NumpyFolder:
    """A folder of `.npy` files; see `landseries_fetcher.sources.layers.LayerFiles`.

    Arrays have the axes (time, y, x) or (time, y, x, item), those without dates (y, x) or (y, x, item); rows run from
    north to south.
    """

    def __init__(
        self,
        folder: Path,
        timestamps: Path | None,
        crs: str | None,
        bounds: tuple[float, float, float, float] | None,
    ) -> None:
        """Read the dates.

        Args:
            folder: the folder; a layer `data/NDVI` is its file `data/NDVI.npy`.
            timestamps: JSON list of ISO dates, by default `timestamps.json` in the folder.
            crs: the CRS, which arrays do not say.
            bounds: left, bottom, right, top in it.

        Raises:
            ConfigError: `crs` or `bounds` is missing.
            SourceError: the dates cannot be read.
        """
        if crs is None or bounds is None:
            raise ConfigError("source: NumPy arrays do not say where they lie; give both `crs` and `bounds`")
        self._folder = folder
        self._crs = crs
        self._bounds = bounds
        self._timestamps = timestamps or next(
            (folder / name for name in _TIMESTAMP_FILES if (folder / name).is_file()), folder / _TIMESTAMP_FILES[0]
        )
        self._times = _read_times(self._timestamps)

    def layer(self, field: str, name: str, has_dates: bool) -> Layer:
        """See `LayerFiles.layer`."""
        variable, item = split_name(name)
        path = self._folder / f"{variable}.npy"
        array = _load(field, path)
        axes = 3 if has_dates else 2
        if array.ndim not in (axes, axes + 1):
            wanted = "(time, y, x) or (time, y, x, item)" if has_dates else "(y, x) or (y, x, item)"
            raise ConfigError(f"{field}: {path.name} has the shape {array.shape}; it must have the axes {wanted}")
        if has_dates and array.shape[0] != len(self._times):
            raise ConfigError(
                f"{field}: {path.name} has {array.shape[0]} dates, {self._timestamps.name} {len(self._times)}"
            )
        band = _item(field, path, item, array.shape[-1] if array.ndim == axes + 1 else None)
        rows_axis = 1 if has_dates else 0
        shape = (array.shape[rows_axis], array.shape[rows_axis + 1])

        def read(time: int | None, rows: slice, columns: slice) -> npt.NDArray[Any]:
            place: tuple[Any, ...] = (rows, columns) if band is None else (rows, columns, band)
            return np.asarray(array[place] if time is None else array[(time, *place)])

        return Layer(
            name=name,
            raster=raster_of_bounds(self._crs, self._bounds, shape),
            times=self._times if has_dates else (),
            fill=None,
            files=(path, self._timestamps) if has_dates else (path,),
            read=read,
        )


def _load(field: str, path: Path) -> npt.NDArray[Any]:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
    except FileNotFoundError as error:
        raise ConfigError(f"{field}: there is no file {path}; a variable is a path such as data/NDVI") from error
    except (OSError, ValueError) as error:
        raise SourceError(f"{field}: {path} cannot be read as a NumPy array: {error}") from error


def _item(field: str, path: Path, item: str | None, count: int | None) -> int | None:
    """Number of the wanted item of the last axis; None where there is no such axis."""
    if item is None and (count is None or count == 1):
        return None if count is None else 0
    if item is not None and item.isdigit() and count is not None and int(item) < count:
        return int(item)
    if count is None:
        raise ConfigError(f"{field}: {path.name} has no axis of items; leave [{item}] out")
    raise ConfigError(
        f"{field}: {path.name} has {count} items; name one, from {path.stem}[0] to {path.stem}[{count - 1}]"
    )


def _read_times(path: Path) -> tuple[datetime, ...]:
    try:
        texts = json.loads(path.read_text(encoding="utf-8"))
        times = tuple(utc(datetime.fromisoformat(text)) for text in texts)
    except OSError as error:
        raise SourceError(f"source.timestamps: {path} cannot be read: {error.strerror or error}") from error
    except (ValueError, TypeError, UnicodeDecodeError) as error:
        raise SourceError(f"source.timestamps: {path} is no JSON list of ISO dates: {error}") from error
    if not times:
        raise SourceError(f"source.timestamps: {path} holds no date")
    return times
