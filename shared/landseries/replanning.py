"""A run's plan as long as it may still change: while nothing but its searches has been done.

`landseries search` is there to try settings on; another configuration under the same name then takes the place of the
first. The searches' artifacts stay, and are found again where they fit.
"""

from __future__ import annotations

from typing import Final

from landseries.errors import RunConflict
from landseries.plan import RunPlan, forget_plan, freeze_plan
from landseries.stores.base import Store

_SEARCH: Final = "search"


def freeze_anew(store: Store, plan: RunPlan) -> None:
    """Freeze a plan; another one of this name that has done no more than searches makes way.

    Not for stores that other workers share: one of them might be at work on the run that makes way.

    Raises:
        RunConflict: the name is taken by a run that has done more.
    """
    try:
        freeze_plan(store, plan)
    except RunConflict:
        root = f"runs/{plan.run_id}/"
        known = [item.key for item in store.list(root)]
        if not all(key.startswith(f"{root}markers/{_SEARCH}/") for key in known):
            raise
        for key in known:
            store.delete(key)
        forget_plan(store, plan.run_id)
        freeze_plan(store, plan)
