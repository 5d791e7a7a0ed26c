"""What a run spans: all values of the key fields of its units that are known before any search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

#: The only region of a run so far; the key is there so that large areas can have a model per eco-region.
REGION: Final = "all"


@dataclass(frozen=True)
class Extent:
    """What a run spans: the tiles with their home granules, the years, the models."""

    granule_of: Mapping[str, str]
    years: tuple[str, ...]
    training_year: str
    models: tuple[str, ...]

    @cached_property
    def tiles_of(self) -> dict[str, tuple[str, ...]]:
        """Tiles of each granule, both in ascending order."""
        by_granule: dict[str, list[str]] = {granule: [] for granule in sorted(set(self.granule_of.values()))}
        for tile in sorted(self.granule_of):
            by_granule[self.granule_of[tile]].append(tile)
        return {granule: tuple(tiles) for granule, tiles in by_granule.items()}

    @cached_property
    def values(self) -> dict[str, tuple[str, ...]]:
        """All values of each key field that is known before any search."""
        return {
            "tile": tuple(sorted(self.granule_of)),
            "granule": tuple(self.tiles_of),
            "year": self.years,
            "model": self.models,
            "region": (REGION,),
        }

    def known(self, field: str) -> frozenset[str]:
        """The same values as a set."""
        return self._sets[field]

    @cached_property
    def _sets(self) -> dict[str, frozenset[str]]:
        return {field: frozenset(values) for field, values in self.values.items()}
