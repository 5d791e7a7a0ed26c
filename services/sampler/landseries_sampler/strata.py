"""Strata of a tile and the candidates drawn from them.

The agreeing stratum holds the pixels whose pseudo-labels are one class in all years; a year's own stratum holds every
pixel with a pseudo-label of that year, and nothing of another year has a say in it. Within a stratum, candidates are
drawn per class and part of the area: those of smallest pixel priority, which is a simple random sample that does not
depend on where tiles are cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import numpy.typing as npt

from landseries.grid import Part
from landseries.legend import NO_CLASS
from landseries_sampler.histograms import bins_of

#: The stratum of pixels that agree; a year's own stratum is named as the year.
AGREEING: Final = "agreeing"
#: Parts that samples may come from.
SAMPLED_PARTS: Final[tuple[Part, ...]] = (Part.TRAINING, Part.VALIDATION)
#: Values that a class can have, and groups of parts and classes that there can be; see `group_of`.
CLASSES: Final = 256
GROUPS: Final = (len(Part) + 1) * CLASSES
#: Stored probabilities are in steps of 1/200.
_PROBABILITY_STEPS: Final = 200


def stream_of(stratum: str) -> str:
    """Stream of a stratum's pixel priorities: each stratum is a draw of its own."""
    return "sample agreeing" if stratum == AGREEING else f"sample own {stratum}"


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

    def up_to(self, last_bins: npt.NDArray[np.int64]) -> Drawn:
        """Those of the pixels whose priorities lie in no later bin than their group's last one.

        Args:
            last_bins: (`GROUPS`,) bins of `landseries_sampler.histograms`, by `group_of`; -1 for none.
        """
        kept = bins_of(self.priority) <= last_bins[group_of(self.part, self.classes)]
        return Drawn(*(getattr(self, column.name)[kept] for column in fields(self)))


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
    return part.astype(np.int64) * CLASSES + classes


def first_of_groups(
    group: npt.NDArray[np.int64], priority: npt.NDArray[np.uint64], count: int | npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Positions of the `count` smallest priorities of every group, ordered by group and priority.

    Args:
        group: (n,) group of each element.
        priority: (n,) priority of each element; equal ones keep the order in which they came.
        count: most elements of any group; or of each, (`GROUPS`,).
    """
    order = np.lexsort((priority, group))
    sorted_group = group[order]
    starts = np.searchsorted(sorted_group, sorted_group, side="left")
    most = count if isinstance(count, int) else count[sorted_group]
    return order[np.arange(len(order)) - starts < most]
