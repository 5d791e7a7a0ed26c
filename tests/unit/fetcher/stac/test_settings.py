"""What a configuration may say of a catalogue."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from landseries.bands import BANDS
from landseries.settings.catalogues import CatalogueSource
from landseries.settings.sources import Source

STAC = {"kind": "stac", "url": "https://host.example/v1/", "collection": "s2"}


def _source(**fields: Any) -> CatalogueSource:
    source: Any = TypeAdapter(Source).validate_python(fields)
    assert isinstance(source, CatalogueSource)
    return source


@pytest.mark.parametrize("kind", ["cdse", "earth-search", "planetary-computer"])
def test_presets_need_nothing(kind: str) -> None:
    source = _source(kind=kind)
    assert source.url.startswith("https://")
    assert set(source.assets) == {*BANDS, "SCL"}
    assert len(set(source.assets.values())) == len(BANDS) + 1


def test_the_quota_of_cdse() -> None:
    source = _source(kind="cdse")
    assert (source.max_connections, source.max_requests_per_minute) == (4, 2000)
    assert source.key_names == "LANDSERIES_CDSE"
    assert source.assets["B8A"] == "B8A_20m"


def test_earth_search_prefers_collection_1() -> None:
    assert _source(kind="earth-search").collection == "sentinel-2-c1-l2a"
    with pytest.raises(ValidationError, match="write `offsets: pixels`, or take the collection sentinel-2-c1-l2a"):
        _source(kind="earth-search", collection="sentinel-2-l2a")
    assert _source(kind="earth-search", collection="sentinel-2-l2a", offsets="pixels").offsets == "pixels"


def test_any_other_catalogue() -> None:
    source = _source(**STAC)
    assert source.url == "https://host.example/v1"
    assert source.assets["B04"] == "B04"
    assert source.key_names == "LANDSERIES_STAC"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"url": "ftp://host.example"}, "write https://HOST"),
        ({"url": "https://me:secret@host.example"}, "keys belong into the environment"),
        ({"s3_endpoint": "host.example"}, "write https://HOST"),
        ({"assets": {"B02": "blue"}}, "wrong: B03, B04"),
        ({"granule_value": "MGRS"}, "write {granule} once"),
        ({"granule_value": "{granule} {0}"}, "write {granule} once"),
        ({"sas_url": "https://host.example/token"}, "signed_hosts"),
        ({"max_requests_per_minute": 100}, "max_connections"),
        ({"offsets": "guess"}, "offsets"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError) as caught:
        _source(**{**STAC, **fields})
    assert reason in str(caught.value)
