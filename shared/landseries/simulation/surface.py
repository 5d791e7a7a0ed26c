"""What the ground reflects on a day: materials, their mixtures, and everything that makes one parcel unlike another.

A pixel mixes the material of its class with a second one; how much is drawn once per parcel and pixel and lasts. A
parcel's brightness, greenness and calendar last too; a class drifts from year to year as a whole, which is what keeps a
classifier of one year from being right in the next.
"""

from __future__ import annotations

from datetime import date
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from landseries.bands import BANDS
from landseries.simulation.classes import CLASS_TABLE_LENGTH, LandCover
from landseries.simulation.difficulty import Difficulty
from landseries.simulation.landscape import ClassArray, Landscape
from landseries.simulation.materials import DAYS, Material, material_tables
from landseries.simulation.randomness import FloatArray, generator, smooth_field

#: Group of each band in the order of BANDS: visible, red edge and near infrared, shortwave infrared.
_BAND_GROUP: Final = (0, 0, 0, 1, 1, 1, 1, 1, 2, 2)
_GROUPS: Final = 3
#: How much the brightness of the groups varies together.
_COMMON: Final = 0.75
#: Later spring per metre of altitude, in days (about 3 days per 100 m is usual; the belts differ in material already).
_DELAY_DAYS_PER_M: Final = 0.014
_SEASON_DAYS: Final = (60.0, 170.0, 280.0)

#: Materials of a class and their shares among its parcels.
_PALETTE: Final[dict[LandCover, tuple[tuple[Material, float], ...]]] = {
    LandCover.ARTIFICIAL: ((Material.TOWN, 0.78), (Material.INDUSTRY, 0.22)),
    LandCover.GRASS: ((Material.HAY_MEADOW, 0.60), (Material.PASTURE, 0.40)),
    LandCover.CROPS: (
        (Material.WHEAT, 0.30),
        (Material.MAIZE, 0.38),
        (Material.SOY, 0.16),
        (Material.LEY, 0.16),
    ),
    LandCover.MINERAL: ((Material.QUARRY, 1.0),),
    LandCover.ROCKS: ((Material.ROCK, 1.0),),
    LandCover.SAND: ((Material.GRAVEL, 1.0),),
    LandCover.BROADLEAVES: ((Material.BROADLEAVES, 1.0),),
    LandCover.CONIFERS: ((Material.CONIFERS, 1.0),),
    LandCover.SHRUBLAND: ((Material.SHRUBS, 1.0),),
    LandCover.WATER: ((Material.WATER, 1.0),),
    LandCover.SNOW: ((Material.ICE, 1.0),),
}

#: Second material of a class, with the mean and the standard deviation of its share in a pixel.
_ADMIXTURE: Final[dict[LandCover, tuple[Material, float, float]]] = {
    LandCover.ARTIFICIAL: (Material.PASTURE, 0.19, 0.12),
    LandCover.GRASS: (Material.CLEARING, 0.16, 0.14),
    LandCover.CROPS: (Material.PASTURE, 0.05, 0.06),
    LandCover.MINERAL: (Material.TOWN, 0.18, 0.14),
    LandCover.ROCKS: (Material.ALPINE_GRASS, 0.34, 0.22),
    LandCover.SAND: (Material.CLEARING, 0.20, 0.17),
    LandCover.BROADLEAVES: (Material.CONIFERS, 0.13, 0.12),
    LandCover.CONIFERS: (Material.BROADLEAVES, 0.11, 0.12),
    LandCover.SHRUBLAND: (Material.CLEARING, 0.28, 0.18),
    LandCover.WATER: (Material.GRAVEL, 0.02, 0.03),
    LandCover.SNOW: (Material.ROCK, 0.18, 0.14),
}
#: What a parcel that looks like another class is partly made of, and how much of it on average.
_DISGUISE: Final[dict[LandCover, tuple[Material, float]]] = {
    LandCover.ARTIFICIAL: (Material.QUARRY, 0.28),
    LandCover.GRASS: (Material.LEY, 0.45),
    LandCover.CROPS: (Material.HAY_MEADOW, 0.40),
    LandCover.MINERAL: (Material.ROCK, 0.45),
    LandCover.ROCKS: (Material.ALPINE_GRASS, 0.58),
    LandCover.SAND: (Material.QUARRY, 0.60),
    LandCover.BROADLEAVES: (Material.SHRUBS, 0.34),
    LandCover.CONIFERS: (Material.BROADLEAVES, 0.32),
    LandCover.SHRUBLAND: (Material.BROADLEAVES, 0.45),
    LandCover.WATER: (Material.WATER, 0.0),
    LandCover.SNOW: (Material.ROCK, 0.45),
}
#: Grass above `_ALPINE_M` grows between stones: what they are, mean and standard deviation of their share.
_SCREE: Final = (Material.ROCK, 0.32, 0.20)
_ALPINE_M: Final = 1_750.0
_MIXTURE_MAX: Final = 0.70


