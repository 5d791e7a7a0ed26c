"""Conditional writes for stores without tags of their own: an object's tag is the digest of its content."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from landseries.artifacts.documents import digest_of
from landseries.stores.base import Tagged


class TaggedByDigest(ABC):
    """Gives a store with `get` and `put` the methods `get_tagged` and `put_if`.

    Between the look and the write of `put_if` another writer could come: a store that has several must let them take
    turns.
    """

    @abstractmethod
    def get(self, key: str) -> bytes | None:
        """See `Store.get`."""

    @abstractmethod
    def put(self, key: str, content: bytes | Path) -> None:
        """See `Store.put`."""

    def get_tagged(self, key: str) -> Tagged | None:
        """See `Store.get_tagged`."""
        content = self.get(key)
        return None if content is None else Tagged(content, digest_of(content))

    def put_if(self, key: str, content: bytes, tag: str | None) -> str | None:
        """See `Store.put_if`."""
        known = self.get_tagged(key)
        if (None if known is None else known.tag) != tag:
            return None
        self.put(key, content)
        return digest_of(content)
