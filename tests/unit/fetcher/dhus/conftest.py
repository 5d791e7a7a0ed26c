"""A hub on localhost, and the real client that asks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.dhus_server import Hub, dhus
from support.tiny_archive import TinyProduct

from landseries.settings.hubs import DhusSource
from landseries_fetcher.remote import persistence
from landseries_fetcher.sources.dhus import Dhus


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits as long as a hub may need; no user is known."""
    monkeypatch.setattr(persistence, "_FIRST_PAUSE_S", 0.01)
    for name in ("USER", "PASSWORD", "PASSWORD_FILE"):
        monkeypatch.delenv(f"LANDSERIES_DHUS_{name}", raising=False)


@pytest.fixture
def hub_of(archive: Callable[..., Path]) -> Iterator[Callable[..., Hub]]:
    """Starts a hub that holds some products."""
    with ExitStack() as stack:
        yield lambda *products: stack.enter_context(dhus(archive(*products or (TinyProduct(),))))


@pytest.fixture
def open_hub(tmp_path: Path) -> Callable[..., Dhus]:
    """Opens a hub as a worker that has just started would: it knows nothing but what the cache folder holds."""
    count = iter(range(1_000))

    def opened(hub: Hub, **fields: Any) -> Dhus:
        # Another patience is another source, which shares nothing but the cache folder.
        settings = {
            "patience_s": 20 + next(count) / 1_000,
            "cache": "cache",
            "product_types": ["S2MSI2A"],
            "parts": False,
        }
        source = DhusSource.model_validate({"kind": "sentinelsat", "api_url": hub.url, **settings, **fields})
        return Dhus(source, lambda path: tmp_path / path)

    return opened
