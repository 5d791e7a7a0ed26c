"""How far a run is, from its markers alone; what waits or was put aside at the broker; and who holds the bytes."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from rich.table import Table

from landseries.connections import BROKER_PREFIX, broker_connection
from landseries.display import byte_text
from landseries.errors import BrokerError
from landseries.gates import cancellation_key
from landseries.gc import GarbageReport
from landseries.jobs import job_lines
from landseries.markers import Damaged, Marker
from landseries.openrun import OpenRun
from landseries.pipeline import STAGES, Unit
from landseries.plan import RunPlan
from landseries.stores.base import Store
from landseries.usage import StageUsage, usage

#: Markers are read by so many threads at once.
_READERS: Final = 8


class RunStatus:
    """One run, looked at again and again; a marker is read once."""

    def __init__(self, store: Store, plan: RunPlan) -> None:
        self._store = store
        self._plan = plan
        self._markers: dict[Unit, Marker] = {}
        self._totals: dict[str, int] = {}
        self._damaged: dict[Unit, Damaged] = {}
        self.cancelled = False

    @property
    def complete(self) -> bool:
        """Whether the report is there, or the run was cancelled: nothing more will come."""
        return Unit("report", ()) in self._markers or self.cancelled

    def look(self) -> None:
        """Read what is new."""
        run = OpenRun(self._store, self._plan)
        self._damaged.clear()
        self.cancelled = self._store.exists(cancellation_key(self._plan.run_id))
        for stage in STAGES:
            answered = run.markers.answered_units(stage)
            for gone in [unit for unit in self._markers if unit.stage == stage and unit not in answered]:
                del self._markers[gone]
            self._read(run, [unit for unit in answered if unit not in self._markers])
            try:
                self._totals[stage] = sum(1 for _ in run.pipeline.units(stage))
            except Damaged as damage:  # what a search chose: only the units known so far can be counted
                self._damaged[damage.unit] = damage
                self._totals[stage] = len(answered)

    def table(self) -> Table:
        """Per stage: done, refused or empty, all units known, and the seconds that they took."""
        state = " (cancelled)" if self.cancelled else ""
        table = Table(title=f"{self._plan.run_id}{state}", box=None, title_justify="left")
        for heading in ("stage", "done", "refused", "units", "seconds"):
            table.add_column(heading, justify="left" if heading == "stage" else "right")
        for stage, total in self._totals.items():
            markers = [marker for unit, marker in self._markers.items() if unit.stage == stage]
            failed = sum(marker.status != "done" for marker in markers)
            seconds = sum(marker.seconds for marker in markers)
            table.add_row(stage, str(len(markers) - failed), str(failed), str(total), f"{seconds:.1f}")
        return table

    def lines(self) -> list[str]:
        """A line per unit that was refused or empty, per damaged artifact that was written again, and per batch job."""
        order = list(STAGES)
        failed = sorted(
            ((unit, marker) for unit, marker in self._markers.items() if marker.status != "done"),
            key=lambda item: (order.index(item[0].stage), item[0].key),
        )
        lines = [f"{marker.status} {unit.name}: {marker.reason}" for unit, marker in failed]
        lines += [
            f"damaged {unit.name}: {damage.key} {damage.what}; "
            f"`landseries sweep {self._plan.run_id}` has it written again"
            for unit, damage in self._damaged.items()
        ]
        lines += job_lines(self._store, self._plan.run_id)
        root = f"runs/{self._plan.run_id}/repairs/"
        lines += [
            f"repaired {item.key.removeprefix(root).removesuffix('.json').replace('/', ' ')}: "
            "what it wrote was damaged in the store"
            for item in self._store.list(root)
        ]
        return lines

    def _read(self, run: OpenRun, units: Iterable[Unit]) -> None:
        with ThreadPoolExecutor(_READERS) as readers:
            for unit, marker in readers.map(lambda unit: (unit, self._marker(run, unit)), units):
                if marker is not None:
                    self._markers[unit] = marker

    def _marker(self, run: OpenRun, unit: Unit) -> Marker | None:
        try:
            return run.markers.get(unit)
        except Damaged as damage:
            self._damaged[unit] = damage
            return None


def broker_lines() -> list[str]:
    """What waits at the broker, and what was put aside; nothing where the environment names no broker."""
    if not any(name.startswith(BROKER_PREFIX) for name in os.environ):
        return []
    from landseries.brokers.depths import queue_depths

    try:
        depths = queue_depths(broker_connection())
    except BrokerError as error:
        return [f"the broker does not say what waits: {error}"]
    waiting = ", ".join(f"{name} {count}" for name, count in depths.waiting.items() if count)
    lines = [f"messages waiting: {waiting or 'none'}; to be tried again: {depths.delayed}"]
    lines += [
        f"stalled: {count} messages of the {name} were put aside; `landseries dead list --service {name}` says why"
        for name, count in depths.dead.items()
        if count
    ]
    return lines


def usage_table(store: Store) -> Table:
    """Objects and bytes per stage."""
    table = Table(title="store", box=None, title_justify="left")
    for heading in ("stage", "objects", "size"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    found = usage(store)
    for name, entry in found.items():
        table.add_row(name, *_cells(entry))
    table.add_row("all", *_cells(_sum(found.values())))
    return table


def garbage_table(report: GarbageReport) -> Table:
    """What a garbage collection keeps and removes (or would remove), per stage, and why."""
    table = Table(title="would be removed" if report.dry_run else "removed", box=None, title_justify="left")
    for heading in ("stage", "kept", "", "removed", "", "because"):
        table.add_column(heading, justify="left" if heading in ("stage", "because") else "right")
    for stage, found in report.stages.items():
        kept, removed = _sum(found.kept.values()), _sum(found.removed.values())
        table.add_row(stage, *_cells(kept), *_cells(removed), ", ".join(found.removed))
    table.add_row("all", *_cells(report.kept), *_cells(report.removed))
    return table


def _sum(entries: Iterable[StageUsage]) -> StageUsage:
    found = list(entries)
    return StageUsage(sum(entry.objects for entry in found), sum(entry.size_bytes for entry in found))


def _cells(entry: StageUsage) -> tuple[str, str]:
    return str(entry.objects), byte_text(entry.size_bytes)
