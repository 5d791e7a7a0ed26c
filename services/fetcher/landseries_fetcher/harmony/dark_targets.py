"""Ground that is dark in some band whatever the offset: dense vegetation in the red, water in the shortwave infrared.

Chlorophyll absorbs red light, and water absorbs all light beyond 1.5 micrometres (Jensen, "Remote Sensing of the
Environment", 2nd edition, chapters 11 and 12). Both are found by differences between bands of one acquisition, which no
offset changes: a pixel that reflects far more near infrared than red, and more shortwave infrared than green (as
nothing with snow on it does), is dense vegetation; one that reflects some green light, and next to the same in all
bands of the infrared, is water. How bright they are in the band in which they must be dark then tells whether an offset
was left on or taken off twice, even where all acquisitions share the fault.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from landseries.bands import BANDS, REFLECTANCE_SCALE

#: Near infrared above red, in reflectance, from which on ground is dense vegetation; and what that reflects of red.
_VEGETATION_RISE: Final = 0.28
_VEGETATION_RED: Final = 0.03
#: Shortwave infrared above green, in reflectance, of vegetation without snow between its leaves.
_VEGETATION_SHORTWAVE: Final = 0.05
#: Of water, in reflectance: green above shortwave infrared, near infrared above it, the two shortwave bands apart, and
#: what it reflects of the shortwave infrared.
_WATER_GREEN: Final = (0.01, 0.15)
_WATER_NEAR_INFRARED: Final = (-0.01, 0.03)
_WATER_FLAT: Final = 0.012
_WATER_SHORTWAVE: Final = 0.01
#: Fewer pixels tell nothing; haze and glint only brighten, so that the darker ones are believed.
_PIXELS_MIN: Final = 50
_QUANTILE: Final = 0.25

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class DarkTargets:
    """Reflectance of pixels in the band in which they must be dark.

    Attributes:
        red: (pixel,) of dense vegetation in B04.
        shortwave: (pixel,) of water in B11.
    """

    red: FloatArray
    shortwave: FloatArray


def find_dark_targets(features: npt.NDArray[np.int16], clear: npt.NDArray[np.bool_]) -> DarkTargets:
    """Dense vegetation and water of an image.

    Args:
        features: (band, rows, columns) reflectance x 10,000 in the order of `landseries.bands.BANDS`.
        clear: (rows, columns) True where the view is clear; other pixels are never looked at.
    """
    names = ("B03", "B04", "B08", "B11", "B12")
    seen = {name: features[BANDS.index(name)][clear].astype(np.float32) / REFLECTANCE_SCALE for name in names}
    water = (
        (np.abs(seen["B11"] - seen["B12"]) <= _WATER_FLAT)
        & _between(seen["B03"] - seen["B11"], _WATER_GREEN)
        & _between(seen["B08"] - seen["B11"], _WATER_NEAR_INFRARED)
    )
    is_green = seen["B08"] - seen["B04"] >= _VEGETATION_RISE
    is_free_of_snow = seen["B11"] - seen["B03"] >= _VEGETATION_SHORTWAVE
    return DarkTargets(seen["B04"][is_green & is_free_of_snow], seen["B11"][water])


def excess(targets: Sequence[DarkTargets], *, with_vegetation: bool = True) -> float:
    """How much brighter dark targets are than they should be.

    Args:
        targets: those of the parts of an acquisition.
        with_vegetation: whether vegetation counts, or water alone.

    Returns:
        Reflectance: about 0 where offsets are right, 0.1 where one was left on, -0.1 where it was taken off twice; NaN
        where there is neither vegetation nor water enough. Of both the smaller, since haze and glint brighten.
    """
    kinds = [(np.concatenate([part.shortwave for part in targets]), _WATER_SHORTWAVE)]
    if with_vegetation:
        kinds.append((np.concatenate([part.red for part in targets]), _VEGETATION_RED))
    found = [float(np.quantile(values, _QUANTILE)) - level for values, level in kinds if values.size >= _PIXELS_MIN]
    return round(min(found), 4) if found else float("nan")


def _between(values: FloatArray, limits: tuple[float, float]) -> npt.NDArray[np.bool_]:
    return np.asarray((values >= limits[0]) & (values <= limits[1]))
