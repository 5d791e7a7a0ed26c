"""Whether the numbers of a product carry the offset, told from the numbers themselves.

From processing baseline 04.00 on, 1000 is added to every number, so that dark surfaces do not fall below zero. Some
archives take it off again ("harmonised"), and what they say of it is not always true. Vegetation, water and shadow
reflect little red light: the darkest of such pixels lie near 0 where the offset was taken off, and near 1000 where it
is there. Between the two lies a gap in which nothing is told.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from landseries_fetcher.sources.metadata import OFFSET, BadMetadata

#: Classes of the scene classification that are dark in red: dark area, cloud shadow, vegetation, water.
_DARK_CLASSES: Final = (2, 3, 4, 6)
#: So many dark pixels are needed.
_PIXELS_MIN: Final = 200
#: The share of pixels that may be darker than the level that is compared.
_SHARE: Final = 0.02
#: Darkest level of harmonised pixels at most (reflectance 0.075), and the range of levels of those with the offset
#: (reflectance -0.01 to 0.075); in digital numbers.
_WITHOUT_MAX: Final = 750
_WITH_RANGE: Final = (900, 1750)


def offset_of_pixels(red: npt.NDArray[Any], scene: npt.NDArray[Any]) -> int:
    """The offset that has to be added to the numbers of a product of baseline 04.00 or later.

    Args:
        red: (rows, columns) digital numbers of B04 at any pixel size; 0 for no-data.
        scene: (rows, columns) scene classification of the same extent, at any pixel size.

    Returns:
        -1000, or 0 where it was taken off already.

    Raises:
        BadMetadata: the pixels do not tell.
    """
    rows = np.arange(red.shape[0]) * scene.shape[0] // red.shape[0]
    columns = np.arange(red.shape[1]) * scene.shape[1] // red.shape[1]
    is_dark = np.isin(scene[np.ix_(rows, columns)], _DARK_CLASSES)
    levels = red[is_dark & (red != 0)]
    if levels.size < _PIXELS_MIN:
        raise BadMetadata(
            f"its {levels.size} dark pixels do not tell whether its numbers carry the offset; {_PIXELS_MIN} are needed"
        )
    darkest = float(np.quantile(levels, _SHARE))
    if darkest <= _WITHOUT_MAX:
        return 0
    if _WITH_RANGE[0] <= darkest <= _WITH_RANGE[1]:
        return OFFSET
    raise BadMetadata(f"its darkest pixels ({darkest:.0f} in B04) do not tell whether its numbers carry the offset")
