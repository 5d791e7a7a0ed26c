"""Garbage collection: what no run of the store needs any more goes, whatever happens meanwhile.

First the runs that are kept mark what they name; then everything else that is old enough is swept. It may be cut
short at any point and run beside workers: a manifest goes before the outputs that it promises, the marker of a run
that is forgotten before what it names, and the run's plan last. What a worker finds gone after all, the unit that
wrote it writes again, with the same bytes.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from landseries.artifacts.fingerprint import MANIFEST
from landseries.errors import ConfigError
from landseries.jobs import JOBS, records_of
from landseries.marking import Marks, artifact_folder, fingerprint_of, is_complete, mark_run, plan_key
from landseries.plan import list_runs
from landseries.stores.base import Store, StoredObject
from landseries.usage import StageUsage, group_of

NAMED: Final = "named by a run"
YOUNG: Final = "younger than the grace period"
UNSURE: Final = "a marker of the stage cannot be read"
FOREIGN: Final = "not named as an artifact is"
CONSUMED: Final = "its readers are done"
UNNAMED: Final = "no run names it"
OWN: Final = "of a run that is kept"
FINISHED: Final = "its run is complete"
FORGOTTEN: Final = "of a run to be forgotten"
WITHOUT_PLAN: Final = "of a run without a plan"


@dataclass
class StageGarbage:
    """What became (or would become) of one stage's objects: why -> their number and bytes."""

    kept: dict[str, StageUsage] = field(default_factory=dict)
    removed: dict[str, StageUsage] = field(default_factory=dict)


@dataclass
class GarbageReport:
    """What a collection did, or would do.

    Attributes:
        dry_run: whether nothing was removed.
        stages: by stage in the order of the keys, and by `runs` and `scratch` (see `landseries.usage`).
        forgotten: runs that are gone.
        notes: what a person should look at.
    """

    dry_run: bool
    stages: dict[str, StageGarbage] = field(default_factory=dict)
    forgotten: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)

    @property
    def kept(self) -> StageUsage:
        """All that stays."""
        return _total(entry for stage in self.stages.values() for entry in stage.kept.values())

    @property
    def removed(self) -> StageUsage:
        """All that goes."""
        return _total(entry for stage in self.stages.values() for entry in stage.removed.values())

    def count(self, item: StoredObject, why: str, *, removed: bool) -> None:
        """Add an object."""
        stage = self.stages.setdefault(group_of(item.key), StageGarbage())
        entry = (stage.removed if removed else stage.kept).setdefault(why, StageUsage())
        entry.objects += 1
        entry.size_bytes += item.size_bytes


def collect_garbage(store: Store, *, dry_run: bool, grace_s: float, forget: Collection[str] = ()) -> GarbageReport:
    """Remove artifacts that no kept run names or still has to read, and what complete runs left of their work.

    Artifacts of stages kept `until consumed` go once every unit of the run that reads them has been answered; all
    others stay as long as a run names them. Of complete runs leases and checkpoints go.

    Args:
        store: the store.
        dry_run: only say what would go.
        grace_s: what was written in the last so many seconds stays: its marker may not be there yet. Longer than
            storing the outputs of one unit may take, and than clocks of machines and store differ.
        forget: runs that are kept no longer; their plans, markers and all that only they name go.

    Raises:
        ConfigError: a run to be forgotten is not there.
        StoreError: the store is away; what was removed until then was garbage.
    """
    return _Collection(store, dry_run=dry_run, grace_s=grace_s, forget=frozenset(forget)).collect()


