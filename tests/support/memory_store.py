"""A store in memory whose clock a test sets and whose deletions it sees, for tests that need many runs or a crash."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from landseries.artifacts.documents import digest_of
from landseries.errors import StoreError, StoreUnavailable
from landseries.stores.base import StoredObject, check_key, wrong_bytes
from landseries.stores.tagged import TaggedByDigest


class MemoryStore(TaggedByDigest):
    """See `landseries.stores.base.Store`.

    Attributes:
        objects: key -> content and Unix time of writing.
        now_s: Unix time of the next writing.
        deleted: keys in the order in which they were deleted.
        deletions_left: deletions until the store is away; None for never.
    """

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, float]] = {}
        self.now_s = 1_000_000.0
        self.deleted: list[str] = []
        self.deletions_left: int | None = None

    def put(self, key: str, content: bytes | Path) -> None:
        self.objects[check_key(key)] = (content if isinstance(content, bytes) else content.read_bytes(), self.now_s)

    def put_new(self, key: str, content: bytes | Path) -> bool:
        if key in self.objects:
            return False
        self.put(key, content)
        return True

    def get(self, key: str) -> bytes | None:
        return self.objects[key][0] if key in self.objects else None

    @contextmanager
    def local(self, key: str, digest: str | None = None) -> Iterator[Path]:
        content = self.get(key)
        if content is None:
            raise StoreError(f"there is no object {key}")
        if digest not in (None, digest_of(content)):
            raise wrong_bytes("memory", key)
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            yield Path(file.name)

    def exists(self, key: str) -> bool:
        return key in self.objects

    def list(self, prefix: str) -> Iterator[StoredObject]:
        for key in sorted(key for key in self.objects if key.startswith(prefix)):
            if key in self.objects:
                content, written_s = self.objects[key]
                yield StoredObject(key, len(content), datetime.fromtimestamp(written_s, UTC))

    def delete(self, key: str) -> None:
        if self.deletions_left is not None:
            if self.deletions_left == 0:
                raise StoreUnavailable("the store is away")
            self.deletions_left -= 1
        self.objects.pop(key, None)
        self.deleted.append(key)
