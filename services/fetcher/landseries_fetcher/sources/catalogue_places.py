"""Where a granule lies, for catalogues that are searched by place."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

from pyproj import Transformer

from landseries.errors import SourceError
from landseries.granules import home_granules

_BANDS: Final = "CDEFGHJKLMNPQRSTUVWX"
_SQUARE_M: Final = 100_000
#: A granule is so much larger than its square, to the east and to the south.
_OVERLAP_M: Final = 9_800


@lru_cache(maxsize=1024)
def box_of_granule(granule: str) -> tuple[float, float, float, float]:
    """West, south, east, north of a granule in degrees; where squares share a name by two latitude bands, of both.

    Args:
        granule: MGRS tile such as `32TPS`.

    Raises:
        SourceError: there is no such granule.
    """
    zone, band = int(granule[:2]), _BANDS.find(granule[2])
    if not 1 <= zone <= 60 or band < 0:
        raise SourceError(f"{granule} is no MGRS tile")
    north, south_deg = band >= 10, 8 * band - 80
    metres_per_degree = 111_000
    start = 0 if north else 10_000_000
    lowest = math.floor((start + (south_deg - 1) * metres_per_degree) / _SQUARE_M)
    highest = math.ceil((start + (south_deg + 14) * metres_per_degree) / _SQUARE_M)
    lefts, tops = [], []
    for row in range(max(lowest, 0), highest + 1):
        for column in range(1, 9):
            if granule in home_granules(zone, north, column, row, _SQUARE_M):
                lefts.append(column * _SQUARE_M)
                tops.append(row * _SQUARE_M)
    if not lefts:
        raise SourceError(f"{granule} is no MGRS tile")
    crs = f"EPSG:{(32_600 if north else 32_700) + zone}"
    to_lonlat = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    west, south, east, top = to_lonlat.transform_bounds(
        min(lefts), min(tops) - _SQUARE_M - _OVERLAP_M, max(lefts) + _SQUARE_M + _OVERLAP_M, max(tops)
    )
    return round(west, 6), round(south, 6), round(east, 6), round(top, 6)
