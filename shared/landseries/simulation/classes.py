"""The eleven classes of the default legend as the simulation sees them, and the CORINE codes they are mapped by."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class LandCover(IntEnum):
    """Class ids of the legend `corine.yaml`."""

    ARTIFICIAL = 1
    GRASS = 2
    CROPS = 3
    MINERAL = 4
    ROCKS = 5
    SAND = 6
    BROADLEAVES = 7
    CONIFERS = 8
    SHRUBLAND = 9
    WATER = 10
    SNOW = 11


#: Length of a table indexed by class id.
CLASS_TABLE_LENGTH: Final = 12

#: Values of the CORINE raster (1 to 44) that stand for each class, most usual first.
RASTER_CODES: Final[dict[LandCover, tuple[int, ...]]] = {
    LandCover.ARTIFICIAL: (2, 3, 1),
    LandCover.GRASS: (18, 26),
    LandCover.CROPS: (12,),
    LandCover.MINERAL: (7,),
    LandCover.ROCKS: (31,),
    LandCover.SAND: (30,),
    LandCover.BROADLEAVES: (23,),
    LandCover.CONIFERS: (24,),
    LandCover.SHRUBLAND: (29, 27),
    LandCover.WATER: (40, 41),
    LandCover.SNOW: (34,),
}

#: CORINE values that the default legend leaves out: complex cultivation (242), agriculture with nature (243),
#: mixed forest (313).
UNUSED_RASTER_CODES: Final[tuple[int, ...]] = (20, 21, 25)

#: The class that a class is most easily mistaken for, by a map maker and by a classifier.
LOOK_ALIKE: Final[dict[LandCover, LandCover]] = {
    LandCover.ARTIFICIAL: LandCover.MINERAL,
    LandCover.GRASS: LandCover.CROPS,
    LandCover.CROPS: LandCover.GRASS,
    LandCover.MINERAL: LandCover.ROCKS,
    LandCover.ROCKS: LandCover.MINERAL,
    LandCover.SAND: LandCover.MINERAL,
    LandCover.BROADLEAVES: LandCover.SHRUBLAND,
    LandCover.CONIFERS: LandCover.BROADLEAVES,
    LandCover.SHRUBLAND: LandCover.GRASS,
    LandCover.WATER: LandCover.SAND,
    LandCover.SNOW: LandCover.ROCKS,
}
