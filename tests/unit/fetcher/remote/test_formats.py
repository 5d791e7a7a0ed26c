"""Windows of remote images from the server to the pixels: cache, readers and indexes together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer
from support.range_server import RangeServer, random_faults, range_server
from support.remote_images import noisy, part_of, read_window, write_image

from landseries_fetcher.remote.cache import ContentCache, ContentKey
from landseries_fetcher.remote.formats import ensure_windows
from landseries_fetcher.remote.http_ranges import HttpRanges, new_pool
from landseries_fetcher.remote.persistence import Persistence
from landseries_fetcher.remote.reader import Identity, RangeReader
from landseries_fetcher.remote.s3_ranges import S3Ranges, new_client
from landseries_fetcher.remote.sparse import SparseCopy
from landseries_fetcher.remote.windows import BadStructure, PixelWindow

SIDE = 1024
VALUES = noisy((SIDE, SIDE))
BLOCKS = {"BLOCKXSIZE": "128", "BLOCKYSIZE": "128"}
DRIVERS = {"walked.jp2": "JP2OpenJPEG", "listed.jp2": "JP2OpenJPEG", "image.tif": "GTiff"}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("images")
    write_image(folder / "walked.jp2", VALUES, "JP2OpenJPEG", **BLOCKS)
    write_image(folder / "listed.jp2", VALUES, "JP2OpenJPEG", TLM="YES", **BLOCKS)
    write_image(folder / "image.tif", VALUES, "COG", BLOCKSIZE=128, COMPRESS="DEFLATE", PREDICTOR="YES")
    return {name: (folder / name).read_bytes() for name in DRIVERS}


@pytest.fixture(scope="module")
def server(images: dict[str, bytes]) -> Iterator[RangeServer]:
    with range_server(images) as running:
        yield running


def windows() -> st.SearchStrategy[PixelWindow]:
    return st.builds(
        lambda x, y, width, height: PixelWindow(x, y, min(width, SIDE - x), min(height, SIDE - y)),
        st.integers(0, SIDE - 1),
        st.integers(0, SIDE - 1),
        st.integers(1, 400),
        st.integers(1, 400),
    )


@pytest.mark.parametrize("name", DRIVERS)
@settings(max_examples=8, deadline=None)
@given(window=windows())
def test_from_the_server_to_the_pixels(
    server: RangeServer, tmp_path_factory: pytest.TempPathFactory, name: str, window: PixelWindow
) -> None:
    folder = tmp_path_factory.mktemp("cache")
    pool = new_pool()

    def open_reader(known: Identity | None) -> HttpRanges:
        return HttpRanges(f"{server.url}/{name}", pool=pool, known=known)

    key = ContentKey("http", "product", name, "1")
    for turn in range(2):
        server.forget()
        with ContentCache(folder, 1 << 25).open(key, open_reader) as copy:
            ensure_windows(copy, [window])
            assert np.array_equal(read_window(copy.path, window, DRIVERS[name]), part_of(VALUES, window))
        assert turn == 0 or not server.requests, "the second open asks for nothing"
    pool.clear()


@pytest.mark.parametrize("name", DRIVERS)
def test_faults_change_no_byte(images: dict[str, bytes], tmp_path: Path, name: str) -> None:
    pool, persistence = new_pool(), Persistence(tries=60, sleep=lambda seconds: None)
    draw = np.random.default_rng(8)
    spots = [PixelWindow(int(x), int(y), 200, 150) for x, y in draw.integers(0, SIDE - 200, (6, 2))]
    contents = []
    with range_server(images) as faulty:
        for share in (0.0, 0.3):
            faulty.fault = random_faults(4, share)
            faulty.slow_s = 0.0
            copy = SparseCopy(
                tmp_path / str(share),
                name,
                lambda known: HttpRanges(f"{faulty.url}/{name}", pool=pool, persistence=persistence, known=known),
            )
            for spot in spots:
                ensure_windows(copy, [spot])
            contents.append((copy.path.read_bytes(), (tmp_path / str(share) / "present.json").read_bytes()))
        assert sum(faulty.faults_done.values()) > 3
    assert contents[0] == contents[1]
    pool.clear()


def test_from_a_bucket_to_the_pixels(images: dict[str, bytes], tmp_path: Path) -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        client = new_client("http://{}:{}".format(*server.get_host_and_port()), "key", "secret", region="us-east-1")
        client.create_bucket(Bucket="formats")
        window = PixelWindow(500, 300, 200, 100)
        for name, driver in DRIVERS.items():
            client.put_object(Bucket="formats", Key=name, Body=images[name])

            def open_reader(known: Identity | None, name: str = name) -> RangeReader:
                return S3Ranges(client, "formats", name, known=known)

            copy = SparseCopy(tmp_path / name, name, open_reader)
            fetched = ensure_windows(copy, [window])
            assert np.array_equal(read_window(copy.path, window, driver), part_of(VALUES, window))
            assert fetched < len(images[name]) / 4
    finally:
        server.stop()


@pytest.mark.parametrize("content", [b"", b"<html>quota exceeded</html>", b"II*\0", b"\0\0\0\x0cjP  \r\n\x87\n"])
def test_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    pool = new_pool()
    with range_server({"image.jp2": content}) as other:
        copy = SparseCopy(tmp_path, "image.jp2", lambda known: HttpRanges(f"{other.url}/image.jp2", pool=pool))
        with pytest.raises(BadStructure, match=r"image\.jp2"):
            ensure_windows(copy, [PixelWindow(0, 0, 10, 10)])
    pool.clear()
