"""The weather of one acquisition: sun, snow, clouds and cirrus, their shadows, and the haze that correction leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np

from landseries.bands import BANDS
from landseries.simulation.classes import CLASS_TABLE_LENGTH, LandCover
from landseries.simulation.difficulty import Difficulty
from landseries.simulation.landscape import ClassArray, Landscape
from landseries.simulation.randomness import FloatArray, fractal_field, generator, smooth_field

_LATITUDE_DEG: Final = 46.55
#: Hours before solar noon at which both satellites pass.
_HOUR_ANGLE_DEG: Final = -15.0

#: Snow line in metres through the year.
_SNOW_LINE: Final = (
    (1, 900.0),
    (35, 620.0),
    (60, 800.0),
    (95, 1_350.0),
    (130, 1_900.0),
    (165, 2_450.0),
    (190, 2_900.0),
    (255, 2_900.0),
    (285, 2_350.0),
    (315, 1_700.0),
    (340, 1_150.0),
)
_SNOW: Final = np.array([0.84, 0.85, 0.84, 0.82, 0.79, 0.77, 0.75, 0.71, 0.11, 0.09], np.float32)
_CLOUD: Final = np.array([0.62, 0.60, 0.60, 0.61, 0.63, 0.64, 0.64, 0.65, 0.42, 0.32], np.float32)
_CIRRUS: Final = np.array([0.42, 0.41, 0.40, 0.40, 0.40, 0.40, 0.40, 0.40, 0.20, 0.14], np.float32)
#: How much of a class a full snow cover hides.
_SNOW_COVER: Final[dict[LandCover, float]] = {
    LandCover.ARTIFICIAL: 0.45,
    LandCover.GRASS: 0.95,
    LandCover.CROPS: 0.95,
    LandCover.MINERAL: 0.85,
    LandCover.ROCKS: 0.80,
    LandCover.SAND: 0.80,
    LandCover.BROADLEAVES: 0.50,
    LandCover.CONIFERS: 0.25,
    LandCover.SHRUBLAND: 0.75,
    LandCover.WATER: 0.02,
    LandCover.SNOW: 1.0,
}
#: Share of light that reaches the ground below an opaque cloud, by band: blue sky light is scattered most.
_SHADE_LIGHT: Final = np.array([0.42, 0.36, 0.31, 0.28, 0.26, 0.25, 0.24, 0.23, 0.18, 0.16], np.float32)


#: Residual path reflectance of a band relative to the blue one.
_PATH: Final = np.array([1.0, 0.72, 0.50, 0.42, 0.36, 0.30, 0.24, 0.22, 0.08, 0.05])


@dataclass(frozen=True)
class Sun:
    """Position of the sun in degrees: elevation above the horizon, azimuth clockwise from north."""

    elevation_deg: float
    azimuth_deg: float


@dataclass(frozen=True)
class Sky:
    """What lies between the ground and the sensor, each float32, shape (rows, columns).

    Attributes:
        cloud: Opacity of clouds, 0 to 1.
        cirrus: Opacity of cirrus, 0 to 1.
        shadow: Strength of cloud shadow, 0 to 1.
    """

    cloud: FloatArray
    cirrus: FloatArray
    shadow: FloatArray


def sun_position(day: date) -> Sun:
    """The sun over the scene at the time of the overpass, from declination and hour angle."""
    declination = np.deg2rad(-23.44) * np.cos(2 * np.pi * (day.timetuple().tm_yday + 10) / 365.25)
    latitude, hour = np.deg2rad(_LATITUDE_DEG), np.deg2rad(_HOUR_ANGLE_DEG)
    sine = np.sin(latitude) * np.sin(declination) + np.cos(latitude) * np.cos(declination) * np.cos(hour)
    elevation = np.arcsin(sine)
    west = -np.cos(declination) * np.sin(hour)
    north = np.sin(declination) * np.cos(latitude) - np.cos(declination) * np.sin(latitude) * np.cos(hour)
    azimuth = np.rad2deg(np.arctan2(west, north)) % 360
    return Sun(float(np.rad2deg(elevation)), float(azimuth))


def illumination(landscape: Landscape, sun: Sun, remaining: float) -> FloatArray:
    """Factor on reflectance that remains after an imperfect topographic correction.

    The cosine of the incidence angle over that of flat ground, of which only the share `remaining` is left.

    Returns:
        float32, shape (rows, columns), 0.3 to 1.6.
    """
    elevation, azimuth = np.deg2rad(sun.elevation_deg), np.deg2rad(sun.azimuth_deg)
    facing = landscape.slope_east * np.sin(azimuth) + landscape.slope_north * np.cos(azimuth)
    steepness = np.sqrt(1 + landscape.slope_east**2 + landscape.slope_north**2)
    ratio = np.clip(1 - facing / np.tan(elevation), 0.0, None) / steepness
    return np.asarray(np.clip(1 + remaining * (ratio - 1), 0.3, 1.6), dtype=np.float32)


def snow_share(landscape: Landscape, classes: ClassArray, day: date, difficulty: Difficulty, seed: int) -> FloatArray:
    """Share of each pixel that fresh snow hides on a day, float32, shape (rows, columns)."""
    year = generator(seed, "winter", day.year if day.month > 8 else day.year - 1)
    rng = generator(seed, "snow", day.isoformat())
    days, lines = zip(*_SNOW_LINE, strict=True)
    line_m = float(np.interp(day.timetuple().tm_yday, days, lines, period=366))
    line_m += year.normal(0, difficulty.snow_line_year_m) + rng.normal(0, difficulty.snow_line_day_m)
    patches = 90 * smooth_field(rng, landscape.shape, 9.0)
    cover = 1 / (1 + np.exp(-np.clip((landscape.altitude_m - line_m + patches) / 60, -30, 30)))
    hidden = np.zeros(CLASS_TABLE_LENGTH, np.float32)
    for cover_class, share in _SNOW_COVER.items():
        hidden[cover_class] = share
    return (cover * hidden[classes]).astype(np.float32)


def lay_snow(reflectance: FloatArray, share: FloatArray) -> None:
    """Cover the ground with snow, in place; `reflectance` has shape (band, rows, columns)."""
    for band, snow in enumerate(_SNOW):
        reflectance[band] += share * (snow - reflectance[band])


def make_sky(shape: tuple[int, int], cloud_share: float, day: date, rng: np.random.Generator) -> Sky:
    """Clouds over a share of the scene, sometimes cirrus, and shadows thrown away from the sun."""
    width = max(shape)
    sun = sun_position(day)
    base_m = rng.uniform(700, 2_200)
    reach_px = min(0.25 * width, base_m / np.tan(np.deg2rad(sun.elevation_deg)) / 10)
    away = np.deg2rad(sun.azimuth_deg + 180)
    down, right = round(-reach_px * np.cos(away)), round(reach_px * np.sin(away))
    margin = max(abs(down), abs(right))
    wide = (shape[0] + 2 * margin, shape[1] + 2 * margin)
    texture = fractal_field(rng, wide, width * rng.uniform(0.10, 0.28), octaves=5, roughness=0.55)
    everywhere = _opacity(texture, shape, margin, cloud_share)
    cirrus = np.zeros(shape, np.float32)
    if rng.random() < 0.30:
        veil = fractal_field(rng, shape, width * 0.5, octaves=3, roughness=0.45)
        cirrus = np.clip(0.05 + 0.06 * veil, 0, 0.22).astype(np.float32)
    cloud = _cropped(everywhere, shape, margin, margin)
    shadow = _cropped(everywhere, shape, margin - down, margin - right)
    return Sky(cloud, cirrus, shadow * (1 - cloud))


def cover_with(reflectance: FloatArray, bands: Sequence[int], sky: Sky) -> None:
    """Put shadow, cloud and cirrus over the ground, in place.

    Args:
        reflectance: Shape (band, rows, columns).
        bands: Which of `BANDS` each layer is.
        sky: On the same grid.
    """
    for value, band in zip(reflectance, bands, strict=True):
        value *= 1 - sky.shadow * (1 - _SHADE_LIGHT[band])
        value += sky.cloud * (_CLOUD[band] - value)
        value += sky.cirrus * (_CIRRUS[band] - value)


class ResidualAtmosphere:
    """What atmospheric correction leaves: a gain per band, and a path reflectance that falls with wavelength.

    Args:
        shape: Rows and columns at 20 m.
        difficulty: Strength of both.
        rng: Source of this acquisition's values.
    """

    def __init__(self, shape: tuple[int, int], difficulty: Difficulty, rng: np.random.Generator) -> None:
        common = 1 + rng.normal(0, difficulty.atmosphere_gain)
        self._gain = (common * (1 + rng.normal(0, difficulty.atmosphere_gain, len(BANDS)))).astype(np.float32)
        self._path = (rng.normal(0, difficulty.atmosphere_offset) * _PATH).astype(np.float32)
        self._uneven = 1 + np.float32(0.5) * smooth_field(rng, shape, shape[0] * 0.4)

    def apply(self, reflectance: FloatArray, bands: Sequence[int]) -> None:
        """Disturb layers at 10 m or 20 m in place.

        Args:
            reflectance: Shape (band, rows, columns).
            bands: Which of `BANDS` each layer is.
        """
        repeat = reflectance.shape[1] // self._uneven.shape[0]
        uneven = self._uneven.repeat(repeat, axis=0).repeat(repeat, axis=1)
        for value, band in zip(reflectance, bands, strict=True):
            value *= self._gain[band]
            value += self._path[band] * uneven


def _opacity(texture: FloatArray, shape: tuple[int, int], margin: int, cloud_share: float) -> FloatArray:
    """Opacity of clouds that cover `cloud_share` of the scene; `texture` reaches `margin` pixels beyond it."""
    steps = np.linspace(0, 1, 401)
    below = np.interp(texture, np.quantile(_cropped(texture, shape, margin, margin), steps), steps)
    thickness = np.clip((below - (1 - min(0.995, cloud_share))) / 0.10, 0, None)
    return np.asarray((1 - np.exp(-2.6 * thickness)) * 0.97, dtype=np.float32)


def _cropped(field: FloatArray, shape: tuple[int, int], row: int, column: int) -> FloatArray:
    return np.ascontiguousarray(field[row : row + shape[0], column : column + shape[1]])
