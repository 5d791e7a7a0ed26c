"""How much of an image a fetch moves: only the blocks that the windows touch, which are what an image is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

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
    if min(width, height) < 1:
        return 0.0
    touched = np.zeros((-(-height // block_px), -(-width // block_px)), dtype=bool)
    for window in windows:
        rows = _blocks(window.row, window.height, height, block_px)
        columns = _blocks(window.column, window.width, width, block_px)
        touched[rows, columns] = True
    heights = np.diff(np.minimum(np.arange(touched.shape[0] + 1) * block_px, height))
    widths = np.diff(np.minimum(np.arange(touched.shape[1] + 1) * block_px, width))
    return float((heights[:, np.newaxis] * widths)[touched].sum()) / (width * height)


def _blocks(first: int, length: int, size: int, block_px: int) -> slice:
    start, stop = max(first, 0), min(first + length, size)
    return slice(0, 0) if stop <= start else slice(start // block_px, -(-stop // block_px))
