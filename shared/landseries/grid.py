"""The processing grid: from an area of interest to tiles, their home granules, and their sampling blocks.

Tiles lie on an absolute lattice per UTM zone, so that the same place gets the same tile whatever the area; a tile
belongs to one zone and is read from one granule, its home: the MGRS tile whose 100 km square holds the tile's
upper-left pixel. A cube keeps its own grid.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import shapely
from affine import Affine
from pyproj import CRS, Transformer
from rasterio.features import geometry_mask
from shapely.geometry.base import BaseGeometry

from landseries.errors import ConfigError
from landseries.granules import home_granules

RESOLUTION_M: Final = 10


@dataclass(frozen=True)
class Raster:
    """A north-up pixel grid: CRS, upper-left corner, pixel size (CRS units), and shape in pixels."""

    crs: str
    left: float
    top: float
    pixel_width: float
    pixel_height: float
    width: int
    height: int

    @property
    def transform(self) -> Affine:
        """Affine transform from (column, row) to map coordinates."""
        return Affine(self.pixel_width, 0.0, self.left, 0.0, -self.pixel_height, self.top)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.height, self.width

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(left, bottom, right, top) in the CRS."""
        right = self.left + self.width * self.pixel_width
        return self.left, self.top - self.height * self.pixel_height, right, self.top

    def footprint(self) -> BaseGeometry:
        """The grid's outline in longitude and latitude (WGS 84)."""
        outline = shapely.segmentize(shapely.box(*self.bounds), 20 * max(self.pixel_width, self.pixel_height))
        return shapely.transform(outline, _to_lonlat(self.crs).transform, interleaved=False)


