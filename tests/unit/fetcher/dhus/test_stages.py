"""The fetcher's stages write the same files, whether the archive is a hub or a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.archive_bench import HARMONY, SEARCH, archive_bench
from support.dhus_server import Hub
from support.harness import decided
from support.tiny_archive import TinyProduct

from landseries.artifacts.documents import digest_of_file, read_json
from landseries.gates import NotNow
from landseries.pipeline import Unit
from landseries_fetcher.handlers import fetch, fetch_outside, search, search_outside


def test_search_and_fetch_through_the_stages(hub_of: Callable[..., Hub], tmp_path: Path) -> None:
    product = TinyProduct(baseline="0500", offset=-1000, level=3_000)
    hub = hub_of(product)
    hub.only().polls = 0
    folder = archive_bench(tmp_path, "folder", {"kind": "safe", "path": str(tmp_path / "products")})
    remote = archive_bench(
        tmp_path, "hub", {"kind": "sentinelsat", "api_url": hub.url, "cache": "cache", "product_types": ["S2MSI2A"]}
    )
    assert folder.plan.tile == remote.plan.tile
    with pytest.raises(NotNow, match="offline and was ordered"):
        remote.run(search, SEARCH)
    digests, chosen, fetch_bytes = [], [], []
    unit = Unit("fetch", ("32TQS", "2018", product.acquisition))
    for bench in (folder, remote):
        searched = bench.run(search, SEARCH)
        chosen.append(read_json(searched["chosen.json"]))
        fetch_bytes.append(read_json(searched["search.json"])["fetch_bytes"])
        given = {SEARCH: searched, HARMONY: decided(tmp_path, product.acquisition)}
        fetched = bench.run(fetch, unit, given)
        assert len(fetched) == 4
        digests.append({name: digest_of_file(path) for name, path in fetched.items()})
    assert chosen[0] == chosen[1]
    assert digests[0] == digests[1]
    assert fetch_bytes == [{product.acquisition: 0}, {product.acquisition: len(hub.only().content)}]
    now = {product.name: f"md5:{hub.only().md5}"}
    assert search_outside(remote.context(SEARCH)) == now
    assert fetch_outside(remote.context(unit, given)) == now
