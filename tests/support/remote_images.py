"""Images for the tests of windowed reading: several tiles, and every pixel of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from hypothesis import strategies as st

from landseries_fetcher.remote.reader import FileRanges
from landseries_fetcher.remote.sparse import SparseCopy
from landseries_fetcher.remote.windows import PixelWindow


def noisy(shape: tuple[int, int], bands: int = 1, seed: int = 7) -> npt.NDArray[np.uint16]:
    """(band, row, column): a gradient with noise, so that blocks have unlike lengths."""
    draw = np.random.default_rng(seed)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    noise = draw.integers(0, 2 + (columns // 40) ** 2 % 500, (bands, *shape))
    values: npt.NDArray[np.uint16] = (1 + rows + 3 * columns + noise).astype(np.uint16)
    return values


def write_image(path: Path, values: npt.NDArray[Any], driver: str, **options: Any) -> Path:
    """Write an image losslessly."""
    if driver == "JP2OpenJPEG":
        options = {"QUALITY": "100", "REVERSIBLE": "YES", "RESOLUTIONS": "4", "tiled": True, **options}
    with rasterio.open(
        path,
        "w",
        driver=driver,
        width=values.shape[2],
        height=values.shape[1],
        count=values.shape[0],
        dtype=values.dtype.name,
        crs="EPSG:32632",
        transform=Affine(10, 0, 600_000, 0, -10, 5_100_000),
        **options,
    ) as target:
        target.write(values)
    return path


def copy_of(folder: Path, image: Path) -> tuple[SparseCopy, FileRanges]:
    """An empty copy of an image, to be filled from it, and what counts the bytes that are read for it."""
    reader = FileRanges(image)
    return SparseCopy(folder, f"copy{image.suffix}", lambda known: reader), reader


def windows(rows: int, columns: int) -> st.SearchStrategy[PixelWindow]:
    """Windows within an image, up to half as high and wide."""
    return st.builds(
        lambda x, y, width, height: PixelWindow(x, y, min(width, columns - x), min(height, rows - y)),
        st.integers(0, columns - 1),
        st.integers(0, rows - 1),
        st.integers(1, columns // 2),
        st.integers(1, rows // 2),
    )


def read_window(path: Path, window: PixelWindow, driver: str, **options: Any) -> npt.NDArray[Any]:
    """(band, row, column) of a window within the image."""
    extent = rasterio.windows.Window(window.column, window.row, window.width, window.height)
    with rasterio.open(path, driver=driver, **options) as source:
        values: npt.NDArray[Any] = source.read(window=extent)
    return values


def part_of(values: npt.NDArray[Any], window: PixelWindow) -> npt.NDArray[Any]:
    """The same window of the array."""
    return values[:, window.row : window.row + window.height, window.column : window.column + window.width]


def scattered_tile_parts(content: bytes) -> bytes:
    """A JPEG 2000 file with each tile in two tile-parts, all first ones before all second ones.

    Args:
        content: of a file written with `PLT=YES` and one tile-part per tile: the marker PLT tells where packets end.
    """
    box = content.index(b"jp2c") - 4
    begin = box + 8
    place = content.index(b"\xff\x90\x00\x0a", begin)
    firsts, seconds, main = b"", b"", content[begin:place]
    while content[place : place + 2] == b"\xff\x90":
        tile, length = content[place + 4 : place + 6], int.from_bytes(content[place + 6 : place + 10], "big")
        cut, data = _half_of_the_packets(content, place + 12)
        stop = place + length
        for number, packets in enumerate((content[data : data + cut], content[data + cut : stop])):
            head = b"\xff\x90\x00\x0a" + tile + (14 + len(packets)).to_bytes(4, "big") + bytes((number, 2))
            part = head + b"\xff\x93" + packets
            firsts, seconds = (firsts + part, seconds) if number == 0 else (firsts, seconds + part)
        place = stop
    stream = main + firsts + seconds + b"\xff\xd9"
    return content[:box] + (8 + len(stream)).to_bytes(4, "big") + b"jp2c" + stream


def _half_of_the_packets(content: bytes, place: int) -> tuple[int, int]:
    """Bytes of the first half of a tile's packets, and where its data begins."""
    lengths, length = [], 0
    while content[place : place + 2] != b"\xff\x93":
        size = int.from_bytes(content[place + 2 : place + 4], "big")
        if content[place : place + 2] == b"\xff\x58":
            for byte in content[place + 5 : place + 2 + size]:
                length = length << 7 | byte & 0x7F
                if byte < 0x80:
                    lengths.append(length)
                    length = 0
        place += 2 + size
    return sum(lengths[: len(lengths) // 2]), place + 2
