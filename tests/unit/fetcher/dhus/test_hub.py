"""A hub delivers what a folder does, and what a hub does beyond that: copies, paging, offline products, damage."""

from __future__ import annotations

import dataclasses
import io
import random
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from support.dhus_server import Hub, zipped
from support.tiny_archive import LEFT_M, TOP_M, TinyProduct, scene_of

from landseries.config import Period
from landseries.errors import ConfigError, SourceError
from landseries.gates import NotNow
from landseries.grid import Tile
from landseries.settings.fetcher import FetchSettings
from landseries_fetcher.sources.base import Catalogue, UnreadableProduct
from landseries_fetcher.sources.dhus import Dhus
from landseries_fetcher.sources.level2a import Level2A
from landseries_fetcher.sources.safe import SafeFolder

YEAR = Period(start=date(2018, 1, 1), end=date(2018, 12, 31))
HubOf = Callable[..., Hub]
OpenHub = Callable[..., Dhus]
TILES = [
    Tile(
        crs="EPSG:32632",
        left=LEFT_M + 400.0 * column,
        top=TOP_M,
        pixel_width=10.0,
        pixel_height=10.0,
        width=40,
        height=40,
        id=f"c{column}",
        granule="32TQS",
        column=column,
        row=0,
    )
    for column in range(2)
]


def _catalogue(source: Level2A) -> Catalogue:
    return source.catalogue("32TQS", YEAR, {})


def _same(one: Level2A, other: Level2A) -> None:
    """Two sources show the same, to the byte."""
    ours, theirs = _catalogue(one), _catalogue(other)
    assert [a.id for a in ours.acquisitions] == [a.id for a in theirs.acquisitions]
    assert ours.left == theirs.left
    for a, b in zip(ours.acquisitions, theirs.acquisitions, strict=True):
        assert [product.id for product in a.products] == [product.id for product in b.products]
        masking = FetchSettings()
        for (_, left), (_, right) in zip(one.views(a, TILES, masking), other.views(b, TILES, masking), strict=True):
            np.testing.assert_array_equal(left.has_data, right.has_data)
            np.testing.assert_array_equal(left.clear, right.clear)
        images = zip(one.images(a, TILES, masking, 2), other.images(b, TILES, masking, 1), strict=True)
        for (_, image), (_, expected) in images:
            assert image.features.tobytes() == expected.features.tobytes()
            assert image.clear.tobytes() == expected.clear.tobytes()
            assert image.tags == expected.tags


def _archive_of_all_kinds() -> list[TinyProduct]:
    left, right = scene_of(), scene_of()
    left[:, 20:], right[:, :20] = 0, 0
    half: dict[str, Any] = {"start": "20180715T101021", "discriminator": "20180715T134512"}
    return [
        TinyProduct(),
        TinyProduct(baseline="0500", discriminator="20221005T101010", offset=-1000, level=3_000),
        TinyProduct(**half, scene=left, datastrip="20180715T101017"),
        TinyProduct(**{**half, "discriminator": "20180715T140000"}, scene=right, datastrip="20180715T101417"),
        TinyProduct(start="20190105T101021", discriminator="20190105T134512"),
    ]


@pytest.mark.parametrize("parts", [False, True])
def test_a_hub_delivers_the_same_bytes_as_a_folder(
    hub_of: HubOf, open_hub: OpenHub, tmp_path: Path, parts: bool
) -> None:
    hub = hub_of(*_archive_of_all_kinds())
    source = open_hub(hub, parts=parts)
    _same(source, SafeFolder(tmp_path / "products"))
    assert len(_catalogue(source).acquisitions) == 2
    # Products of another year are not asked for; of those that are not used, parts were enough.
    bodies = 4 if not parts else 4 + 3
    assert hub.asked["body"] == bodies
    # Another worker, and the same one again, find everything in the folder.
    _same(open_hub(hub, parts=parts), source)
    assert hub.asked["body"] == bodies


def _large(hub: Hub) -> int:
    """Make the zip file of the only product larger than what a search reads of it; its size then."""
    stored = hub.only()
    sink = io.BytesIO(stored.content)
    with zipfile.ZipFile(sink, "a") as archive:
        archive.writestr(f"{stored.name.id}.SAFE/bands", random.Random(7).randbytes(12 << 20))
    stored.content = sink.getvalue()
    return len(stored.content)


