"""Annual series of artificial classes that a network can learn, but not perfectly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from landseries.bands import NODATA

#: Seed of the classes themselves, so that training and prediction see the same ones.
_CLASSES_SEED = 1234


def phenologies(
    count: int, seed: int, *, dates: int = 24, features: int = 10, classes: int = 11, spread: float = 1.5
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8]]:
    """Series whose classes differ in level and in two harmonics, with mixed pixels, clouds and single missing values.

    Args:
        count: number of series.
        seed: of the series; the classes are always the same.
        dates: regular dates of the year.
        features: bands.
        classes: number of classes, ids from 1.
        spread: how much series of one class differ; an LSTM labels about 95 % rightly at 1.5 and 75 % at 3.

    Returns:
        (count, dates, features) int16, reflectance x 10,000, -32768 where missing; and (count,) uint8 class ids.
    """
    of_classes = np.random.default_rng(_CLASSES_SEED)
    level = of_classes.uniform(300, 3500, features) + of_classes.normal(0, 150, (classes, features))
    amplitude = of_classes.uniform(0, 500, (classes, features, 2))
    phase = of_classes.uniform(0, 2 * np.pi, (classes, 1, 2))
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, count)
    angle = 2 * np.pi * np.arange(dates)[None, :, None] / dates + random.normal(0, 0.35 * spread, (count, 1, 1))
    gain = random.normal(1, 0.25 * spread, (count, 1, 1))

    def pure(of: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        waves = [amplitude[of][:, None, :, k] * np.cos((k + 1) * angle + phase[of][:, None, :, k]) for k in (0, 1)]
        return np.asarray(level[of][:, None, :] + gain * (waves[0] + waves[1]))

    share = np.where(random.random(count) < 0.3, random.uniform(0, 0.5, count), 0)[:, None, None]
    values = (1 - share) * pure(labels) + share * pure(random.integers(0, classes, count))
    values += random.normal(0, 500 * spread, (count, 1, 1)) + random.normal(0, 250 * spread, values.shape)
    series = np.clip(values, -2000, 12000).astype(np.int16)
    series[random.random((count, dates)) < 0.2] = NODATA
    series[random.random(series.shape) < 0.005] = NODATA
    return series, (labels + 1).astype(np.uint8)
