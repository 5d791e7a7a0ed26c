"""The scene classification of an acquisition, with the mistakes that the real one makes.

Thin cloud and part of the shadows are missed; bright gravel, quarries, roofs and snow are at times taken for cloud, and
dark water for shadow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from landseries.bands import SceneClass
from landseries.simulation.classes import LandCover
from landseries.simulation.difficulty import Difficulty
from landseries.simulation.landscape import ClassArray
from landseries.simulation.randomness import FloatArray, rank, smooth_field
from landseries.simulation.weather import Sky

SceneClassArray = npt.NDArray[np.uint8]

_BRIGHT: Final = (LandCover.MINERAL, LandCover.SAND, LandCover.ARTIFICIAL, LandCover.SNOW, LandCover.ROCKS)
_CERTAIN_CLOUD: Final = 0.45
_CIRRUS_SEEN: Final = 0.10
_SHADOW_SEEN: Final = 0.25


def classify_scene(
    reflectance: Mapping[str, FloatArray],
    sky: Sky,
    classes: ClassArray,
    difficulty: Difficulty,
    rng: np.random.Generator,
) -> SceneClassArray:
    """What the scene classification says.

    Args:
        reflectance: As the sensor sees it, by band name (B03, B04, B8A, B11), float32, shape (rows, columns).
        sky: Clouds and shadows, shape (rows, columns).
        classes: True class ids, uint8, shape (rows, columns).
        difficulty: How much is missed and mistaken.
        rng: Source of where.

    Returns:
        Values of `SceneClass`, uint8, shape (rows, columns).
    """
    shape = (classes.shape[0], classes.shape[1])
    scene = _ground(reflectance)
    missed = rank(smooth_field(rng, shape, 12.0)) < difficulty.missed_shadow_share
    scene[(sky.shadow > _SHADOW_SEEN) & ~missed] = SceneClass.CLOUD_SHADOW
    scene[(classes == LandCover.WATER) & (smooth_field(rng, shape, 8.0) > 1.7)] = SceneClass.CLOUD_SHADOW
    scene[(sky.cirrus > _CIRRUS_SEEN) & (smooth_field(rng, shape, 20.0) > -0.3)] = SceneClass.THIN_CIRRUS
    wrong = rank(smooth_field(rng, shape, 7.0)) > 1 - 2 * rng.random() * difficulty.false_cloud_share
    scene[wrong & np.isin(classes, _BRIGHT)] = SceneClass.CLOUD_MEDIUM
    floor = difficulty.missed_cloud_opacity * np.clip(1 + 0.5 * smooth_field(rng, shape, 15.0), 0.3, None)
    scene[sky.cloud > floor] = SceneClass.CLOUD_MEDIUM
    scene[sky.cloud > _CERTAIN_CLOUD] = SceneClass.CLOUD_HIGH
    return scene


def _ground(reflectance: Mapping[str, FloatArray]) -> SceneClassArray:
    """Ground by simple thresholds on indices, as a scene classification without clouds would have it."""
    green, red = reflectance["B03"], reflectance["B04"]
    near, short = reflectance["B8A"], reflectance["B11"]
    vegetation = (near - red) / np.maximum(near + red, 1e-3)
    snow = (green - short) / np.maximum(green + short, 1e-3)
    scene = np.full(red.shape, SceneClass.UNCLASSIFIED, np.uint8)
    scene[vegetation < 0.30] = SceneClass.NOT_VEGETATED
    scene[vegetation > 0.40] = SceneClass.VEGETATION
    scene[(near < 0.09) & (short < 0.06)] = SceneClass.DARK
    scene[(near < 0.08) & (near < green) & (short < 0.04)] = SceneClass.WATER
    scene[(snow > 0.40) & (green > 0.18)] = SceneClass.SNOW
    return scene
