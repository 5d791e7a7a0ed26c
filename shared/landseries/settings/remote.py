"""What all sources have in common whose files are read over the network piece by piece."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from landseries.settings.base import Settings, ours


class RemoteSource(Settings):
    """Where the files are, within which limits they are read, and what is kept; keys come from the environment."""

    s3_endpoint: str | None = ours(None, "Endpoint of s3:// addresses; null: they are out of reach")
    s3_region: str = ours("default", "Region of that endpoint")
    max_connections: int | None = ours(None, "Connections at the same time of all replicas; null: no limit", ge=1)
    max_requests_per_minute: int | None = ours(None, "Requests of all replicas; null: no limit", ge=2)
    patience_s: float = ours(300.0, "How long a request is tried again while the server is away", gt=0)
    cache: Annotated[
        Path | None,
        Field(description="Folder of what was read; null: LANDSERIES_CACHE_FOLDER, else the user's cache folder"),
    ] = None
    cache_gib: float = ours(50.0, "The cache folder holds no more; what was not used for longest goes first", gt=0)

    @field_validator("s3_endpoint")
    @classmethod
    def _is_an_endpoint(cls, url: str | None) -> str | None:
        return None if url is None else checked_address(url)

    @model_validator(mode="after")
    def _limits_go_together(self) -> Self:
        if self.max_requests_per_minute is not None and self.max_connections is None:
            raise ValueError("max_connections: a limit of requests needs a limit of connections, such as 4")
        return self

    @property
    def key_names(self) -> str:
        """How the variables of the environment begin that hold the keys of the bucket."""
        return f"LANDSERIES_{getattr(self, 'kind', 'stac').replace('-', '_').upper()}"


def checked_address(url: str) -> str:
    """An address of a server, without a slash at its end.

    Raises:
        ValueError: it is none, or says more than where the server is.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("write https://HOST or https://HOST/PATH")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("write https://HOST/PATH and no more; keys belong into the environment")
    return url.rstrip("/")
