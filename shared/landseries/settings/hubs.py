"""A DHuS hub as a source of imagery."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from landseries.settings.base import Settings, ours

#: Hosts of the hub that many scripts still name.
_CLOSED: Final = ("scihub.copernicus.eu", "apihub.copernicus.eu")


class DhusSource(Settings):
    """A DHuS hub (OpenSearch and OData), asked through sentinelsat; user and password come from the environment."""

    kind: Literal["sentinelsat", "dhus"]
    api_url: Annotated[
        str,
        Field(
            validate_default=True, description="The hub, such as https://HOST/dhus; there is no default hub any more"
        ),
    ] = ""
    product_types: tuple[str, ...] = ours(
        ("S2MSI2A", "S2MSI2Ap"),
        "Product types to ask for; S2MSI2Ap are the pilot products until March 2018",
        min_length=1,
    )
    cache: Annotated[
        Path | None,
        Field(description="Folder of downloaded products; null: LANDSERIES_CACHE_FOLDER, else the user's cache folder"),
    ] = None
    cache_gib: float = ours(200.0, "The cache folder holds no more; products not used for longest go first", gt=0)
    parts: bool = ours(True, "A search reads only metadata and SCL of each product; false: whole products, MD5 checked")
    max_downloads: int = ours(2, "Downloads at the same time of all that share the cache folder; hubs allow few", ge=1)
    patience_s: float = ours(300.0, "How long a request is tried again while the hub is away", gt=0)
    offline_patience_h: float = ours(72.0, "How long a product may stay offline before it is left out", gt=0)

    @field_validator("api_url")
    @classmethod
    def _is_a_hub(cls, url: str) -> str:
        parts = urlsplit(url)
        if not url or parts.hostname in _CLOSED:
            raise ValueError(
                "name a DHuS hub, such as https://HOST/dhus: sentinelsat's own default, the Copernicus Open Access Hub "
                "(SciHub), closed in October 2023; without a hub of your own, use the source kind cdse"
            )
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("write https://HOST/PATH of a DHuS hub")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError(
                "write https://HOST/PATH and no more; user and password belong into LANDSERIES_DHUS_USER and "
                "LANDSERIES_DHUS_PASSWORD (or ..._PASSWORD_FILE)"
            )
        return url.rstrip("/")

    @field_validator("product_types")
    @classmethod
    def _are_words(cls, types: tuple[str, ...]) -> tuple[str, ...]:
        for kind in types:
            if not (kind.isascii() and kind.isalnum()):
                raise ValueError(f"{kind!r} is no product type; one looks like S2MSI2A")
        return types
