"""A model's table on the disk of this machine, laid out for reading single series in any order.

Parquet is read forwards only. It is rewritten once, a row group at a time, as one flat file of series and one array per
column, from which series are gathered. Processes of one machine share the file's pages in the system's cache, and
memory of their own does not grow with the table.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from landseries.artifacts.tables import read_in_parts
from landseries.errors import ArtifactError

_COLUMNS: Final = ("split", "year", "class", "weight")
_SERIES: Final = "series.int16"
#: Largest file that is mapped; a larger one is read series by series, because pages that were touched count as memory.
RESIDENT_BYTES: Final = 256 << 20


class MappedSeries:
    """Series in a flat file, gathered by their line: `series[lines]`.

    Attributes:
        shape: (n, dates, features).
        dtype: int16.
        ndim: 3.
    """

    ndim: Final = 3
    dtype: Final = np.dtype(np.int16)

    def __init__(self, path: Path, dates: int, features: int, resident_bytes: int = RESIDENT_BYTES) -> None:
        """Open a file of int16 series, (n, dates, features), one after the other; up to `resident_bytes` as pages."""
        self._file = path.open("rb", buffering=0)
        self._bytes_each = 2 * dates * features
        size = path.stat().st_size
        self.shape: tuple[int, int, int] = (size // self._bytes_each, dates, features)
        self._mapped: NDArray[np.int16] | None = None
        if 0 < size <= resident_bytes:
            pages = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
            self._mapped = np.frombuffer(pages, np.int16).reshape(self.shape)

    def __getitem__(self, lines: NDArray[np.int64] | slice) -> NDArray[np.int16]:
        """A copy of some series, (k, dates, features) int16."""
        if self._mapped is not None:
            return np.array(self._mapped[lines])
        file, each = self._file.fileno(), self._bytes_each
        if isinstance(lines, slice):
            first, last, _ = lines.indices(self.shape[0])
            content = os.pread(file, (last - first) * each, first * each)
        else:
            content = b"".join([os.pread(file, each, line * each) for line in lines.tolist()])
        return np.frombuffer(content, np.int16).reshape(-1, *self.shape[1:])


@dataclass(frozen=True)
class MappedTable:
    """A model's annual series with the split (0 training, 1 validation), year, class and weight of each.

    Attributes:
        series: (n, dates, features) int16, reflectance x 10,000, -32768 where missing.
        columns: `split`, `year`, `class`, `weight`, each (n,).
    """

    series: MappedSeries
    columns: dict[str, NDArray[Any]]


def write_flat(source: Path, folder: Path, features: Sequence[str]) -> None:
    """Rewrite a model's Parquet table into a folder.

    Raises:
        ArtifactError: its series are no int16 dates of these features.
    """
    folder.mkdir(parents=True, exist_ok=True)
    columns: dict[str, list[NDArray[Any]]] = {name: [] for name in _COLUMNS}
    with (folder / _SERIES).open("wb") as file:
        for part in read_in_parts(source, *_COLUMNS, "series"):
            series = part["series"]
            if series.ndim != 2 or series.dtype != np.int16 or series.shape[1] % len(features):
                raise ArtifactError(
                    f"series of shape {series.shape} and {series.dtype} are no int16 dates of the {len(features)} "
                    f"features {', '.join(features)}"
                )
            file.write(np.ascontiguousarray(series).data)
            for name in _COLUMNS:
                columns[name].append(part[name])
    for name, pieces in columns.items():
        np.save(folder / f"{name}.npy", np.concatenate(pieces), allow_pickle=False)


def map_flat(folder: Path, features: int) -> MappedTable:
    """Open what `write_flat` wrote, in any number of processes."""
    columns = {name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in _COLUMNS}
    count = len(columns["split"])
    dates = (folder / _SERIES).stat().st_size // (2 * features * count)
    return MappedTable(MappedSeries(folder / _SERIES, dates, features), columns)
