"""Windows of a product's images, as stored reflectance."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support.tiny_archive import COLUMNS, LEFT_M, ROWS, TOP_M, TinyProduct, write_product

from landseries.bands import NODATA
from landseries.grid import Raster, Tile
from landseries_fetcher.images import LocalImage
from landseries_fetcher.reading import Decoders, ProductImages, bounding, chunks, replicate, to_reflectance
from landseries_fetcher.sources.base import UnreadableProduct
from landseries_fetcher.sources.metadata import Geocoding

GRID = Geocoding("EPSG:32632", LEFT_M, TOP_M, {10: (ROWS, COLUMNS), 20: (ROWS // 2, COLUMNS // 2)})
NUMBERS = (1 + np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)).astype(np.uint16)


def _raster(left_px: int, top_px: int, rows: int, columns: int) -> Raster:
    return Raster("EPSG:32632", LEFT_M + 10.0 * left_px, TOP_M - 10.0 * top_px, 10.0, 10.0, columns, rows)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], LocalImage]:
    product = TinyProduct(numbers={"B02": NUMBERS, "B05": NUMBERS[::2, ::2]})
    root = write_product(tmp_path_factory.mktemp("product"), product)
    return {
        ("B02", 10): LocalImage(next(root.rglob("*_B02_10m.jp2"))),
        ("B05", 20): LocalImage(next(root.rglob("*_B05_20m.jp2"))),
    }


@settings(max_examples=40, deadline=None)
@given(left=st.integers(-20, 50), top=st.integers(-20, 70), rows=st.integers(1, 30), columns=st.integers(1, 30))
def test_windows(files: dict[tuple[str, int], LocalImage], left: int, top: int, rows: int, columns: int) -> None:
    """Any window, also across the edges: the image's numbers inside, 0 outside."""
    padded = np.zeros((ROWS + 200, COLUMNS + 200), dtype=np.uint16)
    padded[100 : 100 + ROWS, 100 : 100 + COLUMNS] = NUMBERS
    with ProductImages("P", files, GRID) as images:
        fine = images.read("B02", 10, _raster(2 * left, 2 * top, 2 * rows, 2 * columns))
        coarse = images.read("B05", 20, _raster(2 * left, 2 * top, 2 * rows, 2 * columns))
    expected = padded[100 + 2 * top : 100 + 2 * (top + rows), 100 + 2 * left : 100 + 2 * (left + columns)]
    assert np.array_equal(fine, expected)
    assert np.array_equal(coarse, expected[::2, ::2]), "a 20 m pixel holds the four 10 m pixels of its own corner"


@pytest.mark.parametrize("parts", [1, 2, 3, 50])
def test_parts_of_an_image_make_the_whole(files: dict[tuple[str, int], LocalImage], parts: int) -> None:
    raster = _raster(10, 0, 100, 64)
    with ProductImages("P", files, GRID) as images:
        split = images.split("B02", 10, raster, parts)
        assert len(split) == min(parts, 2), "80 columns are two columns of 64-pixel blocks"
        joined = np.hstack([images.read("B02", 10, part, handle) for handle, part in split])
    assert np.array_equal(joined, NUMBERS[:100, 10:74])


@settings(max_examples=60, deadline=None)
@given(
    numbers=arrays(np.uint16, 40),
    offset=st.sampled_from([0, -1000, 500]),
    quantification=st.sampled_from([10_000.0, 1_000.0, 20_000.0]),
)
def test_reflectance(numbers: np.ndarray, offset: int, quantification: float) -> None:
    stored = to_reflectance(numbers, offset, quantification)
    assert stored.dtype == np.int16
    assert np.array_equal(stored == NODATA, numbers == 0)
    exact = (numbers.astype(float) + offset) / quantification
    fits = (numbers > 0) & (np.abs(exact) < 3.27)
    assert np.abs(stored[fits] / 10_000 - exact[fits]).max(initial=0) <= 0.5e-4 + 1e-12


