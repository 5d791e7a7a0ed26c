"""How much of an image a fetch moves: only the blocks that the windows touch, which are what an image is made of."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

from landseries_fetcher.remote.windows import PixelWindow

#: Side of the blocks of the archives' images (JPEG 2000 tiles, blocks of cloud-optimised GeoTIFFs).
BLOCK_PX: Final = 1024


def touched_share(windows: Sequence[PixelWindow], width: int, height: int, block_px: int = BLOCK_PX) -> float:
    """The share of an image's pixels that lies in blocks which some windows touch, 0..1.

    Args:
        windows: in pixels of the image; parts outside are ignored.
        width: columns of the image.
        height: rows of the image.
        block_px: side of a block; those at the right and lower edge are cut.
    """
    touched: set[tuple[int, int]] = set()
    for window in windows:
        rows = _blocks(window.row, window.height, height, block_px)
        columns = _blocks(window.column, window.width, width, block_px)
        touched.update(itertools.product(rows, columns))
    pixels = sum(
        min(block_px, height - row * block_px) * min(block_px, width - column * block_px) for row, column in touched
    )
    return pixels / (width * height) if pixels else 0.0


def _blocks(first: int, length: int, size: int, block_px: int) -> range:
    start, stop = max(first, 0), min(first + length, size)
    return range(0) if stop <= start else range(start // block_px, -(-stop // block_px))
