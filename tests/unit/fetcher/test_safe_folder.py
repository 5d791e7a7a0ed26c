"""A folder of products: duplicates, halves, views and images."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from support.tiny_archive import LEFT_M, TOP_M, TinyProduct, scene_of

from landseries.bands import BANDS, NODATA
from landseries.config import Period
from landseries.errors import SourceError
from landseries.grid import Tile
from landseries.settings.fetcher import FetchSettings
from landseries_fetcher.sources.base import Acquisition, UnreadableProduct
from landseries_fetcher.sources.safe import SafeFolder

YEAR = Period(start=date(2018, 1, 1), end=date(2018, 12, 31))
MASKING = FetchSettings()
Archive = Callable[..., Path]


def _tile(column: int = 0, row: int = 0, size: int = 40) -> Tile:
    return Tile(
        crs="EPSG:32632",
        left=LEFT_M + 10.0 * size * column,
        top=TOP_M - 10.0 * size * row,
        pixel_width=10.0,
        pixel_height=10.0,
        width=size,
        height=size,
        id=f"c{column}-r{row}",
        granule="32TQS",
        column=column,
        row=row,
    )


def _only(folder: Path) -> Acquisition:
    (acquisition,) = SafeFolder(folder).catalogue("32TQS", YEAR, {}).acquisitions
    return acquisition


def test_the_highest_baseline_wins_then_the_latest_product(archive: Archive) -> None:
    old = TinyProduct(baseline="0208")
    new = TinyProduct(baseline="0500", discriminator="20221005T101010", offset=-1000)
    newer = TinyProduct(baseline="0500", discriminator="20230105T101010", offset=-1000)
    found = SafeFolder(archive(old, newer, new)).catalogue("32TQS", YEAR, {})
    assert [[p.id for p in a.products] for a in found.acquisitions] == [[newer.name]]
    assert [(left.product, left.acquisition) for left in found.left] == [
        (old.name, old.acquisition),
        (new.name, old.acquisition),
    ]
    assert "baseline 05.00 is higher than 02.08" in found.left[0].reason
    assert "made later" in found.left[1].reason


def test_a_duplicate_takes_over_where_the_better_one_cannot_be_read(archive: Archive) -> None:
    old, new = TinyProduct(), TinyProduct(baseline="0500", discriminator="20221005T101010", offset=-1000)
    found = SafeFolder(archive(old, new)).catalogue("32TQS", YEAR, {new.name: "SCL is truncated"})
    assert [[p.id for p in a.products] for a in found.acquisitions] == [[old.name]]
    assert [(left.product, left.reason) for left in found.left] == [(new.name, "SCL is truncated")]


def test_a_product_without_the_offsets_of_its_baseline_is_left_for_its_duplicate(archive: Archive) -> None:
    old, new = TinyProduct(), TinyProduct(baseline="0500", discriminator="20221005T101010", offset=None, level=3_000)
    found = SafeFolder(archive(old, new)).catalogue("32TQS", YEAR, {})
    assert [[p.id for p in a.products] for a in found.acquisitions] == [[old.name]]
    assert [left.product for left in found.left] == [new.name]
    assert "no BOA_ADD_OFFSET_VALUES_LIST" in found.left[0].reason


def test_other_granules_years_and_files_are_not_looked_at(archive: Archive) -> None:
    folder = archive(
        TinyProduct(),
        TinyProduct(granule="32TPS"),
        TinyProduct(start="20190105T101021", discriminator="20190105T134512"),
    )
    (folder / "S2A_MSIL1C_20180705T101021_N0206_R022_T32TQS_20180705T134512.SAFE").mkdir()
    (folder / "notes.txt").write_text("-")
    source = SafeFolder(folder)
    assert source.granules_over(None, []) == ("32TPS", "32TQS")
    assert [a.id for a in source.catalogue("32TQS", YEAR, {}).acquisitions] == ["S2A_20180705T101021_R022_T32TQS"]
    assert source.count(["32TQS", "32TPS"], YEAR) == 1, "one datatake over two granules"


def test_product_without_metadata_is_left_and_the_rest_goes_on(archive: Archive) -> None:
    broken = TinyProduct(start="20180715T101021", discriminator="20180715T134512")
    folder = archive(TinyProduct(), broken)
    (folder / f"{broken.name}.SAFE" / "MTD_MSIL2A.xml").unlink()
    found = SafeFolder(folder).catalogue("32TQS", YEAR, {})
    assert len(found.acquisitions) == 1
    assert [(left.product, left.reason) for left in found.left] == [(broken.name, "has no MTD_MSIL2A.xml")]


@pytest.mark.parametrize("nothing", ["absent", "empty"])
def test_nothing_there(tmp_path: Path, nothing: str) -> None:
    if nothing == "empty":
        (tmp_path / nothing).mkdir()
    with pytest.raises(SourceError, match=r"source\.path: .*" + nothing):
        SafeFolder(tmp_path / nothing)


def test_checksum_changes_with_metadata_and_file_sizes_alone(archive: Archive) -> None:
    folder = archive(TinyProduct())
    root = folder / f"{TinyProduct().name}.SAFE"

    def checksum() -> str:
        (found,) = SafeFolder(folder).checksums("32TQS", YEAR).values()
        return found

    first = checksum()
    moved = folder.rename(folder.with_name("elsewhere"))
    assert SafeFolder(moved).checksums("32TQS", YEAR) == {TinyProduct().name: first}
    moved.rename(folder)
    metadata = root / "MTD_MSIL2A.xml"
    text = metadata.read_text(encoding="utf-8")
    metadata.write_text(text.replace("12.5", "12.6"), encoding="utf-8")
    assert checksum() != first
    metadata.write_text(text, encoding="utf-8")
    assert checksum() == first
    image = next(root.rglob("*_B02_10m.jp2"))
    image.write_bytes(image.read_bytes()[:-1])
    assert checksum() != first


def test_offset_follows_the_product(archive: Archive) -> None:
    """The same ground, stored with and without the offset, has the same reflectance."""
    without = TinyProduct(level=2_000)
    shifted = TinyProduct(
        start="20180715T101021", baseline="0500", discriminator="20221005T101010", level=3_000, offset=-1000
    )
    source = SafeFolder(archive(without, shifted))
    for acquisition in source.catalogue("32TQS", YEAR, {}).acquisitions:
        ((_, image),) = source.images(acquisition, [_tile()], MASKING, 1)
        assert image.features[:, 0, 0].tolist() == [2_000 + place for place in range(len(BANDS))]
        assert image.clear.all()


def test_halves_of_one_datatake_are_one_acquisition(archive: Archive) -> None:
    north, south = scene_of(), scene_of()
    north[30:], south[:30] = 0, 0
    first = TinyProduct(scene=north)
    second = TinyProduct(
        scene=south, level=3_000, offset=-1000, discriminator="20180705T134823", datastrip="20180705T101321"
    )
    folder = archive(first, second)
    acquisition = _only(folder)
    assert [product.id for product in acquisition.products] == [first.name, second.name]
    ((_, image),) = SafeFolder(folder).images(acquisition, [_tile(row=0, size=80)], MASKING, 2)
    assert (image.features[0] == 2_000).all(), "each half with its own offset"
    assert image.clear.all()
    ((_, view),) = SafeFolder(folder).views(acquisition, [_tile(size=80)], MASKING)
    assert view.has_data.all()
    assert view.clear.all()


def test_beyond_the_product_there_is_no_data(archive: Archive) -> None:
    folder = archive(TinyProduct())
    ((_, image),) = SafeFolder(folder).images(_only(folder), [_tile(column=1, size=60)], MASKING, 1)
    assert (image.features[:, :, 20:] == NODATA).all()
    assert not image.clear[:, 20:].any()
    assert image.clear[:, :20].all()


def test_a_pixel_that_lacks_a_band_is_no_clear_view(archive: Archive) -> None:
    numbers = np.full((120, 80), 2_000, dtype=np.uint16)
    numbers[5, 7] = 0
    folder = archive(TinyProduct(numbers={"B08": numbers}))
    ((_, image),) = SafeFolder(folder).images(_only(folder), [_tile()], MASKING, 1)
    assert not image.clear[5, 7]
    assert image.clear.sum() == 40 * 40 - 1


def test_what_search_counts_is_what_fetch_masks(archive: Archive) -> None:
    """Clouds beyond a tile's edge grow into it, however the area is cut into tiles and chunks."""
    scene = scene_of()
    scene[18:22, 18:22], scene[40, 5], scene[0:3] = 9, 3, 0
    folder = archive(TinyProduct(scene=scene))
    source, acquisition = SafeFolder(folder), _only(folder)
    whole = np.zeros((120, 80), dtype=bool)
    for size in (40, 20):
        tiles = [_tile(c, r, size) for c in range(80 // size) for r in range(120 // size)]
        fetched = np.zeros_like(whole)
        for tile, image in source.images(acquisition, tiles, MASKING, 2):
            fetched[tile.row * size : (tile.row + 1) * size, tile.column * size : (tile.column + 1) * size] = (
                image.clear
            )
        for tile, view in source.views(acquisition, tiles, MASKING):
            window = fetched[tile.row * size : (tile.row + 1) * size, tile.column * size : (tile.column + 1) * size]
            assert np.array_equal(view.clear, window[::2, ::2])
        if whole.any():
            assert np.array_equal(whole, fetched)
        whole = fetched
    assert not whole[2 * 15, 2 * 20]
    assert whole[2 * 14, 2 * 20], "60 m are three pixels of 20 m"
    assert whole[6:].mean() > 0.8


def test_threads_change_nothing(archive: Archive) -> None:
    random = np.random.default_rng(1)
    numbers = {band: random.integers(0, 9_000, (120, 80)).astype(np.uint16) for band in ("B02", "B08")}
    folder = archive(TinyProduct(numbers=numbers))
    tiles = [_tile(c, r) for c in range(2) for r in range(3)]
    results = [
        np.stack([image.features for _, image in SafeFolder(folder).images(_only(folder), tiles, MASKING, threads)])
        for threads in (1, 3, 16)
    ]
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_a_product_that_is_gone(archive: Archive, tmp_path: Path) -> None:
    folder = archive(TinyProduct(), TinyProduct(start="20180715T101021"))
    acquisition = SafeFolder(folder).catalogue("32TQS", YEAR, {}).acquisitions[0]
    (folder / f"{TinyProduct().name}.SAFE").rename(tmp_path / "away")
    with pytest.raises(UnreadableProduct, match="is no longer in"):
        list(SafeFolder(folder).images(acquisition, [_tile()], MASKING, 1))
