"""Where each acquisition of a granule lies: measured against one of its orbit, and the orbits against each other.

Acquisitions of one relative orbit look at the ground from the same side, so that they are alike where hills lean. Each
is measured against the reference of its orbit, the orbits' references against that of the granule, and the sums are
what counts. The datum is the granule's reference where its geometry was refined; else the median of all, because one
unrefined acquisition is as wrong as another.
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
_ITSELF: Final = ShiftMeasurement(Shift(0.0, 0.0), 0, 1.0, 0.0)


@dataclass(frozen=True)
class Standing:
    """What decides whether an acquisition can be a reference.

    Attributes:
        id: the acquisition; ids of one granule sort by time within a platform.
        orbit: relative orbit.
        refined: whether its geometry was refined; None where that is not told.
        clear_share: share of the probe tiles' pixels that are clear views.
        snow_share: share of the clear views that are snow.
        images: reads its probe tiles.
    """

    id: str
    orbit: int | None
    refined: bool | None
    clear_share: float
    snow_share: float
    images: Callable[[], list[EdgeImage]]

    @property
    def rank(self) -> tuple[bool, bool, int, float, str]:
        """The smallest is the reference: free of snow, clear, refined, the clearest, the first by id."""
        is_hidden = self.clear_share < _CLEAR_MIN
        share = -round(self.clear_share, 2)
        return self.snow_share > _SNOW_MAX, is_hidden, _REFINED_RANK[self.refined], share, self.id


@dataclass(frozen=True)
class Placing:
    """Where the acquisitions of a granule lie.

    Attributes:
        reference: the granule's reference; None without acquisitions.
        references: relative orbit -> its reference.
        is_refined: whether the datum is the refined reference; else it is the median of all.
        found: acquisition -> its shift against the datum, rounded to 0.1 m, and how it was measured.
    """

    reference: str | None
    references: Mapping[int | None, str]
    is_refined: bool
    found: Mapping[str, ShiftMeasurement]


def place(standings: Sequence[Standing], threads: int, tell: Callable[[str], None]) -> Placing:
    """Measure the shifts of all acquisitions of a granule.

    Args:
        standings: the acquisitions, in any order.
        threads: acquisitions that are measured side by side; changes no figure.
        tell: told how it comes along.
    """
    if not standings:
        return Placing(None, {}, False, {})
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
    is_refined = reference.refined is True
    datum = Shift(0.0, 0.0) if is_refined else _median([one.shift for one in found.values() if one.shift is not None])
    placed = {name: replace(one, shift=_against(one.shift, datum)) for name, one in found.items()}
    return Placing(reference.id, {orbit: one.id for orbit, one in references.items()}, is_refined, placed)


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
    shift = Shift(own.shift.north_m + tie.shift.north_m, own.shift.east_m + tie.shift.east_m)
    return replace(own, shift=shift, error_m=math.hypot(own.error_m, tie.error_m))


def _median(shifts: Sequence[Shift]) -> Shift:
    if not shifts:
        return Shift(0.0, 0.0)
    north, east = np.median([(shift.north_m, shift.east_m) for shift in shifts], axis=0)
    return Shift(float(north), float(east))


def _against(shift: Shift | None, datum: Shift) -> Shift | None:
    if shift is None:
        return None
    # Adding zero turns a negative zero into a zero.
    return Shift(round(shift.north_m - datum.north_m, 1) + 0.0, round(shift.east_m - datum.east_m, 1) + 0.0)
