"""Sweeps: the due messages of a run, derived again from its markers alone.

A run needs none while nothing but workers, connections and servers fail; it makes good what an operator or a lost
queue did, and it is how a run starts.
"""

from __future__ import annotations

from landseries.markers import Damaged
from landseries.messages import Message, encode, new_trace
from landseries.openrun import OpenRun
from landseries.pipeline import STAGES, Unit, in_order
from landseries.plan import RunPlan
from landseries.repairs import repair
from landseries.stores.base import Store


def due_units(store: Store, plan: RunPlan) -> list[Unit]:
    """Every unit of a run that could be worked on now, in the table's order."""
    while True:
        run = OpenRun(store, plan)
        try:
            return list(run.markers.due_now())
        except Damaged as damage:
            repair(store, run, damage)


def due_messages(store: Store, plan: RunPlan) -> list[Message]:
    """The messages of all due units, in one trace."""
    trace = new_trace()
    return [encode(plan.run_id, unit, trace) for unit in due_units(store, plan)]


def reopen_refused(store: Store, plan: RunPlan) -> list[Unit]:
    """Remove the markers of refused units and of all that was answered because of them; returns the former.

    What was made from other inputs finds its artifacts again, so that only what changes is computed.
    """
    while True:
        run = OpenRun(store, plan)
        try:
            refused, doomed = _refused(run)
            break
        except Damaged as damage:
            repair(store, run, damage)
    # The last stages first: cut short in between, what remains was answered from inputs that are still there.
    for unit in reversed(in_order(doomed)):
        run.markers.remove(unit)
    return refused


def _refused(run: OpenRun) -> tuple[list[Unit], list[Unit]]:
    """The units that were refused for a reason of their own, and these with all that waited for them."""
    refused = [
        unit
        for stage in STAGES
        for unit, marker in run.markers.all_of(stage)
        if marker.status == "refused" and not marker.reason.startswith("because ")
    ]
    doomed: dict[Unit, None] = {}
    frontier = list(refused)
    while frontier:
        unit = frontier.pop()
        if unit not in doomed:
            doomed[unit] = None
            frontier += [waiting for waiting, _ in run.pipeline.dependents(unit)]
    return refused, list(doomed)
