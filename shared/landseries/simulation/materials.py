"""What the land is made of: reflectance of each material and its greenness through the year.

A material is bare ground of one spectrum that green matter of another covers by a share that follows the calendar.
Values are surface reflectance in the order of `landseries.bands.BANDS`, chosen by hand to look like central Alpine
scenes; they come from no measured library.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from landseries.simulation.randomness import FloatArray

DAYS: Final = 366

_BandValues = tuple[float, float, float, float, float, float, float, float, float, float]
_Curve = tuple[tuple[int, float], ...]


class Material(IntEnum):
    """Index into the tables of this module."""

    TOWN = 0
    INDUSTRY = 1
    HAY_MEADOW = 2
    PASTURE = 3
    ALPINE_GRASS = 4
    WHEAT = 5
    MAIZE = 6
    SOY = 7
    LEY = 8
    QUARRY = 9
    ROCK = 10
    GRAVEL = 11
    BROADLEAVES = 12
    CONIFERS = 13
    SHRUBS = 14
    WATER = 15
    ICE = 16
    CLEARING = 17


@dataclass(frozen=True)
class MaterialTables:
    """Spectra and calendars of all materials.

    Attributes:
        bare: Reflectance without green matter, float32, shape (material, band).
        green: Reflectance when fully green, float32, shape (material, band).
        greenness: Share of green matter, 0 to 1, float32, shape (material, day of year).
    """

    bare: FloatArray
    green: FloatArray
    greenness: FloatArray


_SOIL: Final[_BandValues] = (0.060, 0.085, 0.115, 0.145, 0.165, 0.185, 0.205, 0.225, 0.295, 0.250)
_DARK_SOIL: Final[_BandValues] = (0.045, 0.066, 0.086, 0.112, 0.130, 0.146, 0.162, 0.178, 0.235, 0.195)
_STUBBLE: Final[_BandValues] = (0.070, 0.105, 0.145, 0.185, 0.215, 0.240, 0.260, 0.280, 0.330, 0.260)
_DRY_GRASS: Final[_BandValues] = (0.048, 0.075, 0.085, 0.125, 0.185, 0.215, 0.235, 0.255, 0.280, 0.195)
_LUSH: Final[_BandValues] = (0.028, 0.066, 0.033, 0.100, 0.330, 0.420, 0.440, 0.455, 0.215, 0.110)

# fmt: off
_SPECTRA: Final[dict[Material, tuple[_BandValues, _BandValues]]] = {
    Material.TOWN: ((0.100, 0.115, 0.125, 0.142, 0.160, 0.172, 0.185, 0.192, 0.215, 0.190), _LUSH),
    Material.INDUSTRY: ((0.165, 0.182, 0.196, 0.208, 0.222, 0.230, 0.242, 0.248, 0.262, 0.238), _LUSH),
    Material.HAY_MEADOW: (_DRY_GRASS, (0.030, 0.074, 0.040, 0.114, 0.320, 0.405, 0.425, 0.440, 0.230, 0.120)),
    Material.PASTURE: (_DRY_GRASS, (0.034, 0.072, 0.046, 0.112, 0.285, 0.355, 0.375, 0.390, 0.235, 0.130)),
    Material.ALPINE_GRASS: (
        (0.055, 0.080, 0.098, 0.130, 0.165, 0.185, 0.205, 0.222, 0.275, 0.205),
        (0.036, 0.070, 0.052, 0.112, 0.250, 0.310, 0.325, 0.340, 0.235, 0.135),
    ),
    Material.WHEAT: (_STUBBLE, _LUSH),
    Material.MAIZE: (_SOIL, (0.026, 0.058, 0.030, 0.090, 0.315, 0.410, 0.430, 0.440, 0.200, 0.100)),
    Material.SOY: (_DARK_SOIL, (0.028, 0.068, 0.032, 0.100, 0.370, 0.475, 0.495, 0.505, 0.215, 0.105)),
    Material.LEY: (_SOIL, (0.030, 0.072, 0.037, 0.110, 0.330, 0.420, 0.440, 0.452, 0.222, 0.115)),
    Material.QUARRY: (
        (0.150, 0.180, 0.205, 0.222, 0.236, 0.246, 0.256, 0.262, 0.300, 0.275),
        (0.048, 0.080, 0.070, 0.120, 0.235, 0.285, 0.300, 0.315, 0.250, 0.160),
    ),
    Material.ROCK: (
        (0.128, 0.148, 0.165, 0.177, 0.188, 0.196, 0.207, 0.212, 0.245, 0.225),
        (0.048, 0.080, 0.070, 0.120, 0.225, 0.270, 0.285, 0.300, 0.250, 0.160),
    ),
    Material.GRAVEL: (
        (0.132, 0.158, 0.176, 0.190, 0.200, 0.207, 0.214, 0.217, 0.232, 0.205),
        (0.045, 0.078, 0.065, 0.115, 0.235, 0.285, 0.300, 0.312, 0.225, 0.135),
    ),
    Material.BROADLEAVES: (
        (0.035, 0.050, 0.058, 0.083, 0.115, 0.130, 0.146, 0.165, 0.200, 0.140),
        (0.020, 0.048, 0.024, 0.078, 0.265, 0.350, 0.370, 0.385, 0.178, 0.078),
    ),
    Material.CONIFERS: (
        (0.016, 0.028, 0.022, 0.045, 0.112, 0.140, 0.152, 0.163, 0.090, 0.048),
        (0.015, 0.032, 0.019, 0.050, 0.148, 0.188, 0.202, 0.214, 0.102, 0.048),
    ),
    Material.SHRUBS: (
        (0.040, 0.056, 0.063, 0.090, 0.128, 0.146, 0.162, 0.180, 0.220, 0.155),
        (0.026, 0.054, 0.036, 0.084, 0.222, 0.285, 0.302, 0.316, 0.195, 0.102),
    ),
    Material.WATER: (
        (0.034, 0.040, 0.026, 0.022, 0.017, 0.016, 0.014, 0.013, 0.008, 0.006),
        (0.030, 0.042, 0.028, 0.028, 0.022, 0.022, 0.020, 0.019, 0.009, 0.006),
    ),
    Material.ICE: (
        (0.560, 0.575, 0.560, 0.530, 0.480, 0.455, 0.430, 0.405, 0.060, 0.048),
        (0.400, 0.405, 0.395, 0.375, 0.345, 0.325, 0.310, 0.292, 0.055, 0.045),
    ),
    Material.CLEARING: (
        (0.046, 0.064, 0.076, 0.104, 0.138, 0.156, 0.172, 0.192, 0.245, 0.180),
        (0.032, 0.068, 0.044, 0.106, 0.270, 0.340, 0.358, 0.372, 0.225, 0.125),
    ),
}

_CALENDARS: Final[dict[Material, _Curve]] = {
    Material.TOWN: ((1, 0.05), (90, 0.10), (140, 0.22), (230, 0.20), (300, 0.10), (330, 0.05)),
    Material.INDUSTRY: ((1, 0.02), (140, 0.07), (230, 0.06), (330, 0.02)),
    Material.HAY_MEADOW: (
        (1, 0.35), (70, 0.38), (135, 0.97), (150, 0.95), (156, 0.42), (190, 0.90), (202, 0.88), (208, 0.42),
        (243, 0.86), (255, 0.82), (261, 0.45), (290, 0.74), (330, 0.42),
    ),
    Material.PASTURE: ((1, 0.34), (75, 0.36), (140, 0.86), (170, 0.78), (220, 0.62), (265, 0.70), (330, 0.38)),
    Material.ALPINE_GRASS: (
        (1, 0.05), (125, 0.08), (185, 0.84), (215, 0.74), (245, 0.52), (285, 0.15), (320, 0.05),
    ),
    Material.WHEAT: (
        (1, 0.24), (60, 0.34), (120, 0.94), (146, 0.98), (172, 0.50), (190, 0.10), (255, 0.08), (300, 0.16),
        (345, 0.24),
    ),
    Material.MAIZE: (
        (1, 0.03), (136, 0.04), (165, 0.30), (196, 0.96), (236, 0.94), (262, 0.45), (277, 0.06), (350, 0.03),
    ),
    Material.SOY: (
        (1, 0.05), (142, 0.04), (175, 0.34), (207, 0.93), (238, 0.88), (264, 0.22), (276, 0.05), (350, 0.08),
    ),
    Material.LEY: (
        (1, 0.30), (65, 0.38), (128, 0.98), (141, 0.97), (146, 0.30), (182, 0.94), (193, 0.92), (198, 0.30),
        (236, 0.90), (246, 0.88), (251, 0.28), (284, 0.72), (300, 0.66), (312, 0.30),
    ),
    Material.QUARRY: ((1, 0.00), (150, 0.05), (230, 0.04), (330, 0.00)),
    Material.ROCK: ((1, 0.00), (160, 0.02), (205, 0.10), (260, 0.04), (300, 0.00)),
    Material.GRAVEL: ((1, 0.00), (120, 0.03), (190, 0.10), (260, 0.08), (320, 0.00)),
    Material.BROADLEAVES: (
        (1, 0.02), (100, 0.03), (122, 0.55), (142, 0.98), (200, 0.97), (255, 0.86), (284, 0.50), (312, 0.06),
        (340, 0.02),
    ),
    Material.CONIFERS: ((1, 0.05), (90, 0.15), (165, 0.98), (240, 0.88), (310, 0.30), (350, 0.05)),
    Material.SHRUBS: (
        (1, 0.08), (112, 0.10), (150, 0.66), (180, 0.95), (240, 0.84), (275, 0.45), (305, 0.12), (340, 0.08),
    ),
    Material.WATER: ((1, 0.1), (160, 0.5), (230, 0.9), (300, 0.4)),
    Material.ICE: ((1, 0.0), (170, 0.1), (215, 0.8), (250, 1.0), (280, 0.4), (310, 0.0)),
    Material.CLEARING: ((1, 0.12), (95, 0.14), (150, 0.66), (190, 0.74), (240, 0.60), (290, 0.34), (330, 0.14)),
}
# fmt: on


def material_tables() -> MaterialTables:
    """The tables of all materials, in the order of `Material`."""
    order = list(Material)
    bare = np.array([_SPECTRA[material][0] for material in order], np.float32)
    green = np.array([_SPECTRA[material][1] for material in order], np.float32)
    greenness = np.stack([_calendar(_CALENDARS[material]) for material in order])
    return MaterialTables(bare, green, greenness)


def _calendar(knots: _Curve) -> FloatArray:
    days = np.arange(DAYS, dtype=np.float64)
    known = np.array([day - 1 for day, _ in knots], dtype=np.float64)
    values = np.array([value for _, value in knots])
    return np.asarray(np.interp(days, known, values, period=DAYS), dtype=np.float32)
