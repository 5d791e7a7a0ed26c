"""STAC catalogues as sources of imagery: any that a person describes, and presets of three public ones."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from landseries.bands import BANDS, GROUND_SAMPLING_DISTANCE_M
from landseries.settings.base import ours
from landseries.settings.remote import RemoteSource, checked_address

#: How the offset of a product's numbers is found.
OffsetRule = Literal["metadata", "asset", "pixels"]

SCENE: Final = "SCL"
_BY_NAME: Final = {image: image for image in (*BANDS, SCENE)}
_WITH_PIXEL_SIZE: Final = {image: f"{image}_{GROUND_SAMPLING_DISTANCE_M.get(image, 20)}m" for image in (*BANDS, SCENE)}
_BY_COLOUR: Final = {
    "B02": "blue",
    "B03": "green",
    "B04": "red",
    "B05": "rededge1",
    "B06": "rededge2",
    "B07": "rededge3",
    "B08": "nir",
    "B8A": "nir08",
    "B11": "swir16",
    "B12": "swir22",
    SCENE: "scl",
}
#: Its pixels were changed or not, whatever its items say.
_UNSURE: Final = "sentinel-2-l2a"


class CatalogueSource(RemoteSource):
    """What all catalogues have in common; keys of buckets come from the environment."""

    url: Annotated[str, Field(description="Root of the STAC API, such as https://HOST/stac/v1")]
    collection: Annotated[str, Field(min_length=1, description="Collection of Sentinel-2 L2A items")]
    assets: dict[str, str] = ours(_BY_NAME, "Band (or SCL) -> name of the item's asset that holds it")
    product_metadata: str | None = ours(
        "product_metadata", "Asset with MTD_MSIL2A.xml, whose offsets are trusted most; null: there is none"
    )
    granule_metadata: str | None = ours("granule_metadata", "Asset with MTD_TL.xml; null: there is none")
    datastrip_metadata: str | None = ours(
        "datastrip_metadata", "Asset with MTD_DS.xml, which says whether the geometry was refined; null: there is none"
    )
    offsets: OffsetRule = ours(
        "metadata",
        "metadata: from the product's metadata, else from the asset and the baseline where they agree; asset: as the "
        "catalogue says; pixels: from the darkest pixels, for collections that changed some of their pixels",
    )
    granule_property: str | None = ours("grid:code", "Property by which items are searched; null: search by place")
    granule_value: str = ours("MGRS-{granule}", "What that property holds for a granule such as 32TPS")
    s3_endpoint: str | None = ours(None, "Endpoint of assets with s3:// addresses; null: such assets are out of reach")
    sas_url: str | None = ours(None, "Service that hands out tokens for assets: COLLECTION is appended to it")
    signed_hosts: tuple[str, ...] = ours((), "Ends of the host names to which such a token is sent")
    page_size: int = ours(100, "Items that one answer of the search may hold", ge=1, le=1000)

    @field_validator("url", "sas_url")
    @classmethod
    def _is_an_address(cls, url: str | None) -> str | None:
        return None if url is None else checked_address(url)

    @field_validator("assets")
    @classmethod
    def _are_all(cls, assets: dict[str, str]) -> dict[str, str]:
        missing = [image for image in _BY_NAME if not assets.get(image)]
        unknown = sorted(assets.keys() - _BY_NAME.keys())
        if missing or unknown:
            raise ValueError(f"name one asset for each of {', '.join(_BY_NAME)}; wrong: {', '.join(missing + unknown)}")
        return assets

    @field_validator("granule_value")
    @classmethod
    def _names_a_granule(cls, value: str) -> str:
        if value.count("{granule}") != 1 or value.replace("{granule}", "").count("{"):
            raise ValueError("write {granule} once, where the MGRS tile such as 32TPS stands")
        return value

    @model_validator(mode="after")
    def _tokens_go_somewhere(self) -> Self:
        if self.sas_url is not None and not self.signed_hosts:
            raise ValueError("signed_hosts: name the hosts to which tokens of sas_url may be sent")
        return self


class StacSource(CatalogueSource):
    """Any STAC API with Sentinel-2 L2A items."""

    kind: Literal["stac"]


class CdseSource(CatalogueSource):
    """The Copernicus Data Space Ecosystem: JPEG 2000 images in a bucket, read with own keys."""

    kind: Literal["cdse"]
    url: str = ours("https://stac.dataspace.copernicus.eu/v1", "Root of the STAC API")
    collection: str = ours("sentinel-2-l2a", "Collection of Sentinel-2 L2A items")
    assets: dict[str, str] = ours(_WITH_PIXEL_SIZE, "Band (or SCL) -> name of the item's asset that holds it")
    s3_endpoint: str | None = ours("https://eodata.dataspace.copernicus.eu", "Endpoint of the bucket eodata")
    max_connections: int | None = ours(4, "Connections at the same time of all replicas; CDSE allows 4", ge=1)
    max_requests_per_minute: int | None = ours(2000, "Requests of all replicas; CDSE allows 2000", ge=2)


class EarthSearchSource(CatalogueSource):
    """Earth Search on AWS: cloud-optimised GeoTIFFs that anybody may read."""

    kind: Literal["earth-search"]
    url: str = ours("https://earth-search.aws.element84.com/v1", "Root of the STAC API")
    collection: str = ours(
        "sentinel-2-c1-l2a", "sentinel-2-c1-l2a (Collection 1), or sentinel-2-l2a, whose offsets need `offsets: pixels`"
    )
    assets: dict[str, str] = ours(_BY_COLOUR, "Band (or SCL) -> name of the item's asset that holds it")

    @model_validator(mode="after")
    def _offsets_are_looked_at(self) -> Self:
        if self.collection == _UNSURE and self.offsets != "pixels":
            raise ValueError(
                f"offsets: in the collection {_UNSURE} some pixels are harmonised already, and what its items say of "
                "it is sometimes wrong; write `offsets: pixels`, or take the collection sentinel-2-c1-l2a"
            )
        return self


class PlanetaryComputerSource(CatalogueSource):
    """The Planetary Computer: cloud-optimised GeoTIFFs, read with tokens that it hands out."""

    kind: Literal["planetary-computer"]
    url: str = ours("https://planetarycomputer.microsoft.com/api/stac/v1", "Root of the STAC API")
    collection: str = ours("sentinel-2-l2a", "Collection of Sentinel-2 L2A items")
    product_metadata: str | None = ours("product-metadata", "Asset with MTD_MSIL2A.xml")
    granule_metadata: str | None = ours("granule-metadata", "Asset with MTD_TL.xml")
    datastrip_metadata: str | None = ours("datastrip-metadata", "Asset with MTD_DS.xml")
    granule_property: str | None = ours("s2:mgrs_tile", "Property by which items are searched")
    granule_value: str = ours("{granule}", "What that property holds for a granule such as 32TPS")
    sas_url: str | None = ours(
        "https://planetarycomputer.microsoft.com/api/sas/v1/token", "Service that hands out tokens"
    )
    signed_hosts: tuple[str, ...] = ours(
        (".blob.core.windows.net",), "Ends of the host names to which such a token is sent"
    )
