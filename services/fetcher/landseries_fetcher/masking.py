"""Which pixels are clear views, from the scene classification (SCL).

Masking works on the grid of the SCL itself (20 m for Sentinel-2), so that the search, which looks at the SCL alone,
counts exactly the pixels that the fetch will mask.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

from landseries.bands import SceneClass
from landseries_fetcher.filters import any_in_run

#: Masked, but not grown: a swath's edge hides no cloud, and a saturated pixel casts no shadow.
NOT_GROWN: Final = frozenset({SceneClass.NO_DATA, SceneClass.SATURATED})


def clear_mask(
    scene: npt.NDArray[np.uint8], masked_classes: Iterable[int], buffer_m: float, pixel_m: tuple[float, float]
) -> npt.NDArray[np.bool_]:
    """Clear views of a scene classification.

    Args:
        scene: (rows, columns) SCL values (Sentinel-2 Products Specification, Level-2A), 0 for no-data.
        masked_classes: values that are no clear view; 0 never is one, named or not.
        buffer_m: distance in metres by which masked clouds and shadows grow (not no-data and saturated pixels).
        pixel_m: (height, width) of a pixel in metres.

    Returns:
        (rows, columns) bool, True where the view is clear.
    """
    masked = {*masked_classes, SceneClass.NO_DATA}
    hidden = np.isin(scene, sorted(masked))
    grown = np.isin(scene, sorted(masked - NOT_GROWN))
    return ~(hidden | dilate(grown, buffer_m, pixel_m))


def dilate(mask: npt.NDArray[np.bool_], radius_m: float, pixel_m: tuple[float, float]) -> npt.NDArray[np.bool_]:
    """Grow the True pixels by a Euclidean disc.

    Args:
        mask: (rows, columns) bool.
        radius_m: a pixel becomes True where the centre of a True pixel lies no further than this (metres).
        pixel_m: (height, width) of a pixel in metres.
    """
    height_m, width_m = pixel_m
    reach_rows = int(radius_m / height_m + 1e-9)
    if not mask.any() or mask.all() or radius_m < min(height_m, width_m) - 1e-9:
        return mask.copy()
    grown = np.zeros_like(mask)
    rows = mask.shape[0]
    widened: dict[int, npt.NDArray[np.bool_]] = {}
    for shift in range(min(reach_rows, rows - 1) + 1):
        # The disc is a stack of runs: the further from its centre, the shorter.
        half = int(math.sqrt(max(0.0, radius_m**2 - (shift * height_m) ** 2)) / width_m + 1e-9)
        if half not in widened:
            widened[half] = any_in_run(mask, half, axis=1)
        run = widened[half]
        grown[shift:] |= run[: rows - shift]
        grown[: rows - shift] |= run[shift:]
    return grown


def reach_px(radius_m: float, pixel_m: tuple[float, float]) -> tuple[int, int]:
    """Rows and columns beyond a window that a buffer can reach into it from."""
    return math.ceil(radius_m / pixel_m[0]), math.ceil(radius_m / pixel_m[1])
