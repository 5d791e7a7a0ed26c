"""The region's sample of one stratum, merged from the candidates of all tiles.

Two passes. The first, here, reads classes and priorities only, and holds per class and part no more pixels than the
sample may take; the second reads the series of the pixels that were taken, tile by tile. So memory follows the size
of the sample and of one tile's candidates, not the number of tiles. Keeping the smallest priorities of each tile and
then of all tiles equals keeping those of the whole region, as long as no tile's cap is below what the region takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from landseries.grid import Part
from landseries_sampler.quotas import equal_quotas
from landseries_sampler.strata import SAMPLED_PARTS, first_of_groups, group_of

#: A pixel of the sample: its part, class and priority; its tile among those merged and its line in the tile's file.
PIXEL: Final = np.dtype([("part", "u1"), ("class", "u1"), ("priority", "<u8"), ("tile", "<i4"), ("line", "<i8")])


class StratumMerge:
    """Merges the candidates of tiles into the sample of one stratum."""

    def __init__(self, totals: Mapping[Part, int]) -> None:
        """Start a merge.

        Args:
            totals: pixels wanted of each part.
        """
        self._totals = totals
        self._held = np.empty(0, dtype=PIXEL)
        self._available: dict[Part, dict[int, int]] = {part: {} for part in SAMPLED_PARTS}

    def add(self, tile: int, columns: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take up one tile's candidates.

        Args:
            tile: the tile's position among those merged.
            columns: `part`, `class` and `priority`, each (n,), in the order of the tile's file.
        """
        new = np.empty(len(columns["part"]), dtype=PIXEL)
        for name in ("part", "class", "priority"):
            new[name] = columns[name]
        new["tile"], new["line"] = tile, np.arange(len(new))
        for part, known in self._available.items():
            classes, counts = np.unique(new["class"][new["part"] == int(part)], return_counts=True)
            for class_id, count in zip(classes.tolist(), counts.tolist(), strict=True):
                known[class_id] = known.get(class_id, 0) + count
        merged = np.concatenate([self._held, new])
        most = max(self._totals.values())
        self._held = merged[first_of_groups(group_of(merged["part"], merged["class"]), merged["priority"], most)]

    def available(self, part: Part) -> dict[int, int]:
        """Candidates seen, by class in ascending order."""
        return dict(sorted(self._available[part].items()))

    def taken(self) -> npt.NDArray[Any]:
        """The sample: of each part its total, shared out over the classes as equally as they allow.

        Returns:
            (n,) of `PIXEL`, ordered by part, class and priority.
        """
        group = group_of(self._held["part"], self._held["class"])
        kept = np.zeros(len(group), dtype=bool)
        for part in SAMPLED_PARTS:
            for class_id, quota in equal_quotas(self.available(part), self._totals[part]).items():
                start = np.searchsorted(group, int(part) * 256 + class_id)
                kept[start : start + quota] = True  # held pixels are ordered by group, then priority
        return self._held[kept]
