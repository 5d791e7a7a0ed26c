"""Where imagery comes from: one settings model per kind of source."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from landseries.settings.base import Settings, ours
from landseries.settings.catalogues import CdseSource, EarthSearchSource, PlanetaryComputerSource, StacSource
from landseries.settings.hubs import DhusSource


class SafeSource(Settings):
    """A folder of Sentinel-2 L2A products as the archives deliver them (`*.SAFE`)."""

    kind: Literal["safe"] = "safe"
    path: Annotated[Path, Field(description="Folder that holds the *.SAFE product folders")]


class CubeMask(Settings):
    """The variable that says which views are clear."""

    variable: Annotated[str, Field(description="Variable or array of the mask, with axes (time, y, x)")]
    clear_values: tuple[int, ...] = ours((1,), "Values of the mask that mean a clear view")
    scene_classification: bool = ours(
        False, "The mask is an SCL: apply the fetcher's masked_scene_classes and cloud_buffer_m instead"
    )


class CubeSource(Settings):
    """A data cube on a grid of its own: NetCDF or Zarr files, or a folder of NumPy arrays."""

    kind: Literal["cube"]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,40}$", description="Name of the cube")] = "cube"
    paths: Annotated[
        list[Path], Field(min_length=1, description="NetCDF files, Zarr folders, or ONE folder of NumPy arrays")
    ]
    features: Annotated[
        dict[str, str],
        Field(min_length=1, description="Feature (band such as B04, or ready index such as NDVI) -> variable"),
    ]
    scale: float = ours(0.0001, "Multiply stored values by this to get reflectance (or the index itself)")
    offset: float = ours(0.0, "Add this after scaling")
    nodata: float | None = ours(None, "Stored value without data; NaN never has data")
    mask: Annotated[CubeMask | None, Field(description="Clear mask; null: every view with data is clear")] = None
    timestamps: Annotated[Path | None, Field(description="JSON list of ISO dates, for a folder of NumPy arrays")] = None
    crs: Annotated[str | None, Field(description="CRS such as EPSG:32633, where the files do not say")] = None
    bounds: Annotated[
        tuple[float, float, float, float] | None,
        Field(description="left, bottom, right, top in the CRS, where the files do not say"),
    ] = None


Source = Annotated[
    SafeSource | CubeSource | DhusSource | StacSource | CdseSource | EarthSearchSource | PlanetaryComputerSource,
    Field(discriminator="kind"),
]