def test_no_data_before_the_offset() -> None:
    numbers = np.array([0, 1, 900, 1000, 1001, 65_535], dtype=np.uint16)
    assert to_reflectance(numbers, -1000, 10_000).tolist() == [NODATA, -999, -100, 0, 1, 32_767]


def test_replication() -> None:
    assert replicate(np.array([[1, 2]]), 2).tolist() == [[1, 1, 2, 2], [1, 1, 2, 2]]


def test_another_grid_is_refused() -> None:
    with ProductImages("P", {}, GRID) as images:
        images.check_grid(_raster(0, 0, 10, 10))
        with pytest.raises(UnreadableProduct, match="EPSG:32633"):
            images.check_grid(replace(_raster(0, 0, 10, 10), crs="EPSG:32633"))
        with pytest.raises(UnreadableProduct, match="not aligned to the tiles at 20 m"):
            images.check_grid(_raster(1, 0, 10, 10))


def test_truncated_and_missing_files(files: dict[tuple[str, int], LocalImage], tmp_path: Path) -> None:
    short = tmp_path / "T32TQS_B02_10m.jp2"
    short.write_bytes(files[("B02", 10)].path().read_bytes()[:-100])
    with ProductImages("P", {("B02", 10): LocalImage(short)}, GRID) as images:
        with pytest.raises(UnreadableProduct, match=r"T32TQS_B02_10m\.jp2 is truncated"):
            images.read("B02", 10, _raster(0, 0, 10, 10))
        with pytest.raises(UnreadableProduct, match="has no image B03"):
            images.read("B03", 10, _raster(0, 0, 10, 10))


def test_damage_inside_is_an_error_on_any_number_of_threads(
    files: dict[tuple[str, int], LocalImage], tmp_path: Path
) -> None:
    """A piece is missing in the middle, and the end is there."""
    content = files[("B02", 10)].path().read_bytes()
    middle = (content.index(b"jp2c") + len(content)) // 2
    path = tmp_path / "damaged_B02.jp2"
    path.write_bytes(content[:middle] + content[middle + 200 : -2] + b"\0" * 200 + content[-2:])
    for threads in (1, 4):
        with (
            ProductImages("P", {("B02", 10): LocalImage(path)}, GRID) as images,
            Decoders(threads) as decoders,
            pytest.raises(UnreadableProduct, match="damaged_B02"),
        ):
            decoders.map(partial(images.read, "B02", 10), [_raster(0, 0, ROWS, COLUMNS)])


def test_images_of_another_size_are_refused(files: dict[tuple[str, int], LocalImage]) -> None:
    grid = replace(GRID, shapes={10: (10_980, 10_980), 20: (5490, 5490)})
    with ProductImages("P", files, grid) as images, pytest.raises(UnreadableProduct, match="metadata gives"):
        images.read("B02", 10, _raster(0, 0, 10, 10))


def _tile(column: int, row: int) -> Tile:
    return Tile(
        **{**_raster(32 * column, 32 * row, 32, 32).__dict__},
        id=f"c{column}-r{row}",
        granule="32TQS",
        column=column,
        row=row,
    )


def test_chunks_follow_rows_of_tiles() -> None:
    tiles = [_tile(c, r) for r in (1, 0) for c in (2, 0, 1)]
    found = list(chunks(tiles, pixels_max=2 * 32 * 32))
    assert [[tile.id for tile in chunk.tiles] for chunk in found] == [
        ["c0-r0", "c1-r0"],
        ["c2-r0"],
        ["c0-r1", "c1-r1"],
        ["c2-r1"],
    ]
    assert found[0].raster == bounding(found[0].tiles)
    assert found[0].slices(found[0].tiles[1]) == (slice(0, 32), slice(32, 64))


def test_decoders_keep_the_order_and_pass_errors_on() -> None:
    with Decoders(3) as decoders:
        assert decoders.map(lambda x: x * x, list(range(20))) == [x * x for x in range(20)]
        with pytest.raises(ZeroDivisionError):
            decoders.map(lambda x: 1 // x, [1, 0])
