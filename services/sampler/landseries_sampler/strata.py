"""Strata of a tile and the candidates drawn from them.

The agreeing stratum holds the pixels whose pseudo-labels are one class in all years; a year's own stratum holds every
pixel with a pseudo-label of that year, and nothing of another year has a say in it. Within a stratum, candidates are
drawn per class and part of the area: those of smallest pixel priority, which is a simple random sample that does not
depend on where tiles are cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from landseries.grid import Part
from landseries.legend import NO_CLASS

#: Streams of the pixel priorities: each stratum is a draw of its own.
AGREEING_STREAM: Final = "sample agreeing"
#: Parts that samples may come from.
SAMPLED_PARTS: Final[tuple[Part, ...]] = (Part.TRAINING, Part.VALIDATION)
#: Stored probabilities are in steps of 1/200.
_PROBABILITY_STEPS: Final = 200


def own_stream(year: int) -> str:
    """Stream of the pixel priorities of a year's own stratum."""
    return f"sample own {year}"


@dataclass(frozen=True)
class Drawn:
    """Pixels drawn from one stratum, ordered by part, class and priority.

    Attributes:
        row, column: (n,) int32 place in the tile.
        part: (n,) uint8 of `landseries.grid.Part`.
        classes: (n,) uint8 class values.
        priority: (n,) uint64; smaller is taken first.
    """

    row: npt.NDArray[np.int32]
    column: npt.NDArray[np.int32]
    part: npt.NDArray[np.uint8]
    classes: npt.NDArray[np.uint8]
    priority: npt.NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.row)


def own_stratum(
    labels: npt.NDArray[np.uint8], probabilities: npt.NDArray[np.uint8], min_probability: float
) -> npt.NDArray[np.uint8]:
    """The stratum of one year.

    Args:
        labels: (rows, columns) pseudo-labels of the year; 0 where too few clear views gave none.
        probabilities: (rows, columns) in steps of 1/200.
        min_probability: pixels with less are left out, 0..1.

    Returns:
        (rows, columns) uint8: the pixel's class, 0 outside the stratum.
    """
    confident = probabilities >= min_probability * _PROBABILITY_STEPS
    return np.where(confident, labels, np.uint8(NO_CLASS))


def agreeing_stratum(own: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    """The stratum of pixels that have the same class in all years.

    Args:
        own: each year's own stratum, (rows, columns) of classes, 0 outside.

    Returns:
        (rows, columns) uint8: the agreed class, 0 outside the stratum.
    """
    agreed = own[0].copy()
    for other in own[1:]:
        agreed[other != agreed] = NO_CLASS
    return agreed


def draw(
    stratum: npt.NDArray[np.uint8],
    parts: npt.NDArray[np.uint8],
    priority: npt.NDArray[np.uint64],
    per_class: int,
) -> Drawn:
    """Draw candidates from a stratum: per class and part, at most `per_class` pixels of smallest priority.

    Args:
        stratum: (rows, columns) class of each pixel, 0 outside the stratum.
        parts: (rows, columns) of `landseries.grid.Part`; only training and validation parts are drawn from.
        priority: (rows, columns) pixel priorities of the stratum's own stream.
        per_class: most pixels of one class and part.
    """
    eligible = (stratum != NO_CLASS) & np.isin(parts, [int(part) for part in SAMPLED_PARTS])
    row, column = np.nonzero(eligible)
    part, classes, order = parts[eligible], stratum[eligible], priority[eligible]
    kept = first_of_groups(group_of(part, classes), order, per_class)
    return Drawn(
        row=row[kept].astype(np.int32),
        column=column[kept].astype(np.int32),
        part=part[kept],
        classes=classes[kept],
        priority=order[kept],
    )


def group_of(part: npt.NDArray[np.uint8], classes: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """One number per part and class, ascending by part, then class."""
    return part.astype(np.int64) * 256 + classes


def first_of_groups(
    group: npt.NDArray[np.int64], priority: npt.NDArray[np.uint64], count: int
) -> npt.NDArray[np.int64]:
    """Positions of the `count` smallest priorities of every group, ordered by group and priority.

    Args:
        group: (n,) group of each element.
        priority: (n,) priority of each element; equal ones keep the order in which they came.
        count: most elements of one group.
    """
    order = np.lexsort((priority, group))
    sorted_group = group[order]
    starts = np.searchsorted(sorted_group, sorted_group, side="left")
    return order[np.arange(len(order)) - starts < count]
