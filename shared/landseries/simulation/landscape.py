"""The land before any change: relief, a partition into parcels, and a class for every pixel.

One alpine valley: a river with gravel bars, towns, arable parcels and meadows on its floor, quarries at its edge,
broadleaves, conifers and shrubs by altitude, rock and lasting snow on top. Shares of area are set by rank, so that all
eleven classes are there whatever the seed and the size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from landseries.simulation.classes import LandCover
from landseries.simulation.randomness import FloatArray, fractal_field, generator, rank, smooth_field

ClassArray = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]

#: The size at which widths given in pixels are meant; larger scenes have somewhat larger features.
_BASE_SIZE_PX: Final = 512
_PARCEL_PX: Final = 15.0
_VALLEY_ALTITUDE_M: Final = 420.0
_SUMMIT_ALTITUDE_M: Final = 2_850.0
#: Upper ends of the belts by rank of altitude: valley floor, lower and upper forest, shrubs and alpine grass, rock.
_VALLEY: Final = 0.36
_LOWER_FOREST: Final = 0.57
_UPPER_FOREST: Final = 0.79
_SHRUBS: Final = 0.89
_ROCK: Final = 0.972
_STEEPEST: Final = 0.65
_QUARRY_SHARE: Final = 0.014
_LAKE_SHARE: Final = 0.034
_SAND_SHARE: Final = 0.017
_TOWN_SHARE: Final = 0.055


@dataclass(frozen=True)
class Landscape:
    """The land at the start of the simulation.

    Attributes:
        classes: Class ids, uint8, shape (rows, columns).
        parcels: Number of the parcel of each pixel, int32, shape (rows, columns); every class is divided into parcels.
        altitude_m: Altitude, float32, shape (rows, columns).
        slope_east: Rise of the land per metre towards the east (softened), float32, shape (rows, columns).
        slope_north: The same towards the north.
        floodplain: Where the river may move its gravel, bool, shape (rows, columns).
        valley: The valley floor, bool, shape (rows, columns).
    """

    classes: ClassArray
    parcels: npt.NDArray[np.int32]
    altitude_m: FloatArray
    slope_east: FloatArray
    slope_north: FloatArray
    floodplain: BoolArray
    valley: BoolArray

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.classes.shape[0], self.classes.shape[1]

    @property
    def parcel_count(self) -> int:
        """Number of parcels."""
        return int(self.parcels.max()) + 1


def build_landscape(size_px: int, seed: int) -> Landscape:
    """Make the land of a scene of `size_px` by `size_px` pixels of 10 m."""
    shape = (size_px, size_px)
    scale = float(np.sqrt(size_px / _BASE_SIZE_PX))
    parcels, seeds = _parcels(shape, _PARCEL_PX * scale, generator(seed, "parcels"))
    river_px = _river_distance_px(shape, generator(seed, "river"))
    height = _height(river_px, generator(seed, "relief"))
    level = rank(height)
    classes = _mountain(level, parcels, scale, generator(seed, "belts"))
    valley = level < _VALLEY
    _fields(classes, valley, parcels, len(seeds), generator(seed, "fields"))
    _towns(classes, valley, scale, generator(seed, "towns"))
    _quarries(classes, level, generator(seed, "quarries"))
    floodplain = _water(classes, river_px, level, scale, generator(seed, "water"))
    altitude_m = _altitude(height)
    slope_north, slope_east = _slopes(altitude_m)
    return Landscape(classes, parcels, altitude_m, slope_east, slope_north, floodplain, valley)


def blob(
    score: FloatArray, allowed: BoolArray, pixels: int, rng: np.random.Generator, roughness: float = 0.3
) -> BoolArray:
    """The `pixels` best-scored pixels among those allowed, with a ragged edge.

    Args:
        score: Wish, float32, shape (rows, columns), in units in which `roughness` is the strength of the raggedness.
        allowed: Where a pixel may be taken, bool, same shape.
        pixels: How many to take; fewer where fewer are allowed.
        rng: Source of the raggedness.
        roughness: Strength of the raggedness.
    """
    shape = (score.shape[0], score.shape[1])
    ragged = score + np.float32(roughness) * fractal_field(rng, shape, 10.0, octaves=2)
    candidates = np.flatnonzero(allowed)
    best = np.argsort(-ragged.ravel()[candidates], kind="stable")[:pixels]
    chosen = np.zeros(allowed.size, bool)
    chosen[candidates[best]] = True
    return chosen.reshape(shape)


def _parcels(
    shape: tuple[int, int], spacing_px: float, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
    """A Voronoi partition of jittered seeds, stretched along a direction that turns slowly over the scene."""
    counts = [int(np.ceil(length / spacing_px)) + 1 for length in shape]
    grid = np.stack(np.meshgrid(np.arange(counts[0]), np.arange(counts[1]), indexing="ij"), -1).reshape(-1, 2)
    seeds = (grid + rng.uniform(-0.42, 0.42, grid.shape)) * spacing_px
    rows, columns = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij")
    bend = spacing_px * 0.22 * np.stack([smooth_field(rng, shape, 4 * spacing_px) for _ in range(2)])
    pixels = np.stack([rows + bend[0], columns + bend[1]], -1).reshape(-1, 2)
    stretch = np.array([1.0, 1.45])
    _, nearest = cKDTree(seeds * stretch).query(pixels * stretch)
    return nearest.reshape(shape).astype(np.int32), seeds


def _river_distance_px(shape: tuple[int, int], rng: np.random.Generator) -> FloatArray:
    rows, columns = np.meshgrid(np.linspace(0, 1, shape[0]), np.linspace(0, 1, shape[1]), indexing="ij")
    phase = rng.uniform(0, 2 * np.pi, 3)
    lean = rng.uniform(-0.16, 0.16)
    course = 0.36 + lean * (rows - 0.5) + 0.07 * np.sin(2 * np.pi * rows + phase[0])
    course += 0.022 * np.sin(2 * np.pi * 3.1 * rows + phase[1]) + 0.008 * np.sin(2 * np.pi * 7.3 * rows + phase[2])
    return np.asarray((columns - course) * shape[1], dtype=np.float32)


def _height(river_px: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Height above the river from 0 to about 1: flat near the river, rising further in the east than in the west."""
    shape = (river_px.shape[0], river_px.shape[1])
    reach = np.where(river_px > 0, 0.62, 0.50) * shape[1]
    away = np.abs(river_px) / reach
    spurs = fractal_field(rng, shape, shape[0] / 5, octaves=5, roughness=0.52)
    rise = np.clip(away - 0.17, 0, None) / 0.83
    height = rise**1.15 * (1 + 0.28 * spurs) + 0.10 * np.clip(rise * 3, 0, 1) * spurs + 0.02 * away
    return np.asarray(height, dtype=np.float32)


