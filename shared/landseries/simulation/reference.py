"""The existing thematic map: a CORINE-coded raster that is generalised, partly outdated and partly wrong.

It is drawn from the land of some years before, with borders displaced as by hand and polygons below a minimum mapping
unit dissolved, and then some polygons are given the class they are easily mistaken for, until the share of right
labels is the one asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.features import sieve
from rasterio.warp import Resampling, reproject, transform_bounds
from scipy.ndimage import gaussian_filter, label, map_coordinates

from landseries.simulation.classes import LOOK_ALIKE, RASTER_CODES, UNUSED_RASTER_CODES, LandCover
from landseries.simulation.difficulty import Difficulty
from landseries.simulation.geometry import EPSG, Geometry
from landseries.simulation.landscape import ClassArray
from landseries.simulation.randomness import generator, smooth_field

MAP_EPSG: Final = 3035
NODATA_CODE: Final = 255
#: The official minimum mapping unit and the scene size from which it is used; smaller scenes have a smaller one.
_UNIT_HA: Final = 25.0
_FULL_SIZE_PX: Final = 2_560
_BORDER_PX: Final = 2.4
_GENERALISATION_PX: Final = 1.8
_UNUSED_SHARE: Final = 0.02
#: Share of the mapped area of a class that is false although it lies well inside a polygon.
_FALSE_SHARE: Final[dict[LandCover, float]] = {
    LandCover.SAND: 0.14,
    LandCover.MINERAL: 0.14,
    LandCover.SHRUBLAND: 0.14,
}
_ATTEMPTS: Final = 5


@dataclass(frozen=True)
class ReferenceMap:
    """The map on its own grid, and what it is worth.

    Attributes:
        codes: Values 1 to 44, or 255 outside the scene, uint8, shape (rows, columns), in EPSG:3035.
        transform: Pixel to EPSG:3035 coordinates.
        pixel_m: Pixel size.
        classes: The map's class at each pixel of the scene (nearest neighbour), uint8; 0 where its code is of no class.
    """

    codes: npt.NDArray[np.uint8]
    transform: Affine
    pixel_m: int
    classes: ClassArray


def draw_map(
    outdated: ClassArray, truth: ClassArray, geometry: Geometry, difficulty: Difficulty, seed: int
) -> ReferenceMap:
    """Draw the map.

    Args:
        outdated: The classes that the map maker saw, uint8, shape (rows, columns).
        truth: The classes of the reference year; the map's precision is measured against them.
        geometry: The scene's grid.
        difficulty: Wanted precision.
        seed: The archive's seed.
    """
    grid = _MapGrid(geometry)
    unit_px = _UNIT_HA * 100 * min(1.0, geometry.size_px / _FULL_SIZE_PX)
    for attempt in range(_ATTEMPTS):
        drawn = _generalised(outdated, unit_px / 2**attempt, 2.0**-attempt, generator(seed, "map"))
        seen = grid.as_seen(drawn)
        right = precision(seen, truth)["overall"]
        if right > difficulty.map_precision + 0.015:
            break
    lost = precision(drawn, truth)["overall"] - right
    rng = generator(seed, "map-errors")
    wrong = _with_errors(drawn, truth, difficulty.map_precision + lost, unit_px / 2**attempt, rng)
    codes_here = _codes(wrong, unit_px, generator(seed, "map-codes"))
    codes = grid.to_map(codes_here)
    classes = _classes_of(grid.to_scene(codes))
    return ReferenceMap(codes, grid.transform, grid.pixel_m, classes)


def precision(mapped: ClassArray, truth: ClassArray) -> dict[str, Any]:
    """Share of labelled pixels whose class is true: `overall`, `macro` and `per_class` by name.

    Args:
        mapped: Class ids, 0 for unlabelled, any shape.
        truth: Class ids, same shape.
    """
    known = mapped > 0
    per_class = {
        cover.name.capitalize(): float((truth[mapped == cover] == cover).mean())
        for cover in LandCover
        if (mapped == cover).any()
    }
    return {
        "overall": float((mapped[known] == truth[known]).mean()),
        "macro": float(np.mean(list(per_class.values()))),
        "per_class": per_class,
    }


class _MapGrid:
    """The grid of the map: whole pixels of EPSG:3035 around the scene."""

    def __init__(self, geometry: Geometry) -> None:
        self.pixel_m = 100 if geometry.size_px >= _FULL_SIZE_PX else 50
        left, bottom, right, top = transform_bounds(EPSG, MAP_EPSG, *geometry.bounds_m, densify_pts=101)
        first_column, last_column = int(left // self.pixel_m) - 4, int(-(-right // self.pixel_m)) + 4
        first_row, last_row = int(-(-top // self.pixel_m)) + 4, int(bottom // self.pixel_m) - 4
        self.shape = (first_row - last_row, last_column - first_column)
        self.transform = Affine(
            self.pixel_m, 0, first_column * self.pixel_m, 0, -self.pixel_m, first_row * self.pixel_m
        )
        self._geometry = geometry

    def to_map(self, scene: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The most frequent value of the scene in each map pixel; 255 outside."""
        codes = np.full(self.shape, NODATA_CODE, np.uint8)
        self._reproject(scene, codes, EPSG, self._geometry.transform(), MAP_EPSG, self.transform, Resampling.mode)
        return codes

    def to_scene(self, codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The map's value at the centre of each scene pixel."""
        scene = np.full(self._geometry.shape, NODATA_CODE, np.uint8)
        self._reproject(codes, scene, MAP_EPSG, self.transform, EPSG, self._geometry.transform(), Resampling.nearest)
        return scene

    def as_seen(self, classes: ClassArray) -> ClassArray:
        """Classes of the scene after the way to the map and back; 0 where the map has none."""
        seen = self.to_scene(self.to_map(classes))
        return np.where(seen == NODATA_CODE, 0, seen).astype(np.uint8)

    @staticmethod
    def _reproject(
        source: npt.NDArray[np.uint8],
        target: npt.NDArray[np.uint8],
        source_epsg: int,
        source_transform: Affine,
        target_epsg: int,
        target_transform: Affine,
        resampling: Resampling,
    ) -> None:
        reproject(
            source,
            target,
            src_transform=source_transform,
            src_crs=f"EPSG:{source_epsg}",
            dst_transform=target_transform,
            dst_crs=f"EPSG:{target_epsg}",
            src_nodata=NODATA_CODE,
            dst_nodata=NODATA_CODE,
            resampling=resampling,
            num_threads=1,
        )


def _generalised(classes: ClassArray, unit_px: float, strength: float, rng: np.random.Generator) -> ClassArray:
    """Displace borders as a hand does, smooth them, and dissolve what is smaller than the mapping unit."""
    shape = (classes.shape[0], classes.shape[1])
    rows, columns = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij")
    drift = [strength * _BORDER_PX * smooth_field(rng, shape, 25.0) for _ in range(2)]
    moved = map_coordinates(classes, [rows + drift[0], columns + drift[1]], order=0, mode="nearest")
    best, drawn = np.full(shape, -1.0, np.float32), np.zeros(shape, np.uint8)
    for cover in LandCover:
        share = gaussian_filter((moved == cover).astype(np.float32), _GENERALISATION_PX * strength)
        drawn[share > best] = cover
        np.maximum(best, share, out=best)
    return np.asarray(sieve(drawn, size=max(2, round(unit_px)), connectivity=4), dtype=np.uint8)


def _with_errors(
    drawn: ClassArray, truth: ClassArray, wanted: float, unit_px: float, rng: np.random.Generator
) -> ClassArray:
    """Give polygons the class they are mistaken for until the share of right labels falls to `wanted`."""
    wrong = drawn.copy()
    pieces = _pieces(drawn, unit_px, rng)
    order = rng.permutation(int(pieces.max()) + 1)
    owner = np.zeros(int(pieces.max()) + 1, np.uint8)
    owner[pieces.ravel()] = drawn.ravel()
    for target, share in _FALSE_SHARE.items():
        allowance = share * float((drawn == target).sum())
        sources = [cover for cover, alike in LOOK_ALIKE.items() if alike == target or LOOK_ALIKE[target] == cover]
        for piece in order[np.isin(owner[order], sources)]:
            here = pieces == piece
            if here.sum() <= allowance and (truth[here] == target).mean() < 0.5:
                wrong[here] = target
                allowance -= float(here.sum())
    for piece in order:
        if (wrong == truth).mean() <= wanted:
            break
        there = pieces == piece
        cover = LandCover(int(owner[piece]))
        if cover not in _FALSE_SHARE and cover != LandCover.WATER and (wrong[there] == cover).all():
            wrong[there] = _mistaken(cover)
    return wrong


def _mistaken(cover: LandCover) -> LandCover:
    """The class that a polygon is given by mistake; not one of the rare classes, whose share of errors is set apart."""
    alike = LOOK_ALIKE[cover]
    while alike in _FALSE_SHARE:
        alike = {LandCover.SAND: LandCover.WATER, LandCover.MINERAL: LandCover.ARTIFICIAL}.get(alike, LandCover.GRASS)
    return LandCover.GRASS if alike == cover else alike


def _pieces(drawn: ClassArray, unit_px: float, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Numbers of polygons, large ones cut along the sides of two wavering lattices."""
    shape = (drawn.shape[0], drawn.shape[1])
    side = 1.3 * np.sqrt(unit_px)
    rows, columns = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij")
    bend = 0.35 * side * np.stack([smooth_field(rng, shape, 1.5 * side) for _ in range(2)])
    cell = np.floor((rows + bend[0]) / side) * 10_000 + np.floor((columns + bend[1]) / side)
    polygons = np.zeros(shape, np.int64)
    for cover in LandCover:
        numbered, _ = label(drawn == cover)
        polygons += np.where(numbered > 0, numbered + polygons.max(), 0)
    _, pieces = np.unique(polygons * 1_000_000_000 + cell.astype(np.int64), return_inverse=True)
    return pieces.reshape(shape).astype(np.int64)


def _codes(classes: ClassArray, unit_px: float, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """CORINE values of the classes; a few polygons have a code that the legend leaves out."""
    pieces = _pieces(classes, 2 * unit_px, rng)
    count = int(pieces.max()) + 1
    drawn = rng.random(count)[pieces]
    codes = np.zeros(classes.shape, np.uint8)
    for cover, values in RASTER_CODES.items():
        which = np.minimum((drawn * len(values)).astype(np.int64), len(values) - 1)
        codes = np.where(classes == cover, np.array(values, np.uint8)[which], codes).astype(np.uint8)
    unused = rng.choice(np.array(UNUSED_RASTER_CODES, np.uint8), count)
    common = np.isin(classes, (LandCover.CROPS, LandCover.GRASS, LandCover.BROADLEAVES, LandCover.CONIFERS))
    dropped = (rng.random(count) < _UNUSED_SHARE)[pieces] & common
    return np.where(dropped, unused[pieces], codes).astype(np.uint8)


def _classes_of(codes: npt.NDArray[np.uint8]) -> ClassArray:
    table = np.zeros(256, np.uint8)
    for cover, values in RASTER_CODES.items():
        table[list(values)] = cover
    return table[codes]
