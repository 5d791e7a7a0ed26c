"""The fetcher's stages write the same files, whether the archive is a hub or a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from pyproj import Transformer
from support.dhus_server import Hub
from support.harness import Bench, decided
from support.tiny_archive import TOP_M, TinyProduct

from landseries.artifacts.documents import digest_of_file, read_json
from landseries.config import LoadedConfig, parse_config
from landseries.gates import NotNow
from landseries.legend import load_legend
from landseries.numerics import NumericsProfile
from landseries.pipeline import Unit
from landseries.plan import make_plan
from landseries_fetcher.describing import describe
from landseries_fetcher.handlers import fetch, fetch_outside, search, search_outside

SEARCH = Unit("search", ("32TQS", "2018"))
HARMONY = Unit("harmony", ("32TQS",))
BOX_M = (700_161.0, TOP_M - 639.0, 700_639.0, TOP_M - 1.0)


def _bench(folder: Path, name: str, source: dict[str, Any]) -> Bench:
    to_lonlat = Transformer.from_crs("EPSG:32632", "EPSG:4326", always_xy=True)
    content = {
        "name": "test",
        "area": {"bbox": [0, 0, 1, 1]},
        "years": [2018],
        "source": source,
        "reference": {"path": "map.tif", "year": 2018},
        "grid": {"tile_size_px": 32},
    }
    loaded = LoadedConfig(
        path=folder / "config.yaml",
        run=parse_config(content, "config.yaml"),
        legend=load_legend("corine"),
        area=shapely.transform(shapely.box(*BOX_M), to_lonlat.transform, interleaved=False),
    )
    return Bench(make_plan(loaded, describe(loaded), NumericsProfile()), folder / name)


@pytest.fixture
def existing_map(tmp_path: Path) -> None:
    left, bottom, right, top = rasterio.warp.transform_bounds("EPSG:32632", "EPSG:3035", *BOX_M)
    shape = (round((top - bottom) / 100) + 20, round((right - left) / 100) + 20)
    with rasterio.open(
        tmp_path / "map.tif",
        "w",
        driver="GTiff",
        width=shape[1],
        height=shape[0],
        count=1,
        dtype="uint16",
        crs="EPSG:3035",
        transform=Affine(100, 0, left - 1_000, 0, -100, top + 1_000),
    ) as target:
        target.write(np.full(shape, 312, dtype=np.uint16), 1)


@pytest.mark.usefixtures("existing_map")
def test_search_and_fetch_through_the_stages(hub_of: Callable[..., Hub], tmp_path: Path) -> None:
    product = TinyProduct(baseline="0500", offset=-1000, level=3_000)
    hub = hub_of(product)
    hub.only().polls = 0
    folder = _bench(tmp_path, "folder", {"kind": "safe", "path": str(tmp_path / "products")})
    remote = _bench(
        tmp_path, "hub", {"kind": "sentinelsat", "api_url": hub.url, "cache": "cache", "product_types": ["S2MSI2A"]}
    )
    assert folder.plan.tile == remote.plan.tile
    with pytest.raises(NotNow, match="offline and was ordered"):
        remote.run(search, SEARCH)
    digests, chosen = [], []
    unit = Unit("fetch", ("32TQS", "2018", product.acquisition))
    for bench in (folder, remote):
        searched = bench.run(search, SEARCH)
        chosen.append(read_json(searched["chosen.json"]))
        given = {SEARCH: searched, HARMONY: decided(tmp_path, product.acquisition)}
        fetched = bench.run(fetch, unit, given)
        assert len(fetched) == 4
        digests.append({name: digest_of_file(path) for name, path in fetched.items()})
    assert chosen[0] == chosen[1]
    assert digests[0] == digests[1]
    now = {product.name: f"md5:{hub.only().md5}"}
    assert search_outside(remote.context(SEARCH)) == now
    assert fetch_outside(remote.context(unit, given)) == now