def test_a_search_reads_parts_and_only_what_is_chosen_is_downloaded(hub_of: HubOf, open_hub: OpenHub) -> None:
    hub = hub_of()
    size = _large(hub)
    source = open_hub(hub, parts=True)
    (acquisition,) = _catalogue(source).acquisitions
    views = list(source.views(acquisition, TILES, FetchSettings()))
    assert len(views) == 2
    assert hub.body_bytes < size / 4
    images = list(source.images(acquisition, TILES, FetchSettings(), 4))
    assert len(images) == 2
    assert hub.body_bytes < size * 1.25


def test_parts_of_a_hub_that_knows_no_ranges(hub_of: HubOf, open_hub: OpenHub, tmp_path: Path) -> None:
    hub = hub_of()
    hub.faults.ignores_ranges = True
    _same(open_hub(hub, parts=True), SafeFolder(tmp_path / "products"))


def test_parts_through_faults_and_from_the_long_term_archive(hub_of: HubOf, open_hub: OpenHub, tmp_path: Path) -> None:
    hub = hub_of()
    _large(hub)
    hub.only().polls = 2
    with pytest.raises(NotNow, match="was ordered"):
        _catalogue(open_hub(hub, parts=True))
    for _ in range(3):
        with suppress(NotNow):
            _catalogue(open_hub(hub, parts=True))
    hub.faults.away, hub.faults.truncated, hub.faults.flows = 2, 3, 1
    _same(open_hub(hub, parts=True), SafeFolder(tmp_path / "products"))


def test_damage_that_shows_only_in_the_whole_is_refused_when_it_is_read(hub_of: HubOf, open_hub: OpenHub) -> None:
    hub = hub_of()
    hub.only().digest = "0" * 32
    source = open_hub(hub, parts=True)
    (acquisition,) = _catalogue(source).acquisitions
    with pytest.raises(UnreadableProduct, match="3 times with another md5"):
        list(source.images(acquisition, TILES, FetchSettings(), 4))
    assert [left.reason for left in _catalogue(source).left] != [], "the next search knows"


def test_granules_are_found_by_the_footprint(hub_of: HubOf, open_hub: OpenHub) -> None:
    source = open_hub(hub_of(TinyProduct(), TinyProduct(granule="32TPS")))
    assert source.granules_over(shapely.box(11.6, 46.5, 11.65, 46.55), [YEAR]) == ("32TPS", "32TQS")
    assert source.granules_over(shapely.box(5.0, 46.5, 5.1, 46.55), [YEAR]) == ()
    assert source.count(["32TQS", "32TPS"], YEAR) == 1
    with pytest.raises(ConfigError, match="area is missing"):
        source.granules_over(None, [YEAR])


def test_queries_stay_short_whatever_the_area(hub_of: HubOf, open_hub: OpenHub) -> None:
    hub = hub_of()
    around = shapely.Point(11.6, 46.5).buffer(0.3, quad_segs=200)
    assert open_hub(hub).granules_over(around, [YEAR]) == ("32TQS",)
    (query,) = hub.queries
    assert len(query) < 2_500


def test_all_pages_are_read(hub_of: HubOf, open_hub: OpenHub) -> None:
    hub = hub_of()
    stored = hub.only()
    for place in range(230):
        name = dataclasses.replace(stored.name, id=f"{stored.name.id[:-6]}{place:06d}")
        uuid = f"{place:08d}-0000"
        hub.products[uuid] = dataclasses.replace(stored, uuid=uuid, name=name)
    assert len(open_hub(hub).checksums("32TQS", YEAR)) == 231
    assert hub.asked["search"] == 3


def test_of_two_copies_the_last_ingested_is_taken(hub_of: HubOf, open_hub: OpenHub) -> None:
    hub = hub_of()
    stored = hub.only()
    later = dataclasses.replace(stored, uuid="0-later", ingested="2025-06-01T00:00:00.000Z")
    hub.products["0-later"] = later
    (acquisition,) = _catalogue(open_hub(hub)).acquisitions
    assert [product.path for product in acquisition.products] == ["0-later"]


def test_faults_on_the_way_leave_no_trace(hub_of: HubOf, open_hub: OpenHub, tmp_path: Path) -> None:
    hub = hub_of(*_archive_of_all_kinds())
    hub.faults.away, hub.faults.truncated, hub.faults.flows, hub.faults.damaged = 3, 4, 2, 1
    _same(open_hub(hub), SafeFolder(tmp_path / "products"))
    assert (hub.faults.away, hub.faults.truncated, hub.faults.flows, hub.faults.damaged) == (0, 0, 0, 0)


