"""Searches through the real client: pages, faults, and answers that make no sense."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from support.catalogues import C1, IMAGES_ONLY, PERIOD
from support.stac_server import StacServer, item_of
from support.tiny_archive import TinyProduct

from landseries.errors import ConfigError, SourceError
from landseries_fetcher.remote.persistence import Persistence
from landseries_fetcher.remote.reader import OpenGate, RemoteUnavailable
from landseries_fetcher.sources.base import Acquisition, Product, UnreadableProduct
from landseries_fetcher.sources.catalogue_client import CatalogueClient
from landseries_fetcher.sources.catalogue_places import box_of_granule
from landseries_fetcher.sources.stac import Stac
from landseries_fetcher.sources.stac_items import Item, read_item

SOMEWHERE = {"bbox": [11.0, 46.0, 12.0, 47.0]}


def _products(count: int, **fields: Any) -> list[TinyProduct]:
    return [TinyProduct(start=f"201807{day + 1:02d}T101021", **fields) for day in range(count)]


def _client(api: StacServer, tries: int = 5) -> CatalogueClient:
    return CatalogueClient(api.url, C1, 100, OpenGate(), Persistence(tries=tries, patience_s=5.0))


def test_all_pages(api: StacServer) -> None:
    api.items = [item_of(product, C1, {}) for product in _products(7)]
    found = _client(api).during(PERIOD, place=SOMEWHERE, where=("grid:code", "MGRS-32TQS"))
    assert [item["id"] for item in found] == [item["id"] for item in api.items]
    assert len(api.searches) == 4
    assert api.searches[0]["datetime"] == "2017-12-31T00:00:00Z/2019-01-01T23:59:59Z"
    assert api.searches[0]["bbox"] == SOMEWHERE["bbox"]


def test_pages_without_end(api: StacServer) -> None:
    api.items = [item_of(product, C1, {}) for product in _products(4)]
    api.is_endless = True
    with pytest.raises(SourceError, match="repeat or have no end"):
        _client(api).during(PERIOD, place=SOMEWHERE, where=None)


@pytest.mark.parametrize(
    ("conforms", "field"), [("item-search#query", "query"), ("item-search#filter", "filter"), ("core", "bbox")]
)
def test_each_api_is_asked_in_its_terms(api: StacServer, conforms: str, field: str) -> None:
    classes = ["core", "item-search", conforms]
    if field == "filter":
        classes += ["item-search#filter:cql2-json", "item-search#filter:basic-cql"]
    api.conforms = tuple(f"https://api.stacspec.org/v1.0.0/{name}" for name in dict.fromkeys(classes))
    _client(api).during(PERIOD, place=SOMEWHERE, where=("grid:code", "MGRS-32TQS"))
    assert field in api.searches[0]
    assert {"query", "filter"} & api.searches[0].keys() <= {field}


def test_a_server_that_asks_to_wait(api: StacServer) -> None:
    api.items = [item_of(product, C1, {}) for product in _products(3)]
    answers = iter([None, (429, "1"), None, (503, "0"), None])
    api.fault = lambda path: next(answers)
    began = time.monotonic()
    assert len(_client(api).during(PERIOD, place=SOMEWHERE, where=None)) == 3
    assert api.times[2] - api.times[1] >= 1.0
    assert time.monotonic() - began < 10


def test_a_server_that_stays_away(api: StacServer) -> None:
    api.fault = lambda path: (503, "0")
    with pytest.raises(RemoteUnavailable, match="status 503"):
        _client(api, tries=3).during(PERIOD, place=SOMEWHERE, where=None)
    assert api.answers[503] == 3


def test_a_server_that_asks_to_wait_for_ever(api: StacServer) -> None:
    api.fault = lambda path: (429, "86400")
    with pytest.raises(RemoteUnavailable, match="asks to wait 86400 s"):
        _client(api).during(PERIOD, place=SOMEWHERE, where=None)


@pytest.mark.parametrize("landing", [b"", b"{", b"[]", b"{}", b'{"type": "Catalog"}', b'"text"', b"null", b"\xff\xfe"])
def test_what_is_no_stac_api(api: StacServer, landing: bytes) -> None:
    api.landing = landing
    with pytest.raises(SourceError, match=r"source\.url"):
        _client(api).during(PERIOD, place=SOMEWHERE, where=None)


def test_a_refusal(api: StacServer) -> None:
    api.fault = lambda path: (400, "0")
    with pytest.raises(SourceError, match="later"):
        _client(api).during(PERIOD, place=SOMEWHERE, where=None)


def test_items_that_make_no_sense_are_skipped_with_a_reason(
    api: StacServer,
    earth_search: Callable[..., Path],
    open_source: Callable[..., Stac],
    caplog: pytest.LogCaptureFixture,
) -> None:
    earth_search(TinyProduct(), names=IMAGES_ONLY)
    good = api.items[0]
    api.items += [
        None,
        "text",
        {},
        {"id": 5},
        {**good, "id": "no-assets", "assets": None},
        {**good, "id": "list", "properties": []},
        {**good, "id": "no-name", "properties": {**good["properties"], "s2:product_uri": "S2A.SAFE"}},
        {**good, "id": "other", "collection": "sentinel-2-l2a"},
        *({**good, "id": f"other-{number}", "collection": "sentinel-2-l2a"} for number in range(5)),
    ]
    source = open_source(granule_property=None)
    catalogue = source.catalogue("32TQS", PERIOD, {})
    assert [one.products[0].path for one in catalogue.acquisitions] == [good["id"]]
    for text in ("no properties or no assets", "name of a Level-2A product", "another collection", "without an id"):
        assert text in caplog.text
    told = [record.getMessage() for record in caplog.records if "skipped, such as" in record.getMessage()]
    assert len(told) == 3, "a line for each reason"
    assert any("6 items skipped, such as other: it is of another collection" in text for text in told)
    source.catalogue("32TQS", PERIOD, {})
    source.granules_over(shapely.box(11.4, 46.4, 11.9, 46.6), [PERIOD])
    assert sum("skipped, such as" in record.getMessage() for record in caplog.records) == len(told), "once"


@pytest.mark.parametrize(
    ("asset", "reason"),
    [
        ({"proj:shape": None}, "no grid"),
        ({"proj:transform": [20, 0, 0, 0, -20, 0]}, "other pixels than 10 m"),
        ({"proj:transform": [10, 0, 0, 0, -10, 0]}, "different corners"),
        ({"raster:bands": [{"scale": 0.0, "offset": 0}]}, "the scale 0"),
        ({"raster:bands": [{"scale": 0.0001, "offset": -0.10005}]}, "offset -0.10005"),
        ({"href": "file:///etc/passwd"}, "can be reached"),
        ({"href": "B04.tif"}, "can be reached"),
    ],
)
def test_a_damaged_item_is_left_out(
    api: StacServer,
    earth_search: Callable[..., Path],
    open_source: Callable[..., Stac],
    asset: dict[str, Any],
    reason: str,
) -> None:
    earth_search(TinyProduct(), names=IMAGES_ONLY)
    api.items[0]["assets"]["red"].update(asset)
    catalogue = open_source().catalogue("32TQS", PERIOD, {})
    assert catalogue.acquisitions == ()
    assert reason in catalogue.left[0].reason


def test_the_granules_of_an_area(api: StacServer, open_source: Callable[..., Stac]) -> None:
    api.items = [item_of(TinyProduct(granule=name), C1, {}) for name in ("32TQS", "32TPS")]
    source = open_source()
    assert source.granules_over(shapely.box(11.4, 46.4, 11.9, 46.6), [PERIOD]) == ("32TPS", "32TQS")
    assert api.searches[0]["intersects"]["type"] == "Polygon"
    with pytest.raises(ConfigError, match="area is missing"):
        source.granules_over(None, [PERIOD])


def test_a_product_that_is_no_longer_there(api: StacServer, open_source: Callable[..., Stac]) -> None:
    product = Product(TinyProduct().name, "gone", "02.08", "")
    acquisition = Acquisition("id", datetime(2018, 7, 5, 10, 10, 21), "S2A", 22, (product,))
    with pytest.raises(UnreadableProduct, match="no longer in"):
        open_source().checksums_of(acquisition)


@pytest.mark.parametrize("granule", ["32TPS", "32TQS", "55GDN", "01CCV", "33XWJ", "60VUK"])
def test_the_place_of_a_granule(granule: str) -> None:
    west, south, east, north = box_of_granule(granule)
    band = "CDEFGHJKLMNPQRSTUVWX".index(granule[2])
    assert south < 8 * band - 72 + 4 * (band == 19)
    assert north > 8 * band - 80
    assert 0.9 < north - south < 4
    centre = 6 * int(granule[:2]) - 183
    assert abs((west + (east - west) % 360 / 2 - centre + 180) % 360 - 180) < 8


def test_what_is_no_granule() -> None:
    for name in ("00TPS", "32IPS", "32TAA"):
        with pytest.raises(SourceError, match="no MGRS tile"):
            box_of_granule(name)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(["href", "type", "alternate", "raster:bands", "bands", "file:checksum"]), JSON),
    st.dictionaries(st.sampled_from(["title", "updated", "s2:datastrip_id"]), JSON),
)
def test_no_item_crashes_the_reading(asset: dict[str, Any], properties: dict[str, Any]) -> None:
    content = {"id": TinyProduct().name, "properties": properties, "assets": {"red": asset, "blue": 5}}
    for has_bucket in (True, False):
        item = read_item(content, has_bucket)
        assert isinstance(item, Item)
        assert item.name.granule == "32TQS"
        assert item.checksum(("red", "blue")).startswith("stac:")
        assert all("?" not in one.href for one in item.assets.values())
