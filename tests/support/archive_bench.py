"""Runs the fetcher's stages over one tile of the tiny archive, whatever source its products come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
import shapely
from affine import Affine
from pyproj import Transformer

from landseries.config import LoadedConfig, parse_config
from landseries.legend import load_legend
from landseries.numerics import NumericsProfile
from landseries.pipeline import Unit
from landseries.plan import make_plan
from landseries_fetcher.describing import describe
from support.harness import Bench
from support.tiny_archive import TOP_M

#: The archive's only search.
SEARCH: Final = Unit("search", ("32TQS", "2018"))
#: West, south, east and north of the area of interest in UTM zone 32: within one tile.
_BOX_M: Final = (700_161.0, TOP_M - 639.0, 700_639.0, TOP_M - 1.0)


def archive_bench(folder: Path, name: str, source: dict[str, Any]) -> Bench:
    """A bench over a source; its configuration and an existing map lie in a folder, what it writes in `name` there."""
    to_lonlat = Transformer.from_crs("EPSG:32632", "EPSG:4326", always_xy=True)
    content = {
        "name": "test",
        "area": {"bbox": [0, 0, 1, 1]},
        "years": [2018],
        "source": source,
        "reference": {"path": _existing_map(folder).name, "year": 2018},
        "grid": {"tile_size_px": 32},
    }
    loaded = LoadedConfig(
        path=folder / "config.yaml",
        run=parse_config(content, "config.yaml"),
        legend=load_legend("corine"),
        area=shapely.transform(shapely.box(*_BOX_M), to_lonlat.transform, interleaved=False),
    )
    return Bench(make_plan(loaded, describe(loaded), NumericsProfile()), folder / name)


def _existing_map(folder: Path) -> Path:
    """A map of one class that covers the area."""
    path = folder / "map.tif"
    left, bottom, right, top = rasterio.warp.transform_bounds("EPSG:32632", "EPSG:3035", *_BOX_M)
    shape = (round((top - bottom) / 100) + 20, round((right - left) / 100) + 20)
    profile = {"driver": "GTiff", "width": shape[1], "height": shape[0], "count": 1, "dtype": "uint16"}
    transform = Affine(100, 0, left - 1_000, 0, -100, top + 1_000)
    with rasterio.open(path, "w", crs="EPSG:3035", transform=transform, **profile) as target:
        target.write(np.full(shape, 312, dtype=np.uint16), 1)
    return path