def test_a_download_goes_on_where_it_broke_off(hub_of: HubOf, open_hub: OpenHub) -> None:
    hub = hub_of()
    size = len(hub.only().content)
    hub.faults.truncated, hub.faults.part = 3, size // 5
    assert len(_catalogue(open_hub(hub)).acquisitions) == 1
    assert (hub.asked["body"], hub.body_bytes) == (4, size)


def test_another_worker_goes_on_where_one_gave_up(hub_of: HubOf, open_hub: OpenHub) -> None:
    hub = hub_of()
    size = len(hub.only().content)
    hub.faults.truncated, hub.faults.part = 1, size // 2
    first = open_hub(hub, patience_s=0.005)
    with pytest.raises(SourceError, match="the connection broke off"):
        _catalogue(first)
    assert len(_catalogue(open_hub(hub)).acquisitions) == 1
    assert hub.body_bytes == size


def test_a_hub_that_knows_no_ranges(hub_of: HubOf, open_hub: OpenHub) -> None:
    hub = hub_of()
    hub.faults.truncated, hub.faults.ignores_ranges = 2, True
    found = _catalogue(open_hub(hub))
    assert len(found.acquisitions) == 1


def test_a_product_that_is_always_damaged_is_left_and_its_duplicate_used(hub_of: HubOf, open_hub: OpenHub) -> None:
    old, new = TinyProduct(), TinyProduct(baseline="0500", discriminator="20221005T101010", offset=-1000)
    hub = hub_of(old, new)
    damaged = next(stored for stored in hub.products.values() if stored.name.id == new.name)
    damaged.digest = "0" * 32
    source = open_hub(hub)
    found = _catalogue(source)
    assert [[product.id for product in a.products] for a in found.acquisitions] == [[old.name]]
    (left,) = found.left
    assert left.product == new.name
    assert "3 times with another md5" in left.reason
    assert hub.asked["body"] == 4
    _catalogue(source)
    assert hub.asked["body"] == 4, "what was refused is not downloaded again at once"


def test_a_hub_without_digests_is_not_believed(hub_of: HubOf, open_hub: OpenHub) -> None:
    hub = hub_of()
    hub.only().digest = "none"
    (left,) = _catalogue(open_hub(hub)).left
    assert "gives no digest" in left.reason
    assert hub.asked["body"] == 0


def test_offline_products_are_ordered_together_and_awaited_elsewhere(hub_of: HubOf, open_hub: OpenHub) -> None:
    hub = hub_of(*_archive_of_all_kinds()[:3])
    for stored in hub.products.values():
        stored.polls = 4
    with pytest.raises(NotNow, match="is offline and was ordered"):
        _catalogue(open_hub(hub))
    assert hub.asked["order"] == 3
    for _ in range(20):
        try:
            found = _catalogue(open_hub(hub))
            break
        except NotNow:
            continue
    assert len(found.acquisitions) == 2
    assert hub.asked["order"] == 3, "an order is not repeated at every look"
    assert hub.asked["body"] == 3


def test_offline_beyond_the_quota(hub_of: HubOf, open_hub: OpenHub) -> None:
    hub = hub_of()
    hub.only().polls, hub.faults.quota = 0, 1
    with pytest.raises(NotNow, match=r"takes no order: User quota exceeded: .*20 fetches"):
        _catalogue(open_hub(hub))
    with pytest.raises(NotNow, match="was ordered"):
        _catalogue(open_hub(hub))
    assert len(_catalogue(open_hub(hub)).acquisitions) == 1


def test_offline_for_too_long(hub_of: HubOf, open_hub: OpenHub) -> None:
    hub = hub_of()
    hub.only().polls = 1_000
    with pytest.raises(NotNow):
        _catalogue(open_hub(hub, offline_patience_h=1e-6))
    (left,) = _catalogue(open_hub(hub, offline_patience_h=1e-6)).left
    assert "not brought it" in left.reason


def test_a_product_that_left_the_hub(hub_of: HubOf, open_hub: OpenHub) -> None:
    hub = hub_of()
    source = open_hub(hub)
    assert source.count(["32TQS"], YEAR) == 1
    hub.products.clear()
    (left,) = _catalogue(source).left
    assert "no longer on the hub" in left.reason


