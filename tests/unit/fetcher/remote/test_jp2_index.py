"""Windows of remote JPEG 2000 images: equal to the whole file's, and cheap."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.remote_images import copy_of, noisy, part_of, read_window, scattered_tile_parts, windows, write_image

from landseries_fetcher.jp2 import incompleteness
from landseries_fetcher.remote.byte_ranges import total
from landseries_fetcher.remote.jp2_index import Jp2Index, TilePart, ensure_window, read_index
from landseries_fetcher.remote.reader import RemoteError
from landseries_fetcher.remote.windows import BadStructure, PixelWindow

ROWS, COLUMNS = 700, 900
VALUES = noisy((ROWS, COLUMNS))
DRIVER = "JP2OpenJPEG"
KINDS = ("walked", "listed", "lengths", "parts", "order")
#: Kinds of which the marker TLM is there.
LISTED = ("listed",)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("images")
    blocks = {"BLOCKXSIZE": "256", "BLOCKYSIZE": "128"}
    options = {
        "walked": {},
        "listed": {"TLM": "YES"},
        "lengths": {"PLT": "YES"},
        "order": {"PROGRESSION": "RPCL", "PRECINCTS": "{64,64}"},
    }
    found = {
        kind: write_image(folder / f"{kind}.jp2", VALUES, DRIVER, **blocks, **more) for kind, more in options.items()
    }
    found["parts"] = folder / "parts.jp2"
    found["parts"].write_bytes(scattered_tile_parts(found["lengths"].read_bytes()))
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
        assert incompleteness(copy.path) is None
        assert np.array_equal(read_window(copy.path, wanted, DRIVER), part_of(VALUES, wanted))
    spent = reader.bytes_read
    assert ensure_window(copy, [window, second]) == 0
    assert reader.bytes_read == spent, "nothing is fetched twice"


@pytest.mark.parametrize("kind", KINDS)
def test_the_kinds_are_what_they_should_be(images: dict[str, Path], tmp_path: Path, kind: str) -> None:
    copy, _ = copy_of(tmp_path, images[kind])
    with copy.filling() as filling:
        index = read_index(filling)
    assert index.is_listed == (kind in LISTED)
    assert len(index.parts) == index.tile_count * (2 if kind == "parts" else 1)
    assert index.tile_count == 24
    assert Jp2Index.from_json(index.as_json()) == index
    whole = read_window(images[kind], PixelWindow(0, 0, COLUMNS, ROWS), DRIVER)
    assert np.array_equal(whole, VALUES)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(window=windows(ROWS, COLUMNS))
def test_bytes_of_a_window(
    images: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, kind: str, window: PixelWindow
) -> None:
    """At most 1.3 times the bytes of its blocks, plus headers: pages of 512 bytes for tile-parts, 16 KiB in front."""
    copy, reader = copy_of(tmp_path_factory.mktemp("copy"), images[kind])
    ensure_window(copy, [window])
    with copy.filling() as filling:
        index = read_index(filling)
    headers = 16_384 + (0 if index.is_listed else 512 * len(index.parts)) + 2
    assert reader.bytes_read <= 1.3 * total(index.block_ranges(window)) + headers


def test_a_decoder_that_knows_no_list_finds_its_way(images: dict[str, Path], tmp_path: Path) -> None:
    """The marker TLM becomes a comment of the same length, so that the decoder has to walk."""
    window = PixelWindow(300, 400, 100, 200)
    copy, _ = copy_of(tmp_path, images["listed"])
    ensure_window(copy, [window])
    content = copy.path.read_bytes()
    place = content.index(b"\xff\x55", content.index(b"jp2c"))
    changed = tmp_path / "changed.jp2"
    changed.write_bytes(content[:place] + b"\xff\x64" + content[place + 2 :])
    assert np.array_equal(read_window(changed, window, DRIVER), part_of(VALUES, window))


def test_a_wrong_list_is_not_believed(images: dict[str, Path], tmp_path: Path) -> None:
    """Two lengths change places: the sum still fits the file."""
    content = images["listed"].read_bytes()
    place = content.index(b"\xff\x55", content.index(b"jp2c"))
    entry = 1 + 4 if content[place + 5] & 0x30 == 0x10 else 2 + 4
    first = place + 6
    one, two = content[first : first + entry], content[first + entry : first + 2 * entry]
    swapped = one[:-4] + two[-4:] + two[:-4] + one[-4:]
    assert swapped != one + two
    wrong = tmp_path / "wrong.jp2"
    wrong.write_bytes(content[:first] + swapped + content[first + 2 * entry :])
    window = PixelWindow(260, 0, 100, 100)
    copy, _ = copy_of(tmp_path / "copy", wrong)
    ensure_window(copy, [window])
    with copy.filling() as filling:
        assert not copy.recall("jp2-index")["is_listed"]
        index = read_index(filling, believe_list=False)
        assert total(index.block_ranges(window)) == sum(p.stop - p.start for p in index.parts if p.tile == 1)
        right = next(part for part in index.parts if part.tile == 1)
        assert filling.read(right.start, 6)[-1] == 1


def test_a_window_of_everything_is_one_walk_less(images: dict[str, Path], tmp_path: Path) -> None:
    copy, reader = copy_of(tmp_path, images["walked"])
    ensure_window(copy, [PixelWindow(-5, -5, COLUMNS + 10, ROWS + 10)])
    assert copy.is_complete()
    assert reader.requests == 2
    assert copy.path.read_bytes() == images["walked"].read_bytes()


def test_windows_beyond_the_image_cost_headers_only(images: dict[str, Path], tmp_path: Path) -> None:
    copy, _ = copy_of(tmp_path, images["listed"])
    ensure_window(copy, [PixelWindow(COLUMNS, 0, 10, 10), PixelWindow(-20, 0, 20, 10)])
    with copy.filling() as filling:
        assert filling.ensure(read_index(filling).fixed_ranges()) == 0
    assert not copy.is_complete()


@given(
    origin=st.tuples(st.integers(0, 50), st.integers(0, 50)),
    step=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    shape=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    corner=st.tuples(st.integers(-20, 100), st.integers(-20, 100)),
    size=st.tuples(st.integers(0, 60), st.integers(0, 60)),
)
@example(origin=(3, 0), step=(10, 10), shape=(20, 20), corner=(7, 0), size=(1, 1))
def test_tiles_of_a_window_with_offsets(
    origin: tuple[int, int],
    step: tuple[int, int],
    shape: tuple[int, int],
    corner: tuple[int, int],
    size: tuple[int, int],
) -> None:
    """Against the definition, pixel by pixel: the image does not begin where the first tile does."""
    first = (max(0, origin[0] - step[0] // 2), max(0, origin[1] - step[1] // 2))
    index = Jp2Index(0, 0, 0, 0, origin, shape, first, step, (), False)
    across = (origin[0] + shape[0] - 1 - first[0]) // step[0] + 1
    expected = {
        (origin[1] + y - first[1]) // step[1] * across + (origin[0] + x - first[0]) // step[0]
        for x in range(max(corner[0], 0), min(corner[0] + size[0], shape[0]))
        for y in range(max(corner[1], 0), min(corner[1] + size[1], shape[1]))
    }
    assert index.tiles(PixelWindow(*corner, *size)) == expected


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_headers_are_refused_or_read(
    images: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whatever the bytes say, nothing but our own errors, and never more requests than the file has parts."""
    content = bytearray(images[data.draw(st.sampled_from(KINDS))].read_bytes())
    header = content.index(b"\xff\x93") + 20
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, header))] = data.draw(st.integers(0, 255))
    folder = tmp_path_factory.mktemp("hostile")
    image = folder / "image.jp2"
    image.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    copy, reader = copy_of(folder / "copy", image)
    with suppress(RemoteError):
        ensure_window(copy, [PixelWindow(0, 0, 50, 50)])
    assert reader.bytes_read <= 2 * len(content)


