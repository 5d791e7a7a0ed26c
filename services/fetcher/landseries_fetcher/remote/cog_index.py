"""Which bytes of a (cloud-optimised) GeoTIFF a window needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from landseries_fetcher.remote.byte_ranges import ByteRange, merged
from landseries_fetcher.remote.sparse import SparseCopy
from landseries_fetcher.remote.tiff_structure import Directory, TiffStructure, read_structure
from landseries_fetcher.remote.windows import BadStructure, PixelWindow

#: GDAL's layout of a COG has four bytes before and after each block, which its reader may look at.
_BESIDE_BYTES: Final = 4


def ensure_window(copy: SparseCopy, windows: Sequence[PixelWindow], *, level: int = 0) -> int:
    """Fetch what a TIFF decoder needs to read windows of a copy; how many bytes were fetched.

    Args:
        copy: of the file.
        windows: at full resolution.
        level: 0 for the full resolution, 1 for the largest overview, and so on.

    Raises:
        BadStructure: it is no TIFF file, its directories contradict themselves, or it has no such overview.
        RemoteError: see `RangeReader.read`.
    """
    with copy.filling() as filling:
        structure = read_structure(filling)
        ranges = [*structure.headers]
        for window in windows:
            ranges += block_ranges(structure, window, level)
        # A block whose place the file gives wrongly is left to the decoder, which says so.
        filling.ensure((max(start, 0), min(stop, filling.size)) for start, stop in ranges if start < filling.size)
        return filling.fetched_bytes


def levels(structure: TiffStructure) -> list[tuple[int, int]]:
    """Shapes (columns, rows) of the image and its overviews, the largest first."""
    shapes = {directory.shape for directory in structure.directories if _is_image(directory, structure)}
    return sorted(shapes, reverse=True)


def block_ranges(structure: TiffStructure, window: PixelWindow, level: int = 0) -> list[ByteRange]:
    """The blocks that a window touches at a level, of all bands and of the mask.

    Args:
        structure: of the file.
        window: at full resolution.
        level: see `ensure_window`.

    Raises:
        BadStructure: there is no such level.
    """
    shapes = levels(structure)
    if not 0 <= level < len(shapes):
        raise BadStructure(f"the image has {len(shapes) - 1} overviews; number {level} was asked for")
    full = structure.directories[0].shape
    found: list[ByteRange] = []
    for directory in structure.directories:
        if directory.shape == shapes[level]:
            for block in _touched(directory, _scaled(window, full, directory.shape)):
                start, length = directory.offsets[block], directory.counts[block]
                if start and length:
                    found.append((start - _BESIDE_BYTES, start + length + _BESIDE_BYTES))
    return merged(found)


def _is_image(directory: Directory, structure: TiffStructure) -> bool:
    return not directory.is_mask and (directory.is_reduced or directory is structure.directories[0])


def _scaled(window: PixelWindow, full: tuple[int, int], shape: tuple[int, int]) -> list[range]:
    """The pixels (columns, rows) of a level that a window touches."""
    found = []
    for axis, (first, length) in enumerate(((window.column, window.width), (window.row, window.height))):
        start, stop = max(first, 0), min(first + length, full[axis])
        # One pixel more on each side: the factor of a level is rounded where the image's shape is odd.
        margin = 0 if full == shape else 1
        low = max(start * shape[axis] // full[axis] - margin, 0)
        high = min(-(-stop * shape[axis] // full[axis]) + margin, shape[axis])
        found.append(range(low, high) if start < stop else range(0))
    return found


def _touched(directory: Directory, pixels: list[range]) -> Iterator[int]:
    """Numbers of the blocks of all planes that hold some pixels."""
    if not all(pixels):
        return
    across, down = directory.blocks
    columns, rows = (
        range(extent.start // size, (extent.stop - 1) // size + 1)
        for extent, size in zip(pixels, directory.block_shape, strict=True)
    )
    for plane in range(directory.planes):
        for row in rows:
            for column in columns:
                yield plane * across * down + row * across + column
