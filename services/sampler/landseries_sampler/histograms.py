"""Counts of pixel priorities in bins that are fine near zero, so that small tables tell how far a draw must reach.

The smallest n of a region's priorities lie below a bound that no tile knows. Bins as wide as an eighth of their own
place (like floating point numbers of three bits) find it within an eighth whatever its size, from a few dozen counts
of each tile.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

#: Bins per power of two.
_STEPS: Final = 8


def _upper_edges() -> npt.NDArray[np.uint64]:
    # The first bins hold one priority each; then every power of two is cut into eight.
    edges = list(range(_STEPS))
    for width_bits in range(61):
        edges += [((_STEPS + step + 1) << width_bits) - 1 for step in range(_STEPS)]
    return np.array(edges, dtype=np.uint64)


#: Largest priority of each bin, ascending; the last one is 2^64 - 1.
UPPER_EDGES: Final = _upper_edges()
BINS: Final = len(UPPER_EDGES)


def bins_of(priority: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Bin of each priority, 0..`BINS` - 1."""
    return np.searchsorted(UPPER_EDGES, priority, side="left")


def histogram_of(priority: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Number of priorities in each bin, (`BINS`,)."""
    return np.bincount(bins_of(priority), minlength=BINS)


def last_bin(histogram: npt.NDArray[np.int64], count: int) -> int:
    """The first bin at which so many priorities are reached, of all from bin 0 on; -1 where none is wanted.

    Args:
        histogram: (`BINS`,) counts, together at least `count`.
        count: how many of the smallest priorities are wanted.
    """
    return int(np.searchsorted(np.cumsum(histogram), count, side="left")) if count else -1
