"""What follows for units: those answered are published and forgotten, those that will not be are put aside.

Everything here may be cut short and done again: a record goes last, after what it stands for has happened.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from landseries.errors import ArtifactError, BrokerError, LandseriesError, StoreError
from landseries.failures import sort_failure
from landseries.gates import cancellation_key
from landseries.logs import bind_unit, logger
from landseries.markers import Damaged
from landseries.messages import Message, encode
from landseries.pipeline import STAGES
from landseries.repairs import repair
from landseries.stores.base import Store
from landseries_bridge.intake import Elsewhere, Looker
from landseries_bridge.records import Records, Waiting
from landseries_bridge.staging import open_run


class Sender(Protocol):
    """What is asked of the broker here."""

    def publish(self, messages: Sequence[Message]) -> None:
        """See `landseries.brokers.base.Broker.publish`."""

    def put_aside(self, message: Message, service: str, reason: str) -> None:
        """See `landseries.brokers.rabbitmq.RabbitBroker.put_aside`."""


class Settling:
    """Settles units of one site."""

    def __init__(self, store: Store, broker: Sender, records: Records, looker: Callable[[], Looker]) -> None:
        """Make it; `looker` makes the worker that looks at units again."""
        self._store = store
        self._broker = broker
        self._records = records
        self._looker = looker()
        self._log = logger(__name__)

    def look_again(self, waiting: Waiting) -> bool:
        """Whether a unit still has to be computed; where not, it is settled.

        Between its message and its job others may have answered it, cancelled its run, or removed what it needs.

        Raises:
            BrokerError: what became due cannot be published now.
            StoreError: the store is away.
        """
        try:
            processed = self._looker.process(waiting.record.message)
        except Elsewhere:
            return True
        except (BrokerError, StoreError):
            raise
        except LandseriesError as error:
            if sort_failure(error).kind == "drop":
                self.drop(waiting, str(error))
            else:
                self.put_aside(waiting, str(error))
            return False
        self._broker.publish(processed.due)
        with bind_unit(waiting.run_id, waiting.unit, waiting.record.message.traceparent):
            self._log.info("settled", due=len(processed.due))
        self._records.drop_unit(waiting)
        return False

    def put_aside(self, waiting: Waiting, reason: str) -> None:
        """Send a unit's message to the dead letters of its service."""
        with bind_unit(waiting.run_id, waiting.unit, waiting.record.message.traceparent):
            self._log.warning("put aside", reason=reason)
        self._broker.put_aside(waiting.record.message, STAGES[waiting.unit.stage].service, reason)
        self._records.drop_unit(waiting)

    def drop(self, waiting: Waiting, reason: str) -> None:
        """Forget a unit that nobody wants."""
        with bind_unit(waiting.run_id, waiting.unit, waiting.record.message.traceparent):
            self._log.info("dropped", reason=reason)
        self._records.drop_unit(waiting)

    def have_repaired(self, waiting: Waiting, damage: Damaged) -> None:
        """Have a damaged input written again; the unit's message comes again when that is answered."""
        run = open_run(self._store, waiting.run_id)
        try:
            repair(self._store, run, damage)
        except ArtifactError as error:
            self.put_aside(waiting, str(error))
            return
        self._broker.publish([encode(waiting.run_id, damage.unit, waiting.record.message.traceparent)])
        self.drop(waiting, str(damage))

    def is_cancelled(self, run_id: str) -> bool:
        """Whether a run is cancelled."""
        return self._store.exists(cancellation_key(run_id))
