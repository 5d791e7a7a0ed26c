"""What a store holds, by stage, and whether it may hold more."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from landseries.pipeline import STAGES
from landseries.stores.base import Store

#: Names of what is no artifact of a known stage: plans, markers, joins and jobs; checkpoints; anything else.
RUNS: Final = "runs"
SCRATCH: Final = "scratch"
OTHER: Final = "other"

#: Listing takes at most one part in so many of the time, however large the store is.
_SHARE: Final = 20
_GIB: Final = 2**30


@dataclass
class StageUsage:
    """Objects of one stage.

    Attributes:
        objects: their number.
        size_bytes: their size in bytes.
    """

    objects: int = 0
    size_bytes: int = 0


def usage(store: Store) -> dict[str, StageUsage]:
    """Objects and bytes per stage in the table's order, then `runs`, `scratch` and `other`; absent ones left out.

    One listing of the whole store; memory does not grow with it.
    """
    found = {name: StageUsage() for name in (*STAGES, RUNS, SCRATCH, OTHER)}
    for item in store.list(""):
        entry = found[group_of(item.key)]
        entry.objects += 1
        entry.size_bytes += item.size_bytes
    return {name: entry for name, entry in found.items() if entry.objects}


def group_of(key: str) -> str:
    """The stage that an object belongs to, or `runs`, `scratch`, `other`."""
    first, _, rest = key.partition("/")
    if first == "artifacts":
        stage = rest.partition("/")[0]
        return stage if stage in STAGES else OTHER
    return {"plans": RUNS, "runs": RUNS, "jobs": RUNS, "leases": RUNS, "scratch": SCRATCH}.get(first, OTHER)


class Budget:
    """Whether a store is fuller than it should be, found out now and then.

    May be used by several threads.
    """

    def __init__(
        self,
        store: Store,
        budget_bytes: int,
        refresh_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make it.

        Args:
            store: the store.
            budget_bytes: what all its objects together should not exceed.
            refresh_s: the store is listed no more often than so, and more rarely where that takes long.
            clock: seconds that never go back.
        """
        self._store = store
        self._budget_bytes = budget_bytes
        self._refresh_s = refresh_s
        self._clock = clock
        self._lock = threading.Lock()
        self._used_bytes = 0
        self._due: float | None = None

    def exceeded(self) -> str | None:
        """None while there is room; else how full the store is, and what to do.

        Raises:
            StoreUnavailable, StoreError: the store cannot be listed.
        """
        with self._lock:
            now = self._clock()
            if self._due is None or now >= self._due:
                self._used_bytes = sum(entry.size_bytes for entry in usage(self._store).values())
                ended = self._clock()
                self._due = ended + max(self._refresh_s, _SHARE * (ended - now))
            used_bytes = self._used_bytes
        if used_bytes <= self._budget_bytes:
            return None
        return (
            f"the store holds {used_bytes / _GIB:.3g} GiB of the {self._budget_bytes / _GIB:.3g} GiB of its budget: "
            "free some with `landseries gc`, or raise storage.budget_gib; until then nothing is fetched"
        )
