"""The shortest longest time without a clear view that a number of acquisitions can leave in a period."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def shortest_longest_gap(days: Sequence[float], at_most: int, end: float) -> float:
    """The smallest `landseries.calendar.gaps.longest_gap` that any choice of at most so many days leaves.

    It is a difference of two of the days (or of the period's ends); by bisection the smallest is found that a walk in
    the longest steps possible can keep to.

    Args:
        days: ascending, within the period.
        at_most: how many days may be chosen.
        end: length of the period in days.
    """
    places = np.array([0.0, *days, end])
    gaps = np.unique((places[None, :] - places[:, None])[np.triu_indices(len(places), 1)])
    low, high = 0, len(gaps) - 1
    while low < high:
        middle = (low + high) // 2
        if (found := fewest(days, float(gaps[middle]), end)) is not None and len(found) <= at_most:
            high = middle
        else:
            low = middle + 1
    return float(gaps[low])


def fewest(days: Sequence[float], gap: float, end: float) -> list[int] | None:
    """The fewest days that leave no gap longer than one, by their indices; None where all together leave one.

    Args:
        days: ascending, within the period.
        gap: the longest gap allowed, in days.
        end: length of the period in days.
    """
    chosen: list[int] = []
    now, reached = 0.0, -1
    for index, day in enumerate([*days, end]):
        if day - now > gap:
            if reached < 0 or day - days[reached] > gap:
                return None
            chosen.append(reached)
            now = days[reached]
        reached = index
    return chosen
