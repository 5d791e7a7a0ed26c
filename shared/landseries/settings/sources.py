"""Where imagery comes from: one settings model per kind of source."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, PlainValidator, model_validator

from landseries.settings.base import Settings, ours, spelled
from landseries.settings.catalogues import CdseSource, EarthSearchSource, PlanetaryComputerSource, StacSource
from landseries.settings.hubs import DhusSource
from landseries.settings.remote import RemoteSource

#: Names of buckets, and prefixes without a query or a fragment.
_BUCKET: Final = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^?#\x00-\x1f]*)?", re.ASCII)


def _folder_or_bucket(value: Any) -> Path | str:
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value:
        raise ValueError("write a folder, or s3://BUCKET/PREFIX")
    if "://" not in value:
        return Path(value)
    if _BUCKET.fullmatch(value) is None:
        raise ValueError("write a folder, or s3://BUCKET/PREFIX with the name of a bucket (lower case) and no query")
    return value.rstrip("/")


class SafeSource(RemoteSource):
    """Sentinel-2 L2A products as the archives deliver them (`*.SAFE`), in a folder or in a bucket."""

    kind: Literal["safe"] = "safe"
    path: Annotated[
        Path | str,
        PlainValidator(_folder_or_bucket),
        Field(description="Folder that holds the *.SAFE product folders, or s3://BUCKET/PREFIX"),
    ]
    s3_endpoint: str | None = ours(None, "Endpoint of the bucket; needed where path begins with s3://")

    @model_validator(mode="after")
    def _is_within_reach(self) -> Self:
        known = {name: SafeSource.model_fields[name].default for name in RemoteSource.model_fields}
        more = sorted(name for name, default in known.items() if getattr(self, name) != default)
        if self.bucket is None and more:
            raise ValueError(f"{', '.join(more)}: only a bucket has such settings (path: s3://BUCKET/PREFIX)")
        if self.bucket is not None and self.s3_endpoint is None:
            raise ValueError("s3_endpoint: name the service that has the bucket, such as https://HOST")
        return self

    @property
    def bucket(self) -> tuple[str, str] | None:
        """Name of the bucket, and the prefix of the products' names: empty, or with a slash at its end."""
        if isinstance(self.path, Path):
            return None
        name, _, prefix = self.path.removeprefix("s3://").partition("/")
        return name, f"{prefix}/" if prefix else ""


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
    name: Annotated[
        str,
        spelled(
            r"[A-Za-z0-9][A-Za-z0-9-]{0,40}", "write at most 41 characters, of letters, digits and -, such as cube"
        ),
        Field(description="Name of the cube"),
    ] = "cube"
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


def is_local(source: Source) -> bool:
    """Whether its files are read where they lie, so that nothing is fetched over the network."""
    return isinstance(source, CubeSource) or (isinstance(source, SafeSource) and source.bucket is None)