class _Collection:
    def __init__(self, store: Store, *, dry_run: bool, grace_s: float, forget: frozenset[str]) -> None:
        self._store = store
        self._dry_run = dry_run
        self._forget = forget
        self._cutoff = datetime.fromtimestamp(time.time() - grace_s, UTC)
        self._report = GarbageReport(dry_run)
        self._complete: dict[str, bool] = {}

    def collect(self) -> GarbageReport:
        runs = list_runs(self._store)
        if unknown := sorted(self._forget - set(runs)):
            missing = ", ".join(map(repr, unknown))
            raise ConfigError(f"there is no run {missing} to forget in this store; it has {', '.join(runs) or 'none'}")
        for run_id in sorted(self._forget):
            self._forget_run(run_id)
        marks = self._mark()
        self._report.notes += marks.notes
        self._sweep_runs()
        self._sweep_artifacts(marks)
        self._report.forgotten = tuple(sorted(self._forget))
        self._report.stages = dict(sorted(self._report.stages.items()))
        return self._report

    def _forget_run(self, run_id: str) -> None:
        """Remove a run: cut short, it is an unfinished run that can be forgotten or finished."""
        own = f"runs/{run_id}/"
        for prefix in (f"{own}markers/", f"{own}joins/", own, records_of(run_id), f"scratch/checkpoints/{run_id}/"):
            for item in self._store.list(prefix):
                if prefix == own and self._dry_run and item.key.startswith((f"{own}markers/", f"{own}joins/")):
                    continue  # counted before
                self._remove(item, FORGOTTEN)
        for item in self._store.list("plans/"):
            if item.key == plan_key(run_id):
                self._remove(item, FORGOTTEN)

    def _mark(self) -> Marks:
        """The marks of all kept runs, also of those that were submitted while others were read."""
        marks = Marks()
        while new := [run for run in list_runs(self._store) if run not in self._complete and run not in self._forget]:
            for run_id in new:
                self._complete[run_id] = is_complete(self._store, run_id)
                mark_run(self._store, run_id, marks, complete=self._complete[run_id])
        return marks

    def _sweep_runs(self) -> None:
        """Leases and checkpoints of complete runs, and all that runs without a plan left."""
        for prefix, run_at in (("plans/", 1), ("runs/", 1), (f"{JOBS}/", 1), ("scratch/", 2)):
            for item in self._store.list(prefix):
                steps = item.key.split("/")
                run_id = steps[run_at].removesuffix(".json") if len(steps) > run_at else ""
                if run_id in self._forget:
                    continue  # counted before
                working = prefix == "scratch/" or (prefix == "runs/" and steps[2:3] == ["leases"])
                if self._complete.get(run_id) and working:
                    self._remove(item, FINISHED)
                elif self._has_plan(run_id):
                    self._keep(item, OWN)
                elif item.modified > self._cutoff:
                    self._keep(item, YOUNG)
                else:
                    self._remove(item, WITHOUT_PLAN)

    def _has_plan(self, run_id: str) -> bool:
        # A run that was submitted a moment ago is asked for once, and remembered as unfinished.
        if run_id not in self._complete and self._store.exists(plan_key(run_id)):
            self._complete[run_id] = False
        return run_id in self._complete

    def _sweep_artifacts(self, marks: Marks) -> None:
        listing = self._store.list("artifacts/")
        for folder, group in itertools.groupby(listing, key=lambda item: artifact_folder(item.key)):
            items = list(group)
            fingerprint = fingerprint_of(folder)
            if fingerprint is None:
                self._keep_all(items, FOREIGN)
            elif folder.split("/")[1] in marks.unsure:
                self._keep_all(items, UNSURE)
            elif fingerprint in marks.named:
                self._keep_all(items, NAMED)
            elif self._is_young(items):
                self._keep_all(items, YOUNG)
            else:
                self._sweep(folder, items, CONSUMED if fingerprint in marks.consumed else UNNAMED)

    def _sweep(self, folder: str, items: list[StoredObject], why: str) -> None:
        """Remove one unit's artifacts, if nobody wrote them again since they were listed."""
        if not self._dry_run:
            items = list(self._store.list(f"{folder}/"))
            if self._is_young(items):
                self._keep_all(items, YOUNG)
                return
        # The manifest first: whoever finds it relies on the outputs that it promises.
        for item in sorted(items, key=lambda item: item.key != f"{folder}/{MANIFEST}"):
            self._remove(item, why)

    def _is_young(self, items: list[StoredObject]) -> bool:
        return any(item.modified > self._cutoff for item in items)

    def _keep_all(self, items: list[StoredObject], why: str) -> None:
        for item in items:
            self._keep(item, why)

    def _keep(self, item: StoredObject, why: str) -> None:
        self._report.count(item, why, removed=False)

    def _remove(self, item: StoredObject, why: str) -> None:
        if not self._dry_run:
            self._store.delete(item.key)
        self._report.count(item, why, removed=True)


def _total(entries: Iterator[StageUsage]) -> StageUsage:
    total = StageUsage()
    for entry in entries:
        total.objects += entry.objects
        total.size_bytes += entry.size_bytes
    return total
