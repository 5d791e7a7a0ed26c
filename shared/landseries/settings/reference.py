"""Settings of the existing map: where it is, what of it holds the codes, and what they mean."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from landseries.settings.base import Settings

Year = Annotated[int, Field(ge=2015, le=2100)]


class ReferenceMap(Settings):
    """The existing thematic map."""

    path: Annotated[
        Path | None,
        Field(
            description="Categorical raster, or polygons (.gpkg, .shp, .fgb, .geojson, .gdb), in any projection; a "
            "pixel has the code of the place where its centre lies"
        ),
    ] = None
    field: Annotated[
        str | None, Field(min_length=1, description="Attribute of the polygons' codes; by itself, one like CODE_18")
    ] = None
    layer: Annotated[
        str | None, Field(min_length=1, description="Layer of the polygons; by itself, the only one with codes")
    ] = None
    variable: Annotated[str | None, Field(description="Or: a variable of the cube that holds the map")] = None
    year: Annotated[Year, Field(description="Year that the map shows")]
    legend: Annotated[
        str,
        Field(description="Shipped legend (corine, corine-paper, corine-detailed, worldcover) or a YAML file"),
    ] = "corine"

    @model_validator(mode="after")
    def _one_of_both(self) -> ReferenceMap:
        if (self.path is None) == (self.variable is None):
            raise ValueError("give either `path` (a raster or polygons) or `variable` (of the cube)")
        if self.path is None and (self.field is not None or self.layer is not None):
            raise ValueError("`field` and `layer` belong to `path`; leave them out for a `variable` of the cube")
        return self
