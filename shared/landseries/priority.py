"""Pseudo-random order of pixels: which of many equal candidates is taken first, wherever tiles are cut.

A priority is a hash of the pixel's absolute place on its grid, the seed and a stream's name. It needs no state and no
order of work, so a cap of "the n smallest priorities" gives the same pixels whatever the tile size, the area or the
number of processes, and merging the capped lists of tiles equals capping their union.
"""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
import numpy.typing as npt

from landseries.grid import Raster

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2: Final = np.uint64(0x94D049BB133111EB)


def pixel_priority(tile: Raster, seed: int, stream: str) -> npt.NDArray[np.uint64]:
    """Priority of every pixel of a tile; smaller is taken first.

    The mixing function is the finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), chained over the key of
    seed, stream and CRS, then the absolute row, then the absolute column.

    Args:
        tile: the pixel grid; absolute rows and columns count from the origin of its CRS.
        seed: the run's seed.
        stream: name of the purpose; different streams give independent orders.

    Returns:
        (rows, columns) uint64, uniform over 0..2^64-1.
    """
    digest = hashlib.sha256(f"{seed}:{stream}:{tile.crs}".encode()).digest()
    key = np.frombuffer(digest[:8], dtype=">u8").astype(np.uint64)
    rows = _mixed(_absolute(tile.top, -tile.pixel_height, tile.height) ^ key)
    columns = _absolute(tile.left, tile.pixel_width, tile.width)
    return _mixed(rows[:, np.newaxis] ^ columns[np.newaxis, :])


def _absolute(origin: float, step: float, count: int) -> npt.NDArray[np.uint64]:
    # Two's complement keeps negative places (south or west of the origin) apart from positive ones.
    return (round(origin / step) + np.arange(count, dtype=np.int64)).astype(np.uint64)


def _mixed(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    # Wraparound modulo 2^64 is meant; array arithmetic on uint64 wraps without a warning.
    mixed = state + _GOLDEN
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX_1
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
    return mixed ^ (mixed >> np.uint64(31))