def test_something_else_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.jp2"
    other.write_bytes(b"<html>quota exceeded</html>")
    copy, _ = copy_of(tmp_path / "copy", other)
    with pytest.raises(BadStructure, match=r"other\.jp2 is no JPEG 2000 file"):
        ensure_window(copy, [PixelWindow(0, 0, 1, 1)])


def test_a_remembered_index_of_another_version_is_read_anew(images: dict[str, Path], tmp_path: Path) -> None:
    window = PixelWindow(0, 0, 10, 10)
    copy, _ = copy_of(tmp_path, images["walked"])
    ensure_window(copy, [window])
    kept = copy.recall("jp2-index")
    others: list[Any] = [{**kept, "version": 0}, [], {"version": 1}, {**kept, "origin": 3}]
    for content in others:
        copy.remember("jp2-index", content)
        ensure_window(copy, [window])
        assert copy.recall("jp2-index") == kept


def test_ranges_of_a_tile_in_parts() -> None:
    parts = (TilePart(0, 100, 114, 200), TilePart(1, 200, 214, 300), TilePart(0, 300, 314, 400))
    index = Jp2Index(10, 100, 402, 410, (0, 0), (20, 10), (0, 0), (10, 10), parts, False)
    window = PixelWindow(0, 0, 5, 5)
    assert index.block_ranges(window) == [(100, 200), (300, 400)]
    assert index.ranges(window) == [(0, 214), (300, 410)]
    assert replace(index, is_listed=True).ranges(window) == [(0, 200), (300, 410)]
