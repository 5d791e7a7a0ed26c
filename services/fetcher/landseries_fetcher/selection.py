"""Which acquisitions of a year a tile uses: those that leave the shortest time without a clear view.

First counts the longest gap: the longest time, from the first day of the period to its last, between acquisitions that
see at least half of the tile clearly. No other choice of as many acquisitions leaves a shorter one. Among the choices
that leave it, the expected sum of squared gaps is made small. Take each acquisition to be clear at a pixel with the
probability of its clear share, independently of the others; the gaps between the clear views of such a pixel then have
an expected sum of squares, which is smallest when clear views are many and evenly spread. It follows in one pass over
the dates from the first two moments of the time since the last clear view.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from landseries.calendar.gaps import SEEING_SHARE, longest_gap
from landseries_fetcher.gaps import fewest, shortest_longest_gap

_ROUNDS_MAX: Final = 20
_IMPROVEMENT: Final = 1e-9

_State = tuple[float, float, float, float]


@dataclass(frozen=True, order=True)
class Candidate:
    """An acquisition that could be used.

    Attributes:
        day: time of sensing in days since the start of the period.
        id: the acquisition.
        clear: share of the tile's pixels that it sees clearly, 0..1.
    """

    day: float
    id: str
    clear: float


def choose(candidates: Sequence[Candidate], at_most: int, period_days: float) -> list[str]:
    """Choose acquisitions that leave the shortest longest gap, and among those spread clear views evenly.

    The longest gap is the least possible. Then greedy insertion, and exchanges as long as they help, which keep it;
    started also from the clearest acquisitions where these leave no longer gap, so that the result is never worse
    spread than those. Depends on the set of candidates, not on their order.

    Args:
        candidates: the acquisitions that passed every threshold; ids are unique.
        at_most: how many to choose at most.
        period_days: length of the period in days.

    Returns:
        Ids of the chosen in order of time; all where there are no more than `at_most`.
    """
    ordered = sorted(candidates)
    if len(ordered) <= at_most:
        return [candidate.id for candidate in ordered]
    search = _Search(ordered, at_most, period_days)
    clear = np.array([candidate.clear for candidate in ordered])
    clearest = [int(i) for i in np.sort(np.lexsort((np.arange(len(ordered)), -clear))[:at_most])]
    starts = [start for start in (search.grow([]), clearest) if search.keeps_gap(start)]
    starts.append(search.grow(search.fewest()))
    finished = [search.exchange(start) for start in starts]
    best = min(finished, key=lambda chosen: (search.cost(chosen), chosen))
    return [ordered[i].id for i in best]


def expected_squared_gaps(candidates: Sequence[Candidate], period_days: float) -> float:
    """Expected sum of squared gaps between clear views at a pixel, in days squared (see the module)."""
    return _Search(sorted(candidates), len(candidates), period_days).cost(list(range(len(candidates))))


def longest_gap_days(candidates: Sequence[Candidate], period_days: float) -> float:
    """The longest time in days without an acquisition that sees at least half of the tile clearly (see the module)."""
    return longest_gap([_day(one, period_days) for one in sorted(candidates) if _sees(one)], period_days)


def _day(candidate: Candidate, period_days: float) -> float:
    return min(max(candidate.day, 0.0), period_days)


def _sees(candidate: Candidate) -> bool:
    return candidate.clear >= SEEING_SHARE


class _Search:
    """Costs of subsets of candidates, which are given by ascending index."""

    def __init__(self, ordered: Sequence[Candidate], at_most: int, period_days: float) -> None:
        self._at_most, self._end = at_most, period_days
        self._day_of = [_day(candidate, period_days) for candidate in ordered]
        self._clear_of = [candidate.clear for candidate in ordered]
        self._sees_at = [_sees(candidate) for candidate in ordered]
        self._days, self._clear = np.array(self._day_of), np.array(self._clear_of)
        self._seeing = [index for index, sees in enumerate(self._sees_at) if sees]
        self._gap = shortest_longest_gap([self._day_of[i] for i in self._seeing], at_most, period_days)

    def fewest(self) -> list[int]:
        """The fewest candidates that leave the least longest gap."""
        found = fewest([self._day_of[i] for i in self._seeing], self._gap, self._end)
        assert found is not None, "the least longest gap is one that some choice leaves"
        return [self._seeing[i] for i in found]

    def keeps_gap(self, chosen: Sequence[int]) -> bool:
        """Whether candidates leave no longer gap than need be."""
        return not self._too_long(chosen)

    def cost(self, chosen: Sequence[int]) -> float:
        """Expected sum of squared gaps."""
        first, second, total, now = self._states(chosen)[-1]
        step = self._end - now
        return total + second + 2 * first * step + step * step

    def grow(self, chosen: list[int]) -> list[int]:
        """Candidates with others inserted, one after the other, up to the number that may be chosen."""
        while len(chosen) < self._at_most:
            best, _cost = self._best_insertion(chosen)
            chosen = sorted([*chosen, best])
        return chosen

    def exchange(self, chosen: list[int]) -> list[int]:
        """Replace one at a time by a better one that keeps the longest gap, the best exchange of a round first."""
        cost = self.cost(chosen)
        for _ in range(_ROUNDS_MAX):
            found: tuple[float, list[int]] | None = None
            for out in chosen:
                rest = [index for index in chosen if index != out]
                index, new_cost = self._best_insertion(rest, self._too_long(rest))
                if new_cost < cost * (1 - _IMPROVEMENT) and (found is None or new_cost < found[0]):
                    found = (new_cost, sorted([*rest, index]))
            if found is None:
                break
            cost, chosen = found
        return chosen

    def _too_long(self, chosen: Sequence[int]) -> list[tuple[float, float]]:
        """The gaps between candidates that see the tile that are longer than need be."""
        days = [0.0, *(self._day_of[i] for i in chosen if self._sees_at[i]), self._end]
        return [(before, after) for before, after in itertools.pairwise(days) if after - before > self._gap]

    def _best_insertion(self, chosen: list[int], to_close: Sequence[tuple[float, float]] = ()) -> tuple[int, float]:
        """The candidate whose insertion costs least, and the cost then; the earliest of equal ones.

        Args:
            chosen: those that are there.
            to_close: gaps that the inserted one has to make short enough; where none can, the cost is infinite.
        """
        costs = self._insertion_costs(chosen)
        costs[chosen] = np.inf
        for before, after in to_close:
            closes = (self._days - before <= self._gap) & (after - self._days <= self._gap)
            costs[~(closes & (self._clear >= SEEING_SHARE))] = np.inf
        best = int(np.argmin(costs))
        return best, float(costs[best])

    def _insertion_costs(self, chosen: list[int]) -> npt.NDArray[np.float64]:
        """Cost of `chosen` with each candidate inserted, (candidates,).

        Before a place, the state is the time since the last clear view by its moments; what comes after costs a
        linear function of that state: a * second + b * first + c.
        """
        places = np.searchsorted(np.array(chosen, dtype=np.int64), np.arange(len(self._days)))
        states = np.array(self._states(chosen))[places]
        tails = np.array(self._tails(chosen))[places]
        steps = self._days - states[:, 3]
        second = states[:, 1] + 2 * states[:, 0] * steps + steps * steps
        first = states[:, 0] + steps
        total = states[:, 2] + self._clear * second
        first, second = first * (1 - self._clear), second * (1 - self._clear)
        steps = tails[:, 3] - self._days
        second = second + 2 * first * steps + steps * steps
        first = first + steps
        costs: npt.NDArray[np.float64] = total + tails[:, 0] * second + tails[:, 1] * first + tails[:, 2]
        return costs

    def _states(self, chosen: Sequence[int]) -> list[_State]:
        """First and second moment, cost so far, and the day: at the beginning, and after each of the chosen."""
        states: list[_State] = [(0.0, 0.0, 0.0, 0.0)]
        for index in chosen:
            first, second, total, now = states[-1]
            step, share = self._day_of[index] - now, self._clear_of[index]
            second += 2 * first * step + step * step
            first += step
            states.append((first * (1 - share), second * (1 - share), total + share * second, self._day_of[index]))
        return states

    def _tails(self, chosen: Sequence[int]) -> list[_State]:
        """a, b, c, and the day, on arrival at each of the chosen and at the period's end."""
        tails: list[_State] = [(1.0, 0.0, 0.0, self._end)]
        for index in reversed(chosen):
            a, b, c, then = tails[-1]
            step, share = then - self._day_of[index], self._clear_of[index]
            b, c = b + 2 * a * step, c + b * step + a * step * step
            tails.append((share + (1 - share) * a, (1 - share) * b, c, self._day_of[index]))
        return tails[::-1]
