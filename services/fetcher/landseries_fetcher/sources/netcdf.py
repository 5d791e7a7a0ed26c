"""Variables of NetCDF files: those of version 4, which are HDF5, and the classic ones."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import h5netcdf
import numpy as np
import numpy.typing as npt

from landseries_fetcher.sources.netcdf_classic import read_classic
from landseries_fetcher.sources.variables import Read, Variable, Variables

_HDF5_SIGNATURE: Final = b"\x89HDF"
# The library keeps notes of an open file that several threads must not write at once.
_LOCK: Final = threading.Lock()


def open_netcdf(path: Path) -> Variables:
    """The variables of a file; HDF5 files stay open as long as one of them is used.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no NetCDF file, or damaged.
    """
    with path.open("rb") as stream:
        is_hdf5 = stream.read(4) == _HDF5_SIGNATURE
    # Not the netCDF4 library: it is not safe with threads, and files are closed on whichever collects garbage.
    return _of_hdf5(h5netcdf.File(path, "r", phony_dims="access")) if is_hdf5 else read_classic(path)


def _of_hdf5(file: Any) -> Variables:
    with _LOCK:
        variables = {
            str(name): Variable(
                axes=tuple(map(str, found.dimensions)),
                shape=tuple(map(int, found.shape)),
                dtype=np.dtype(found.dtype),
                attributes=_attributes(found.attrs),
                read=_reader(file, found),
            )
            for name, found in file.variables.items()
        }
        return Variables(variables, _attributes(file.attrs))


def _reader(file: Any, variable: Any) -> Read:
    def read(place: tuple[int | slice, ...], file: Any = file) -> npt.NDArray[Any]:
        # The file is named so that it is not closed before its last variable is gone.
        with _LOCK:
            return np.asarray(variable[place])

    return read


def _attributes(found: Mapping[str, Any]) -> dict[str, Any]:
    return {str(name): found[name] for name in found}
