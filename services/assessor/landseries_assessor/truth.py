"""True maps from outside the store, brought onto a tile's grid: used by the assessment alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import Resampling
from rasterio.errors import CRSError, RasterioIOError
from rasterio.warp import reproject

from landseries.artifacts.documents import digest_of
from landseries.errors import Refused
from landseries.grid import Raster
from landseries.legend import NO_CLASS

#: Outside every raster's values, so that no-data cannot be taken for a class.
_UNKNOWN: Final = -1


def read_truth(
    pattern: str | None, years: Sequence[int], grid: Raster, ids: Sequence[int]
) -> dict[int, npt.NDArray[np.uint8]]:
    """Read the truth of every year that has a file.

    Args:
        pattern: path with {year}; None where no truth is known.
        years: years to look for.
        grid: pixel grid to bring it to, by nearest neighbour.
        ids: class ids of the legend.

    Returns:
        Year -> (rows, columns) uint8 class ids, 0 where the truth is unknown; years without a file are left out.

    Raises:
        Refused: no year has a file, one cannot be read, or one holds values that are no class ids.
    """
    if pattern is None:
        return {}
    paths = {year: Path(pattern.format(year=year)) for year in dict.fromkeys(years)}
    found = {year: path for year, path in paths.items() if path.is_file()}
    if not found:
        raise Refused(f"truth.path: {pattern} names no file for any of the years {', '.join(map(str, paths))}")
    return {year: _read(path, grid, ids) for year, path in found.items()}


def digests(truth: dict[int, npt.NDArray[np.uint8]]) -> dict[str, str]:
    """What of the truth a tile uses: its own pixels, so that a truth of a larger area changes nothing."""
    return {f"truth {year}": digest_of(np.ascontiguousarray(classes).tobytes()) for year, classes in truth.items()}


def _read(path: Path, grid: Raster, ids: Sequence[int]) -> npt.NDArray[np.uint8]:
    target = np.full(grid.shape, _UNKNOWN, dtype=np.int32)
    try:
        with rasterio.open(path) as source:
            reproject(
                rasterio.band(source, 1),
                target,
                src_nodata=NO_CLASS if source.nodata is None else source.nodata,
                dst_transform=grid.transform,
                dst_crs=grid.crs,
                dst_nodata=_UNKNOWN,
                resampling=Resampling.nearest,
            )
    except (RasterioIOError, CRSError) as error:
        raise Refused(f"truth.path: {path} cannot be read as a raster: {error}") from error
    target[target == _UNKNOWN] = NO_CLASS
    strange = sorted(set(np.unique(target).tolist()) - {NO_CLASS, *ids})
    if strange:
        raise Refused(
            f"truth.path: {path} holds the values {strange[:10]}, which are no class ids of the legend "
            f"({', '.join(map(str, ids))}); use 0 or the raster's no-data value where the truth is unknown"
        )
    return target.astype(np.uint8)
