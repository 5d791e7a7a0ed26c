"""What truly changes: windthrow, clear-cuts, building, quarries, moving gravel and regrowth, each with place and date.

The land evolves from 1 July 2015 in steps of a year, whatever years are asked for, so that an archive of more years
holds the same changes. The class of a year is the class on 1 July; a change has a date within the step, and images of
later days show it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_dilation, distance_transform_edt

from landseries.errors import ConfigError
from landseries.simulation.classes import LandCover
from landseries.simulation.landscape import BoolArray, ClassArray, Landscape, blob
from landseries.simulation.randomness import FloatArray, fractal_field, generator

#: Year whose 1 July is the state of the landscape before any change.
FIRST_YEAR: Final = 2015
LAST_YEAR: Final = 2035
_STORM: Final = date(2018, 10, 29)
_REGROWTH_YEARS: Final = 2


@dataclass(frozen=True)
class Change:
    """One kind of change between two 1 Julys.

    Attributes:
        from_year: Year of the first 1 July; the second is a year later.
        kind: windthrow, clear-cut, building, quarry, gravel or regrowth.
        before: Class before.
        after: Class after.
        day: Date from which images show it.
        mask: The pixels, bool, shape (rows, columns).
    """

    from_year: int
    kind: str
    before: LandCover
    after: LandCover
    day: date
    mask: BoolArray


class History:
    """The class of every pixel on every day from 1 July 2015 to 1 July of the last year.

    Args:
        landscape: The land on 1 July 2015.
        last_year: Last year whose 1 July is known.
        seed: The archive's seed.

    Raises:
        ConfigError: `last_year` lies outside 2015 to 2035.
    """

    def __init__(self, landscape: Landscape, last_year: int, seed: int) -> None:
        if not FIRST_YEAR <= last_year <= LAST_YEAR:
            raise ConfigError(f"year {last_year} is outside the simulated years {FIRST_YEAR} to {LAST_YEAR}")
        self._states: dict[int, ClassArray] = {FIRST_YEAR: landscape.classes}
        self.changes: list[Change] = []
        felled: dict[int, BoolArray] = {}
        for year in range(FIRST_YEAR, last_year):
            step = _Step(landscape, self._states[year], year, seed)
            step.run(felled.get(year - _REGROWTH_YEARS))
            felled[year] = step.felled
            self.changes += step.changes
            self._states[year + 1] = step.classes

    def truth(self, year: int) -> ClassArray:
        """Classes on 1 July of a year: class ids, uint8, shape (rows, columns)."""
        return self._states[year]

    def between(self, first_year: int, second_year: int) -> list[Change]:
        """The changes between the 1 Julys of two years, in order of time."""
        return [change for change in self.changes if first_year <= change.from_year < second_year]

    def on(self, day: date) -> ClassArray:
        """Classes as an image of `day` shows them: class ids, uint8, shape (rows, columns).

        Days after the last 1 July show the state of that 1 July; days before 1 July 2015 that of 2015.
        """
        year = day.year if day >= date(day.year, 7, 1) else day.year - 1
        year = min(max(year, FIRST_YEAR), max(self._states))
        classes = self._states[year].copy()
        for change in self.changes:
            if change.from_year == year and change.day <= day:
                classes[change.mask] = change.after
        return classes

    def felled_on(self, day: date) -> BoolArray:
        """Where forest was felled before `day` and no other change came since: bool, shape (rows, columns)."""
        felled = np.zeros(self._states[FIRST_YEAR].shape, bool)
        for change in self.changes:
            if change.day <= day:
                felled[change.mask] = change.kind in ("windthrow", "clear-cut")
        return felled


class _Step:
    """The changes of one year, from 1 July to 1 July; no pixel changes twice in a step."""

    def __init__(self, landscape: Landscape, classes: ClassArray, year: int, seed: int) -> None:
        self.before = classes
        self.classes = classes.copy()
        self.year = year
        self.changes: list[Change] = []
        self.felled: BoolArray = np.zeros(landscape.shape, bool)
        self._free: BoolArray = np.ones(landscape.shape, bool)
        self._land = landscape
        self._seed = seed

    def run(self, felled_before: BoolArray | None) -> None:
        """Make all changes of the step."""
        storm = self.year == _STORM.year
        kinds: list[Callable[[], None]] = [self._windthrow] if storm else []
        kinds += [self._clear_cut, self._building, self._quarry, self._gravel]
        for kind in kinds:
            kind()
        if felled_before is not None:
            grown = felled_before & (self.before == LandCover.GRASS)
            self._record("regrowth", LandCover.GRASS, LandCover.SHRUBLAND, grown, date(self.year + 1, 5, 1))

    def _windthrow(self) -> None:
        score = fractal_field(self._rng("windthrow"), self._land.shape, 26.0, octaves=3)
        chosen = self._choose("windthrow", score, self.before == LandCover.CONIFERS, 0.016)
        self._record("windthrow", LandCover.CONIFERS, LandCover.GRASS, chosen, _STORM)
        self.felled |= chosen

    def _clear_cut(self) -> None:
        """Whole parcels of forest, some conifers and some broadleaves, on one day of the dry half of the year."""
        for before, share in ((LandCover.CONIFERS, 0.006), (LandCover.BROADLEAVES, 0.004)):
            wish = self._rng("clear-cut", before).standard_normal(self._land.parcel_count).astype(np.float32)
            score = wish[self._land.parcels] * np.float32(10)
            chosen = self._choose(f"clear-cut-{before}", score, self.before == before, share)
            day = _day(self._rng("clear-cut-day", before), date(self.year, 8, 15), 90)
            self._record("clear-cut", before, LandCover.GRASS, chosen, day)
            self.felled |= chosen

    def _building(self) -> None:
        """Fields and meadows beside towns; a seeded preference makes it a few large sites."""
        near = _near(self.before == LandCover.ARTIFICIAL, 22.0)
        score = 1.6 * near + 0.8 * fractal_field(self._rng("building"), self._land.shape, 24.0, octaves=2)
        for before, share in ((LandCover.CROPS, 0.0055), (LandCover.GRASS, 0.0025)):
            allowed = (self.before == before) & self._land.valley & (near > 0)
            chosen = self._choose(f"building-{before}", score, allowed, share)
            day = _day(self._rng("building-day", before), date(self.year, 8, 1), 270)
            self._record("building", before, LandCover.ARTIFICIAL, chosen, day)

    def _quarry(self) -> None:
        pits = self.before == LandCover.MINERAL
        near = _near(pits, 9.0)
        score = near + 0.6 * fractal_field(self._rng("quarry"), self._land.shape, 24.0, octaves=2)
        for before in (LandCover.BROADLEAVES, LandCover.CONIFERS, LandCover.GRASS, LandCover.CROPS):
            allowed = (self.before == before) & (near > 0)
            chosen = self._choose(f"quarry-{before}", score, allowed, 0.0003)
            day = _day(self._rng("quarry-day"), date(self.year, 8, 1), 240)
            self._record("quarry", before, LandCover.MINERAL, chosen, day)

    def _gravel(self) -> None:
        """A flood moves bars: some water becomes gravel, as much gravel becomes water."""
        water, sand = self.before == LandCover.WATER, self.before == LandCover.SAND
        day = _day(self._rng("flood-day"), date(self.year, 10, 5), 50)
        score = fractal_field(self._rng("flood"), self._land.shape, 18.0, octaves=2)
        pairs = ((water, sand, LandCover.WATER, LandCover.SAND), (sand, water, LandCover.SAND, LandCover.WATER))
        for source, target, before, after in pairs:
            allowed = source & self._land.floodplain & binary_dilation(target, iterations=3)
            sign = np.float32(1 if before == LandCover.WATER else -1)
            chosen = self._choose(f"gravel-{before}", sign * score, allowed, 0.0010)
            self._record("gravel", before, after, chosen, day)

    def _choose(self, purpose: str, score: FloatArray, allowed: BoolArray, share: float) -> BoolArray:
        pixels = round(share * self.classes.size)
        return blob(score, allowed & self._free, pixels, self._rng("edge", purpose), 0.15)

    def _record(self, kind: str, before: LandCover, after: LandCover, mask: BoolArray, day: date) -> None:
        taken = mask & self._free
        if not taken.any():
            return
        self.classes[taken] = after
        self._free &= ~taken
        self.changes.append(Change(self.year, kind, before, after, day, taken))

    def _rng(self, *purpose: str | int) -> np.random.Generator:
        return generator(self._seed, "change", self.year, *purpose)


def _near(mask: BoolArray, reach_px: float) -> FloatArray:
    """1 at the mask, falling to 0 at `reach_px` from it and below 0 further away; -inf where the mask is empty."""
    if not mask.any():
        return np.full(mask.shape, -np.inf, np.float32)
    distance: npt.NDArray[np.float64] = distance_transform_edt(~mask)
    return np.asarray(1 - distance / reach_px, dtype=np.float32)


def _day(rng: np.random.Generator, first: date, span_days: int) -> date:
    return date.fromordinal(first.toordinal() + int(rng.integers(0, span_days)))
