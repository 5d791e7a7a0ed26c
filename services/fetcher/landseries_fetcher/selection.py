"""Which acquisitions of a year a tile uses: those that leave its pixels the shortest gaps between clear views.

What is made small is the expected sum of squared gaps. Take each acquisition to be clear at a pixel with the
probability of its clear share, independently of the others; the gaps between the clear views of such a pixel, from
the first day of the period to its last, then have an expected sum of squares, which is smallest when clear views
are many and evenly spread. It follows in one pass over the dates from the first two moments of the time since the
last clear view.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_ROUNDS_MAX = 20
_IMPROVEMENT = 1e-9


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
    """Choose acquisitions that spread clear views evenly over a period.

    Greedy insertion, then exchanges as long as they help; started also from the clearest ones, so that the result is
    never worse spread than those. Depends on the set of candidates, not on their order.

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
    days = np.array([min(max(candidate.day, 0.0), period_days) for candidate in ordered])
    clear = np.array([candidate.clear for candidate in ordered])
    search = _Search(days, clear, period_days)
    clearest = np.sort(np.lexsort((np.arange(len(ordered)), -clear))[:at_most])
    starts = [search.grow(at_most), [int(i) for i in clearest]]
    finished = [search.exchange(start) for start in starts]
    best = min(finished, key=lambda chosen: (search.cost(chosen), chosen))
    return [ordered[i].id for i in best]


def expected_squared_gaps(candidates: Sequence[Candidate], period_days: float) -> float:
    """Expected sum of squared gaps between clear views at a pixel, in days squared (see the module)."""
    ordered = sorted(candidates)
    days = np.array([min(max(candidate.day, 0.0), period_days) for candidate in ordered])
    clear = np.array([candidate.clear for candidate in ordered])
    return _Search(days, clear, period_days).cost(list(range(len(ordered))))


class _Search:
    """Costs of subsets of candidates, which are given by ascending index."""

    def __init__(self, days: npt.NDArray[np.float64], clear: npt.NDArray[np.float64], period_days: float) -> None:
        self._days = days
        self._clear = clear
        self._end = period_days

    def cost(self, chosen: Sequence[int]) -> float:
        first, second, total, now = 0.0, 0.0, 0.0, 0.0
        for index in chosen:
            step = float(self._days[index]) - now
            second += 2 * first * step + step * step
            first += step
            share = float(self._clear[index])
            total += share * second
            first, second, now = first * (1 - share), second * (1 - share), float(self._days[index])
        step = self._end - now
        return total + second + 2 * first * step + step * step

    def grow(self, count: int) -> list[int]:
        chosen: list[int] = []
        for _ in range(count):
            best, _cost = self._best_insertion(chosen)
            chosen = sorted([*chosen, best])
        return chosen

    def exchange(self, chosen: list[int]) -> list[int]:
        """Replace one at a time by a better one, the best exchange of a round first."""
        cost = self.cost(chosen)
        for _ in range(_ROUNDS_MAX):
            found: tuple[float, list[int]] | None = None
            for out in chosen:
                rest = [index for index in chosen if index != out]
                index, new_cost = self._best_insertion(rest)
                if new_cost < cost * (1 - _IMPROVEMENT) and (found is None or new_cost < found[0]):
                    found = (new_cost, sorted([*rest, index]))
            if found is None:
                break
            cost, chosen = found
        return chosen

    def _best_insertion(self, chosen: list[int]) -> tuple[int, float]:
        """The candidate whose insertion costs least, and the cost then; the earliest of equal ones."""
        costs = self._insertion_costs(chosen)
        costs[chosen] = np.inf
        best = int(np.argmin(costs))
        return best, float(costs[best])

    def _insertion_costs(self, chosen: list[int]) -> npt.NDArray[np.float64]:
        """Cost of `chosen` with each candidate inserted, (candidates,).

        Before a place, the state is the time since the last clear view by its moments; what comes after costs a
        linear function of that state: a * second + b * first + c.
        """
        places = np.searchsorted(np.array(chosen, dtype=np.int64), np.arange(len(self._days)))
        states = self._states(chosen)[places]
        tails = self._tails(chosen)[places]
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

    def _states(self, chosen: list[int]) -> npt.NDArray[np.float64]:
        """(len(chosen) + 1, 4): first and second moment, cost so far, and the day, after each of the chosen."""
        states = np.zeros((len(chosen) + 1, 4))
        for place, index in enumerate(chosen):
            first, second, total, now = states[place]
            step, share = self._days[index] - now, self._clear[index]
            second += 2 * first * step + step * step
            first += step
            states[place + 1] = first * (1 - share), second * (1 - share), total + share * second, self._days[index]
        return states

    def _tails(self, chosen: list[int]) -> npt.NDArray[np.float64]:
        """(len(chosen) + 1, 4): a, b, c, and the day, on arrival at each of the chosen and at the period's end."""
        tails = np.zeros((len(chosen) + 1, 4))
        tails[-1] = 1.0, 0.0, 0.0, self._end
        for place in range(len(chosen) - 1, -1, -1):
            index = chosen[place]
            a, b, c, then = tails[place + 1]
            step, share = then - self._days[index], self._clear[index]
            b, c = b + 2 * a * step, c + b * step + a * step * step
            tails[place] = share + (1 - share) * a, (1 - share) * b, c, self._days[index]
        return tails
