"""What other tools read: STAC, virtual rasters and QGIS styles."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pystac
import rasterio

from landseries.grid import Raster
from landseries_assessor.styles import confidence_style, paletted
from landseries_assessor.vrt import by_projection, virtual_raster


def test_the_collection_opens_and_every_asset_is_there(results: Path):
    collection = pystac.Collection.from_file(str(results / "stac" / "collection.json"))
    items = list(collection.get_items())
    assert [item.id for item in items] == ["test-2018", "test-2019", "test-2020"]
    for owner in (collection, *items):
        for name, asset in owner.assets.items():
            path = (results / "stac" / asset.href).resolve()
            assert path.is_file() or name == "report", asset.href
    assert items[0].get_parent().id == collection.id


def test_items_name_classes_colours_projection_and_period(results: Path):
    item = pystac.Item.from_file(str(results / "stac" / "2019.json"))
    assert item.properties["start_datetime"] == "2019-01-01T00:00:00Z"
    assert item.properties["end_datetime"] == "2019-12-31T23:59:59Z"
    assert "2019" in item.properties["attribution"][0]
    asset = item.assets["class_multi-year_west"]
    assert asset.extra_fields["proj:code"] == "EPSG:32632"
    assert asset.extra_fields["proj:shape"] == [96, 48]
    water = next(c for c in asset.extra_fields["classification:classes"] if c["title"] == "Water")
    assert (water["value"], water["color_hint"]) == (10, "2B6CB0")
    west, south, east, north = item.bbox
    assert west < east
    assert south < north


def test_a_virtual_raster_joins_the_granules(results: Path):
    folder = results / "maps" / "multi-year" / "2018"
    with rasterio.open(folder / "class.vrt") as whole:
        values, colours, names = whole.read(1), whole.colormap(1), whole.nodata
    parts = []
    for granule in ("west", "east"):
        with rasterio.open(folder / f"{granule}_class.tif") as part:
            parts.append(part.read(1))
            assert part.colormap(1)[10] == colours[10]
    np.testing.assert_array_equal(values, np.hstack(parts))
    assert names == 0
    with rasterio.open(folder / "probabilities.vrt") as whole:
        assert whole.count == 11
        assert whole.descriptions[9] == "Water"


def test_every_virtual_raster_opens(results: Path):
    found = sorted(results.rglob("*.vrt"))
    assert len(found) == 2 * (3 * 4 + 1) + 3
    for path in found:
        with rasterio.open(path) as source:
            assert source.shape == (96, 96)
            assert source.read(1).any()


def test_zones_get_a_virtual_raster_each():
    grids = {
        "a.tif": Raster("EPSG:32632", 0.0, 100.0, 10.0, 10.0, 5, 5),
        "b.tif": Raster("EPSG:32633", 0.0, 100.0, 10.0, 10.0, 5, 5),
    }
    assert {ending: list(group) for ending, group in by_projection(grids).items()} == {
        "_32632": ["a.tif"],
        "_32633": ["b.tif"],
    }


def test_granules_that_overlap_lie_at_their_places():
    grids = {
        "maps/x/a.tif": Raster("EPSG:32632", 500.0, 900.0, 10.0, 10.0, 20, 10),
        "maps/x/b.tif": Raster("EPSG:32632", 600.0, 950.0, 10.0, 10.0, 20, 10),
    }
    root = ElementTree.fromstring(virtual_raster("maps/x/class.vrt", grids, ["class"], 0))
    assert (root.get("rasterXSize"), root.get("rasterYSize")) == ("30", "15")
    places = [(place.get("xOff"), place.get("yOff")) for place in root.iter("DstRect")]
    assert places == [("0", "5"), ("10", "0")]
    assert [name.text for name in root.iter("SourceFilename")] == ["a.tif", "b.tif"]


def test_styles_hold_every_class_and_can_be_parsed(results: Path):
    for name in ("classes", "changes", "confidence"):
        ElementTree.parse(results / "styles" / f"{name}.qml")
    root = ElementTree.fromstring(paletted({3: ("Öde & wüst", (1, 2, 255))}))
    entry = root.find(".//paletteEntry")
    assert entry.attrib == {"value": "3", "color": "#0102ff", "alpha": "255", "label": "Öde & wüst"}
    stops = ElementTree.fromstring(confidence_style()).findall(".//item")
    assert float(stops[-1].get("value")) == 200