class Surface:
    """Reflectance of the ground at 10 m, without relief, snow, atmosphere or sensor.

    Args:
        landscape: The land.
        difficulty: Strength of the spreads.
        seed: The archive's seed.
    """

    def __init__(self, landscape: Landscape, difficulty: Difficulty, seed: int) -> None:
        self._land = landscape
        self._difficulty = difficulty
        self._seed = seed
        self._tables = material_tables()
        rng = generator(seed, "surface")
        count, shape = landscape.parcel_count, landscape.shape
        self._mixing = self._normal(rng, count) * np.float32(0.75) + np.float32(0.66) * smooth_field(rng, shape, 2.5)
        common = self._log_brightness(rng, count, shape, None)
        self._brightness = [self._log_brightness(rng, count, shape, common) for _ in range(_GROUPS)]
        self._greenness = self._normal(rng, count) * np.float32(difficulty.parcel_greenness)
        altitude_delay = (landscape.altitude_m - landscape.altitude_m.min()) * np.float32(_DELAY_DAYS_PER_M)
        self._shift_days = self._normal(rng, count) * np.float32(difficulty.parcel_shift_days) + altitude_delay
        self._drawn = rng.random(count)
        self._look_alike = (rng.random(count) < difficulty.look_alike_share)[landscape.parcels]

    def reflectance(self, classes: ClassArray, felled: npt.NDArray[np.bool_], day: date) -> FloatArray:
        """What the ground reflects on a day.

        Args:
            classes: Class ids on that day, uint8, shape (rows, columns).
            felled: Grass that grows where forest was felled lately, bool, same shape.
            day: The day.

        Returns:
            Reflectance, float32, shape (band, rows, columns), bands in the order of `BANDS`.
        """
        year = _YearEffects(self._difficulty, self._seed, day, self._land.parcel_count)
        shift = self._shift_days + year.shift_days[classes] + year.parcel_shift_days[self._land.parcels]
        doy = np.mod(np.rint(np.float32(day.timetuple().tm_yday - 1) - shift).astype(np.int32), DAYS)
        vigour = (
            (1 + self._greenness + year.parcel_greenness[self._land.parcels]) * (1 + year.greenness[classes])
        ).astype(np.float32)
        primary = self._primary(classes, felled, day.year)
        secondary, share = self._secondary(classes)
        weights = self._weights(primary, secondary, doy, vigour, share)
        factors = [
            np.exp(self._brightness[g] + year.brightness[g][classes] + year.parcel_brightness[g][self._land.parcels])
            for g in range(_GROUPS)
        ]
        bands = np.empty((len(BANDS), *classes.shape), np.float32)
        for band, group in enumerate(_BAND_GROUP):
            bands[band] = self._blend(primary, secondary, band, *weights) * factors[group]
        return bands

    def _weights(
        self,
        primary: npt.NDArray[np.uint8],
        secondary: npt.NDArray[np.uint8],
        doy: npt.NDArray[np.int32],
        vigour: FloatArray,
        share: FloatArray,
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Weights of bare and green first material and bare and green second material; they add up to one."""
        first = np.clip(self._tables.greenness[primary, doy] * vigour, 0, 1.05)
        second = np.clip(self._tables.greenness[secondary, doy] * vigour, 0, 1.05)
        return (1 - share) * (1 - first), (1 - share) * first, share * (1 - second), share * second

    def _blend(
        self,
        primary: npt.NDArray[np.uint8],
        secondary: npt.NDArray[np.uint8],
        band: int,
        bare_1: FloatArray,
        green_1: FloatArray,
        bare_2: FloatArray,
        green_2: FloatArray,
    ) -> FloatArray:
        bare, green = self._tables.bare[:, band], self._tables.green[:, band]
        first = bare_1 * bare[primary] + green_1 * green[primary]
        return np.asarray(first + bare_2 * bare[secondary] + green_2 * green[secondary], dtype=np.float32)

    def _primary(self, classes: ClassArray, felled: npt.NDArray[np.bool_], year: int) -> npt.NDArray[np.uint8]:
        """First material of each pixel; arable parcels change their crop from year to year."""
        rotation = generator(self._seed, "rotation", year).random(self._land.parcel_count)
        material = np.zeros(classes.shape, np.uint8)
        for cover, palette in _PALETTE.items():
            drawn = rotation if cover == LandCover.CROPS else self._drawn
            steps = np.cumsum([share for _, share in palette])[:-1]
            of_parcel = np.array([kind for kind, _ in palette], np.uint8)[np.searchsorted(steps, drawn, side="right")]
            here = classes == cover
            material[here] = of_parcel[self._land.parcels[here]]
        grass = classes == LandCover.GRASS
        material[grass & (self._land.altitude_m > _ALPINE_M)] = Material.ALPINE_GRASS
        material[grass & felled] = Material.CLEARING
        return material

    def _secondary(self, classes: ClassArray) -> tuple[npt.NDArray[np.uint8], FloatArray]:
        """Second material of each pixel and its share."""
        kinds = np.zeros(CLASS_TABLE_LENGTH, np.uint8)
        disguises = np.zeros(CLASS_TABLE_LENGTH, np.uint8)
        means, spreads, disguised_means = np.zeros((3, CLASS_TABLE_LENGTH), np.float32)
        for cover, (kind, mean, spread) in _ADMIXTURE.items():
            kinds[cover], means[cover], spreads[cover] = kind, mean, spread
            disguises[cover], disguised_means[cover] = _DISGUISE[cover]
        strength = np.float32(self._difficulty.mixture)
        share = strength * (means[classes] + spreads[classes] * self._mixing)
        disguised = disguised_means[classes] + np.float32(0.5) * strength * spreads[classes] * self._mixing
        scree, scree_mean, scree_spread = _SCREE
        alpine = (classes == LandCover.GRASS) & (self._land.altitude_m > _ALPINE_M)
        share = np.where(alpine, strength * (scree_mean + scree_spread * self._mixing), share)
        hidden = self._look_alike & ~alpine
        share = np.where(hidden, disguised, share)
        second = np.where(hidden, disguises[classes], np.where(alpine, scree, kinds[classes]))
        return second.astype(np.uint8), np.clip(share, 0, _MIXTURE_MAX).astype(np.float32)

    def _normal(self, rng: np.random.Generator, count: int) -> FloatArray:
        return np.asarray(rng.standard_normal(count, dtype=np.float32)[self._land.parcels])

    def _log_brightness(
        self, rng: np.random.Generator, count: int, shape: tuple[int, int], common: FloatArray | None
    ) -> FloatArray:
        own = self._normal(rng, count) * np.float32(self._difficulty.parcel_brightness)
        own += np.float32(self._difficulty.pixel_brightness) * smooth_field(rng, shape, 1.6)
        if common is None:
            return own
        return np.float32(_COMMON) * common + np.float32(np.sqrt(1 - _COMMON**2)) * own


class _YearEffects:
    """How a year differs from the others on a day: per class (index by class id) and per parcel."""

    def __init__(self, difficulty: Difficulty, seed: int, day: date, parcel_count: int) -> None:
        rng = generator(seed, "year", day.year)
        season = _season_weights(day)
        seasons = len(_SEASON_DAYS)
        # Early and late years take turns, so that every pair of neighbours is about as unlike as any other.
        turn = (-1) ** (day.year + int(generator(seed, "first spring").integers(2)))
        scene_shift = turn * rng.uniform(0.6, 1.3) * difficulty.year_shift_days
        self.shift_days = (scene_shift + difficulty.class_year_shift_days * _drawn_evenly(rng)).astype(np.float32)
        greenness = difficulty.class_year_greenness * np.stack([_drawn_evenly(rng) for _ in range(seasons)])
        self.greenness = np.clip(season @ greenness, -0.6, 0.6).astype(np.float32)
        self.brightness = []
        for _ in range(_GROUPS):
            brightness = difficulty.class_year_brightness * np.stack([_drawn_evenly(rng) for _ in range(seasons)])
            self.brightness.append((season @ brightness).astype(np.float32))
        self.parcel_greenness = rng.normal(0, difficulty.parcel_year_greenness, parcel_count).astype(np.float32)
        self.parcel_brightness = [
            rng.normal(0, difficulty.parcel_year_brightness, parcel_count).astype(np.float32) for _ in range(_GROUPS)
        ]
        self.parcel_shift_days = rng.normal(0, difficulty.parcel_year_shift_days, parcel_count).astype(np.float32)


def _drawn_evenly(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """A value per class id: standard normal quantiles in random order, so that no year drifts more than another."""
    scores = np.array([NormalDist().inv_cdf((rank + 0.5) / len(LandCover)) for rank in range(len(LandCover))])
    return np.concatenate([[0.0], rng.permutation(scores / scores.std())])


def _season_weights(day: date) -> npt.NDArray[np.float64]:
    """Weights of spring, summer and autumn on a day; linear between their middles, held outside."""
    position = np.interp(day.timetuple().tm_yday, _SEASON_DAYS, range(len(_SEASON_DAYS)))
    return np.asarray(np.clip(1 - np.abs(position - np.arange(len(_SEASON_DAYS))), 0, 1), dtype=np.float64)