@dataclass(frozen=True)
class Tile(Raster):
    """One tile of the processing grid: a raster with a name, its place on the lattice, and its home granule."""

    id: str
    granule: str
    column: int
    row: int

    def as_json(self) -> dict[str, Any]:
        """The tile as a JSON object, the inverse of `Tile(**json)`."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def geometry(self) -> dict[str, Any]:
        """What of the tile decides the bytes of what is computed on it: its pixel grid, not its name."""
        return {name: getattr(self, name) for name in Raster.__dataclass_fields__}


class Part(IntEnum):
    """The three parts of the area that blocks are dealt to. No sample ever comes from a PREDICTION block."""

    TRAINING = 1
    VALIDATION = 2
    PREDICTION = 3


def tiles_of_area(area: BaseGeometry, tile_size_px: int, granules: Collection[str] | None) -> list[Tile]:
    """Tiles of the UTM lattice that an area touches, each with a home granule that the source has.

    Args:
        area: polygon or multipolygon in longitude and latitude (WGS 84).
        tile_size_px: side of a tile in pixels of 10 m; even, so that tiles are aligned to 20 m.
        granules: MGRS tile names that the source of imagery holds, such as `32TPS`; None for all that there are.

    Returns:
        Tiles sorted by id. Those that no granule of the source holds wholly are left out.

    Raises:
        ConfigError: the area crosses the antimeridian or leaves UTM's latitudes, or no tile has a granule.
    """
    _check_area(area)
    _check_utm(area)
    available = None if granules is None else frozenset(granules)
    wanted: list[Tile] = []
    without_granule = 0
    for zone, north in _zones(area):
        for column, row in _cells(area, zone, north, tile_size_px):
            holding = home_granules(zone, north, column, row, tile_size_px * RESOLUTION_M)
            home = next((granule for granule in holding if available is None or granule in available), None)
            if home is None:
                without_granule += 1
            else:
                wanted.append(_lattice_tile(zone, north, column, row, tile_size_px, home))
    if not wanted:
        raise ConfigError(
            f"area: none of its {without_granule} tiles lies in a granule of the source, which has "
            f"{', '.join(sorted(available or ())) or 'none'}; check the area's coordinates (longitude before latitude)"
        )
    return sorted(wanted, key=lambda tile: tile.id)


def tiles_of_raster(raster: Raster, name: str, tile_size_px: int, area: BaseGeometry | None) -> list[Tile]:
    """Tiles of a cube's own grid, those at its edges smaller.

    Args:
        raster: the cube's grid.
        name: the cube's name, which is the granule of all its tiles.
        tile_size_px: side of a full tile in pixels.
        area: keep only tiles that touch it (longitude and latitude); None keeps all.

    Raises:
        ConfigError: the area crosses the antimeridian, or lies outside the cube.
    """
    if area is not None:
        _check_area(area)
    tiles = []
    for row in range(math.ceil(raster.height / tile_size_px)):
        for column in range(math.ceil(raster.width / tile_size_px)):
            tile = Tile(
                crs=raster.crs,
                left=raster.left + column * tile_size_px * raster.pixel_width,
                top=raster.top - row * tile_size_px * raster.pixel_height,
                pixel_width=raster.pixel_width,
                pixel_height=raster.pixel_height,
                width=min(tile_size_px, raster.width - column * tile_size_px),
                height=min(tile_size_px, raster.height - row * tile_size_px),
                id=f"{name}-c{column:04d}-r{row:04d}",
                granule=name,
                column=column,
                row=row,
            )
            if area is None or tile.footprint().intersects(area):
                tiles.append(tile)
    if not tiles:
        raise ConfigError(f"area: lies outside the cube, whose bounds are {raster.footprint().bounds} (lon, lat)")
    return tiles


def area_mask(tile: Raster, area: BaseGeometry | None) -> npt.NDArray[np.bool_]:
    """Which pixels of a tile belong to the area: (rows, columns), True inside.

    A pixel belongs by its centre. In a UTM tile, pixels beyond the zone's own six degrees belong to the neighbouring
    zone, so that no place is counted twice.
    """
    if area is None:
        return np.ones(tile.shape, dtype=bool)
    zone = _zone_of(tile.crs)
    if zone is not None:
        west = (zone - 1) * 6 - 180
        area = area.intersection(shapely.box(west, -90, west + 6, 90))
    if area.is_empty:
        return np.zeros(tile.shape, dtype=bool)
    outline = _project(area, tile.crs)
    inside: npt.NDArray[np.bool_] = geometry_mask([outline], tile.shape, tile.transform, invert=True)
    return inside


def block_parts(tile: Tile, block_px: int, shares: tuple[float, float, float], seed: int) -> npt.NDArray[np.uint8]:
    """Deal the blocks of a tile to training, validation and prediction.

    A block's part is a hash of its place on the tile's lattice, so neither the area nor the tile size moves it.

    Args:
        tile: the tile.
        block_px: side of a block in pixels.
        shares: shares of training, validation and prediction blocks; they add up to one.
        seed: the run's seed.

    Returns:
        (rows, columns) uint8 of `Part`.
    """
    rows = _blocks_along(tile.top, -tile.pixel_height, tile.height, block_px)
    columns = _blocks_along(tile.left, tile.pixel_width, tile.width, block_px)
    edges = (shares[0], shares[0] + shares[1])
    parts = np.empty((rows.max() - rows.min() + 1, columns.max() - columns.min() + 1), dtype=np.uint8)
    for i in range(parts.shape[0]):
        for j in range(parts.shape[1]):
            text = f"{seed}:{tile.crs}:{rows.min() + i}:{columns.min() + j}:{block_px}"
            draw = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
            parts[i, j] = 1 + (draw >= edges[0]) + (draw >= edges[1])
    return parts[np.ix_(rows - rows.min(), columns - columns.min())]


def _blocks_along(origin: float, step: float, count: int, block_px: int) -> npt.NDArray[np.int64]:
    first = round(origin / step)
    return (first + np.arange(count)) // block_px


def _check_area(area: BaseGeometry) -> None:
    west, south, east, north = area.bounds
    if area.is_empty:
        raise ConfigError("area: is empty; give a polygon with longitude and latitude in degrees")
    if west < -360 or east > 360 or south < -90 or north > 90:
        raise ConfigError(f"area: bounds {area.bounds} are no longitudes and latitudes in degrees (WGS 84)")
    if east - west > 180 or west < -180 or east > 180:
        raise ConfigError(
            f"area: reaches from {west:g} to {east:g} degrees of longitude, across or beyond the antimeridian (180 "
            "degrees); give the two sides as two runs, each with longitudes of -180..180"
        )


def _check_utm(area: BaseGeometry) -> None:
    _, south, _, north = area.bounds
    if south < -80 or north > 84:
        raise ConfigError("area: reaches beyond 80° south or 84° north, where UTM and the MGRS grid end")


def _zones(area: BaseGeometry) -> Iterator[tuple[int, bool]]:
    west, south, east, north = area.bounds
    first, last = int((west + 180) // 6) + 1, min(int((east + 180) // 6) + 1, 60)
    for zone in range(first, last + 1):
        if north > 0:
            yield zone, True
        if south < 0:
            yield zone, False


def _cells(area: BaseGeometry, zone: int, north: bool, tile_size_px: int) -> Iterator[tuple[int, int]]:
    """(column, row) of lattice cells that touch the area's part in a zone; row is the top edge in units of tiles."""
    west = (zone - 1) * 6 - 180
    half = shapely.box(west, 0, west + 6, 90) if north else shapely.box(west, -90, west + 6, 0)
    part = area.intersection(half)
    if part.is_empty or part.area == 0:
        return
    outline = _project(part, _utm(zone, north))
    shapely.prepare(outline)
    side = tile_size_px * RESOLUTION_M
    left, bottom, right, top = outline.bounds
    for row in range(math.floor(bottom / side) + 1, math.ceil(top / side) + 1):
        for column in range(math.floor(left / side), math.ceil(right / side)):
            cell = shapely.box(column * side, (row - 1) * side, (column + 1) * side, row * side)
            if outline.intersects(cell) and outline.intersection(cell).area > 0:
                yield column, row


def _project(area: BaseGeometry, crs: str) -> BaseGeometry:
    return shapely.transform(shapely.segmentize(area, 0.01), _from_lonlat(crs).transform, interleaved=False)


def _lattice_tile(zone: int, north: bool, column: int, row: int, tile_size_px: int, granule: str) -> Tile:
    side = tile_size_px * RESOLUTION_M
    return Tile(
        crs=_utm(zone, north),
        left=float(column * side),
        top=float(row * side),
        pixel_width=float(RESOLUTION_M),
        pixel_height=float(RESOLUTION_M),
        width=tile_size_px,
        height=tile_size_px,
        id=f"{zone:02d}{'N' if north else 'S'}-c{column:04d}-r{row:04d}",
        granule=granule,
        column=column,
        row=row,
    )


def _utm(zone: int, north: bool) -> str:
    return f"EPSG:{(32600 if north else 32700) + zone}"


def _zone_of(crs: str) -> int | None:
    code = crs.removeprefix("EPSG:")
    if code.isdigit() and int(code) // 100 in (326, 327):
        return int(code) % 100
    return None


@lru_cache(maxsize=64)
def _to_lonlat(crs: str) -> Transformer:
    return Transformer.from_crs(CRS.from_user_input(crs), CRS.from_epsg(4326), always_xy=True)


@lru_cache(maxsize=64)
def _from_lonlat(crs: str) -> Transformer:
    return Transformer.from_crs(CRS.from_epsg(4326), CRS.from_user_input(crs), always_xy=True)
