"""Tables of pixels as GeoParquet: a point per row, columns of numbers, and series as fixed-size lists."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pyproj import CRS

from landseries.errors import ArtifactError


def write_points(
    path: Path,
    columns: Mapping[str, npt.NDArray[Any]],
    *,
    crs: str,
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
) -> None:
    """Write pixels as a GeoParquet file of points.

    Args:
        path: file to write.
        columns: name -> (n,) numbers, or (n, k) numbers that become a fixed-size list.
        crs: CRS of the coordinates.
        x, y: (n,) pixel centres in the CRS.
    """
    arrays: dict[str, pa.Array] = {name: _to_arrow(values) for name, values in columns.items()}
    points = np.zeros(len(x), dtype=[("order", "u1"), ("kind", "<u4"), ("x", "<f8"), ("y", "<f8")])
    points["order"], points["kind"], points["x"], points["y"] = 1, 1, x, y  # well-known binary, little-endian point
    offsets = np.arange(len(x) + 1, dtype=np.int32) * points.dtype.itemsize
    arrays["geometry"] = pa.Array.from_buffers(
        pa.binary(), len(x), [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(points.tobytes())]
    )
    geo = {
        "version": "1.1.0",
        "primary_column": "geometry",
        "columns": {
            "geometry": {
                "encoding": "WKB",
                "geometry_types": ["Point"],
                "crs": json.loads(CRS.from_user_input(crs).to_json()),
            }
        },
    }
    table = pa.table(arrays).replace_schema_metadata({"geo": json.dumps(geo, sort_keys=True)})
    _write(path, table)


def write_table(path: Path, columns: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write columns without geometry: name -> (n,) numbers or (n, k) numbers."""
    _write(path, pa.table({name: _to_arrow(values) for name, values in columns.items()}))


def read_columns(path: Path, *names: str) -> dict[str, npt.NDArray[Any]]:
    """Read columns as NumPy arrays, lists as (n, k); all but the geometry where none is named.

    Raises:
        ArtifactError: the file is no Parquet file or misses a column.
    """
    try:
        file = pq.ParquetFile(path)
        wanted = list(names) or [name for name in file.schema_arrow.names if name != "geometry"]
        table = file.read(columns=wanted, use_threads=False)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise _unreadable(path, error) from error
    _check_names(path, table, wanted)
    return {name: _to_numpy(table.column(name)) for name in wanted}


def read_in_parts(path: Path, *names: str) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """Read columns a row group at a time, so that memory does not grow with the table; a table of no rows is one part.

    Raises:
        ArtifactError: the file is no Parquet file or misses a column.
    """
    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error
    for group in range(file.num_row_groups):
        try:
            table = file.read_row_group(group, columns=list(names), use_threads=False)
        except (OSError, pa.ArrowException, KeyError) as error:
            raise _unreadable(path, error) from error
        _check_names(path, table, names)
        yield {name: _to_numpy(table.column(name)) for name in names}
    if file.num_row_groups == 0:
        yield read_columns(path, *names)


def _write(path: Path, table: pa.Table) -> None:
    pq.write_table(
        table,
        path,
        compression="zstd",
        compression_level=1,
        use_dictionary=False,
        write_statistics=False,
        store_schema=True,
        row_group_size=65_536,
    )


def _unreadable(path: Path, error: Exception) -> ArtifactError:
    return ArtifactError(f"{path.name}: cannot be read as a table: {error}")


def _check_names(path: Path, table: pa.Table, wanted: Sequence[str]) -> None:
    missing = set(wanted) - set(table.column_names)
    if missing:
        raise ArtifactError(f"{path.name}: misses the columns {', '.join(sorted(missing))}")


def _to_arrow(values: npt.NDArray[Any]) -> pa.Array:
    if values.ndim == 1:
        return pa.array(values)
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, int(np.prod(values.shape[1:])))


def _to_numpy(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    if not pa.types.is_fixed_size_list(column.type):
        return np.asarray(column.to_numpy())
    parts = [np.asarray(chunk.flatten().to_numpy(zero_copy_only=False)) for chunk in column.chunks]
    flat = np.concatenate(parts) if parts else np.empty(0, column.type.value_type.to_pandas_dtype())
    return flat.reshape(len(column), column.type.list_size)
