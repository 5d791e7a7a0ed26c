"""A model's table on the disk of this machine, laid out for reading single series in any order.

Parquet is read forwards only. It is rewritten once, a row group at a time, as one flat file of series and one array per
column; series are then gathered from the mapped file. Processes of one machine share its pages, and pages that were
read are given back to the system from time to time, so that memory does not grow with the table.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from landseries.artifacts.tables import read_in_parts
from landseries.errors import ArtifactError

_COLUMNS: Final = ("split", "year", "class", "weight")
_SERIES: Final = "series.int16"
#: Most bytes of a mapped file that stay in a process's memory; a smaller file stays whole.
RESIDENT_BYTES: Final = 256 << 20
#: What the system brings in around a series that is read: 16 pages on Linux.
_AROUND_BYTES: Final = 64 << 10


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
        """Map a file of int16 series, (n, dates, features), one after the other."""
        with path.open("rb") as file:
            self._pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._series = np.frombuffer(self._pages, np.int16).reshape(-1, dates, features)
        self.shape: tuple[int, int, int] = self._series.shape
        self._most = max(1, resident_bytes // _AROUND_BYTES) if len(self._pages) > resident_bytes else None
        self._read = 0

    def __getitem__(self, lines: npt.NDArray[np.int64] | slice) -> npt.NDArray[np.int16]:
        """A copy of some series, (k, dates, features) int16."""
        found: npt.NDArray[np.int16] = np.array(self._series[lines])
        if self._most is not None:
            self._read += len(found)
            if self._read >= self._most:
                self._pages.madvise(mmap.MADV_DONTNEED)
                self._read = 0
        return found


@dataclass(frozen=True)
class MappedTable:
    """A model's annual series with the split (0 training, 1 validation), year, class and weight of each.

    Attributes:
        series: (n, dates, features) int16, reflectance x 10,000, -32768 where missing.
        columns: `split`, `year`, `class`, `weight`, each (n,).
    """

    series: MappedSeries
    columns: dict[str, npt.NDArray[Any]]


def write_flat(source: Path, folder: Path, features: Sequence[str]) -> None:
    """Rewrite a model's Parquet table into a folder.

    Raises:
        ArtifactError: its series are no int16 dates of these features.
    """
    folder.mkdir(parents=True, exist_ok=True)
    columns: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in _COLUMNS}
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
