"""The existing map on a tile's grid: from a raster or polygons in any projection, or a variable of the cube itself.

One rule for all: a pixel has the code of the place where its centre lies.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import ColorInterp, Resampling
from rasterio.warp import reproject, transform_bounds

from landseries.config import LoadedConfig
from landseries.errors import ConfigError, SourceError
from landseries.grid import Raster, Tile
from landseries.service import Outside
from landseries.settings.sources import CubeSource
from landseries_fetcher.checksums import digest_of_path
from landseries_fetcher.polygons import in_degrees

if TYPE_CHECKING:
    from landseries_fetcher.vector_map import VectorMap

_LOG: Final = logging.getLogger(__name__)
#: A map of which nothing is known of a larger share is perhaps another map than its legend.
_UNKNOWN_SHARE: Final = 0.1
#: Code of pixels that the map does not cover.
OUTSIDE: Final = -1
#: Codes above this are no-data in every legend.
_CODE_MAX: Final = 2**31 - 1
_SAMPLE_PX: Final = 2048


def read_codes(outside: Outside, tile: Tile, log: Callable[[str], None] | None = None) -> npt.NDArray[np.int32]:
    """Codes of the existing map on a tile: (rows, columns) int32, -1 where it has none.

    Args:
        outside: where the map is.
        tile: the tile.
        log: is told what had to be repaired.

    Raises:
        SourceError: the map cannot be read.
        ConfigError: it is no map of codes.
    """
    if outside.reference_path is not None:
        vector = _vector_map(outside.reference_path, outside.reference_layer, outside.reference_field)
        return warp_codes(outside.reference_path, tile) if vector is None else vector.codes(tile, log)
    assert outside.reference_variable is not None
    assert isinstance(outside.source, CubeSource)
    from landseries_fetcher.sources.cube import Cube

    return Cube(outside.source, outside.resolve).codes(outside.reference_variable, tile)


def checksums(outside: Outside) -> dict[str, str]:
    """File name -> digest of what holds the map; of polygons also the layer and the field that are used.

    Raises:
        SourceError: a file is not there.
        ConfigError: it is no map of codes.
    """
    if outside.reference_path is not None:
        vector = _vector_map(outside.reference_path, outside.reference_layer, outside.reference_field)
        return _raster_checksums(outside.reference_path) if vector is None else vector.checksums()
    assert outside.reference_variable is not None
    assert isinstance(outside.source, CubeSource)
    from landseries_fetcher.sources.cube import Cube

    return Cube(outside.source, outside.resolve).variable_checksums(outside.reference_variable)


def check_map(loaded: LoadedConfig, bounds_lonlat: tuple[float, float, float, float]) -> None:
    """Look at the existing map of a configuration before anything is spent on a run.

    Args:
        loaded: the configuration.
        bounds_lonlat: west, south, east, north of the area.

    Raises:
        SourceError: the map cannot be read, or does not overlap the area.
        ConfigError: it is no map of codes, or its codes do not fit the legend.
    """
    settings = loaded.run.reference
    if settings.path is not None:
        path = loaded.resolve(settings.path)
        vector = _vector_map(path, settings.layer, settings.field)
        where, name = "reference.path", str(path)
        codes = check(path, bounds_lonlat) if vector is None else vector.check(bounds_lonlat)
    else:
        assert settings.variable is not None
        assert isinstance(loaded.run.source, CubeSource)
        from landseries_fetcher.sources.cube import Cube

        where, name = "reference.variable", settings.variable
        codes = Cube(loaded.run.source, loaded.resolve).all_codes(settings.variable)
    try:
        loaded.legend.check_fit(codes)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error} (the map is {name})") from error
    unknown, share = loaded.legend.unknown_codes(codes)
    if share > _UNKNOWN_SHARE:
        _LOG.warning(
            "%s: %.0f %% of %s over the area have %s, which no CORINE map has: they count as no data; add the code to "
            "`nodata_codes` of a copy of the legend if that is right",
            where,
            100 * share,
            name,
            f"the code {unknown[0]}" if len(unknown) == 1 else f"the codes {unknown[:10]}",
        )


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
                f"reference.path: {path} covers {in_degrees(theirs)}, and does not overlap the area, "
                f"{in_degrees(bounds_lonlat)}"
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


def _vector_map(path: Path, layer: str | None, field: str | None) -> VectorMap | None:
    """The map as one of polygons; None where it is a raster.

    Raises:
        SourceError: it is not there, or cannot be read.
        ConfigError: it has no such layer or field, or no projection.
    """
    from landseries_fetcher.vector_map import SUFFIXES, holds_polygons, open_vector_map

    if path.suffix.lower() in SUFFIXES:
        if not path.exists():
            raise SourceError(f"reference.path: {path} cannot be read: there is no such file")
        if layer is not None or field is not None or holds_polygons(path):
            return open_vector_map(path, layer, field)
    elif layer is not None or field is not None:
        raise ConfigError(
            f"reference.{'layer' if layer is not None else 'field'}: {path} is read as a raster, which has none; "
            f"vector maps end in {', '.join(SUFFIXES)}"
        )
    return None


def _raster_checksums(path: Path) -> dict[str, str]:
    """Digests of the raster and of the files that it consists of; overviews are never read."""
    with _opened(path) as source:
        files = {Path(name) for name in source.files if not name.endswith(".ovr")} - {path}
    return {
        path.name: digest_of_path(path),
        **{os.path.relpath(file, path.parent): digest_of_path(file) for file in sorted(files)},
    }


def _opened(path: Path) -> rasterio.DatasetReader:
    try:
        source = rasterio.open(path)
    except rasterio.errors.RasterioError as error:
        hint = "; combine the tiles of a folder with gdalbuildvrt" if path.is_dir() else ""
        raise SourceError(f"reference.path: {path} cannot be read as a raster: {error}{hint}") from error
    if source.crs is None:
        source.close()
        raise ConfigError(f"reference.path: {path} has no projection (CRS); assign one, for example with gdal_edit")
    if np.dtype(source.dtypes[0]).kind not in "iu":
        kind = source.dtypes[0]
        source.close()
        raise ConfigError(
            f"reference.path: {path} has {kind} values; a map of codes has whole numbers: convert it, for example with "
            "gdal_translate -ot UInt16"
        )
    if source.colorinterp[:3] == (ColorInterp.red, ColorInterp.green, ColorInterp.blue):
        source.close()
        raise ConfigError(f"reference.path: {path} is a picture in red, green and blue; give the map of codes itself")
    return source
