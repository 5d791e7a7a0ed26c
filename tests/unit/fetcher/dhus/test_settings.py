"""What a configuration may say of a hub, and where products are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from landseries.settings.hubs import DhusSource
from landseries.settings.sources import Source
from landseries_fetcher.sources.dhus import cache_folder


def _source(**fields: Any) -> DhusSource:
    source: Any = TypeAdapter(Source).validate_python({"kind": "sentinelsat", **fields})
    assert isinstance(source, DhusSource)
    return source


def test_a_hub() -> None:
    source = _source(api_url="https://hub.example/dhus/")
    assert source.api_url == "https://hub.example/dhus"
    assert source.product_types == ("S2MSI2A", "S2MSI2Ap")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"api_url": ""},
        {"api_url": "https://scihub.copernicus.eu/dhus"},
        {"api_url": "https://apihub.copernicus.eu/apihub"},
    ],
)
def test_there_is_no_default_hub_and_why(fields: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match=r"closed in October 2023.*cdse"):
        _source(**fields)


@pytest.mark.parametrize(
    "url", ["ftp://hub.example", "hub.example/dhus", "https://", "https://u:p@hub.example/", "https://h/?a=b"]
)
def test_what_is_no_hub(url: str) -> None:
    with pytest.raises(ValidationError, match="write https://HOST/PATH"):
        _source(api_url=url)


def test_product_types_are_words() -> None:
    with pytest.raises(ValidationError, match="no product type"):
        _source(api_url="https://hub.example", product_types=["S2MSI2A OR *"])


def test_where_products_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def resolve(path: Path) -> Path:
        return tmp_path / path

    monkeypatch.setenv("LANDSERIES_CACHE_FOLDER", "/elsewhere")
    assert cache_folder(Path("mine"), resolve) == tmp_path / "mine"
    assert cache_folder(None, resolve) == Path("/elsewhere")
    monkeypatch.delenv("LANDSERIES_CACHE_FOLDER")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache_folder(None, resolve) == Path("/caches/landseries/products")
