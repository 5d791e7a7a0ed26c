"""Whether the offset of each acquisition was applied, and once, judged from the levels of its dark pixels.

Digital numbers of baseline 04.00 and later carry 1,000 that must be taken off. Left on, every band is brighter by 0.1;
taken off twice, or from numbers without it, every band is darker by 0.1. Nothing else moves all bands alike: haze fades
with wavelength, snow darkens the shortwave infrared, seasons and harvests change some bands. Acquisitions are compared
in pairs, on the pixels that both see, by low percentiles of each band, since water, conifers and shadow stay dark all
year; the differences of all pairs together, the fact that no ground reflects less than nothing, and ground that is
known to be dark decide which acquisitions lie a step too high or too low. So most of an archive may be wrong and be
found. Where two groups differ by a step and no dark ground tells which of them is right, that is the answer: a
conflict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from landseries.bands import NODATA, REFLECTANCE_SCALE
from landseries_fetcher.harmony.pairs import (
    COMMON_PIXELS_MIN,
    PERCENTILES,
    STEP,
    FloatArray,
    IntArray,
    Pairs,
    compare,
    connected,
)

#: Bands of which dark ground exists nearly everywhere, from blue to shortwave infrared.
LEVEL_BANDS: Final = ("B02", "B03", "B04", "B05", "B11", "B12")

# Costs, in reflectance per band.
#: A wrong offset is the exception.
_EXCEPTION: Final = 0.02
#: Ground darker than this is no ground; residual haze removal leaves a little less than nothing.
_DARKEST: Final = -0.03
_IMPOSSIBLE_WEIGHT: Final = 2.0
#: Dark pixels reflect about this much at most, where there are any.
_DARK: Final = 0.06
_UNLIKELY_WEIGHT: Final = 0.3
#: Ground that is known to be dark is this far off its usual level at most where offsets are right; below it hardly at
#: all, since nothing darkens it.
_KNOWN_DARK_MAX: Final = 0.03
_KNOWN_DARK_MIN: Final = -0.02
#: An answer that another is as good as this is none.
_MARGIN: Final = 0.01

# In reflectance, against acquisitions that are right.
#: The median band of a right acquisition differs by no more.
_LEVEL_MAX: Final = 0.03
#: That of one with a wrong offset differs by at least this, and every band by some of it: snow, haze and harvests do
#: not move all bands.
_STEP_MIN: Final = 0.07
_EACH_MIN: Final = 0.03
#: Against fewer than this many, every band must differ by a step, give or take this.
_FEW: Final = 3
_STEP_SPREAD: Final = 0.05
#: Without such acquisitions, this share of the bands must show dark levels that are right, or impossible.
_MOST: Final = 0.5


class LevelVerdict(StrEnum):
    """What the pixels say about an acquisition's offset."""

    OK = "ok"
    MISSING = "missing offset"
    DOUBLED = "doubled offset"
    UNKNOWN = "cannot tell"


@dataclass(frozen=True)
class Conflict:
    """Where an acquisition lies among others of which some are a step off, and nothing tells which.

    Attributes:
        group: acquisitions of one group were compared with each other, if only through others.
        step: 0 for the lowest of a group, 1 a step above them, 2 two steps.
    """

    group: int
    step: int


@dataclass(frozen=True)
class LevelFinding:
    """The verdict on an acquisition and what it rests on.

    Attributes:
        verdict: what the pixels say.
        dark_level: reflectance of the fifth percentile of each band, in the order of the sample's bands; NaN where
            the acquisition has too few pixels.
        rise: median difference of each band's dark pixels to those of the acquisitions found right, in reflectance;
            NaN where no pair has enough pixels.
        compared: acquisitions that it was compared with.
        margin: by how much, in reflectance per band, the verdict explains the pixels better than any other.
        conflict: of those that cannot be told, where it lies if others lie a step away; None elsewhere.
    """

    verdict: LevelVerdict
    dark_level: tuple[float, ...]
    rise: tuple[float, ...]
    compared: int
    margin: float
    conflict: Conflict | None = None


