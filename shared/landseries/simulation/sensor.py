"""From ground and sky to the pixels of one datatake: point spread, registration, the two ground sampling distances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.ndimage import correlate1d

from landseries.bands import BANDS, GROUND_SAMPLING_DISTANCE_M, REFLECTANCE_SCALE, SceneClass
from landseries.simulation.changes import History
from landseries.simulation.difficulty import Difficulty
from landseries.simulation.geometry import PIXEL_M, Geometry
from landseries.simulation.landscape import BoolArray, Landscape, build_landscape
from landseries.simulation.orbits import Datatake
from landseries.simulation.randomness import FloatArray, generator
from landseries.simulation.scene_classes import SceneClassArray, classify_scene
from landseries.simulation.surface import Surface
from landseries.simulation.weather import (
    ResidualAtmosphere,
    Sky,
    cover_with,
    illumination,
    lay_snow,
    make_sky,
    snow_share,
    sun_position,
)

_FINE: Final = tuple(i for i, name in enumerate(BANDS) if GROUND_SAMPLING_DISTANCE_M[name] == PIXEL_M)
_COARSE: Final = tuple(i for i, name in enumerate(BANDS) if GROUND_SAMPLING_DISTANCE_M[name] != PIXEL_M)
ReflectanceArray = npt.NDArray[np.int16]
_REACH_PX: Final = 4
#: Extra spread of a 20 m band, in pixels of 10 m.
_COARSE_SPREAD_PX: Final = 0.9
#: Noise that grows with the signal, as a share of it.
_RELATIVE_NOISE: Final = np.float32(0.006)
_BRIGHTEST: Final = 15_000
_DARKEST: Final = -900


@dataclass(frozen=True)
class Image:
    """One datatake over the whole scene.

    Attributes:
        bands: Reflectance x 10,000 by band name, int16, shape (rows, columns) at the band's ground sampling distance.
        scene: Scene classification at 20 m, uint8; no-data where the swath does not reach.
        seen: Where the swath reaches, bool at 20 m.
    """

    bands: dict[str, ReflectanceArray]
    scene: SceneClassArray
    seen: BoolArray


class Camera:
    """Takes images of one simulated scene.

    Args:
        geometry: The scene's grid.
        last_year: Last year that images are taken of.
        difficulty: Strength of everything that disturbs.
        seed: The archive's seed.
    """

    def __init__(self, geometry: Geometry, last_year: int, difficulty: Difficulty, seed: int) -> None:
        self.landscape: Landscape = build_landscape(geometry.size_px, seed)
        self.history = History(self.landscape, last_year + 1, seed)
        self._surface = Surface(self.landscape, difficulty, seed)
        self._geometry = geometry
        self._difficulty = difficulty
        self._seed = seed

    def take(self, datatake: Datatake) -> Image:
        """The image of a datatake; the same whatever was taken before."""
        day = datatake.day
        rng = generator(self._seed, "image", datatake.name)
        classes = self.history.on(day)
        ground = self._surface.reflectance(classes, self.history.felled_on(day), day)
        ground *= illumination(self.landscape, sun_position(day), self._difficulty.relief)
        lay_snow(ground, snow_share(self.landscape, classes, day, self._difficulty, self._seed))
        sky = make_sky(self.landscape.shape, datatake.cloud_share, day, rng)
        coarse_sky = Sky(*(_halved(field) for field in (sky.cloud, sky.cirrus, sky.shadow)))
        air = ResidualAtmosphere(coarse_sky.cloud.shape, self._difficulty, rng)
        fine, coarse = self._resolve(ground, datatake)
        for values, bands, over in ((fine, _FINE, sky), (coarse, _COARSE, coarse_sky)):
            cover_with(values, bands, over)
            air.apply(values, bands)
        layers = {BANDS[band]: layer for layer, band in zip([*fine, *coarse], [*_FINE, *_COARSE], strict=True)}
        at_20_m = {name: layer if len(layer) == len(coarse[0]) else _halved(layer) for name, layer in layers.items()}
        scene = classify_scene(at_20_m, coarse_sky, classes[::2, ::2], self._difficulty, rng)
        seen = datatake.swath.reaches(self._geometry)
        scene[~seen] = SceneClass.NO_DATA
        return Image({name: self._digitised(layers[name], rng) for name in BANDS}, scene, seen)

    def _resolve(self, ground: FloatArray, datatake: Datatake) -> tuple[FloatArray, FloatArray]:
        """The ground as the bands of 10 m and those of 20 m resolve it, where the datatake has put it."""
        shift_px = (-datatake.shift_north_m / PIXEL_M, datatake.shift_east_m / PIXEL_M)
        blur = self._difficulty.boundary_blur_px
        fine = _spread(ground[list(_FINE)], shift_px, blur)
        wide = _spread(ground[list(_COARSE)], shift_px, float(np.hypot(blur, _COARSE_SPREAD_PX)))
        return fine, np.stack([_halved(layer) for layer in wide])

    def _digitised(self, reflectance: FloatArray, rng: np.random.Generator) -> ReflectanceArray:
        spread = np.float32(self._difficulty.sensor_noise) + _RELATIVE_NOISE * np.abs(reflectance)
        noisy = reflectance + spread * rng.standard_normal(reflectance.shape, dtype=np.float32)
        digital = np.clip(np.rint(noisy * REFLECTANCE_SCALE), _DARKEST, _BRIGHTEST)
        return np.asarray(digital, dtype=np.int16)


def _spread(bands: FloatArray, shift_px: tuple[float, float], sigma_px: float) -> FloatArray:
    """Point spread and registration shift in one separable kernel, bands of shape (band, rows, columns).

    A Gaussian of `sigma_px` whose centre lies `shift_px` (down, right) of the pixel's; edges continue.
    """
    spread = bands
    for axis, shift in zip((1, 2), shift_px, strict=True):
        offsets = np.arange(-_REACH_PX, _REACH_PX + 1) + shift
        kernel = np.exp(-0.5 * (offsets / max(sigma_px, 0.05)) ** 2)
        spread = correlate1d(spread, (kernel / kernel.sum()).astype(np.float32), axis=axis, mode="nearest")
    return np.asarray(spread, dtype=np.float32)


def _halved(field: FloatArray) -> FloatArray:
    """Mean of each two by two pixels."""
    return (0.25 * (field[::2, ::2] + field[1::2, ::2] + field[::2, 1::2] + field[1::2, 1::2])).astype(np.float32)
