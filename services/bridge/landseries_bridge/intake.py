"""From a message to a unit's record, exactly once however often the message comes, and whichever bridge gets it.

A worker decides what is to be done with a message: whether it can be read, is of this version, is wanted, due, not
answered yet and not known under its fingerprint. Only where it would begin to compute, the bridge's worker stops.
"""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Any

from landseries.brokers.names import BRIDGED
from landseries.errors import LandseriesError
from landseries.gates import CancelledRuns
from landseries.jobs import WaitingUnit, encoded, unit_key
from landseries.messages import Message, decode
from landseries.pipeline import stages_of
from landseries.service import Context, Handler, Service
from landseries.stores.base import Store
from landseries.worker import Processed, Worker


class Elsewhere(LandseriesError):
    """The unit has to be computed, which is not done in this process."""


class Looker(Worker):
    """A worker that does everything with a message but compute."""

    def __init__(self, store: Store, scratch: Path, **_unused: Any) -> None:
        """Make it.

        Args:
            store: where plans, markers and artifacts lie.
            scratch: folder for unfinished files.
            **_unused: what other workers need: threads, leases, the gate for the process's numerics.
        """
        services = {name: Service(name, dict.fromkeys(stages_of(name), Handler(_elsewhere))) for name in BRIDGED}
        super().__init__(store, scratch, services=services, gates=(CancelledRuns(store),))


class Intake(Looker):
    """Records the units that have to be computed, for the jobs to come."""

    def __init__(self, store: Store, scratch: Path, site: str, **unused: Any) -> None:
        """Make it; `site` is the name under which the records lie."""
        super().__init__(store, scratch, **unused)
        self._records = store
        self._site = site

    def process(self, message: Message, threads: int | None = None) -> Processed:
        """See `Worker.process`; where the unit has to be computed, its record is in the store when this returns."""
        try:
            return super().process(message, threads)
        except Elsewhere:
            run_id, _ = decode(message)
            record = WaitingUnit(message=message, recorded_s=time.time(), token=secrets.token_hex(8))
            self._records.put_new(unit_key(run_id, self._site, message.message_id), encoded(record))
            return Processed([], "queued")


def _elsewhere(context: Context) -> None:
    raise Elsewhere(f"{context.unit.name} is done by a job")
