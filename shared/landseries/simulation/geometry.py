"""Where the scene lies: its place on the UTM grid, and the part of it that each MGRS granule delivers.

The scene is centred on a line of the processing lattice inside the 9.8 km by which two MGRS granules overlap, so that
it takes two granules and at least four processing tiles to cover it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from affine import Affine
from pyproj import Transformer

from landseries.errors import ConfigError

EPSG: Final = 32632
PIXEL_M: Final = 10
#: The scene's middle column: a multiple of 5,120 m.
CENTRE_X_M: Final = 701_440
#: The scene's upper edge: a multiple of 5,120 m.
TOP_Y_M: Final = 5_160_960
SIZE_STEP_PX: Final = 256
#: The largest scene that the two granules cover from edge to edge.
SIZE_MAX_PX: Final = 5_888

#: The granules and the columns (UTM easting in metres) that their products cover; MGRS squares plus 9.8 km.
_GRANULE_SPANS_M: Final[dict[str, tuple[int, int]]] = {
    "32TPS": (600_000, 709_800),
    "32TQS": (699_960, 809_760),
}
_AREA_MARGIN_M: Final = 10.0
_EDGE_POINTS: Final = 32


@dataclass(frozen=True)
class Window:
    """A granule's part of the scene: columns [first_column, last_column) of every row, in pixels of 10 m."""

    granule: str
    first_column: int
    last_column: int

    @property
    def width_px(self) -> int:
        """Number of columns of 10 m."""
        return self.last_column - self.first_column


@dataclass(frozen=True)
class Geometry:
    """Extent and grid of a square scene of `size_px` pixels of 10 m.

    Raises:
        ConfigError: The size is not a positive multiple of 256 up to 5,888.
    """

    size_px: int

    def __post_init__(self) -> None:
        if self.size_px <= 0 or self.size_px % SIZE_STEP_PX or self.size_px > SIZE_MAX_PX:
            raise ConfigError(
                f"size_px is {self.size_px}; it must be a multiple of {SIZE_STEP_PX} "
                f"from {SIZE_STEP_PX} to {SIZE_MAX_PX}"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns at 10 m."""
        return self.size_px, self.size_px

    @property
    def left_m(self) -> int:
        """UTM easting of the left edge."""
        return CENTRE_X_M - self.size_px * PIXEL_M // 2

    @property
    def bounds_m(self) -> tuple[int, int, int, int]:
        """Left, bottom, right and top edge in UTM 32N."""
        side = self.size_px * PIXEL_M
        return self.left_m, TOP_Y_M - side, self.left_m + side, TOP_Y_M

    def transform(self, pixel_m: int = PIXEL_M, first_column: int = 0) -> Affine:
        """Pixel to UTM coordinates, at a pixel size, from a first column given in pixels of 10 m."""
        left = self.left_m + first_column * PIXEL_M
        return Affine(pixel_m, 0.0, left, 0.0, -pixel_m, TOP_Y_M)

    def windows(self) -> tuple[Window, ...]:
        """The granules that hold some of the scene, from west to east."""
        found = []
        for granule, (west, east) in _GRANULE_SPANS_M.items():
            first = max(0, (west - self.left_m) // PIXEL_M)
            last = min(self.size_px, (east - self.left_m) // PIXEL_M)
            if last > first:
                found.append(Window(granule, int(first), int(last)))
        return tuple(found)

    def area(self) -> dict[str, Any]:
        """The scene's extent as a GeoJSON feature collection in longitude and latitude.

        It is ten metres smaller than the scene on every side: coordinates lose digits on their way through a file, and
        an area that spills over by a millimetre would ask for a further row of processing tiles.
        """
        left, bottom, right, top = self.bounds_m
        margin = _AREA_MARGIN_M
        ring = _ring(left + margin, bottom + margin, right - margin, top - margin)
        geometry = {"type": "Polygon", "coordinates": [[[round(x, 8), round(y, 8)] for x, y in ring]]}
        feature = {"type": "Feature", "properties": {"name": "simulated scene"}, "geometry": geometry}
        return {"type": "FeatureCollection", "features": [feature]}

    def footprint(self, window: Window) -> list[tuple[float, float]]:
        """Corners of a granule's part as (longitude, latitude), closed, upper left first."""
        left = self.left_m + window.first_column * PIXEL_M
        right = self.left_m + window.last_column * PIXEL_M
        bottom, top = self.bounds_m[1], self.bounds_m[3]
        return _to_degrees([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)])


def to_lonlat(x_m: float, y_m: float) -> tuple[float, float]:
    """Longitude and latitude of a UTM position."""
    return _to_degrees([(x_m, y_m)])[0]


def _ring(left: float, bottom: float, right: float, top: float) -> list[tuple[float, float]]:
    steps = np.linspace(0.0, 1.0, _EDGE_POINTS, endpoint=False)
    corners = [(left, bottom), (right, bottom), (right, top), (left, top), (left, bottom)]
    points = []
    for (x0, y0), (x1, y1) in pairwise(corners):
        points += [(float(x0 + s * (x1 - x0)), float(y0 + s * (y1 - y0))) for s in steps]
    return _to_degrees([*points, points[0]])


def _to_degrees(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    transformer = Transformer.from_crs(EPSG, 4326, always_xy=True)
    return [(float(lon), float(lat)) for lon, lat in (transformer.transform(x, y) for x, y in points)]
