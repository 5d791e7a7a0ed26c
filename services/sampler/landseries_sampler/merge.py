"""The region's sample of one stratum, taken from the candidates that the tiles drew for it.

Keeping the smallest priorities of each tile and then of all tiles equals keeping those of the whole region, as long as
no tile's cap is below what the region takes; and a tile has left out only pixels beyond the last bin of priorities
that the region takes. So what is merged is the sample and some more, whatever the number of tiles.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from landseries_sampler.strata import first_of_groups, group_of

#: A candidate of the region: its part, class and priority.
PIXEL: Final = np.dtype([("part", "u1"), ("class", "u1"), ("priority", "<u8")])


def taken_of(pixels: npt.NDArray[Any], quotas: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Positions of the pixels that the region takes.

    Args:
        pixels: (n,) of `PIXEL`, tile after tile in the table's order; of equal priorities the first are taken.
        quotas: pixels to take, by `landseries_sampler.strata.group_of`.

    Returns:
        Positions ordered by part, class and priority.
    """
    return first_of_groups(group_of(pixels["part"], pixels["class"]), pixels["priority"], quotas)