def judge_levels(
    samples: npt.NDArray[np.int16], days: Sequence[int], known_dark: Sequence[float] | None = None
) -> list[LevelFinding]:
    """Judge the offsets of acquisitions that see the same ground.

    Args:
        samples: (acquisition, band, pixel) reflectance x 10,000 at the same places of the ground in all, best of
            `LEVEL_BANDS`; -32768 where the view is not clear. A few hundred places are enough: every n-th pixel.
        days: day of the year of each acquisition, 1 to 366: the nearest in season are compared.
        known_dark: how much brighter, in reflectance, ground that is known to be dark is than it should be, see
            `landseries_fetcher.harmony.dark_targets`; NaN where an acquisition shows none. None where it is not known.

    Returns:
        A finding for each acquisition, in their order. `UNKNOWN` is no accusation: too few pixels, none to compare
        with, snow or haze over most of it, two groups that differ where nothing is dark, or acquisitions that are
        alike but so bright that all may lack the offset.

    Raises:
        ValueError: the array has not three axes, or not as many acquisitions as days and levels.
    """
    known = np.full(len(days), np.nan) if known_dark is None else np.asarray(known_dark, dtype=np.float64)
    if samples.ndim != 3 or len(samples) != len(days) or len(known) != len(days):
        raise ValueError(
            f"expected (acquisition, band, pixel) and a day for each, got {samples.shape}, {len(days)} days and "
            f"{len(known)} levels"
        )
    pairs = compare(samples, np.asarray(days, dtype=np.float64))
    levels = _Levels(_dark_levels(samples), known)
    own = np.stack([_own_cost(levels, state) for state in (-1, 0, 1)], axis=1)
    states = _best_states(pairs, own)
    groups = connected(pairs, len(own))
    alone, told = _margins(pairs, own, states), _told_from_neighbours(groups, own, states)
    conflicts = _conflicts(groups, states, alone, told)
    margins = np.minimum(alone, told)
    findings = [_finding(number, states, margins[number], pairs, levels) for number in range(len(samples))]
    return [
        replace(finding, conflict=conflict) if finding.verdict == LevelVerdict.UNKNOWN else finding
        for finding, conflict in zip(findings, conflicts, strict=True)
    ]


@dataclass(frozen=True)
class _Levels:
    """What acquisitions show by themselves: (acquisition, band) dark levels, (acquisition,) known dark ground."""

    dark: FloatArray
    known: FloatArray


def _dark_levels(samples: npt.NDArray[np.int16]) -> FloatArray:
    """Fifth percentile of each band in reflectance, (acquisition, band); NaN where there are too few pixels."""
    levels = np.full(samples.shape[:2], np.nan)
    for number, sample in enumerate(samples):
        clear = (sample != NODATA).all(axis=0)
        if np.count_nonzero(clear) >= COMMON_PIXELS_MIN:
            levels[number] = np.percentile(sample[:, clear], PERCENTILES[0], axis=1) / REFLECTANCE_SCALE
    return levels


def _own_cost(levels: _Levels, state: int) -> FloatArray:
    """Cost of acquisitions lying `state` steps too high, from their own dark levels, (acquisition,)."""
    ground = np.nan_to_num(levels.dark - STEP * state, nan=_DARK)
    impossible = np.maximum(_DARKEST - ground, 0.0)
    unlikely = np.clip(ground - _DARK, 0.0, STEP)
    cost: FloatArray = _IMPOSSIBLE_WEIGHT * impossible + _UNLIKELY_WEIGHT * unlikely + _EXCEPTION * abs(state)
    astray = np.clip(np.abs(levels.known - STEP * state) - _KNOWN_DARK_MAX, 0.0, STEP)
    mean: FloatArray = np.mean(cost, axis=1) + np.nan_to_num(astray)
    return mean


def _best_states(pairs: Pairs, own: FloatArray) -> IntArray:
    """Steps that each acquisition lies too high, (acquisition,), which explain all pairs best.

    Starts from all right, and from the states that the clearest pairs imply, and changes one acquisition at a time as
    long as that helps.
    """
    starts = [np.zeros(len(own), dtype=np.int64), *_implied_states(pairs, own)]
    settled = [_settle(pairs, own, start) for start in starts]
    return min(settled, key=lambda states: round(_total_cost(pairs, own, states), 12))


def _implied_states(pairs: Pairs, own: FloatArray) -> list[IntArray]:
    """States along a tree of the clearest pairs, one start for each state that the tree's first may have."""
    ordered = np.sort(pairs.cost / pairs.weight[:, None], axis=1)
    clearest = np.argsort(ordered[:, 0] - ordered[:, 1], kind="stable")
    relative = np.zeros(len(own), dtype=np.int64)
    groups = np.arange(len(own))
    for pair in clearest:
        one, other = int(pairs.first[pair]), int(pairs.second[pair])
        if groups[one] == groups[other]:
            continue
        step = int(np.argmin(pairs.cost[pair])) - 2
        joining = groups == groups[other]
        relative[joining] += relative[one] - step - relative[other]
        groups[joining] = groups[one]
    return [np.clip(relative + state, -1, 1) for state in (-2, -1, 0, 1, 2)]


def _settle(pairs: Pairs, own: FloatArray, states: IntArray) -> IntArray:
    states = states.copy()
    neighbours = [pairs.of(number) for number in range(len(own))]
    for _ in range(20):
        before = states.copy()
        for number, neighbourhood in enumerate(neighbours):
            costs = _costs_of(number, neighbourhood, pairs, own, states)
            best = int(np.argmin(np.round(costs, 12))) - 1
            states[number] = best
        if np.array_equal(before, states):
            break
    return states


