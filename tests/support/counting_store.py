"""A store that counts what it is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from landseries.stores.base import Store, StoredObject, Tagged


class CountingStore:
    """Passes everything on to another store (see `landseries.stores.base.Store`).

    Attributes:
        asked: (method, what for) -> number of calls; what for is `markers/STAGE`, `artifacts/STAGE/NAME` and the like.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.asked: Counter[tuple[str, str]] = Counter()

    def by_method(self) -> Counter[str]:
        """Calls of each method."""
        counts: Counter[str] = Counter()
        for (method, _), number in self.asked.items():
            counts[method] += number
        return counts

    def put(self, key: str, content: bytes | Path) -> None:
        self._count("put", key)
        self._store.put(key, content)

    def put_new(self, key: str, content: bytes | Path) -> bool:
        self._count("put_new", key)
        return self._store.put_new(key, content)

    def get(self, key: str) -> bytes | None:
        self._count("get", key)
        return self._store.get(key)

    def get_tagged(self, key: str) -> Tagged | None:
        self._count("get", key)
        return self._store.get_tagged(key)

    def put_if(self, key: str, content: bytes, tag: str | None) -> str | None:
        self._count("put_if", key)
        return self._store.put_if(key, content, tag)

    @contextmanager
    def local(self, key: str, digest: str | None = None) -> Iterator[Path]:
        self._count("local", key)
        with self._store.local(key, digest) as path:
            yield path

    def exists(self, key: str) -> bool:
        self._count("exists", key)
        return self._store.exists(key)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        self._count("list", prefix)
        return self._store.list(prefix)

    def delete(self, key: str) -> None:
        self._count("delete", key)
        self._store.delete(key)

    def _count(self, method: str, key: str) -> None:
        room, *steps = key.strip("/").split("/")
        if room == "runs":
            self.asked[method, "/".join(steps[1:3]).removesuffix(".json")] += 1
        elif room == "artifacts":
            self.asked[method, f"artifacts/{steps[0]}/{steps[-1]}"] += 1
        else:
            self.asked[method, room] += 1
