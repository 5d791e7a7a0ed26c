"""What landseries asks of a store: whole objects under keys, written atomically, listed by prefix."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from landseries.errors import ArtifactError, StoreError

_KEY: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
_KEY_LENGTH: Final = 900


@dataclass(frozen=True)
class StoredObject:
    """An object as a listing shows it."""

    key: str
    size_bytes: int
    modified: datetime


@dataclass(frozen=True)
class Tagged:
    """A small object's content with the tag of this very version, for a conditional write."""

    content: bytes
    tag: str


class Store(Protocol):
    """A flat space of objects. Keys are `/`-separated names of letters, digits, `.`, `_` and `-`.

    Every method may raise `StoreUnavailable` (after tries of its own: the caller should wait before it asks again) and
    `StoreError` (asking again will not help).
    """

    def put(self, key: str, content: bytes | Path) -> None:
        """Write an object, whole or not at all; an object of that key is replaced.

        Raises:
            StoreError: the store is full, or refuses.
        """

    def put_new(self, key: str, content: bytes | Path) -> bool:
        """Write an object only where none of that key exists; whether this call wrote it.

        Raises:
            StoreError: the store is full, or refuses.
        """

    def get(self, key: str) -> bytes | None:
        """A small object's content; None where there is none.

        Raises:
            ArtifactError: its bytes are not those that were put.
        """

    def get_tagged(self, key: str) -> Tagged | None:
        """A small object's content and tag; None where there is none."""

    def put_if(self, key: str, content: bytes, tag: str | None) -> str | None:
        """Write a small object only where its tag is still `tag` (None: where there is no object of that key).

        Of several callers with one tag exactly one wins. The content must be unlike that of any other writer (hold a
        token of its own), so that a caller whose answer got lost can recognise its own write.

        Returns:
            The new tag; None where another write came first, and nothing was written.
        """

    def local(self, key: str, digest: str | None = None) -> AbstractContextManager[Path]:
        """An object as a file that can be read while the context is open, and must not be changed.

        Args:
            key: of the object.
            digest: SHA-256 of the bytes that it must have; they are read for it once, before the context is entered.

        Raises:
            StoreError: there is no such object.
            ArtifactError: its bytes are not those that were put, or have another digest.
        """

    def exists(self, key: str) -> bool:
        """Whether there is an object of that key."""

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """The objects whose keys begin with a prefix (which ends with `/`, or is empty), in ascending order."""

    def delete(self, key: str) -> None:
        """Remove an object, where there is one."""


def wrong_bytes(where: str, key: str) -> ArtifactError:
    """What to say of an object whose bytes changed in the store."""
    return ArtifactError(
        f"{where}: the bytes of {key} are not those that were put (their SHA-256 differs); delete it, and what needs "
        "it makes it again"
    )


def check_key(key: str) -> str:
    """The key itself, if it is one.

    Raises:
        StoreError: it could lead outside the store, or some store could not hold it.
    """
    if len(key) > _KEY_LENGTH or not _KEY.fullmatch(key):
        raise StoreError(f"{key[:100]!r} is no key: use letters, digits, '.', '_', '-' and '/' between names")
    return key
