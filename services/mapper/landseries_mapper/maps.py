"""The raster of a year's map, filled block by block, and the number of changes over the years."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from landseries.legend import NO_CLASS, Legend

#: Stored probabilities are in steps of 1/200.
PROBABILITY_STEPS: Final = 200
#: Value of confidence, probabilities and changes where there is no data.
NO_VALUE: Final = 255
#: Bands before the probabilities.
LEADING_BANDS: Final = ("class", "confidence", "clear_views")


def band_names(legend: Legend) -> list[str]:
    """Names of a map's bands: class, confidence, clear views, and one probability per class of the legend."""
    return [*LEADING_BANDS, *(f"p_{name}" for name in legend.names)]


class YearMap:
    """A year's map of a tile.

    Attributes:
        bands: (band, row, column) uint8, named by `band_names`: the class (0 no-data), its probability in steps of
            1/200 (255 no-data), the clear views of the year, and each class's probability (255 no-data).
    """

    def __init__(self, legend: Legend, clear_views: npt.NDArray[np.uint8], mapped: npt.NDArray[np.bool_]) -> None:
        """Start a map without any class.

        Args:
            legend: the legend; the order of the probability bands.
            clear_views: (rows, columns) clear views of the year.
            mapped: (rows, columns) pixels that may get a class: inside the area, with enough clear views.
        """
        self._ids = legend.ids
        self._mapped = mapped
        self.bands = np.full((len(LEADING_BANDS) + len(legend.ids), *mapped.shape), NO_VALUE, dtype=np.uint8)
        self.bands[0] = NO_CLASS
        self.bands[2] = clear_views

    def wants(self, first_row: int, last_row: int) -> bool:
        """Whether rows first_row..last_row-1 hold a pixel to map."""
        return bool(self._mapped[first_row:last_row].any())

    def fill(
        self,
        first_row: int,
        labels: npt.NDArray[np.uint8],
        probabilities: npt.NDArray[np.float32],
        classes: Sequence[int],
    ) -> None:
        """Take up what a network said of some rows.

        Args:
            first_row: the first of the rows.
            labels: (rows, columns) class ids, 0 where the series has no value at all.
            probabilities: (classes, rows, columns), 0..1.
            classes: ids of the network's classes; classes of the legend that it never saw get probability 0.
        """
        rows = slice(first_row, first_row + labels.shape[0])
        valid = self._mapped[rows] & (labels != NO_CLASS)
        steps = np.rint(probabilities * np.float32(PROBABILITY_STEPS)).astype(np.uint8)
        self.bands[0, rows][valid] = labels[valid]
        self.bands[1, rows][valid] = steps.max(axis=0)[valid]
        for band, class_id in enumerate(self._ids, start=len(LEADING_BANDS)):
            known = steps[classes.index(class_id)][valid] if class_id in classes else 0
            self.bands[band, rows][valid] = known

    @property
    def classes(self) -> npt.NDArray[np.uint8]:
        """(rows, columns) class ids, 0 no-data."""
        classes: npt.NDArray[np.uint8] = self.bands[0]
        return classes


def count_changes(maps: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    """How often the class of a pixel changes from one year that has it to the next that has it.

    Args:
        maps: (rows, columns) class ids of each year, in order; 0 no-data. At least one.

    Returns:
        (rows, columns) uint8; 255 where fewer than two years have data.
    """
    last = maps[0].copy()
    changes = np.zeros(last.shape, dtype=np.uint8)
    years = (last != NO_CLASS).astype(np.uint8)
    for classes in maps[1:]:
        present = classes != NO_CLASS
        changes += present & (last != NO_CLASS) & (classes != last)
        last[present] = classes[present]
        years += present
    changes[years < 2] = NO_VALUE
    return changes
