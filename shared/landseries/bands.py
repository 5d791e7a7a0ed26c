"""The ten Sentinel-2 bands that landseries reads, and how their values are stored.

Reflectance is stored as signed 16-bit integers, reflectance x 10,000, with -32768 for no-data. Negative reflectance
is real (over water and in shadow, after the offset of baseline 04.00 and later) and is kept.
"""

from __future__ import annotations

from typing import Final

import numpy as np

#: Order of the bands in every array whose band axis is not labelled otherwise.
BANDS: Final[tuple[str, ...]] = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")

#: Ground sampling distance in metres at which each band is delivered.
GROUND_SAMPLING_DISTANCE_M: Final[dict[str, int]] = {
    "B02": 10,
    "B03": 10,
    "B04": 10,
    "B08": 10,
    "B05": 20,
    "B06": 20,
    "B07": 20,
    "B8A": 20,
    "B11": 20,
    "B12": 20,
}

#: What a reflectance of 1.0 is stored as.
REFLECTANCE_SCALE: Final[int] = 10_000

#: Stored value of a pixel without data, and of a date that is flagged as missing.
NODATA: Final[int] = -32768

#: dtype of stored reflectance and indices.
STORED_DTYPE: Final[np.dtype[np.int16]] = np.dtype(np.int16)


class SceneClass:
    """Values of the Sentinel-2 Level-2A scene classification layer (SCL)."""

    NO_DATA = 0
    SATURATED = 1
    DARK = 2
    CLOUD_SHADOW = 3
    VEGETATION = 4
    NOT_VEGETATED = 5
    WATER = 6
    UNCLASSIFIED = 7
    CLOUD_MEDIUM = 8
    CLOUD_HIGH = 9
    THIN_CIRRUS = 10
    SNOW = 11