def _costs_of(
    number: int, neighbourhood: tuple[IntArray, IntArray, IntArray], pairs: Pairs, own: FloatArray, states: IntArray
) -> FloatArray:
    """Cost of each state of an acquisition while the others stay, (3,)."""
    its_pairs, partners, sign = neighbourhood
    costs = np.array(own[number], dtype=np.float64)
    for state in (-1, 0, 1):
        steps = sign * (state - states[partners])
        costs[state + 1] += pairs.cost[its_pairs, steps + 2].sum()
    return costs


def _total_cost(pairs: Pairs, own: FloatArray, states: IntArray) -> float:
    steps = states[pairs.first] - states[pairs.second]
    return float(pairs.cost[np.arange(len(steps)), steps + 2].sum() + own[np.arange(len(own)), states + 1].sum())


def _margins(pairs: Pairs, own: FloatArray, states: IntArray) -> FloatArray:
    """By how much each acquisition's state beats its next best one, (acquisition,)."""
    margins = np.empty(len(own))
    for number in range(len(own)):
        costs = _costs_of(number, pairs.of(number), pairs, own, states)
        margins[number] = np.delete(costs, states[number] + 1).min() - costs[states[number] + 1]
    return margins


def _told_from_neighbours(groups: IntArray, own: FloatArray, states: IntArray) -> FloatArray:
    """By how much the states beat the same ones moved by a step, per acquisition, in each connected group."""
    told = np.full(len(own), np.inf)
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        for move in (-1, 1):
            moved = states[members] + move
            if np.abs(moved).max() <= 1:
                gain = own[members, moved + 1].sum() - own[members, states[members] + 1].sum()
                told[members] = np.minimum(told[members], gain / len(members))
    return told


def _conflicts(groups: IntArray, states: IntArray, alone: FloatArray, told: FloatArray) -> list[Conflict | None]:
    """Where acquisitions lie that differ by steps, each of them surely, while all could be moved by one."""
    found: list[Conflict | None] = [None] * len(groups)
    for group in np.unique(groups):
        members = np.flatnonzero((groups == group) & (alone >= _MARGIN) & (told < _MARGIN))
        if len(np.unique(states[members])) > 1:
            for number in members:
                found[number] = Conflict(int(group), int(states[number] - states[members].min()))
    return found


def _finding(number: int, states: IntArray, margin: float, pairs: Pairs, levels: _Levels) -> LevelFinding:
    dark, known = levels.dark, float(levels.known[number])
    its_pairs, partners, sign = pairs.of(number)
    right = states[partners] == 0
    rises = sign[right, None] * pairs.rise[its_pairs[right]]
    rise = np.median(rises, axis=0) if len(rises) else np.full(dark.shape[1], np.nan)
    state = int(states[number])
    # Above where those that are wrong would lie if they were right.
    others = sign[~right, None] * pairs.rise[its_pairs[~right]] + STEP * states[partners[~right], None]
    is_borne_out = _bears_out(state, rises, others, dark[number], known)
    sure = margin >= _MARGIN and not np.isnan(dark[number]).any() and is_borne_out
    verdict = (LevelVerdict.DOUBLED, LevelVerdict.OK, LevelVerdict.MISSING)[state + 1]
    return LevelFinding(
        verdict if sure else LevelVerdict.UNKNOWN,
        tuple(float(value) for value in np.round(dark[number], 4)),
        tuple(float(value) for value in np.round(rise, 4)),
        len(partners),
        float(margin),
    )


def _bears_out(state: int, rises: FloatArray, others: FloatArray, dark: FloatArray, known: float) -> bool:
    """Whether a state fits the levels; haze and missed cloud fit none.

    Args:
        state: steps too high.
        rises: (acquisition, band) above right ones.
        others: (acquisition, band) above wrong ones, if these are put right.
        dark: (band,) dark levels.
        known: of ground that is known to be dark.
    """
    if abs(known - STEP * state) > STEP / 2:
        return False  # ground that is known to be dark contradicts
    if state == -1 and np.mean(dark < _DARKEST) >= _MOST:
        return True
    shows_known = _KNOWN_DARK_MIN <= known - STEP * state <= _KNOWN_DARK_MAX
    if state == 0 and shows_known:
        return True  # however much snow lies on the rest
    if not len(rises):
        # No other is right: only dark ground can say so, and the others must lie a step away in every band.
        shows_dark = bool(np.mean((dark >= _DARKEST) & (dark <= _DARK)) >= _MOST)
        fits = not len(others) or bool(np.abs(np.median(others, axis=0)).max() <= _STEP_SPREAD)
        return shows_known or (state == 0 and shows_dark and fits)
    rise = np.median(rises, axis=0)
    if state == 0:
        return bool(abs(np.median(rise)) <= _LEVEL_MAX)
    if len(rises) < _FEW:
        return bool(np.abs(rise - STEP * state).max() <= _STEP_SPREAD)
    return bool(np.median(rise) * state >= _STEP_MIN and (rise * state).min() >= _EACH_MIN)
