"""The fetcher's stages write the same files, whether the archive is a catalogue or a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from support.archive_bench import HARMONY, SEARCH, archive_bench
from support.harness import decided
from support.stac_server import StacServer
from support.tiny_archive import TinyProduct, scene_of

from landseries.artifacts.documents import digest_of_file, read_json
from landseries.pipeline import Unit
from landseries_fetcher.handlers import fetch, fetch_outside, search, search_outside


def test_search_and_fetch_through_the_stages(
    earth_search: Callable[..., Path], api: StacServer, tmp_path: Path
) -> None:
    scene = scene_of()
    scene[10:14, 20:26] = 9
    product = TinyProduct(baseline="0500", offset=-1000, level=3_000, scene=scene, discriminator="20230101T000000")
    earth_search(product, TinyProduct(scene=scene))
    folder = archive_bench(tmp_path, "folder", {"kind": "safe", "path": str(tmp_path / "products")})
    remote = archive_bench(tmp_path, "remote", {"kind": "earth-search", "url": api.url, "cache": "cache"})
    assert folder.plan.tile == remote.plan.tile
    digests, chosen, verdicts = [], [], []
    unit = Unit("fetch", ("32TQS", "2018", product.acquisition))
    for bench in (folder, remote):
        searched = bench.run(search, SEARCH)
        chosen.append(read_json(searched["chosen.json"]))
        verdicts.append(read_json(searched["search.json"])["tiles"])
        given = {SEARCH: searched, HARMONY: decided(tmp_path, product.acquisition)}
        fetched = bench.run(fetch, unit, given)
        assert len(fetched) == 4
        digests.append({name: digest_of_file(path) for name, path in fetched.items()})
    assert chosen[0] == chosen[1]
    assert verdicts[0] == verdicts[1]
    assert digests[0] == digests[1]
    outside = search_outside(remote.context(SEARCH))
    assert outside == search_outside(remote.context(SEARCH))
    assert set(outside) == {product.name, TinyProduct().name, "offsets"}
    assert fetch_outside(remote.context(unit, given)).keys() == {product.name, "offsets"}
