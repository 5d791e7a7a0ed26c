"""The longest time of a period without a clear view of a tile."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

#: An acquisition that shows at least this share of a tile clearly ends a gap of the tile.
SEEING_SHARE: Final = 0.5


def longest_gap(days: Sequence[float], end: float) -> float:
    """The longest time between two of some days, from the beginning of the period to its end.

    Args:
        days: ascending, within the period, in days since its beginning.
        end: length of the period in days.
    """
    return max(after - before for before, after in itertools.pairwise([0.0, *days, end]))
