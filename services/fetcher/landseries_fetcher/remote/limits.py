"""A quota that holds over all replicas: connections are leases in the store that they share.

There are as many leases as connections are allowed, and each carries its share of the requests, so that no request
asks the store: a process takes a lease, uses it for many requests, and gives it back after its turn. No clock is
compared between machines: a lease counts as left behind once someone watched it unchanged for `lease_s`, and its owner
stops using it well before that.
"""

from __future__ import annotations

import json
import logging
import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from landseries.errors import StoreError
from landseries.leases import lease_content
from landseries.stores.base import Store, Tagged, check_key
from landseries_fetcher.remote.persistence import Interrupted
from landseries_fetcher.remote.quota import Pace, Quota
from landseries_fetcher.remote.reader import Permit

_LOG: Final = logging.getLogger(__name__)
_JITTER: Final = random.SystemRandom()
LEASE_S: Final = 20.0
#: The owner trusts a lease for this part of the time after which others take it, and renews it more often than that.
_TRUSTED: Final = 0.7
_RENEWED: Final = 0.2
_POLL_S: Final = 0.25


class StoreGate:
    """Keeps a quota over all processes that use one store; see `reader.Gate`."""

    def __init__(
        self,
        store: Store,
        name: str,
        quota: Quota,
        owner: str,
        *,
        lease_s: float = LEASE_S,
        turn_s: float = 10.0,
        idle_s: float = 1.0,
    ) -> None:
        """Make it; nothing is taken yet.

        Args:
            store: where the leases lie, under `limits/NAME/`.
            name: of the quota: the same for all that share it.
            quota: the same for all that share it.
            owner: for people who look at a lease.
            lease_s: how long an unchanged lease counts as held; the same for all that share it.
            turn_s: after so long a connection is given back, so that others get one.
            idle_s: after so long without a request a connection is given back.
        """
        self._store, self._owner, self._quota = store, owner, quota
        self._keys = [check_key(f"limits/{name}/slot-{number:03d}") for number in range(quota.slots)]
        self._lease_s, self._turn_s, self._idle_s = lease_s, turn_s, idle_s
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._taking = threading.Lock()
        self._held: dict[str, _Slot] = {}
        self._watched: dict[str, tuple[str, float]] = {}
        self._keeper: threading.Thread | None = None
        self._not_before = 0.0

    @contextmanager
    def request(self) -> Iterator[Permit]:
        """See `Gate.request`; waits for as long as others use up the quota.

        Raises:
            StoreError: the store refuses.
        """
        if self._pid != os.getpid():  # a process that was forked holds nothing of its parent
            self._begin()
        slot = self._acquired()
        try:
            while (wait_s := slot.pace.wait_s()) > 0:
                time.sleep(min(wait_s, self._lease_s * _RENEWED))
                slot.check()
            slot.check()
            yield slot
        finally:
            self._released(slot)

    def close(self) -> None:
        """Give back what is not in use; what is in use is given back after its request."""
        with self._changed:
            idle = [slot for slot in self._held.values() if not slot.is_busy]
            for slot in self._held.values():
                slot.turn_ends = 0.0
        for slot in idle:
            self._give_back(slot)

    def _acquired(self) -> _Slot:
        """A slot that is ours and free, marked as busy."""
        while True:
            with self._changed:
                for slot in self._held.values():
                    if not slot.is_busy and slot.is_trusted():
                        slot.is_busy = True
                        return slot
            if time.monotonic() >= self._not_before and self._taking.acquire(blocking=False):
                try:
                    taken = self._taken()
                finally:
                    self._taking.release()
                if taken is not None:
                    return taken
            with self._changed:
                self._changed.wait(_POLL_S * _JITTER.uniform(0.5, 1))

    def _released(self, slot: _Slot) -> None:
        with self._changed:
            slot.is_busy = False
            slot.idle_since = time.monotonic()
            is_over = slot.idle_since >= slot.turn_ends
            self._changed.notify()
        if is_over:
            self._not_before = time.monotonic() + 2 * _POLL_S  # others look every now and then only
            self._give_back(slot)

    def _taken(self) -> _Slot | None:
        """A slot taken from the store, marked as busy; None where all are held by others."""
        keys = [key for key in self._keys if key not in self._held]
        for key in _JITTER.sample(keys, len(keys)):
            found = self._store.get_tagged(key)
            if found is not None and not self._is_free(key, found):
                continue
            asked_at = time.monotonic()
            tag = self._store.put_if(key, lease_content(self._owner), None if found is None else found.tag)
            if tag is not None:
                slot = _Slot(key, tag, asked_at, self._lease_s * _TRUSTED, self._quota.pace())
                slot.turn_ends = asked_at + self._turn_s
                with self._changed:
                    self._held[key] = slot
                    self._keep()
                return slot
        return None

    def _is_free(self, key: str, found: Tagged) -> bool:
        """Whether a slot was given back, or left behind by an owner that is gone."""
        if _is_given_back(found):
            return True
        now = time.monotonic()
        tag, since = self._watched.get(key, ("", now))
        if tag != found.tag:
            self._watched[key] = (found.tag, now)
            return False
        return now - since >= self._lease_s

    def _keep(self) -> None:
        if self._keeper is None or not self._keeper.is_alive():
            self._keeper = threading.Thread(target=self._keep_all, name="limits", daemon=True)
            self._keeper.start()

    def _keep_all(self) -> None:
        """Renew what is held and give back what is idle, until nothing is held."""
        while True:
            time.sleep(min(self._idle_s / 2, self._lease_s * _RENEWED))
            with self._changed:
                if not self._held:
                    self._keeper = None
                    return
                held = list(self._held.values())
            for slot in held:
                now = time.monotonic()
                if not slot.is_busy and now - slot.idle_since >= self._idle_s:
                    self._give_back(slot)
                elif now - slot.renewed_at >= self._lease_s * _RENEWED:
                    self._renew(slot)

    def _renew(self, slot: _Slot) -> None:
        with slot.turn:
            if slot.tag is None:
                return
            asked_at = time.monotonic()
            try:
                slot.tag = self._store.put_if(slot.key, lease_content(self._owner), slot.tag)
            except (StoreError, OSError) as error:
                _LOG.warning("a connection of the quota could not be renewed: %s", error)
                return  # it is not trusted for much longer, unless the next try succeeds
            if slot.tag is not None:
                slot.renewed_at = asked_at
                return
        self._forget(slot)

    def _give_back(self, slot: _Slot) -> None:
        with self._changed:
            if slot.is_busy:
                return
            self._forget(slot)
        with slot.turn:
            tag, slot.tag = slot.tag, None
            if tag is not None:
                try:
                    self._store.put_if(slot.key, lease_content(None), tag)
                except (StoreError, OSError):
                    return  # it runs out by itself

    def _forget(self, slot: _Slot) -> None:
        with self._changed:
            if self._held.get(slot.key) is slot:
                del self._held[slot.key]


class _Slot:
    """One connection that this process may use; see `reader.Permit`."""

    def __init__(self, key: str, tag: str, renewed_at: float, trusted_s: float, pace: Pace) -> None:
        self.key, self.pace = key, pace
        self.tag: str | None = tag
        self.renewed_at = renewed_at
        self.idle_since = self.turn_ends = renewed_at
        self.is_busy = True
        self.turn = threading.Lock()
        self._trusted_s = trusted_s

    def is_trusted(self) -> bool:
        """Whether nobody else can have taken it."""
        return self.tag is not None and time.monotonic() - self.renewed_at < self._trusted_s

    def check(self) -> None:
        """See `Permit.check`."""
        if not self.is_trusted():
            raise Interrupted("the right to this connection could not be renewed in the store")


def _is_given_back(lease: Tagged) -> bool:
    try:
        content = json.loads(lease.content)
    except ValueError:
        return False
    return isinstance(content, dict) and content.get("owner") is None
