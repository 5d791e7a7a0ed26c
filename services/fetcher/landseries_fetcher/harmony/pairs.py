"""Pairs of acquisitions that see the same ground, and how far apart the levels of their dark pixels lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from landseries.bands import NODATA, REFLECTANCE_SCALE

#: What a wrong offset adds to every band, in reflectance.
STEP: Final = 0.1
#: Fewer common pixels tell nothing of a pair.
COMMON_PIXELS_MIN: Final = 100
#: Low percentiles of a band, of which the darkest stands for an acquisition's dark level.
PERCENTILES: Final = (5.0, 10.0, 25.0)
#: Each acquisition is compared with this many others at least, nearest in season first.
_PARTNERS: Final = 12
_YEAR_DAYS: Final = 365.25

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pairs:
    """Compared pairs.

    Attributes:
        first, second: (pair,) acquisitions.
        rise: (pair, band) reflectance of the first's dark pixels above the second's.
        weight: (pair,) so that those of an acquisition add up to about one.
        cost: (pair, 5) cost of the first lying -2 to 2 steps above the second.
    """

    first: IntArray
    second: IntArray
    rise: FloatArray
    weight: FloatArray
    cost: FloatArray

    def of(self, number: int) -> tuple[IntArray, IntArray, IntArray]:
        """Pairs of an acquisition, its partners, and 1 where it is the first, -1 where it is the second."""
        pairs = np.flatnonzero((self.first == number) | (self.second == number))
        is_first = self.first[pairs] == number
        return pairs, np.where(is_first, self.second[pairs], self.first[pairs]), np.where(is_first, 1, -1)


def compare(samples: npt.NDArray[np.int16], days: FloatArray) -> Pairs:
    """Compare each acquisition with those nearest in season that share enough pixels.

    Args:
        samples: (acquisition, band, pixel) reflectance x 10,000, -32768 where the view is not clear.
        days: (acquisition,) day of the year, 1 to 366.
    """
    count, bands = samples.shape[:2]
    clear = (samples != NODATA).all(axis=1)
    common = clear.astype(np.int64) @ clear.T.astype(np.int64)
    apart = np.abs(days[:, None] - days[None])
    apart = np.minimum(apart, _YEAR_DAYS - apart)
    chosen: set[tuple[int, int]] = set()
    for one in range(count):
        others = [int(other) for other in np.argsort(apart[one], kind="stable") if other != one]
        near = [other for other in others if common[one, other] >= COMMON_PIXELS_MIN][:_PARTNERS]
        chosen |= {(min(one, other), max(one, other)) for other in near}
    pairs = np.array(sorted(chosen), dtype=np.int64).reshape(-1, 2)
    first, second = pairs[:, 0], pairs[:, 1]
    rise = np.empty((len(pairs), bands))
    for number, (one, other) in enumerate(pairs):
        both = clear[one] & clear[other]
        levels = [np.percentile(samples[this][:, both], PERCENTILES, axis=1) for this in (one, other)]
        rise[number] = np.median(levels[0] - levels[1], axis=0) / REFLECTANCE_SCALE
    partners = np.bincount(pairs.ravel(), minlength=count)
    weight = 1.0 / np.minimum(partners[first], partners[second])
    steps = STEP * np.arange(-2, 3)
    # A band that differs by more than a step in any case tells nothing: snow, or a change of the ground.
    cost = np.minimum(np.abs(rise[:, None, :] - steps[None, :, None]), STEP).mean(axis=2)
    return Pairs(first, second, rise, weight, cost * weight[:, None])


def connected(pairs: Pairs, count: int) -> IntArray:
    """Number of the group of each of `count` acquisitions, (acquisition,): one group for all that pairs connect."""
    groups = np.arange(count)
    for one, other in zip(pairs.first, pairs.second, strict=True):
        groups[groups == groups[other]] = groups[one]
    return groups
