"""What may hold a unit back before a worker spends anything on it."""

from __future__ import annotations

import time
from typing import Final

from landseries import numerics
from landseries.artifacts.documents import canonical_json
from landseries.errors import LandseriesError
from landseries.numerics import NumericsProfile
from landseries.openrun import OpenRun
from landseries.pipeline import STAGES, Unit
from landseries.stores.base import Store
from landseries.usage import Budget

#: How long a worker may not notice that a run was cancelled.
_LOOK_EVERY_S: Final = 5.0
#: Stages whose units bring bytes from outside.
_FETCHING: Final = ("fetch",)


class NotNow(LandseriesError):
    """The unit has to wait, through no fault of its own."""


class SourceAway(NotNow):
    """The unit has to wait for a source of imagery that does not answer, or says that it is too busy."""


class WrongMachine(NotNow):
    """The unit has to wait for a worker whose processor can do what the run's numerics profile asks for."""


class RunCancelled(LandseriesError):
    """Nobody wants the run's units any more."""


class OtherProfile(LandseriesError):
    """The unit's bytes are promised for a numerics profile that this process was not started under.

    Attributes:
        profile: the one it needs.
    """

    def __init__(self, profile: NumericsProfile) -> None:
        super().__init__(f"needs a process with the numerics profile {profile.model_dump_json()}")
        self.profile = profile


def cancellation_key(run_id: str) -> str:
    """The key of the object whose presence says that a run is cancelled."""
    return f"runs/{run_id}/cancelled.json"


def cancel(store: Store, run_id: str, reason: str) -> None:
    """Have workers drop a run's messages; what was done stays done, and `submit` takes the run up again."""
    store.put(cancellation_key(run_id), canonical_json({"reason": reason}))


def uncancel(store: Store, run_id: str) -> bool:
    """Take a cancellation back; whether there was one."""
    known = store.exists(cancellation_key(run_id))
    store.delete(cancellation_key(run_id))
    return known


class CancelledRuns:
    """A gate: drops the units of cancelled runs."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._looked: dict[str, float] = {}

    def __call__(self, run: OpenRun, unit: Unit) -> None:
        """Raises `RunCancelled` for a unit of a cancelled run."""
        run_id = run.plan.run_id
        now = time.monotonic()
        if now - self._looked.get(run_id, -_LOOK_EVERY_S) < _LOOK_EVERY_S:
            return
        # Only that a run is wanted is remembered: a message that `submit` sent after a cancellation must not be lost.
        if self._store.exists(cancellation_key(run_id)):
            raise RunCancelled(f"run {run_id!r} was cancelled")
        self._looked[run_id] = now


class SpaceBudget:
    """A gate: pauses fetching while the store holds more than a run allows it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._budgets: dict[float, Budget] = {}

    def __call__(self, run: OpenRun, unit: Unit) -> None:
        """Raises `NotNow` for a unit that would bring bytes into a store that is over the run's budget."""
        budget_gib = run.plan.config.storage.budget_gib
        if budget_gib is None or unit.stage not in _FETCHING:
            return
        budget = self._budgets.setdefault(budget_gib, Budget(self._store, int(budget_gib * 2**30)))
        reason = budget.exceeded()
        if reason is not None:
            raise NotNow(reason)


def own_profile(run: OpenRun, unit: Unit) -> None:
    """A gate: raises `OtherProfile` where this process was not started under the unit's numerics profile.

    Raises:
        WrongMachine: this machine cannot work under it; another worker's may.
    """
    profile = run.plan.numerics
    if not STAGES[unit.stage].numerics:
        return
    missing = numerics.missing_for(profile)
    if missing is not None:
        raise WrongMachine(f"{missing}, which run {run.plan.run_id!r} asks for")
    if not numerics.is_applied(profile):
        raise OtherProfile(profile)
