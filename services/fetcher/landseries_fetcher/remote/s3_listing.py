"""What lies in a bucket: its folders, and the objects in one, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from landseries_fetcher.remote.persistence import Persistence
from landseries_fetcher.remote.reader import Gate, RemoteError, checked_size
from landseries_fetcher.remote.s3_ranges import called

#: No archive has more names in one place; a service that goes on giving names is wrong, or means harm.
_PAGES_MAX: Final = 10_000


@dataclass(frozen=True)
class StoredObject:
    """An object as its bucket lists it.

    Attributes:
        key: its whole name.
        size: length in bytes.
        etag: changes when its bytes do.
    """

    key: str
    size: int
    etag: str


class Listing:
    """Lists one bucket."""

    def __init__(self, client: Any, bucket: str, gate: Gate, persistence: Persistence) -> None:
        """Prepare; nothing is asked yet.

        Args:
            client: see `landseries_fetcher.remote.s3_ranges.new_client`.
            bucket: its name.
            gate: the server's limits.
            persistence: how long faults are borne.
        """
        self._client, self._bucket, self._gate, self._persistence = client, bucket, gate, persistence

    def folders(self, prefix: str) -> list[str]:
        """Names of the folders in a place, without the prefix and the slash behind, in ascending order.

        Args:
            prefix: empty, or with a slash at its end.

        Raises:
            RemoteError: see `RangeReader.read`; `RemoteMissing` where there is no such bucket.
        """
        pages = self._pages(prefix, Delimiter="/")
        return sorted(str(one["Prefix"])[len(prefix) : -1] for page in pages for one in page.get("CommonPrefixes", ()))

    def objects(self, prefix: str, max_count: int) -> list[StoredObject]:
        """The objects below a place, in ascending order of their names; none where nothing is there.

        Args:
            prefix: with a slash at its end.
            max_count: where there are more, the first of them are returned, and at least one more than these.

        Raises:
            RemoteError: see `folders`.
        """
        found: list[StoredObject] = []
        for page in self._pages(prefix):
            for one in page.get("Contents", ()):
                key = str(one["Key"])
                if not key.endswith("/"):  # some tools make empty objects that stand for folders
                    size = checked_size(int(one["Size"]), f"s3://{self._bucket}/{key}")
                    found.append(StoredObject(key, size, str(one.get("ETag", ""))))
            if len(found) > max_count:
                break
        return sorted(found, key=lambda one: one.key)

    def _pages(self, prefix: str, **arguments: str) -> Iterator[dict[str, Any]]:
        name = f"s3://{self._bucket}/{prefix}"
        after: dict[str, str] = {}
        for _ in range(_PAGES_MAX):
            page = self._page(name, Prefix=prefix, **arguments, **after)
            yield page
            if not page.get("IsTruncated"):
                return
            if not page.get("NextContinuationToken"):
                raise RemoteError(f"{name}: the service says that there is more, and not how to ask for it")
            after = {"ContinuationToken": str(page["NextContinuationToken"])}
        raise RemoteError(f"{name}: the service lists more than {_PAGES_MAX} pages")

    def _page(self, name: str, **arguments: str) -> dict[str, Any]:
        pages: list[dict[str, Any]] = []

        def ask() -> None:
            with self._gate.request():
                pages.append(called(self._client.list_objects_v2, name, Bucket=self._bucket, **arguments))

        self._persistence.call(ask, name)
        return pages[0]
