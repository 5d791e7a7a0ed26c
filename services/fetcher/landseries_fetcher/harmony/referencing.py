"""Where each acquisition of a granule lies: measured against one of its orbit, and the orbits against each other.

Acquisitions of one relative orbit look at the ground from the same side, so that they are alike where hills lean. Each
is measured against the reference of its orbit, the orbits' references against that of the granule, and the sums are
what counts. The datum is the granule's reference, refined or not: it does not move when other acquisitions come or go,
so that what was decided on the others stays. What counts for change is where acquisitions lie among each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from landseries_fetcher.harmony.probing import EdgeImage
from landseries_fetcher.harmony.shifts import Shift, ShiftMeasurement, agree, shift_votes

#: Windows over all probe tiles together, about; more say nothing new.
_WINDOWS: Final = 64
#: A reference shows no more snow than this share of its clear views, and is clear in at least this share of the pixels.
_SNOW_MAX: Final = 0.05
_CLEAR_MIN: Final = 0.5
#: Of references whose geometry is told, told not, and told to be unrefined, the former are preferred.
_REFINED_RANK: Final = {True: 0, None: 1, False: 2}
#: Clear shares are compared in steps of this size, so that a little more of it moves no reference.
_CLEAR_STEP: Final = 0.1
_ITSELF: Final = ShiftMeasurement(Shift(0.0, 0.0), 0, 1.0, 0.0)


@dataclass(frozen=True)
class Standing:
    """What decides whether an acquisition can be a reference.

    Attributes:
        id: the acquisition; ids of one granule sort by time within a platform.
        orbit: relative orbit.
        refined: whether its geometry was refined; None where that is not told.
        of_training_year: whether the search of the training year chose it.
        clear_share: share of the probe tiles' pixels that are clear views.
        snow_share: share of the clear views that are snow.
        images: reads its probe tiles.
    """

    id: str
    orbit: int | None
    refined: bool | None
    of_training_year: bool
    clear_share: float
    snow_share: float
    images: Callable[[], list[EdgeImage]]

    @property
    def rank(self) -> tuple[bool, bool, int, bool, int, str]:
        """The smallest is the reference: free of snow, clear, refined, of the training year, clearer, the first by id.

        The training year is in every run, so that another year more changes a reference only where it brings a
        geometry that is refined and the training year has none, or where the training year sees nothing.
        """
        is_hidden = self.clear_share < _CLEAR_MIN
        clear_steps = round(self.clear_share / _CLEAR_STEP)
        refined = _REFINED_RANK[self.refined]
        return self.snow_share > _SNOW_MAX, is_hidden, refined, not self.of_training_year, -clear_steps, self.id


@dataclass(frozen=True)
class Placing:
    """Where the acquisitions of a granule lie.

    Attributes:
        reference: the granule's reference, which is the datum; None without acquisitions.
        references: relative orbit -> its reference.
        found: acquisition -> its shift against the granule's reference, rounded to 0.1 m, and how it was measured.
    """

    reference: str | None
    references: Mapping[int | None, str]
    found: Mapping[str, ShiftMeasurement]


def place(standings: Sequence[Standing], threads: int, tell: Callable[[str], None]) -> Placing:
    """Measure the shifts of all acquisitions of a granule.

    Args:
        standings: the acquisitions, in any order.
        threads: acquisitions that are measured side by side; changes no figure.
        tell: told how it comes along.
    """
    if not standings:
        return Placing(None, {}, {})
    orbits: dict[int | None, list[Standing]] = {}
    for standing in sorted(standings, key=lambda standing: standing.id):
        orbits.setdefault(standing.orbit, []).append(standing)
    references = {orbit: min(members, key=lambda member: member.rank) for orbit, members in orbits.items()}
    reference = min(references.values(), key=lambda member: member.rank)
    ties = _measure_all(list(references.values()), reference, threads)
    found: dict[str, ShiftMeasurement] = {}
    for orbit, members in orbits.items():
        tell(f"measuring the shifts of {len(members)} acquisitions of orbit {orbit}")
        against = _measure_all(members, references[orbit], threads)
        tie = ties[references[orbit].id]
        found |= {name: _sum(one, tie, references[orbit].id) for name, one in against.items()}
    return Placing(reference.id, {orbit: one.id for orbit, one in references.items()}, found)


def _measure_all(members: Sequence[Standing], reference: Standing, threads: int) -> dict[str, ShiftMeasurement]:
    known = reference.images()

    def one(member: Standing) -> ShiftMeasurement:
        return _ITSELF if member.id == reference.id else measure(member.images(), known)

    with ThreadPoolExecutor(max(1, threads)) as pool:
        return dict(zip([member.id for member in members], pool.map(one, members), strict=True))


def measure(images: Sequence[EdgeImage], reference: Sequence[EdgeImage]) -> ShiftMeasurement:
    """Shift of an acquisition against a reference, from the votes of all probe tiles together."""
    windows = max(1, _WINDOWS // max(1, len(images)))
    votes = [shift_votes(*one, *other, windows) for one, other in zip(images, reference, strict=True)]
    return agree(np.concatenate(votes))


def _sum(own: ShiftMeasurement, tie: ShiftMeasurement, reference: str) -> ShiftMeasurement:
    """A shift against the granule's reference, from that against the orbit's and the orbit's own."""
    if own.shift is None:
        return own
    if tie.shift is None:
        return replace(own, shift=None, reason=f"its orbit's reference {reference} cannot be measured: {tie.reason}")
    # Adding zero turns a negative zero into a zero.
    north_m = round(own.shift.north_m + tie.shift.north_m, 1) + 0.0
    east_m = round(own.shift.east_m + tie.shift.east_m, 1) + 0.0
    return replace(own, shift=Shift(north_m, east_m), error_m=math.hypot(own.error_m, tie.error_m))
