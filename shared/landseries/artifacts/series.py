"""Regular time series as Zarr v3 in one stored zip: int16, zstd on one thread, sorted entries, fixed dates.

Readers take bands of rows, so chunks hold all dates and features of a few rows.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import ZstdCodec
from zarr.storage import LocalStore as ZarrFolder
from zarr.storage import ZipStore

from landseries.bands import NODATA
from landseries.errors import ArtifactError
from landseries.grid import Raster

#: Rows in a chunk, and so in the blocks that readers are best served with.
ROWS_PER_CHUNK: Final = 32
_ARRAY: Final = "series"
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


class SeriesWriter:
    """Writes blocks of rows; blocks must start at a multiple of `ROWS_PER_CHUNK`."""

    def __init__(self, array: zarr.Array[object]) -> None:
        self._array = array

    def write_rows(self, first_row: int, values: npt.NDArray[np.int16]) -> None:
        """Write values (date, feature, row, column) int16, no-data -32768."""
        if first_row % ROWS_PER_CHUNK:
            raise ValueError(f"rows must start at a multiple of {ROWS_PER_CHUNK}, not at {first_row}")
        self._array[:, :, first_row : first_row + values.shape[2], :] = values


@contextmanager
def writing_series(
    path: Path, raster: Raster, *, features: Sequence[str], days: Sequence[int]
) -> Iterator[SeriesWriter]:
    """Write a series of a tile, block by block.

    Args:
        path: the zip to write.
        raster: the tile's pixel grid.
        features: names along the feature axis.
        days: day of the period of each regular date.
    """
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        folder = Path(scratch) / "zarr"
        array = zarr.create_array(
            store=ZarrFolder(folder),
            name=_ARRAY,
            shape=(len(days), len(features), *raster.shape),
            chunks=(len(days), len(features), min(ROWS_PER_CHUNK, raster.height), raster.width),
            dtype="int16",
            fill_value=NODATA,
            compressors=[ZstdCodec(level=1)],
            dimension_names=("date", "feature", "y", "x"),
            attributes={
                "features": list(features),
                "days_of_period": [int(day) for day in days],
                "crs": raster.crs,
                "transform": list(raster.transform)[:6],
                "scale_factor": 1e-4,
            },
            zarr_format=3,
        )
        yield SeriesWriter(array)
        _zip(folder, path)


class SeriesReader:
    """An open series: its axes, and blocks of rows."""

    def __init__(self, array: zarr.Array[object], name: str) -> None:
        self._array = array
        try:
            self.features = tuple(str(feature) for feature in array.attrs["features"])
            self.days = tuple(int(day) for day in array.attrs["days_of_period"])
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"{name}: misses the attributes of a series: {error}") from error
        if array.shape[:2] != (len(self.days), len(self.features)) or array.dtype != np.int16:
            raise ArtifactError(f"{name}: {array.dtype} {array.shape} is no series of its dates and features")
        self.height, self.width = array.shape[2:]

    def rows(self, first_row: int, last_row: int) -> npt.NDArray[np.int16]:
        """Values (date, feature, row, column) int16 of rows first_row..last_row-1; no-data is -32768."""
        return np.asarray(self._array[:, :, first_row:last_row, :])

    def blocks(self) -> Iterator[tuple[int, npt.NDArray[np.int16]]]:
        """The series in bands of rows, as (first row, values), which bounds memory whatever the tile."""
        for first in range(0, self.height, ROWS_PER_CHUNK):
            yield first, self.rows(first, min(first + ROWS_PER_CHUNK, self.height))


@contextmanager
def reading_series(path: Path) -> Iterator[SeriesReader]:
    """Open a series.

    Raises:
        ArtifactError: the file is no series.
    """
    try:
        store = ZipStore(path, mode="r")
        array = zarr.open_array(store, path=_ARRAY, mode="r", zarr_format=3)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ArtifactError(f"{path.name}: cannot be read as a series: {error}") from error
    try:
        yield SeriesReader(array, path.name)
    finally:
        store.close()


def _zip(folder: Path, path: Path) -> None:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for file in files:
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), date_time=_EPOCH)
            entry.external_attr = 0o644 << 16
            entry.file_size = file.stat().st_size
            with file.open("rb") as source, archive.open(entry, "w") as target:
                shutil.copyfileobj(source, target, 1 << 20)
