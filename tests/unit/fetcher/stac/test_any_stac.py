"""A catalogue that a person describes: JPEG 2000 over HTTP, found by place alone, in the terms of newer extensions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.catalogues import NEW, OLD, PERIOD, everything, tiles, without_tags
from support.range_server import RangeServer
from support.stac_server import StacServer, asset_of, files_of, item_of

from landseries.bands import BANDS
from landseries_fetcher.sources.safe import SafeFolder
from landseries_fetcher.sources.stac import Stac


@pytest.fixture
def own(api: StacServer, store: RangeServer, archive: Callable[..., Path]) -> Path:
    """Two products whose assets have names of their own, and whose bands say `raster:offset` and `proj:code`."""
    folder = archive(OLD, NEW)
    for product in (OLD, NEW):
        assets: dict[str, Any] = {}
        for key, path in files_of(folder / f"{product.name}.SAFE").items():
            href = f"{product.name}/{path.name}"
            store.files[href] = path.read_bytes()
            assets[f"my-{key}"] = asset_of(product, key, f"{store.url}/{href}")
            if key in BANDS:
                said = {"raster:scale": 0.0001, "raster:offset": -0.1 if product is NEW else 0.0}
                assets[f"my-{key}"].update(said)
        item = item_of(product, "mine", assets, **{"proj:code": f"EPSG:{product.epsg}"})
        del item["properties"]["proj:epsg"], item["properties"]["s2:product_uri"]
        api.items.append({**item, "id": product.name})
    api.conforms = api.conforms[:2]
    return folder


FIELDS = {
    "collection": "mine",
    "assets": {image: f"my-{image}" for image in (*BANDS, "SCL")},
    "datastrip_metadata": "my-datastrip",
    "granule_property": None,
}


@pytest.mark.parametrize(("product", "granule"), [("my-product", "my-granule"), ("my-product", None)])
def test_with_metadata(own: Path, open_source: Callable[..., Stac], product: str, granule: str | None) -> None:
    source = open_source("stac", product_metadata=product, granule_metadata=granule, **FIELDS)
    assert everything(source, tiles()) == everything(SafeFolder(own), tiles())


@pytest.mark.parametrize("offsets", ["metadata", "asset"])
def test_without_metadata(own: Path, open_source: Callable[..., Stac], api: StacServer, offsets: str) -> None:
    source = open_source("stac", product_metadata=None, granule_metadata=None, offsets=offsets, **FIELDS)
    found = everything(source, tiles())
    assert without_tags(found) == without_tags(everything(SafeFolder(own), tiles()))
    assert '"offset_origin":"asset"' in found[-1][2][2]["PRODUCTS"]
    assert "bbox" in api.searches[0]
    assert "query" not in api.searches[0]


def test_offsets_by_the_asset_need_the_asset_to_say_them(
    own: Path, open_source: Callable[..., Stac], api: StacServer
) -> None:
    for item in api.items:
        del item["assets"]["my-B8A"]["raster:offset"]
    left = open_source("stac", offsets="asset", **FIELDS).catalogue("32TQS", PERIOD, {}).left
    assert {"gives no scale and offset" in one.reason for one in left} == {True}


def test_images_of_jpeg_2000_are_not_looked_at(own: Path, open_source: Callable[..., Stac]) -> None:
    catalogue = open_source("stac", offsets="pixels", **FIELDS).catalogue("32TQS", PERIOD, {})
    assert [one.products[0].id for one in catalogue.acquisitions] == [OLD.name]
    assert "no cloud-optimised GeoTIFF" in catalogue.left[0].reason