def _altitude(height: FloatArray) -> FloatArray:
    low, high = np.quantile(height, [0.02, 0.998])
    share = np.clip((height - low) / (high - low), 0, 1.05)
    return np.asarray(_VALLEY_ALTITUDE_M + share * (_SUMMIT_ALTITUDE_M - _VALLEY_ALTITUDE_M), dtype=np.float32)


def _slopes(altitude_m: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Rise per metre to the north and to the east; softened, because a small scene packs a whole valley side."""
    smooth = gaussian_filter(altitude_m, 2.0)
    down_rows, along_columns = np.gradient(smooth, 10.0)
    steepness = np.hypot(down_rows, along_columns)
    soften = _STEEPEST / (_STEEPEST + steepness)
    return (
        np.asarray(-down_rows * soften, dtype=np.float32),
        np.asarray(along_columns * soften, dtype=np.float32),
    )


def _mountain(level: FloatArray, parcels: npt.NDArray[np.int32], scale: float, rng: np.random.Generator) -> ClassArray:
    """Classes by altitude belts whose borders waver, with clearings."""
    shape = (level.shape[0], level.shape[1])
    stand = rng.standard_normal(int(parcels.max()) + 1).astype(np.float32)[parcels]
    waver = 0.6 * fractal_field(rng, shape, 40 * scale, octaves=3) + 0.45 * stand
    belt = level + 0.028 * waver
    classes = np.full(shape, int(LandCover.BROADLEAVES), np.uint8)
    mixing = fractal_field(rng, shape, 30 * scale, octaves=3) + 0.8 * stand
    conifers = (belt - _LOWER_FOREST) / 0.06 + 0.55 * mixing > 0
    classes[conifers] = LandCover.CONIFERS
    clearing = fractal_field(rng, shape, 34 * scale, octaves=3)
    classes[(belt < _UPPER_FOREST) & (rank(clearing) > 0.90)] = LandCover.GRASS
    high = belt > _UPPER_FOREST
    classes[high & (clearing > -0.35)] = LandCover.SHRUBLAND
    classes[high & (clearing <= -0.35)] = LandCover.GRASS
    classes[(belt < _UPPER_FOREST) & (belt > 0.62) & (rank(mixing) < 0.08)] = LandCover.SHRUBLAND
    classes[belt > _SHRUBS] = LandCover.ROCKS
    summit = level + np.float32(0.006) * waver
    classes[rank(np.asarray(summit, dtype=np.float32)) > _ROCK] = LandCover.SNOW
    return classes


def _fields(
    classes: ClassArray,
    valley: BoolArray,
    parcels: npt.NDArray[np.int32],
    parcel_count: int,
    rng: np.random.Generator,
) -> None:
    """Arable parcels, meadows and a few copses on the valley floor, whole parcels each."""
    drawn = rng.random(parcel_count)
    kind = np.full(parcel_count, int(LandCover.CROPS), np.uint8)
    kind[drawn > 0.60] = LandCover.GRASS
    kind[drawn > 0.93] = LandCover.BROADLEAVES
    classes[valley] = kind[parcels[valley]]


def _towns(classes: ClassArray, valley: BoolArray, scale: float, rng: np.random.Generator) -> None:
    shape = (classes.shape[0], classes.shape[1])
    sites = _sites(valley, max(3, round(4 * scale**2)), rng)
    radius_px = rng.uniform(14, 30, len(sites)) * scale
    score = _closeness(shape, sites, radius_px)
    classes[blob(score, valley, round(_TOWN_SHARE * classes.size), rng, 0.35)] = LandCover.ARTIFICIAL


def _quarries(classes: ClassArray, level: FloatArray, rng: np.random.Generator) -> None:
    shape = (classes.shape[0], classes.shape[1])
    edge = (level > _VALLEY - 0.05) & (level < _VALLEY + 0.10) & (classes != LandCover.ARTIFICIAL)
    sites = _sites(edge, max(3, round(5 * classes.size / _BASE_SIZE_PX**2)), rng)
    score = _closeness(shape, sites, np.full(len(sites), 14.0))
    classes[blob(score, edge, round(_QUARRY_SHARE * classes.size), rng, 0.12)] = LandCover.MINERAL


def _water(
    classes: ClassArray, river_px: FloatArray, level: FloatArray, scale: float, rng: np.random.Generator
) -> BoolArray:
    """River, gravel bars beside it and a lake; returns the floodplain."""
    shape = (classes.shape[0], classes.shape[1])
    away = np.abs(river_px)
    width_px = 4.0 * scale
    plain = (away < 4.5 * width_px) & (level < _VALLEY)
    bars = np.clip(1.8 - away / (2.4 * width_px), -1, 1) + 1.1 * smooth_field(rng, shape, 24 * scale)
    lake_sites = _sites((level < _VALLEY - 0.04) & (away > 5 * width_px), 1, rng)
    lake_score = _closeness(shape, lake_sites, np.full(1, 50.0 * scale))
    lake = blob(lake_score, level < _VALLEY, round(_LAKE_SHARE * classes.size), rng, 0.10)
    sand = blob(bars, plain & (away > width_px * 0.8) & ~lake, round(_SAND_SHARE * classes.size), rng, 0.1)
    classes[lake | (away < width_px)] = LandCover.WATER
    classes[sand] = LandCover.SAND
    return plain & ~lake


def _sites(allowed: BoolArray, count: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Positions (row, column) drawn from the allowed pixels, kept apart from each other."""
    rows, columns = np.nonzero(allowed)
    drawn = rng.permutation(rows.size)[: max(200, 20 * count)]
    candidates = np.stack([rows[drawn], columns[drawn]], -1).astype(np.float64)
    apart = 0.5 * np.sqrt(allowed.sum() / count)
    chosen = [candidates[0]]
    for candidate in candidates[1:]:
        if len(chosen) == count:
            break
        if min(float(np.hypot(*(candidate - other))) for other in chosen) > apart:
            chosen.append(candidate)
    return np.array(chosen)


def _closeness(
    shape: tuple[int, int], sites: npt.NDArray[np.float64], radius_px: npt.NDArray[np.float64]
) -> FloatArray:
    """The largest of (1 - distance / radius) over the sites."""
    rows, columns = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij")
    best = np.full(shape, -np.inf, np.float32)
    for (row, column), radius in zip(sites, radius_px, strict=True):
        distance = np.hypot(rows - row, columns - column)
        np.maximum(best, (1 - distance / radius).astype(np.float32), out=best)
    return best
