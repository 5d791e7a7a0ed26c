"""Windows of remote GeoTIFFs: equal to the whole file's, and cheap."""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from support.remote_images import copy_of, noisy, part_of, read_window, windows, write_image

from landseries_fetcher.remote.byte_ranges import total
from landseries_fetcher.remote.cog_index import block_ranges, ensure_window, levels
from landseries_fetcher.remote.reader import RemoteError
from landseries_fetcher.remote.tiff_structure import read_structure
from landseries_fetcher.remote.windows import BadStructure, PixelWindow

ROWS, COLUMNS = 700, 901
VALUES = noisy((ROWS, COLUMNS), bands=2)
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "cog": ("COG", {"BLOCKSIZE": 128, "COMPRESS": "DEFLATE", "PREDICTOR": "YES"}),
    "big": ("COG", {"BLOCKSIZE": 128, "COMPRESS": "DEFLATE", "BIGTIFF": "YES"}),
    "plain": ("COG", {"BLOCKSIZE": 256, "COMPRESS": "NONE"}),
    "strips": ("GTiff", {"COMPRESS": "DEFLATE", "INTERLEAVE": "BAND", "BLOCKYSIZE": 32}),
    "planes": ("GTiff", {"COMPRESS": "LZW", "INTERLEAVE": "BAND", "tiled": True, "BLOCKXSIZE": 64, "BLOCKYSIZE": 128}),
    "other_order": ("GTiff", {"ENDIANNESS": "BIG", "tiled": True, "BLOCKXSIZE": 128, "BLOCKYSIZE": 128}),
    "mask": ("GTiff", {"tiled": True, "BLOCKXSIZE": 128, "BLOCKYSIZE": 128, "COMPRESS": "DEFLATE"}),
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("images")
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        found = {
            kind: write_image(folder / f"{kind}.tif", VALUES, driver, **options)
            for kind, (driver, options) in KINDS.items()
        }
        with rasterio.open(found["mask"], "r+") as target:
            target.write_mask(VALUES[0] % 3 == 0)
    return found


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, deadline=None)
@given(window=windows(ROWS, COLUMNS), second=windows(ROWS, COLUMNS))
def test_windows_are_those_of_the_whole_file(
    images: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    window: PixelWindow,
    second: PixelWindow,
) -> None:
    copy, reader = copy_of(tmp_path_factory.mktemp("copy"), images[kind])
    for wanted in (window, second):
        ensure_window(copy, [wanted])
        assert np.array_equal(read_window(copy.path, wanted, "GTiff"), part_of(VALUES, wanted))
    with rasterio.open(copy.path) as ours, rasterio.open(images[kind]) as whole:
        extent = rasterio.windows.Window(second.column, second.row, second.width, second.height)
        assert np.array_equal(ours.read_masks(1, window=extent), whole.read_masks(1, window=extent))
    spent = reader.bytes_read
    assert ensure_window(copy, [window, second]) == 0
    assert reader.bytes_read == spent, "nothing is fetched twice"


