"""Names of Sentinel-2 granules: which MGRS tiles hold a tile of the processing lattice.

A granule is named after a 100 km square of the Military Grid Reference System and reaches 9.8 km beyond it to the
east and south (Sentinel-2 Products Specification Document, tiling grid). Squares at the edge of a zone exist too, so
names are computed from the square and not from a place, which might lie in the neighbouring zone.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

from pyproj import Transformer

SQUARE_M: Final = 100_000
#: Side of a granule in metres; its upper-left corner is that of its square.
GRANULE_SIDE_M: Final = 109_800

# NGA.STND.0037, section 3: columns run through the alphabet without I and O in three sets of eight, rows through
# twenty letters, starting at A in odd zones and at F in even ones; bands are 8 degrees high from 80 degrees south.
_COLUMNS: Final = ("ABCDEFGH", "JKLMNPQR", "STUVWXYZ")
_ROWS: Final = "ABCDEFGHJKLMNPQRSTUV"
_BANDS: Final = "CDEFGHJKLMNPQRSTUVWX"


def home_granules(zone: int, north: bool, column: int, row: int, tile_side_m: int) -> list[str]:
    """Names of the granules that hold a lattice tile wholly, its home first.

    The home is the granule of the square with the tile's upper-left pixel; the others are the neighbours to the west
    and north. A square across two latitude bands is given under both names.

    Args:
        zone: UTM zone.
        north: northern or southern hemisphere.
        column, row: left and top edge of the tile in units of `tile_side_m`.
        tile_side_m: side of the tile in metres.
    """
    left, top = column * tile_side_m, row * tile_side_m
    square_left = math.floor(left / SQUARE_M) * SQUARE_M
    square_bottom = (math.ceil(top / SQUARE_M) - 1) * SQUARE_M
    names: list[str] = []
    for dx, dy in ((0, 0), (-SQUARE_M, 0), (0, SQUARE_M), (-SQUARE_M, SQUARE_M)):
        x, y = square_left + dx, square_bottom + dy
        holds = left + tile_side_m <= x + GRANULE_SIDE_M and top - tile_side_m >= y + SQUARE_M - GRANULE_SIDE_M
        if holds and SQUARE_M <= x < 9 * SQUARE_M and 0 <= y < 100 * SQUARE_M:
            names += _square_names(zone, north, x, y)
    return names


@lru_cache(maxsize=4096)
def _square_names(zone: int, north: bool, left: int, bottom: int) -> list[str]:
    columns = _COLUMNS[(zone - 1) % 3]
    letters = columns[left // SQUARE_M - 1] + _ROWS[(bottom // SQUARE_M + (0 if zone % 2 else 5)) % 20]
    to_lonlat = Transformer.from_crs(f"EPSG:{(32600 if north else 32700) + zone}", "EPSG:4326", always_xy=True)
    inside = min(max(left + SQUARE_M // 2, 2 * SQUARE_M), 8 * SQUARE_M)
    latitudes = [to_lonlat.transform(inside, bottom + dy)[1] for dy in (SQUARE_M - 1, SQUARE_M // 2, 1)]
    bands = dict.fromkeys(_BANDS[min(int((latitude + 80) // 8), 19)] for latitude in latitudes if -80 <= latitude < 84)
    return [f"{zone:02d}{band}{letters}" for band in bands]