@pytest.mark.parametrize("geometry", ["<a>", '<!DOCTYPE l [<!ENTITY a "b"><!ENTITY c "&a;&a;">]><l>&c;</l>'])
def test_answers_that_cannot_be_read(hub_of: HubOf, open_hub: OpenHub, geometry: str) -> None:
    hub = hub_of()
    hub.only().geometry = geometry
    with pytest.raises(SourceError, match="answer cannot be read"):
        _catalogue(open_hub(hub))


def test_a_file_of_impossible_size_is_not_asked_for(hub_of: HubOf, open_hub: OpenHub) -> None:
    hub = hub_of()
    stored = hub.only()

    class Endless(bytes):
        def __len__(self) -> int:
            return 1 << 40

    stored.digest, stored.content = stored.md5, Endless(stored.content)
    with pytest.raises(SourceError, match="1099511627776 bytes, the hub says"):
        _catalogue(open_hub(hub))


def test_a_zip_of_another_product_is_refused(hub_of: HubOf, open_hub: OpenHub, tmp_path: Path) -> None:
    hub = hub_of(TinyProduct(), TinyProduct(level=1_000, start="20190101T101021"))
    other = next((tmp_path / "products").glob("*20190101T101021*"))
    stored = next(stored for stored in hub.products.values() if stored.name.datatake_start.year == 2018)
    stored.content = zipped(other)
    (left,) = _catalogue(open_hub(hub)).left
    assert left.reason == f"its zip file holds no {stored.name.id}.SAFE"


def test_the_hub_is_gone(hub_of: HubOf, open_hub: OpenHub) -> None:
    hub = hub_of()
    hub.faults.away = 10_000
    with pytest.raises(SourceError, match="503"):
        _catalogue(open_hub(hub, patience_s=0.2))


def test_users(hub_of: HubOf, open_hub: OpenHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hub = hub_of()
    hub.login = ("someone", "secret")
    with pytest.raises(ConfigError, match="LANDSERIES_DHUS_USER") as refusal:
        _catalogue(open_hub(hub))
    monkeypatch.setenv("LANDSERIES_DHUS_USER", "someone")
    with pytest.raises(ConfigError, match="LANDSERIES_DHUS_PASSWORD is not"):
        open_hub(hub)
    (tmp_path / "password").write_text("secret\n")
    monkeypatch.setenv("LANDSERIES_DHUS_PASSWORD_FILE", str(tmp_path / "password"))
    assert len(_catalogue(open_hub(hub)).acquisitions) == 1
    assert "secret" not in str(refusal.value)
    monkeypatch.setenv("LANDSERIES_DHUS_PASSWORD_FILE", str(tmp_path / "absent"))
    with pytest.raises(ConfigError, match="absent cannot be read"):
        open_hub(hub)


def test_workers_side_by_side_download_each_product_once(hub_of: HubOf, open_hub: OpenHub) -> None:
    hub = hub_of(*_archive_of_all_kinds()[:4])
    hub.faults.slow_s = 0.001
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(_catalogue, [open_hub(hub, max_downloads=2) for _ in range(4)]))
    assert all(one == found[0] for one in found)
    assert hub.asked["body"] == 4
    assert hub.at_once <= 2


@pytest.mark.parametrize("parts", [False, True])
def test_four_workers_through_a_storm_of_faults(hub_of: HubOf, open_hub: OpenHub, tmp_path: Path, parts: bool) -> None:
    days = [f"2018{month:02d}05" for month in range(1, 9)]
    hub = hub_of(
        *(TinyProduct(start=f"{day}T101021", discriminator=f"{day}T134512", level=int(day[4:])) for day in days)
    )
    hub.faults.share = 0.15
    folder = SafeFolder(tmp_path / "products")

    def work(source: Dhus) -> None:
        _same(source, folder)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, [open_hub(hub, parts=parts, max_downloads=2) for _ in range(4)]))
    assert hub.injected >= 8
    assert hub.at_once <= 2


def test_without_the_client_it_says_how_to_install_it(
    hub_of: HubOf, open_hub: OpenHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sentinelsat", None)
    with pytest.raises(ConfigError, match=r"pip install 'landseries-fetcher\[dhus\]'"):
        open_hub(hub_of())
