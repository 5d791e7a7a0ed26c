"""Products in a bucket: puts them there, and opens them as a source."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from landseries.settings.sources import SafeSource
from landseries_fetcher.remote.s3_ranges import new_client
from landseries_fetcher.sources import open_source
from landseries_fetcher.sources.safe_bucket import SafeBucket

PREFIX = "mission/products/"


@dataclass
class Bucket:
    """A bucket, its service and its keys; `cache` is where sources keep what they read."""

    endpoint: str
    name: str
    keys: tuple[str, str]
    cache: Path
    _opened: count[int] = field(default_factory=count)

    @property
    def client(self) -> Any:
        return new_client(self.endpoint, *self.keys, region="us-east-1")

    def put(self, folder: Path) -> None:
        """Copy a folder of products below the prefix."""
        client = self.client
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            key = PREFIX + path.relative_to(folder).as_posix()
            client.put_object(Bucket=self.name, Key=key, Body=path.read_bytes())

    def settings(self, **fields: Any) -> dict[str, Any]:
        """The source as a configuration has it."""
        return {
            "kind": "safe",
            "path": f"s3://{self.name}/{PREFIX}",
            "s3_endpoint": self.endpoint,
            "s3_region": "us-east-1",
            "cache": str(self.cache),
            # Another patience is another source, which shares nothing but the cache folder.
            "patience_s": 0.3 + next(self._opened) / 1_000,
            **fields,
        }

    def open(self, **fields: Any) -> SafeBucket:
        """The source as a worker that has just started would open it."""
        source = open_source(SafeSource.model_validate(self.settings(**fields)), lambda path: path)
        assert isinstance(source, SafeBucket)
        return source
