"""Leases: who works on a long unit, so that a second copy of its message waits instead of computing twice.

A lease is a small object that its owner writes again and again, each time on the condition that nobody else did. No
clock is compared between machines: who finds a lease watches it, and takes it over once it has not changed for as
long as a living owner would never leave it alone.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from landseries.artifacts.documents import canonical_json
from landseries.errors import LandseriesError, StoreError, StoreFull, StoreUnavailable
from landseries.stores.base import Store, Tagged

#: A lease that did not change for so long has lost its owner; a living one writes it three times in that.
LEASE_S: Final = 60.0
_BEATS: Final = 3
#: A store that answers later than this has been away.
_QUICK_S: Final = 1.0


class LeaseHeld(LandseriesError):
    """Someone else is at work on the unit, and alive."""


class Leases:
    """Takes, keeps and gives back leases for one worker."""

    def __init__(self, store: Store, owner: str, *, lease_s: float = LEASE_S) -> None:
        """Make it.

        Args:
            store: where leases lie.
            owner: the worker's name, for people who look at a lease.
            lease_s: how long an unchanged lease counts as held; the same for all workers of a store.
        """
        self._store = store
        self._owner = owner
        self._lease_s = lease_s
        self.stopping = threading.Event()
        self._held: dict[str, _Keeper] = {}

    @contextmanager
    def holding(self, key: str, on_beat: Callable[[], None]) -> Iterator[Callable[[], bool]]:
        """Hold a lease while the context is open.

        Args:
            key: of the lease's object.
            on_beat: called on another thread after each renewal, as long as the lease is ours and the last call is
                over, and once more when this worker gives the lease back unfinished.

        Yields:
            Tells whether the lease is still ours, as far as its last renewal showed.

        Raises:
            LeaseHeld: its owner is alive (or this worker was told to stop while it watched).
        """
        keeper = _Keeper(self._store, key, self._owner, self._take(key), self._lease_s / _BEATS, on_beat)
        self._held[key] = keeper
        keeper.start()
        try:
            yield keeper.holds
        finally:
            del self._held[key]
            keeper.give_back()

    def give_back_all(self) -> None:
        """Let others go on at once, and from the newest checkpoint, with what this worker leaves unfinished."""
        self.stopping.set()
        for keeper in list(self._held.values()):
            keeper.beat()
            keeper.give_back()

    def _take(self, key: str) -> str:
        """The tag of the lease, now ours."""
        found = self._store.get_tagged(key)
        if found is not None and not _is_free(found):
            found = self._watch(key, found)
        tag = self._store.put_if(key, lease_content(self._owner), None if found is None else found.tag)
        if tag is None:
            raise LeaseHeld(f"another worker took {key} at the same moment")
        return tag

    def _watch(self, key: str, found: Tagged) -> Tagged | None:
        """The lease once it is free to take: given back, or unchanged for so long that its owner must be gone."""
        deadline = time.monotonic() + self._lease_s
        while time.monotonic() < deadline:
            if self.stopping.wait(self._lease_s / (4 * _BEATS)):
                raise LeaseHeld("this worker stops")
            asked = time.monotonic()
            now = self._store.get_tagged(key)
            # While the store was away its owner could not renew it either.
            deadline += max(0.0, time.monotonic() - asked - _QUICK_S)
            if now is None or _is_free(now):
                return now
            if now.tag != found.tag:
                raise LeaseHeld(f"{_owner_of(now)} is at work on it")
        return found


class _Keeper(threading.Thread):
    """Renews one lease until it is given back or lost.

    A lost lease stops the renewals and nothing else: whoever has it computes the same bytes, and the first marker
    stays.
    """

    def __init__(
        self, store: Store, key: str, owner: str, tag: str, every_s: float, on_beat: Callable[[], None]
    ) -> None:
        super().__init__(name=f"lease {key}", daemon=True)
        self._store, self._key, self._owner = store, key, owner
        self._tag: str | None = tag
        self._every_s = every_s
        self._on_beat = on_beat
        self._ended = threading.Event()
        self._turn = threading.Lock()
        self._beating = threading.Thread()

    def run(self) -> None:
        while not self._ended.wait(self._every_s):
            with self._turn:
                if self._ended.is_set() or self._tag is None:
                    return
                try:
                    self._tag = self._store.put_if(self._key, lease_content(self._owner), self._tag)
                except (StoreUnavailable, StoreFull, OSError):
                    continue  # nobody else can take it either while the store is away or full
                except StoreError:
                    return
                if self._tag is None:
                    return
            # On a thread of its own: a checkpoint may take longer to store than the lease may stay unchanged.
            if not self._beating.is_alive():
                self._beating = threading.Thread(target=self.beat, name=f"{self.name} beat", daemon=True)
                self._beating.start()

    def holds(self) -> bool:
        """Whether the lease is ours."""
        return self._tag is not None

    def beat(self) -> None:
        """Do what each renewal brings along."""
        try:
            self._on_beat()
        except (StoreError, OSError):
            return  # a checkpoint that could not be written costs time at most; the lease is ours all the same

    def give_back(self) -> None:
        """Say that the unit is free; safe to call twice."""
        self._ended.set()
        with self._turn:
            tag, self._tag = self._tag, None
            if tag is None:
                return
            try:
                self._store.put_if(self._key, lease_content(None), tag)
            except StoreError:
                return  # it runs out by itself


def lease_content(owner: str | None) -> bytes:
    """What a lease's object holds: the owner (None: free), and a token that makes each writing unique."""
    return canonical_json({"owner": owner, "token": secrets.token_hex(8)})


def _is_free(lease: Tagged) -> bool:
    return _read(lease).get("owner") is None


def _owner_of(lease: Tagged) -> str:
    return str(_read(lease).get("owner"))


def _read(lease: Tagged) -> dict[str, Any]:
    try:
        found = json.loads(lease.content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
