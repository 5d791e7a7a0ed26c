"""The existing map on a tile's grid: nearest neighbour from any projection, or a variable of the cube itself."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import Resampling
from rasterio.warp import reproject, transform_bounds

from landseries.errors import ConfigError, SourceError
from landseries.grid import Raster, Tile
from landseries.service import Outside
from landseries.settings.sources import CubeSource
from landseries_fetcher.checksums import digest_of_path

#: Code of pixels that the map does not cover.
OUTSIDE: Final = -1
#: Codes above this are no-data in every legend.
_CODE_MAX: Final = 2**31 - 1
_SAMPLE_PX: Final = 2048


def read_codes(outside: Outside, tile: Tile) -> npt.NDArray[np.int32]:
    """Codes of the existing map on a tile: (rows, columns) int32, -1 where it has none.

    Raises:
        SourceError: the map cannot be read.
        ConfigError: it is no map of codes.
    """
    if outside.reference_path is not None:
        return warp_codes(outside.reference_path, tile)
    assert outside.reference_variable is not None
    assert isinstance(outside.source, CubeSource)
    from landseries_fetcher.sources.cube import Cube

    return Cube(outside.source, outside.resolve).codes(outside.reference_variable, tile)


def checksums(outside: Outside) -> dict[str, str]:
    """File name -> digest of what holds the map.

    Raises:
        SourceError: a file is not there.
    """
    if outside.reference_path is not None:
        return {outside.reference_path.name: digest_of_path(outside.reference_path)}
    assert outside.reference_variable is not None
    assert isinstance(outside.source, CubeSource)
    from landseries_fetcher.sources.cube import Cube

    return Cube(outside.source, outside.resolve).variable_checksums(outside.reference_variable)


def warp_codes(path: Path, raster: Raster) -> npt.NDArray[np.int32]:
    """Codes of a categorical raster on another grid, each pixel that of the map's pixel that holds its centre.

    Args:
        path: raster in any projection; its first band is read, and of that only what the grid needs.
        raster: the grid.

    Returns:
        (rows, columns) int32, -1 outside the map and where it has no data.

    Raises:
        SourceError: it cannot be read.
        ConfigError: it has no projection, or no integer values.
    """
    codes = np.full(raster.shape, OUTSIDE, dtype=np.int32)
    with _opened(path) as source:
        try:
            reproject(
                rasterio.band(source, 1),
                codes,
                src_nodata=source.nodata,
                dst_transform=raster.transform,
                dst_crs=raster.crs,
                dst_nodata=OUTSIDE,
                resampling=Resampling.nearest,
                init_dest_nodata=False,
                tolerance=0.0,
            )
        except rasterio.errors.RasterioError as error:
            raise SourceError(f"reference.path: {path} cannot be read: {error}") from error
    return codes


def check(path: Path, bounds_lonlat: tuple[float, float, float, float]) -> npt.NDArray[np.int32]:
    """Look at an existing map before a run.

    Args:
        path: the raster.
        bounds_lonlat: west, south, east, north of the area.

    Returns:
        Codes of the map over the area, thinned to at most 2048 x 2048 pixels; -1 where it has no data.

    Raises:
        SourceError: it cannot be read, or does not overlap the area.
        ConfigError: it has no projection, or no integer values.
    """
    with _opened(path) as source:
        left, bottom, right, top = transform_bounds("EPSG:4326", source.crs, *bounds_lonlat)
        bounds = source.bounds
        if not (left < bounds.right and right > bounds.left and bottom < bounds.top and top > bounds.bottom):
            theirs = transform_bounds(source.crs, "EPSG:4326", *bounds)
            raise SourceError(
                f"reference.path: {path} covers {_degrees(theirs)}, and does not overlap the area, "
                f"{_degrees(bounds_lonlat)}"
            )
        window = (
            rasterio.windows.from_bounds(
                max(left, bounds.left),
                max(bottom, bounds.bottom),
                min(right, bounds.right),
                min(top, bounds.top),
                source.transform,
            )
            .round_lengths(op="ceil")
            .round_offsets(op="floor")
        )
        shape = (min(_SAMPLE_PX, max(1, int(window.height))), min(_SAMPLE_PX, max(1, int(window.width))))
        try:
            values = source.read(1, window=window, out_shape=shape).astype(np.int64)
        except rasterio.errors.RasterioError as error:
            raise SourceError(f"reference.path: {path} cannot be read: {error}") from error
        nodata = values == source.nodata if source.nodata is not None else np.zeros(shape, bool)
    return np.where(nodata | (values > _CODE_MAX), OUTSIDE, values).astype(np.int32)


def _opened(path: Path) -> rasterio.DatasetReader:
    try:
        source = rasterio.open(path)
    except rasterio.errors.RasterioError as error:
        raise SourceError(f"reference.path: {path} cannot be read as a raster: {error}") from error
    if source.crs is None:
        source.close()
        raise ConfigError(f"reference.path: {path} has no projection (CRS); assign one, for example with gdal_edit")
    if np.dtype(source.dtypes[0]).kind not in "iu":
        kind = source.dtypes[0]
        source.close()
        raise ConfigError(f"reference.path: {path} has {kind} values; a map of codes has whole numbers")
    return source


def _degrees(bounds: tuple[float, float, float, float]) -> str:
    west, south, east, north = bounds
    return f"{west:.3f}..{east:.3f} E, {south:.3f}..{north:.3f} N"
