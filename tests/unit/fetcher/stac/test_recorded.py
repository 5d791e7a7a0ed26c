"""Real answers of catalogues, as they were recorded, parse to the right names, offsets and shares."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from landseries.bands import BANDS
from landseries.settings.catalogues import EarthSearchSource, PlanetaryComputerSource, StacSource
from landseries_fetcher.sources.metadata import BadMetadata
from landseries_fetcher.sources.stac_items import (
    Item,
    asset_scaling,
    datastrip_start,
    geocoding,
    nodata_percent,
    read_item,
)

COLOURS = EarthSearchSource(kind="earth-search").assets
NAMES = PlanetaryComputerSource(kind="planetary-computer").assets


def _recorded(path: Path) -> list[Any]:
    """All items of the answers of a recording."""
    found: dict[tuple[str, str], Any] = {}
    for interaction in yaml.safe_load(path.read_text())["interactions"]:
        page = json.loads(interaction["response"]["body"]["string"])
        for item in page.get("features", []) if isinstance(page, dict) else []:
            found[(item["collection"], item["id"])] = item
    return list(found.values())


def _item(content: Any) -> Item:
    found = read_item(content, has_bucket=False)
    assert isinstance(found, Item), found
    return found


def test_earth_search(real_data: Path) -> None:
    contents = _recorded(real_data / "stac" / "pystac-client__earth-search_post_search.yaml")
    first = [_item(content) for content in contents if content["collection"] == "sentinel-2-c1-l2a"]
    assert len(first) >= 5
    for item in first:
        assert item.name.baseline == (5, 11)
        assert item.name.granule == item.properties["grid:code"].removeprefix("MGRS-")
        assert asset_scaling(item, COLOURS) == (dict.fromkeys(BANDS, -1000), 10_000.0)
        assert geocoding(item, COLOURS).shapes == {10: (10_980, 10_980), 20: (5_490, 5_490)}
        assert {"product_metadata", "granule_metadata"} <= item.assets.keys()
        assert item.asset("red").checksum.startswith("1220")
        assert item.asset("red").driver == "GTiff"
    item = next(item for item in first if item.name.granule == "20EPT")
    assert item.name.id == "S2B_MSIL2A_20250731T131909_N0511_R095_T20EPT_20250731T143919"
    assert nodata_percent(item) == 98.002911
    assert datastrip_start(item) == "20250731T131905"
    assert geocoding(item, COLOURS).crs == "EPSG:32720"
    assert (geocoding(item, COLOURS).left_m, geocoding(item, COLOURS).top_m) == (600_000, 3_300_040)


def test_earth_search_says_of_one_product_two_things(real_data: Path) -> None:
    contents = _recorded(real_data / "stac" / "pystac-client__earth-search_post_search.yaml")
    older = [_item(content) for content in contents if content["collection"] == "sentinel-2-l2a"]
    assert older
    for item in older:
        # The flag says that the offset was applied, the asset says that it is still to be applied.
        assert item.properties["earthsearch:boa_offset_applied"] is True
        assert asset_scaling(item, COLOURS) == (dict.fromkeys(BANDS, -1000), 10_000.0)
        # Its metadata lies in a bucket that is not open.
        assert "product_metadata" not in item.assets


def test_other_collections_are_skipped_with_a_reason(real_data: Path) -> None:
    contents = _recorded(real_data / "stac" / "pystac-client__earth-search_post_search.yaml")
    others = [content for content in contents if content["collection"] in ("sentinel-1-grd", "sentinel-2-l1c")]
    assert others
    assert {read_item(content, has_bucket=False) for content in others} == {
        "neither s2:product_uri, title nor id is the name of a Level-2A product"
    }


def test_planetary_computer(real_data: Path) -> None:
    contents = _recorded(real_data / "stac" / "pystac-client__planetary-computer_post_search.yaml")
    items = [_item(content) for content in contents]
    assert len(items) == 33
    for item in items:
        assert item.name.id == item.properties["s2:product_uri"].removesuffix(".SAFE")
        assert item.name.granule == item.properties["s2:mgrs_tile"]
        assert item.properties["s2:processing_baseline"] == "{:02d}.{:02d}".format(*item.name.baseline)
        assert asset_scaling(item, NAMES) is None
        assert {"product-metadata", "granule-metadata"} <= item.assets.keys()
        assert geocoding(item, NAMES).crs.startswith("EPSG:32")
    item = items[0]
    assert item.name.id == "S2A_MSIL2A_20190101T000001_N0212_R116_T60VUK_20201007T214652"
    assert nodata_percent(item) == 87.684971
    assert datastrip_start(item) == "20181231T235957"
    assert (geocoding(item, NAMES).left_m, geocoding(item, NAMES).top_m) == (300_000, 6_500_040)


@pytest.mark.parametrize(
    ("file", "name", "percent"),
    [
        (
            "odc-stac__S2B_MSIL2A_20190629T212529_R043_T06VVN_20201006T080531.json",
            "S2B_MSIL2A_20190629T212529_N0212_R043_T06VVN_20201006T080531",
            0.0,
        ),
        (
            "rio-tiler-pds__S2A_29RKH_20200219_0_L2A.json",
            "S2A_MSIL2A_20200219T112111_N0214_R037_T29RKH_20200219T123947",
            0.0,
        ),
        (
            "odc-stac__S2A_28QCH_20200714_0_L2A.json",
            "S2A_MSIL2A_20200714T115221_N0214_R123_T28QCH_20200714T191310",
            None,
        ),
        (
            "stactools__S2A_T07HFE_20190212T192646_L2A.json",
            "S2A_MSIL2A_20190212T192651_N0212_R013_T07HFE_20201007T160857",
            96.769553,
        ),
    ],
)
def test_single_items(real_data: Path, file: str, name: str, percent: float | None) -> None:
    item = _item(json.loads((real_data / "stac" / file).read_text()))
    assert item.name.id == name
    assert nodata_percent(item) == percent


def test_the_real_tile(real_data: Path) -> None:
    """An old product: its offset is 0 by the catalogue and by its baseline."""
    item = _item(json.loads((real_data / "s2_cog_29RKH" / "S2A_29RKH_20200219_0_L2A.json").read_text()))
    source = StacSource(kind="stac", url="https://host.example", collection="sentinel-2-l2a", assets=COLOURS)
    assert asset_scaling(item, source.assets) == (dict.fromkeys(BANDS, 0), 10_000.0)
    assert geocoding(item, source.assets).crs == "EPSG:32629"
    assert datastrip_start(item) == "20200219T113105"


def test_assets_without_an_address(real_data: Path) -> None:
    """An item that was never published names files of a folder: none of them can be reached."""
    item = _item(json.loads((real_data / "stac" / "stactools__S2A_T07HFE_20190212T192646_L2A.json").read_text()))
    assert item.assets == {}
    with pytest.raises(BadMetadata, match="no asset blue that can be reached"):
        geocoding(item, COLOURS)
