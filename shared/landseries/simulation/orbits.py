"""When the satellites pass and what an archive keeps of it: datatakes, their swaths, halves and processing baselines.

Passes follow the real ten-day cycle of 143 orbits. Of all passes of a year a bounded number is kept, one from each
stretch of the year, so that dates differ between years but no season is empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final

import numpy as np

from landseries.simulation.difficulty import Difficulty
from landseries.simulation.geometry import PIXEL_M, Geometry
from landseries.simulation.landscape import BoolArray
from landseries.simulation.randomness import generator

_CYCLE_DAYS: Final = 10
_CYCLE_ORBITS: Final = 143
#: Run of a descending track: metres to the east per metre to the north.
_TRACK_LEAN: Final = 0.21
#: (platform, relative orbit, day of one pass, its absolute orbit, time of day of the datatake's start).
_PASSES: Final = (
    ("S2A", 22, date(2019, 2, 13), 19_038, time(10, 10, 31, 24_000)),
    ("S2A", 65, date(2019, 2, 16), 19_081, time(10, 20, 31, 24_000)),
    ("S2B", 22, date(2021, 1, 18), 20_211, time(10, 10, 29, 24_000)),
    ("S2B", 65, date(2021, 1, 21), 20_254, time(10, 20, 29, 24_000)),
)
_IN_SERVICE: Final = {"S2A": date(2015, 7, 6), "S2B": date(2017, 7, 1)}
#: Baseline of nominal processing from a day on; from 04.00 on products carry the offset.
_NOMINAL: Final = (
    (date(2015, 1, 1), "02.04"),
    (date(2017, 1, 1), "02.05"),
    (date(2018, 1, 1), "02.06"),
    (date(2018, 10, 8), "02.09"),
    (date(2019, 1, 1), "02.11"),
    (date(2019, 7, 8), "02.13"),
    (date(2020, 2, 25), "02.14"),
    (date(2021, 3, 30), "03.00"),
    (date(2021, 8, 23), "03.01"),
    (date(2022, 1, 25), "04.00"),
    (date(2022, 12, 6), "05.09"),
    (date(2024, 1, 1), "05.10"),
)
_PARTIAL_ORBIT: Final = 22
_PARTIAL_SHARE: Final = 0.32
_TWICE_SHARE: Final = 0.15
_REPROCESSED_ONLY_SHARE: Final = 0.12
_REFINED_FROM_YEAR: Final = 2021


@dataclass(frozen=True)
class Swath:
    """The part of the ground that a pass sees: everything east of its western edge.

    Attributes:
        edge_m: Where the edge crosses the scene's middle row, in metres east of the scene's centre; None where the
            scene lies wholly inside.
        cut_m: Where a cut across the track crosses the scene's middle column, in metres north of the scene's centre;
            None for a datatake in one piece.
    """

    edge_m: float | None = None
    cut_m: float | None = None

    def reaches(self, geometry: Geometry) -> BoolArray:
        """Pixels of 20 m inside the swath, bool, shape (rows / 2, columns / 2)."""
        east, north = _from_centre_m(geometry)
        if self.edge_m is None:
            return np.ones(east.shape, bool)
        return np.asarray(east > self.edge_m + _TRACK_LEAN * north, dtype=bool)

    def northern(self, geometry: Geometry) -> BoolArray:
        """Pixels of 20 m on the northern side of the cut, bool; all where there is no cut."""
        east, north = _from_centre_m(geometry)
        if self.cut_m is None:
            return np.ones(east.shape, bool)
        return np.asarray(north > self.cut_m - _TRACK_LEAN * east, dtype=bool)


@dataclass(frozen=True)
class Processing:
    """One processing of a datatake: its baseline, such as 02.06, and the time at which the product was made."""

    baseline: str
    generated: datetime

    @property
    def has_offset(self) -> bool:
        """Whether 1,000 was added to every digital number: so from baseline 04.00 on."""
        return self.baseline >= "04.00"


@dataclass(frozen=True)
class Datatake:
    """One pass over the scene.

    Attributes:
        platform: S2A or S2B.
        relative_orbit: Number of the orbit within the cycle.
        absolute_orbit: Number of the orbit since launch.
        start: Start of sensing, UTC.
        datastrips: Start of sensing of each datastrip: one, or two where the datatake came in halves, north first.
        swath: What it sees.
        cloud_share: Share of the scene below cloud.
        shift_east_m: How far the image lies east of where it should.
        shift_north_m: The same towards the north.
        refined: Whether the geometry was refined.
        processings: The processings that the archive holds.
    """

    platform: str
    relative_orbit: int
    absolute_orbit: int
    start: datetime
    datastrips: tuple[datetime, ...]
    swath: Swath
    cloud_share: float
    shift_east_m: float
    shift_north_m: float
    refined: bool
    processings: tuple[Processing, ...]

    @property
    def day(self) -> date:
        """Day of sensing."""
        return self.start.date()

    @property
    def name(self) -> str:
        """Platform and start, such as S2A_20180704T101031."""
        return f"{self.platform}_{self.start:%Y%m%dT%H%M%S}"


def plan_datatakes(
    years: Sequence[int], per_year: int, geometry: Geometry, difficulty: Difficulty, seed: int
) -> list[Datatake]:
    """Choose the datatakes of all years, in order of time; those of a year depend on no other year."""
    chosen: list[Datatake] = []
    for year in sorted(years):
        passes = _passes(year)
        stretches = np.array_split(np.arange(len(passes)), min(per_year, len(passes)))
        rng = generator(seed, "plan", year)
        halves = int(rng.integers(len(stretches) // 3, max(len(stretches) // 3 + 1, 2 * len(stretches) // 3)))
        skies = _cloud_shares(len(stretches), rng)
        for number, stretch in enumerate(stretches):
            platform, relative, absolute, start = passes[_pick(passes, stretch, number == halves, rng)]
            draw = generator(seed, "datatake", f"{platform}_{start:%Y%m%d}", relative)
            this = (platform, relative, absolute, start)
            chosen.append(_datatake(this, skies[number], number == halves, geometry, difficulty, draw))
    return chosen


_Pass = tuple[str, int, int, datetime]


def _passes(year: int) -> list[_Pass]:
    found: list[_Pass] = []
    for platform, relative, day, absolute, at in _PASSES:
        first = date(year, 1, 1)
        cycle = -((day - first).days // _CYCLE_DAYS)
        while (this := day + timedelta(days=_CYCLE_DAYS * cycle)).year == year:
            if this >= _IN_SERVICE[platform]:
                found.append((platform, relative, absolute + _CYCLE_ORBITS * cycle, datetime.combine(this, at)))
            cycle += 1
    return sorted(found, key=lambda item: item[3])


def _pick(
    passes: list[_Pass], stretch: np.ndarray[tuple[int, ...], np.dtype[np.int64]], whole: bool, rng: np.random.Generator
) -> int:
    """One pass of a stretch; passes of the orbit that sees only part of the scene more seldom, or not at all."""
    partial = np.array([passes[index][1] == _PARTIAL_ORBIT for index in stretch])
    weights = np.where(partial, 1e-9 if whole else _PARTIAL_SHARE, 1 - _PARTIAL_SHARE)
    return int(rng.choice(stretch, p=weights / weights.sum()))


def _datatake(
    this: _Pass,
    clouds: float,
    in_halves: bool,
    geometry: Geometry,
    difficulty: Difficulty,
    rng: np.random.Generator,
) -> Datatake:
    platform, relative, absolute, start = this
    side_m = geometry.size_px * PIXEL_M
    edge = float(rng.uniform(-0.38, 0.05)) * side_m if relative == _PARTIAL_ORBIT else None
    cut = float(rng.uniform(-0.2, 0.2)) * side_m if in_halves else None
    begins = start + timedelta(seconds=int(rng.integers(0, 8)))
    strips = (begins, begins + timedelta(seconds=int(rng.integers(150, 400)))) if in_halves else (begins,)
    refined = start.year >= _REFINED_FROM_YEAR
    reach_m = difficulty.refined_shift_max_m if refined else difficulty.registration_shift_max_m
    length_m, angle = float(rng.uniform(0, reach_m)), float(rng.uniform(0, 2 * np.pi))
    return Datatake(
        platform=platform,
        relative_orbit=relative,
        absolute_orbit=absolute,
        start=start,
        datastrips=strips,
        swath=Swath(edge, cut),
        cloud_share=min(clouds, 0.15) if in_halves else clouds,
        shift_east_m=length_m * float(np.cos(angle)),
        shift_north_m=length_m * float(np.sin(angle)),
        refined=refined,
        processings=_processings(start, not in_halves, rng),
    )


def _cloud_shares(count: int, rng: np.random.Generator) -> list[float]:
    """Of four datatakes in a row two nearly clear, one broken, one mostly overcast; bad weather never lasts longer."""
    shares: list[float] = []
    while len(shares) < count:
        kinds = rng.permutation(4)
        amounts = rng.random(4)
        shares += [
            float((0.06 * amount, 0.06 * amount, 0.08 + 0.37 * amount, 0.55 + 0.45 * amount)[kind])
            for kind, amount in zip(kinds, amounts, strict=True)
        ]
    return shares[:count]


def _processings(start: datetime, may_repeat: bool, rng: np.random.Generator) -> tuple[Processing, ...]:
    """Nominal processing, a later reprocessing with the offset, or both."""
    baseline = next(name for since, name in reversed(_NOMINAL) if since <= start.date())
    made = start + timedelta(minutes=int(rng.integers(180, 600)), seconds=int(rng.integers(0, 60)))
    nominal = Processing(baseline, made.replace(microsecond=0))
    collection, since = ("05.00", datetime(2022, 10, 1)) if start.year < 2022 else ("05.10", datetime(2024, 2, 1))
    again = since + timedelta(days=int(rng.integers(0, 250)), seconds=int(rng.integers(0, 86_400)))
    reprocessed = Processing(collection, again)
    drawn = rng.random()
    if baseline >= collection or not may_repeat or drawn > _TWICE_SHARE + _REPROCESSED_ONLY_SHARE:
        return (nominal,)
    return (nominal, reprocessed) if drawn < _TWICE_SHARE else (reprocessed,)


def _from_centre_m(geometry: Geometry) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.float64]], ...]:
    half = geometry.size_px * PIXEL_M / 2
    steps = np.arange(geometry.size_px // 2) * 2 * PIXEL_M + PIXEL_M - half
    north, east = np.meshgrid(-steps, steps, indexing="ij")
    return east, north