@pytest.mark.parametrize("kind", ["cog", "big", "plain"])
@settings(max_examples=15, deadline=None)
@given(window=windows(ROWS, COLUMNS))
def test_overviews(
    images: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, kind: str, window: PixelWindow
) -> None:
    copy, _ = copy_of(tmp_path_factory.mktemp("copy"), images[kind])
    with copy.filling() as filling:
        shapes = levels(read_structure(filling))
    assert shapes[0] == (COLUMNS, ROWS)
    assert len(shapes) > 1
    for level, (columns, rows) in enumerate(shapes[1:], start=1):
        ensure_window(copy, [window], level=level)
        first = (window.column * columns // COLUMNS, window.row * rows // ROWS)
        small = PixelWindow(*first, max(1, window.width * columns // COLUMNS), max(1, window.height * rows // ROWS))
        ours = read_window(copy.path, small, "GTiff", overview_level=level - 1)
        assert np.array_equal(ours, read_window(images[kind], small, "GTiff", overview_level=level - 1))
    with pytest.raises(BadStructure, match="overviews"):
        ensure_window(copy, [window], level=len(shapes))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20, deadline=None)
@given(window=windows(ROWS, COLUMNS))
def test_bytes_of_a_window(
    images: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, kind: str, window: PixelWindow
) -> None:
    """At most 1.3 times the bytes of its blocks, plus headers, which are read in pages of 16 KiB."""
    copy, reader = copy_of(tmp_path_factory.mktemp("copy"), images[kind])
    ensure_window(copy, [window])
    with copy.filling() as filling:
        structure = read_structure(filling)
    pages = 16_384 * (1 + 2 * len(structure.directories))
    assert reader.bytes_read <= 1.3 * total(block_ranges(structure, window)) + total(structure.headers) + pages


def test_blocks_are_those_that_gdal_finds(images: dict[str, Path], tmp_path: Path) -> None:
    copy, _ = copy_of(tmp_path, images["planes"])
    with copy.filling() as filling:
        directory = read_structure(filling).directories[0]
    with rasterio.open(images["planes"]) as source:
        for band in (1, 2):
            for column in range(directory.blocks[0]):
                name = f"BLOCK_OFFSET_{column}_3"
                block = ((band - 1) * directory.blocks[1] + 3) * directory.blocks[0] + column
                assert int(source.get_tag_item(name, "TIFF", bidx=band)) == directory.offsets[block]


@pytest.mark.real_data
@pytest.mark.parametrize("band", ["B02", "B03", "B04", "B08"])
def test_real_images(real_data: Path, tmp_path: Path, band: str) -> None:
    image = real_data / "s2_cog_29RKH" / f"{band}.tif"
    window = PixelWindow(520, 530, 240, 240)
    copy, _ = copy_of(tmp_path, image)
    fetched = ensure_window(copy, [window])
    assert np.array_equal(read_window(copy.path, window, "GTiff"), read_window(image, window, "GTiff"))
    with copy.filling() as filling:
        blocks = total(block_ranges(read_structure(filling), window))
    assert fetched <= 1.3 * blocks + 16_384


def test_five_percent_of_a_product_cost_a_tenth_at_most(tmp_path: Path) -> None:
    """An image with as many blocks as a band of a product has (22 x 22 of 512 pixels, here of 64), at many places."""
    values = noisy((1408, 1408))
    image = write_image(tmp_path / "image.tif", values, "COG", BLOCKSIZE=64, COMPRESS="DEFLATE", PREDICTOR="YES")
    side = round(1408 * 0.05**0.5)
    draw = np.random.default_rng(3)
    shares = []
    for place in range(12):
        copy, reader = copy_of(tmp_path / str(place), image)
        column, row = (int(number) for number in draw.integers(0, 1408 - side, 2))
        ensure_window(copy, [PixelWindow(column, row, side, side)])
        shares.append(reader.bytes_read / image.stat().st_size)
    assert np.mean(shares) <= 0.1


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_headers_are_refused_or_read(
    images: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(images[data.draw(st.sampled_from(sorted(KINDS)))].read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, min(2500, len(content) - 1)))] = data.draw(st.integers(0, 255))
    folder = tmp_path_factory.mktemp("hostile")
    image = folder / "image.tif"
    image.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    copy, reader = copy_of(folder / "copy", image)
    with suppress(RemoteError):
        ensure_window(copy, [PixelWindow(0, 0, 50, 50)])
    assert reader.bytes_read <= len(content)


@pytest.mark.parametrize(
    ("tag", "kind", "count", "value"),
    [(324, 4, 0xFFFFFFFF, 8), (256, 4, 1, 0xFFFFFFFF), (322, 4, 1, 0), (700, 1, 0x7FFFFFFF, 8)],
)
def test_numbers_beyond_all_bounds_are_refused(tmp_path: Path, tag: int, kind: int, count: int, value: int) -> None:
    entries = {256: (4, 1, 64), 257: (4, 1, 64), 322: (4, 1, 1), 323: (4, 1, 1), 324: (4, 1, 8), 325: (4, 1, 8)}
    entries[tag] = (kind, count, value)
    packed = b"".join(struct.pack("<HHII", name, *entry) for name, entry in sorted(entries.items()))
    image = tmp_path / "image.tif"
    image.write_bytes(b"II*\0" + struct.pack("<IH", 8, len(entries)) + packed + bytes(4) + os.urandom(500))
    copy, _ = copy_of(tmp_path / "copy", image)
    with pytest.raises(BadStructure):
        ensure_window(copy, [PixelWindow(0, 0, 50, 50)])


def test_directories_in_a_circle_are_refused(images: dict[str, Path], tmp_path: Path) -> None:
    entry = struct.pack("<HHII", 256, 4, 1, 1)
    fields = [entry, struct.pack("<HHII", 257, 4, 1, 1), struct.pack("<HHII", 273, 4, 1, 90)]
    fields.append(struct.pack("<HHII", 279, 4, 1, 2))
    image = tmp_path / "image.tif"
    image.write_bytes(b"II*\0" + struct.pack("<IH", 8, 4) + b"".join(fields) + struct.pack("<I", 8) + bytes(100))
    copy, _ = copy_of(tmp_path / "copy", image)
    with pytest.raises(BadStructure, match="circle"):
        ensure_window(copy, [PixelWindow(0, 0, 1, 1)])
