"""Rasters as Cloud Optimized GeoTIFFs, byte-stable, with the field's own tags: colours, names, no-data, overviews."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.io import MemoryFile
from rasterio.shutil import copy as copy_raster

from landseries.errors import ArtifactError
from landseries.grid import Raster


def write_cog(
    path: Path,
    bands: npt.NDArray[Any],
    raster: Raster,
    *,
    names: Sequence[str],
    nodata: float | None,
    colours: Mapping[int, tuple[int, int, int]] | None = None,
    tags: Mapping[str, str] | None = None,
    overviews: Literal["none", "nearest", "average"] = "none",
    level: int = 6,
) -> None:
    """Write a raster as a COG.

    Args:
        path: file to write.
        bands: (band, row, column) of any integer or float dtype.
        raster: pixel grid; its shape must be that of `bands`.
        names: one description per band.
        nodata: value without data; None for none.
        colours: value -> red, green, blue of the first band (uint8 rasters only).
        tags: dataset metadata; must hold nothing of the run.
        overviews: how overviews are made: `nearest` for classes, `average` for quantities.
        level: DEFLATE level; 1 where speed counts.

    Raises:
        ValueError: the shapes do not fit.
    """
    if bands.ndim != 3 or bands.shape[1:] != raster.shape or len(names) != bands.shape[0]:
        raise ValueError(f"bands {bands.shape} with {len(names)} names do not fit a raster of {raster.shape}")
    predictor = "NO" if bands.dtype.itemsize == 1 else ("STANDARD" if bands.dtype.kind in "iu" else "NO")
    with MemoryFile() as memory:
        with memory.open(**_profile(bands, raster, nodata)) as target:
            target.write(bands)
            for index, name in enumerate(names, 1):
                target.set_band_description(index, name)
            if colours is not None:
                target.write_colormap(1, {value: (*rgb, 255) for value, rgb in colours.items()})
            target.update_tags(**(tags or {}))
        copy_raster(
            memory.name,
            str(path),
            driver="COG",
            COMPRESS="DEFLATE",
            LEVEL=level,
            PREDICTOR=predictor,
            BLOCKSIZE=256,
            NUM_THREADS="1",
            OVERVIEWS="NONE" if overviews == "none" else "AUTO",
            RESAMPLING=overviews.upper() if overviews != "none" else "NEAREST",
        )


def _profile(bands: npt.NDArray[Any], raster: Raster, nodata: float | None) -> dict[str, Any]:
    return {
        "driver": "GTiff",
        "width": raster.width,
        "height": raster.height,
        "count": bands.shape[0],
        "dtype": bands.dtype,
        "crs": raster.crs,
        "transform": raster.transform,
        "nodata": nodata,
    }


def read_raster(path: Path, expected: Raster | None = None) -> npt.NDArray[Any]:
    """All bands of a raster artifact: (band, row, column).

    Raises:
        ArtifactError: not a raster, or not on the expected grid.
    """
    try:
        with rasterio.open(path) as source:
            bands: npt.NDArray[Any] = source.read()
    except rasterio.RasterioIOError as error:
        raise ArtifactError(f"{path.name}: cannot be read as a raster: {error}") from error
    if expected is not None and bands.shape[1:] != expected.shape:
        raise ArtifactError(f"{path.name}: has {bands.shape[1:]} pixels where the tile has {expected.shape}")
    return np.asarray(bands)
