"""Which annual series each model is trained on.

- `multi-year`: the agreeing sample, every year's series of each pixel with the one agreed label.
- `single-year-agreeing`: the same lines; the trainer gives each year's to a network of its own.
- `multi-year-equal`: the agreeing sample, one year's series of each pixel, so that there are as many series in all
  as one single-year network sees; years are dealt out in turn within each class.
- `single-year`: for each year the sample of that year's own stratum, with that year's series and label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from landseries.grid import Part


@dataclass(frozen=True)
class Sample:
    """The sample of one stratum with its series.

    Attributes:
        pixels: (n,) of `landseries_sampler.merge.PIXEL`, ordered by part, class and priority.
        x, y: (n,) float64 pixel centres in the CRS of each pixel's tile.
        crs: (n,) uint8 number of that CRS among the region's.
        series: year -> (n, dates x features) int16, date-major, -32768 where a date is missing.
        present: year -> (n,) bool: whether the pixel's tile has a series of that year.
    """

    pixels: npt.NDArray[Any]
    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    crs: npt.NDArray[np.uint8]
    series: Mapping[int, npt.NDArray[np.int16]]
    present: Mapping[int, npt.NDArray[np.bool_]]


@dataclass(frozen=True)
class Lines:
    """Annual series of one year in a model's table.

    Attributes:
        year: the year.
        sample: the sample that the pixels belong to.
        chosen: (m,) positions in the sample of the pixels whose series of that year are used, ascending.
    """

    year: int
    sample: Sample
    chosen: npt.NDArray[np.int64]

    def of_part(self, part: Part) -> npt.NDArray[np.int64]:
        """Those of the chosen positions that lie in a part of the area."""
        inside: npt.NDArray[np.int64] = self.chosen[self.sample.pixels["part"][self.chosen] == int(part)]
        return inside

    def class_counts(self, part: Part) -> dict[int, int]:
        """Series of each class in a part, by ascending class."""
        classes, counts = np.unique(self.sample.pixels["class"][self.of_part(part)], return_counts=True)
        return dict(zip(classes.tolist(), counts.tolist(), strict=True))


def every_year(sample: Sample) -> list[Lines]:
    """Every series of every pixel."""
    return [Lines(year, sample, np.flatnonzero(present)) for year, present in sorted(sample.present.items())]


def one_year_each(sample: Sample) -> list[Lines]:
    """One series of each pixel, the years in turn.

    Pixels of a part and class follow one another by priority, which is random, so that the turn is a random choice. A
    class begins with a year later than the class before it, so that the odd pixels of the classes do not all fall on
    the first year; a pixel whose tile has no series of its year takes the next year in turn that it has.
    """
    years = sorted(sample.present)
    if not years:
        return []
    present = np.column_stack([sample.present[year] for year in years])
    part, classes = sample.pixels["part"], sample.pixels["class"]
    position = np.arange(len(part))
    begins = np.ones(len(part), dtype=bool)
    begins[1:] = (part[1:] != part[:-1]) | (classes[1:] != classes[:-1])
    first = np.maximum.accumulate(np.where(begins, position, 0))
    wanted = (position - first + np.cumsum(begins) - 1) % len(years)
    dealt = np.full(len(part), -1)
    for later in range(len(years)):
        turn = (wanted + later) % len(years)
        free = (dealt < 0) & present[position, turn]
        dealt[free] = turn[free]
    return [Lines(year, sample, np.flatnonzero(dealt == place)) for place, year in enumerate(years)]


def why_untrainable(lines: Sequence[Lines]) -> str | None:
    """What a network would miss that gets these lines; None where it can be trained and validated."""
    training = {class_id for one in lines for class_id in one.class_counts(Part.TRAINING)}
    if len(training) < 2:
        return (
            f"training blocks have samples of {len(training)} classes, two are needed; look at the pseudo-labels, "
            "or enlarge the area or blocks.training"
        )
    if not any(one.class_counts(Part.VALIDATION) for one in lines):
        return "validation blocks have no samples; enlarge the area or blocks.validation"
    return None


def table_of(lines: Sequence[Lines]) -> dict[str, npt.NDArray[Any]]:
    """The table of a model: one line per annual series, ordered by split, year, class and priority.

    Args:
        lines: the model's series, at least one entry, years ascending.

    Returns:
        `split` (uint8: 0 training, 1 validation), `year` (int16), `class` (uint8), `weight` (float32), `x`, `y`
        (float64, pixel centre), `crs` (uint8, number of the CRS in the summary), `series` (n, dates x features) int16.
    """
    pieces = [
        (split, one.year, one.sample, one.of_part(part))
        for split, part in enumerate((Part.TRAINING, Part.VALIDATION))
        for one in lines
    ]
    size = sum(len(chosen) for *_, chosen in pieces)
    return {
        "split": np.concatenate([np.full(len(chosen), split, dtype=np.uint8) for split, _, _, chosen in pieces]),
        "year": np.concatenate([np.full(len(chosen), year, dtype=np.int16) for _, year, _, chosen in pieces]),
        "class": np.concatenate([sample.pixels["class"][chosen] for _, _, sample, chosen in pieces]),
        "weight": np.ones(size, dtype=np.float32),
        "x": np.concatenate([sample.x[chosen] for _, _, sample, chosen in pieces]),
        "y": np.concatenate([sample.y[chosen] for _, _, sample, chosen in pieces]),
        "crs": np.concatenate([sample.crs[chosen] for _, _, sample, chosen in pieces]),
        "series": np.concatenate([sample.series[year][chosen] for _, year, sample, chosen in pieces]),
    }
