"""Runs over a tiny archive behind local servers: a configuration, an existing map, and products through the year."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
import yaml
from affine import Affine
from pyproj import Transformer

from .catalogues import C1, COLOURS
from .range_server import RangeServer
from .stac_server import StacServer, item_of, publish
from .tiny_archive import TOP_M, TinyProduct, write_product

#: Six tiles of 32 pixels lie in it.
BOX_M = (700_161.0, TOP_M - 639.0, 700_639.0, TOP_M - 1.0)


def area() -> shapely.Polygon:
    """The area of interest, in longitude and latitude."""
    to_lonlat = Transformer.from_crs("EPSG:32632", "EPSG:4326", always_xy=True)
    return shapely.transform(shapely.box(*BOX_M), to_lonlat.transform, interleaved=False)


def write_map(path: Path) -> None:
    """A map in EPSG:3035 that covers the area: one class."""
    left, bottom, right, top = rasterio.warp.transform_bounds("EPSG:32632", "EPSG:3035", *BOX_M)
    shape = (round((top - bottom) / 100) + 20, round((right - left) / 100) + 20)
    profile = {"driver": "GTiff", "width": shape[1], "height": shape[0], "count": 1, "dtype": "uint16"}
    transform = Affine(100, 0, left - 1_000, 0, -100, top + 1_000)
    with rasterio.open(path, "w", crs="EPSG:3035", transform=transform, **profile) as target:
        target.write(np.full(shape, 312, dtype=np.uint16), 1)


def write_config(folder: Path, source: dict[str, Any], **fields: Any) -> Path:
    """A configuration over the area, of 2018 where nothing else is said, with a map beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_map(folder / "map.tif")
    (folder / "area.geojson").write_text(shapely.to_geojson(area()), encoding="utf-8")
    content = {
        "name": "tiny",
        "area": {"geojson": "area.geojson"},
        "years": [2018],
        "source": source,
        "reference": {"path": "map.tif", "year": 2018},
        "grid": {"tile_size_px": 32},
        **fields,
    }
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def through_the_year(count: int, year: int = 2018, **fields: Any) -> list[TinyProduct]:
    """Products evenly spread over a year."""
    days = [date(year, 1, 3) + timedelta(days=round(place * 360 / count)) for place in range(count)]
    return [
        TinyProduct(
            start=f"{d:%Y%m%d}T101021", discriminator=f"{d:%Y%m%d}T134512", datastrip=f"{d:%Y%m%d}T101017", **fields
        )
        for d in days
    ]


def put_into_catalogue(folder: Path, products: Sequence[TinyProduct], api: StacServer, store: RangeServer) -> None:
    """Offer products as Earth Search does, with the lengths of their files."""
    for product in products:
        root = write_product(folder, product)
        offset = -0.1 if product.baseline >= "0400" else 0.0
        assets = publish(root, product, COLOURS, store, offset)
        for asset in assets.values():
            asset["file:size"] = len(store.files[asset["href"].removeprefix(f"{store.url}/")])
        api.items.append(item_of(product, C1, assets))
