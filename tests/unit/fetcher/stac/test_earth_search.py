"""COGs of a catalogue: the same images as from a folder, and only the windows that are needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.catalogues import C1, IMAGES_ONLY, MASKING, NEW, OLD, PERIOD, everything, tiles, without_tags
from support.range_server import RangeServer, random_faults
from support.stac_server import StacServer
from support.tiny_archive import TinyProduct, scene_of

from landseries.bands import GROUND_SAMPLING_DISTANCE_M
from landseries_fetcher.sources.base import UnreadableProduct
from landseries_fetcher.sources.safe import SafeFolder
from landseries_fetcher.sources.stac import Stac


def test_the_same_as_from_a_folder(earth_search: Callable[..., Path], open_source: Callable[..., Stac]) -> None:
    scene = scene_of()
    scene[5:9, 7:12], scene[30:40, 20:] = 9, 0
    folder = earth_search(OLD, NEW, TinyProduct(start="20180725T101021", scene=scene))
    expected = everything(SafeFolder(folder), tiles())
    found = everything(open_source(), tiles())
    assert len(found) == 2 * 3 * len(tiles())
    assert found == expected
    assert np.frombuffer(found[-1][2][0], dtype=np.int16).min() == -32_768


def test_two_halves_and_a_duplicate(earth_search: Callable[..., Path], open_source: Callable[..., Stac]) -> None:
    upper, lower = scene_of(), scene_of()
    upper[20:], lower[:20] = 0, 0
    folder = earth_search(
        TinyProduct(scene=upper),
        TinyProduct(scene=lower, datastrip="20180705T101500", discriminator="20180705T140000", level=2_100),
        TinyProduct(scene=upper, baseline="0500", offset=-1000, discriminator="20230101T000000", level=3_000),
    )
    source, plain = open_source(), SafeFolder(folder)
    assert everything(source, tiles()) == everything(plain, tiles())
    catalogue = source.catalogue("32TQS", PERIOD, {})
    assert [len(one.products) for one in catalogue.acquisitions] == [2]
    assert [one.reason for one in catalogue.left] == [one.reason for one in plain.catalogue("32TQS", PERIOD, {}).left]


def test_a_second_open_downloads_nothing(
    earth_search: Callable[..., Path], open_source: Callable[..., Stac], store: RangeServer
) -> None:
    earth_search(NEW)
    first = everything(open_source(), tiles())
    assert store.sent > 0
    store.forget()
    assert everything(open_source(), tiles()) == first
    assert store.sent == 0


def test_without_metadata_the_catalogue_is_asked(
    earth_search: Callable[..., Path], open_source: Callable[..., Stac]
) -> None:
    folder = earth_search(OLD, NEW, names=IMAGES_ONLY)
    found = everything(open_source(), tiles())
    assert without_tags(found) == without_tags(everything(SafeFolder(folder), tiles()))
    assert '"offset_origin":"asset"' in found[-1][2][2]["PRODUCTS"]


@pytest.mark.parametrize(("product", "said"), [(NEW, 0.0), (OLD, -0.1)])
def test_a_catalogue_that_lies_about_the_offset(
    earth_search: Callable[..., Path], open_source: Callable[..., Stac], product: TinyProduct, said: float
) -> None:
    earth_search(product, names=IMAGES_ONLY, offset=said)
    catalogue = open_source().catalogue("32TQS", PERIOD, {})
    assert catalogue.acquisitions == ()
    assert "one of them is wrong" in catalogue.left[0].reason


def test_the_product_is_trusted_more_than_a_lie(
    earth_search: Callable[..., Path], open_source: Callable[..., Stac]
) -> None:
    folder = earth_search(NEW, offset=0.0)
    assert everything(open_source(), tiles()) == everything(SafeFolder(folder), tiles())


def test_a_baseline_that_contradicts_the_name(
    earth_search: Callable[..., Path], open_source: Callable[..., Stac]
) -> None:
    earth_search(NEW, **{"s2:processing_baseline": "02.08"})
    left = open_source().catalogue("32TQS", PERIOD, {}).left
    assert "cannot be told" in left[0].reason


@pytest.mark.parametrize("is_harmonised", [True, False])
def test_what_was_changed_is_told_from_the_pixels(
    earth_search: Callable[..., Path], open_source: Callable[..., Stac], is_harmonised: bool
) -> None:
    level = 300 if is_harmonised else 1_300
    product = TinyProduct(baseline="0500", offset=0 if is_harmonised else -1000, level=level)
    folder = earth_search(product, names=IMAGES_ONLY, collection="sentinel-2-l2a", offset=-0.1)
    source = open_source(collection="sentinel-2-l2a", offsets="pixels")
    found = everything(source, tiles())
    assert without_tags(found) == without_tags(everything(SafeFolder(folder), tiles()))
    assert '"offset_origin":"pixels"' in found[-1][2][2]["PRODUCTS"]


def test_pixels_that_do_not_tell(earth_search: Callable[..., Path], open_source: Callable[..., Stac]) -> None:
    bright = TinyProduct(baseline="0500", offset=-1000, level=4_000)
    earth_search(bright, names=IMAGES_ONLY, collection="sentinel-2-l2a")
    left = open_source(collection="sentinel-2-l2a", offsets="pixels").catalogue("32TQS", PERIOD, {}).left
    assert "do not tell" in left[0].reason


def test_faults_of_the_store_and_the_catalogue(
    earth_search: Callable[..., Path], open_source: Callable[..., Stac], store: RangeServer, api: StacServer
) -> None:
    folder = earth_search(OLD, NEW)
    store.fault = random_faults(5, 0.3)
    turns = iter([(429, "0"), None, (503, "0"), (500, "0")] + [None] * 1_000)
    api.fault = lambda path: next(turns)
    assert everything(open_source(), tiles()) == everything(SafeFolder(folder), tiles())
    assert sum(store.faults_done.values()) >= 3
    assert api.answers[429] == 1


def test_an_image_that_is_gone(
    earth_search: Callable[..., Path], open_source: Callable[..., Stac], store: RangeServer
) -> None:
    earth_search(NEW)
    source = open_source()
    acquisition = source.catalogue("32TQS", PERIOD, {}).acquisitions[0]
    del store.files[f"{NEW.name}/B8A.tif"]
    with pytest.raises(UnreadableProduct, match=r"B8A\.tif cannot be read.*no such object"):
        list(source.images(acquisition, tiles(), MASKING, 1))


def test_only_the_windows_are_read(
    earth_search: Callable[..., Path], open_source: Callable[..., Stac], store: RangeServer
) -> None:
    noise = np.random.default_rng(3).integers(1, 9_000, (1200, 800)).astype(np.uint16)
    sizes = GROUND_SAMPLING_DISTANCE_M.items()
    numbers = {band: noise[:: size // 10, :: size // 10] for band, size in sizes}
    product = TinyProduct(shape=(1200, 800), numbers=numbers)
    folder = earth_search(product)
    source = open_source()
    few = tiles()[:2]
    found = everything(source, few)
    assert found == everything(SafeFolder(folder), few)
    total = sum(len(content) for path, content in store.files.items() if path.endswith(".tif"))
    assert store.sent < 0.05 * total


def test_no_secret_and_the_same_checksum_each_time(
    earth_search: Callable[..., Path], open_source: Callable[..., Stac], api: StacServer
) -> None:
    earth_search(NEW)
    first = open_source().checksums("32TQS", PERIOD)
    for asset in api.items[0]["assets"].values():
        asset["href"] += "?token=secret"
    assert open_source().checksums("32TQS", PERIOD) == first
    api.items[0]["assets"]["red"]["file:checksum"] = "1220ab"
    assert open_source().checksums("32TQS", PERIOD) != first
    assert api.items[0]["collection"] == C1


def test_an_image_that_was_replaced(
    earth_search: Callable[..., Path], open_source: Callable[..., Stac], store: RangeServer, api: StacServer
) -> None:
    """Where the catalogue gives no checksums, a part of the older file may be in the cache."""
    noise = np.random.default_rng(3).integers(1, 9_000, (1200, 800)).astype(np.uint16)
    earth_search(TinyProduct(shape=(1200, 800), numbers={"B02": noise}))
    everything(open_source(), tiles()[:2])
    folder = earth_search(TinyProduct(shape=(1200, 800), numbers={"B02": noise[::-1]}))
    del api.items[0]
    far = [replace(tile, left=tile.left + 6_400.0, top=tile.top - 10_240.0) for tile in tiles()[:2]]
    assert everything(open_source(), far) == everything(SafeFolder(folder), far)
    assert store.answers[412] >= 1


@pytest.mark.parametrize("is_told", [True, False])
def test_the_bytes_of_a_fetch_are_known_before(
    earth_search: Callable[..., Path],
    open_source: Callable[..., Stac],
    api: StacServer,
    store: RangeServer,
    is_told: bool,
) -> None:
    """By the lengths that the catalogue tells, or else the first bytes of each image, which are not fetched again."""
    earth_search(NEW)
    for asset in api.items[0]["assets"].values():
        if is_told:
            asset["file:size"] = len(store.files[asset["href"].removeprefix(f"{store.url}/")])
    source = open_source()
    (acquisition,) = source.catalogue("32TQS", PERIOD, {}).acquisitions
    store.forget()
    told = source.bytes_to_fetch(acquisition, tiles(), MASKING)
    assert told == sum(len(content) for name, content in store.files.items() if name.endswith(".tif"))
    assert (store.sent == 0) is is_told
    list(source.images(acquisition, tiles(), MASKING, 1))
    assert store.sent == pytest.approx(told, rel=0.05)
