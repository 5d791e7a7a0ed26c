"""What the mosaics wrote: result files by model, year, granule and layer, and the granules' grids."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from landseries.grid import Raster
from landseries.service import Context, Input
from landseries_assessor import layout
from landseries_assessor.mosaic import bounding_grid

LAYERS = ("class", "probabilities", "confidence", "clear_views")


@dataclass(frozen=True)
class ResultFile:
    """One raster of the result folder and the unit that wrote it."""

    name: str
    granule: str
    source: Input


class Results:
    """The result files of a run."""

    def __init__(self, context: Context) -> None:
        self._mosaics = [item for item in context.inputs("mosaic") if item.done]
        self.granules: dict[str, Raster] = {
            granule: bounding_grid(context.tiles_of(granule))
            for granule in dict.fromkeys(item.unit["granule"] for item in context.inputs("mosaic"))
        }
        self.years = context.years
        self.models = [m for m in context.models if any(item.unit["model"] == m for item in self._mosaics)]

    def maps(self, model: str, year: int, layer: str) -> list[ResultFile]:
        """A model's maps of a year, one per granule that has one."""
        return list(self._find(lambda g: layout.map_file(model, year, g, layer), model))

    def changes(self, model: str) -> list[ResultFile]:
        """A model's numbers of changes, one per granule."""
        return list(self._find(lambda g: layout.changes_file(model, g), model))

    def composites(self, year: int) -> list[ResultFile]:
        """The composites of a year, one per granule; any model's mosaic may have brought them."""
        found = {file.name: file for model in self.models for file in self._composites(year, model)}
        return list(found.values())

    def mapped_years(self) -> list[int]:
        """Years of which any model has a map."""
        return [y for y in self.years if any(self.maps(model, y, "class") for model in self.models)]

    def _composites(self, year: int, model: str) -> Iterator[ResultFile]:
        return self._find(lambda g: layout.composite_file(year, g), model)

    def _find(self, name_of: Callable[[str], str], model: str) -> Iterator[ResultFile]:
        for item in self._mosaics:
            name = name_of(item.unit["granule"])
            if item.unit["model"] == model and name in item.marker.outputs:
                yield ResultFile(name, item.unit["granule"], item)
