"""A small landscape of which the truth is known, and a generalised map of it with wrong borders and wrong polygons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from landseries.bands import NODATA

#: Side of a polygon of the true landscape.
_PATCH_PX = 16
_BORDER_PX = 2


@dataclass(frozen=True)
class WrongMap:
    """The landscape.

    Attributes:
        truth: (rows, columns) uint8, classes from 1.
        mapped: (rows, columns) uint8, the map's classes, 0 in one corner; about a fifth of the others is wrong.
        wrong_polygons: (rows, columns) bool, polygons that the map gives a wrong class throughout.
        series: (date, index, row, column) int16 index x 10,000, -32768 missing.
    """

    truth: npt.NDArray[np.uint8]
    mapped: npt.NDArray[np.uint8]
    wrong_polygons: npt.NDArray[np.bool_]
    series: npt.NDArray[np.int16]


def wrong_map(
    size_px: int, seed: int, *, classes: int = 4, dates: int = 24, indices: int = 3, wrong: float = 0.12
) -> WrongMap:
    """Make a landscape of patches, each with a phenology of its own around that of its class.

    Class 1 has two kinds that look nothing like each other, as crops do.

    Args:
        size_px: Side in pixels, a multiple of 16.
        seed: Chooses everything but the phenologies of the classes.
        classes: Number of classes.
        dates, indices: Axes of the series.
        wrong: Share of the patches that the map gives another class.
    """
    random = np.random.default_rng(seed)
    side = size_px // _PATCH_PX
    patch = np.arange(side * side).reshape(side, side).repeat(_PATCH_PX, 0).repeat(_PATCH_PX, 1)
    cover = random.permutation(np.arange(side * side) % classes) + 1
    false = random.random(side * side) < wrong
    claimed = np.where(false, cover % classes + 1, cover)
    drift = random.integers(-_BORDER_PX, _BORDER_PX + 1, 2)
    mapped = np.roll(claimed[patch], drift, (0, 1)).astype(np.uint8)
    mapped[:6, :6] = 0
    truth = cover[patch].astype(np.uint8)
    return WrongMap(truth, mapped, np.roll(false[patch], drift, (0, 1)), _series(truth, patch, dates, indices, random))


def _series(
    truth: npt.NDArray[np.uint8],
    patch: npt.NDArray[np.int64],
    dates: int,
    indices: int,
    random: np.random.Generator,
) -> npt.NDArray[np.int16]:
    of_classes = np.random.default_rng(77)
    kinds = int(truth.max()) + 1
    level = of_classes.uniform(-0.3, 0.6, (kinds + 1, indices))
    amplitude = of_classes.uniform(0.1, 0.4, (kinds + 1, indices))
    phase = np.arange(kinds + 1)[:, None] * 2.4 + of_classes.uniform(0, 1, (kinds + 1, indices))
    count = int(patch.max()) + 1
    second_kind = np.zeros(count, bool)
    second_kind[::3] = True
    kind = np.where((truth == 1) & second_kind[patch], kinds, truth)
    gain, shift = random.normal(1, 0.12, count)[patch], random.normal(0, 0.12, count)[patch]
    values = np.empty((dates, indices, *truth.shape), np.float64)
    for date in range(dates):
        angle = 2 * np.pi * date / dates
        for index in range(indices):
            wave = amplitude[kind, index] * np.cos(angle + phase[kind, index] + shift)
            values[date, index] = level[kind, index] + gain * wave
    values += random.normal(0, 0.05, values.shape) + random.normal(0, 0.03, (1, 1, *truth.shape))
    stored = np.rint(np.clip(values, -1, 1) * 10_000).astype(np.int16)
    missing = random.random((dates, 1, *truth.shape)) < 0.15
    return np.where(missing, np.int16(NODATA), stored)
