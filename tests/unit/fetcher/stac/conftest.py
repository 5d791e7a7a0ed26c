"""Catalogues on localhost, and the real client that asks them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from support.catalogues import C1, COLOURS
from support.range_server import RangeServer, range_server
from support.stac_server import StacServer, item_of, publish, stac_server
from support.tiny_archive import TinyProduct

from landseries.settings.catalogues import CatalogueSource
from landseries.settings.sources import Source
from landseries_fetcher.remote import persistence
from landseries_fetcher.sources.stac import Stac


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits as long as a server may need; no keys and no store are known."""
    monkeypatch.setattr(persistence, "_FIRST_PAUSE_S", 0.01)
    for kind in ("CDSE", "STAC"):
        for name in ("ACCESS_KEY", "SECRET_KEY", "ACCESS_KEY_FILE", "SECRET_KEY_FILE"):
            monkeypatch.delenv(f"LANDSERIES_{kind}_{name}", raising=False)
    monkeypatch.delenv("LANDSERIES_STORE_URL", raising=False)


@pytest.fixture
def api() -> Iterator[StacServer]:
    """A STAC API without items."""
    with stac_server() as server:
        yield server


@pytest.fixture
def store() -> Iterator[RangeServer]:
    """A server of files without files."""
    with range_server() as server:
        yield server


@pytest.fixture
def open_source(api: StacServer, tmp_path: Path) -> Callable[..., Stac]:
    """Opens the catalogue as a worker that has just started would: it knows nothing but what the cache folder holds."""
    count = iter(range(1_000))

    def opened(kind: str = "earth-search", **fields: Any) -> Stac:
        # Another patience is another source, which shares nothing but the cache folder.
        settings = {"kind": kind, "url": api.url, "cache": "cache", "patience_s": 20 + next(count) / 1_000, **fields}
        source: Any = TypeAdapter(Source).validate_python(settings)
        assert isinstance(source, CatalogueSource)
        return Stac(source, lambda path: tmp_path / path)

    return opened


@pytest.fixture
def earth_search(api: StacServer, store: RangeServer, archive: Callable[..., Path]) -> Callable[..., Path]:
    """Puts products into the catalogue as Earth Search does, and into a folder; returns the folder."""

    def put(
        *products: TinyProduct,
        names: dict[str, str] = COLOURS,
        collection: str = C1,
        offset: float | None = None,
        **fields: Any,
    ) -> Path:
        folder = archive(*products)
        for product in products:
            said = offset if offset is not None else (-0.1 if product.baseline >= "0400" else 0.0)
            assets = publish(folder / f"{product.name}.SAFE", product, names, store, said)
            api.items.append(item_of(product, collection, assets, **fields))
        return folder

    return put
