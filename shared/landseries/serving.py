"""The distributed worker: takes messages from a broker until it is told to stop, one unit at a time.

Three kinds of threads: the caller's supervises and hears signals; one works; the broker's keeps the connection. So a
unit of hours neither loses the heartbeat nor delays the answer to SIGTERM.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, ParamSpec

from landseries.brokers.base import Delivery
from landseries.brokers.link import LinkState
from landseries.brokers.rabbitmq import RabbitBroker
from landseries.errors import BrokerError, BrokerUnavailable, StoreError
from landseries.failures import Failure, cause_of, sort_failure
from landseries.gates import CancelledRuns, OtherProfile, SpaceBudget, own_profile
from landseries.leases import LEASE_S, Leases
from landseries.logs import bind_unit, logger
from landseries.messages import BadMessage, Message, decode
from landseries.metrics import Outcome, WorkerMetrics
from landseries.numerics import NumericsProfile
from landseries.pipeline import STAGES, Unit
from landseries.stores.base import Store
from landseries.worker import Worker

_P = ParamSpec("_P")
Ending = Literal["stopped", "idle", "limit", "handed back", "restart", "broken"]

#: How long no message must come before an idle worker goes, where it should; and before one goes that started anew for
#: a message, which it put off meanwhile.
IDLE_S: Final = 3.0
IDLE_ANEW_S: Final = 15.0
_POLL_S: Final = 0.5
#: Delays of messages that wait: for the store, for space in it, for another owner or machine.
_AWAY_S: Final = 5.0
_FULL_S: Final = 120.0
_WAIT_S: Final = 30.0
_ANEW_S: Final = 5.0
#: A key that need not exist: whether the store answers is the question.
_PROBE: Final = "plans/probe.json"


@dataclass(frozen=True)
class Serving:
    """How a worker serves.

    Attributes:
        services: whose queues it takes messages from.
        scratch: folder for unfinished files.
        threads: threads that handlers should use.
        owner: the worker's name in leases.
        exit_when_idle: whether it ends once no message has come for a while.
        max_messages: after how many messages it ends; None for never.
        grace_s: how long a unit in hand may go on after the worker was told to stop.
        lease_s: see `landseries.leases`.
        idle_s: how long that while is.
    """

    services: tuple[str, ...]
    scratch: Path
    threads: int
    owner: str
    exit_when_idle: bool = False
    max_messages: int | None = None
    grace_s: float = 25.0
    lease_s: float = LEASE_S
    idle_s: float = IDLE_S


class ServiceLoop:
    """One worker's life.

    Attributes:
        profile: the numerics profile that a unit asked for, where the ending is `restart`.
        refusal: what the broker refuses, where that is why the ending is `broken`.
    """

    def __init__(
        self,
        store: Store,
        broker: RabbitBroker,
        serving: Serving,
        metrics: WorkerMetrics,
        worker: Callable[..., Worker] = Worker,
    ) -> None:
        """Make it; `worker` makes the worker, for tests that bring services of their own."""
        self._store = store
        self._broker = broker
        self._serving = serving
        self._metrics = metrics
        self._log = logger(__name__)
        self._leases = Leases(store, serving.owner, lease_s=serving.lease_s)
        self._worker = worker(
            store,
            serving.scratch,
            threads=serving.threads,
            notify=lambda text: self._log.info("progress", text=text),
            leases=self._leases,
            gates=(CancelledRuns(store), SpaceBudget(store), own_profile),
        )
        self._stop = threading.Event()
        self._in_hand: Delivery | None = None
        self._ending: Ending = "stopped"
        self._trouble: str | None = None
        self._seen = time.monotonic()
        self._told: LinkState | None = LinkState("connected")
        self.profile: NumericsProfile | None = None
        self.refusal: BrokerError | None = None

    def stop(self) -> None:
        """Take no further message; safe to call from a signal handler."""
        self._stop.set()

    def run(self) -> Ending:
        """Serve until told to stop, or until nothing is left to do where that should end it.

        Returns:
            How it ended. After `handed back` a thread is still at the unit: the process must end without waiting.
        """
        work = threading.Thread(target=self._work, name="work", daemon=True)
        work.start()
        while work.is_alive() and not self._stop.is_set():
            work.join(_POLL_S)
            self._seen = time.monotonic()
            self._tell_state()
        self._broker.stop_consuming()
        work.join(self._serving.grace_s)
        if not work.is_alive():
            return self._ending
        delivery = self._in_hand
        self._log.warning("handing back the unit in hand", grace_s=self._serving.grace_s)
        self._leases.give_back_all()
        if delivery is not None:
            delivery.hand_back()
        return "handed back"

    def unwell(self) -> str | None:
        """Why the process should be restarted; None while it lives."""
        silent = time.monotonic() - self._seen
        return f"the worker's supervisor has not moved for {silent:.0f} s" if silent > 60 else None

    def unready(self) -> str | None:
        """Why no work should be expected of this worker now; None while it is ready."""
        state = self._broker.state
        if state.status == "blocked":
            return "the broker accepts no messages at the moment: its memory or disk is short"
        if state.status != "connected":
            return f"no connection to the broker: {state.error}"
        return state.error or self._trouble  # connected, and yet a queue may be gone

    def _work(self) -> None:
        try:
            self._ending = self._serve()
        except BrokerError as error:
            self._log.error("the broker refuses this worker", error=str(error))
            self._trouble = str(error)
            self.refusal = error
            self._ending = "broken"
        except Exception:
            # A mistake of ours: better a restarted process than one that looks alive and does nothing.
            self._log.exception("the worker broke down")
            self._ending = "broken"

    def _serve(self) -> Ending:
        done, idle_since = 0, time.monotonic()
        while not self._stop.is_set():
            delivery = self._broker.receive(self._serving.services, _POLL_S)
            if delivery is None:
                if self._broker.state != LinkState("connected"):
                    idle_since = time.monotonic()
                if self._serving.exit_when_idle and time.monotonic() - idle_since > self._serving.idle_s:
                    return "idle"
                continue
            self._in_hand = delivery
            if self._stop.is_set():
                delivery.hand_back()
                return "stopped"
            done += 1
            last = done == self._serving.max_messages
            if last:
                # One more in this worker's hands would go back as if it had ended a worker.
                self._broker.stop_consuming()
            self._do(delivery)
            self._in_hand = None
            if self.profile is not None:
                return "restart"
            if last:
                return "limit"
            idle_since = time.monotonic()
        return "stopped"

    def _do(self, delivery: Delivery) -> None:
        """One message's whole way."""
        message = delivery.message
        try:
            run_id, unit = decode(message)
            self._check_service(unit)
        except BadMessage as error:
            self._metrics.unit_started(message.stage, delivery.waited_s)
            self._metrics.unit_ended(message.stage, self._settled(self._failed, delivery, error), 0.0)
            return
        with bind_unit(run_id, unit, message.traceparent):
            self._metrics.unit_started(unit.stage, delivery.waited_s)
            started = time.monotonic()
            outcome = self._settled(self._process, delivery)
            seconds = time.monotonic() - started
            self._metrics.unit_ended(unit.stage, outcome, seconds)
            if outcome != "skipped":
                self._log.info(outcome, seconds=round(seconds, 3), attempt=message.attempt)

    def _settled(self, settle: Callable[_P, Outcome], *args: _P.args, **kwargs: _P.kwargs) -> Outcome:
        try:
            return settle(*args, **kwargs)
        except BrokerError as error:
            # It could be neither settled nor put off, and is back in its queue.
            self._log.error("the broker refuses what this worker sends", error=str(error))
            self._trouble = str(error)
            return "handed_back"

    def _check_service(self, unit: Unit) -> None:
        service = STAGES[unit.stage].service
        if service not in self._serving.services:
            raise BadMessage(
                f"{unit.name} is for the {service}, and came to a queue of {', '.join(self._serving.services)}: "
                "`landseries topology show` tells what is bound wrongly"
            )

    def _process(self, delivery: Delivery) -> Outcome:
        try:
            processed = self._worker.process(delivery.message)
            self._publish(processed.due, delivery)
        except BrokerUnavailable:
            delivery.hand_back()  # the broker has the message still, and delivers it again
            return "handed_back"
        except BrokerError as error:
            # Not the unit's fault: its marker is there, and what became due is derived again with the next delivery.
            self._log.error("what became due cannot be published", error=str(error))
            self._trouble = str(error)
            delivery.later(_WAIT_S)
            return "later"
        except Exception as error:
            return self._failed(delivery, error)
        delivery.ack()
        self._trouble = None
        return processed.outcome

    def _publish(self, due: Sequence[Message], delivery: Delivery) -> None:
        """Publish what became due, however long the broker takes nothing, as long as it awaits this unit's answer.

        Raises:
            BrokerUnavailable: the message comes again anyway, or this worker stops.
            BrokerError: a queue is missing, or this user may not send it.
        """
        while True:
            try:
                self._broker.publish(due)
                return
            except BrokerUnavailable as error:
                self._trouble = str(error)
                if delivery.is_lost or self._stop.wait(_POLL_S):
                    raise

    def _failed(self, delivery: Delivery, error: Exception) -> Outcome:
        failure = sort_failure(error)
        self._metrics.not_done(delivery.message.stage, cause_of(error))
        if failure.kind == "drop":
            delivery.ack()
            return "skipped"
        if failure.kind == "restart" and isinstance(error, OtherProfile):
            # Put off rather than handed back: with many idle workers of the wrong profile a message would use up its
            # deliveries before the first of them has started anew.
            self.profile = error.profile
            delivery.later(_ANEW_S)
            return "later"
        if failure.kind == "retry" and isinstance(error, StoreError) and self._store_error() is not None:
            # The store refuses everyone, as with keys that were changed: no message should die of that.
            failure = Failure("away", failure.reason)
        self._log.warning("not done", kind=failure.kind, reason=failure.reason, attempt=delivery.message.attempt)
        if failure.kind == "dead":
            delivery.dead(failure.reason)
            return "dead"
        if failure.kind == "retry":
            delivery.retry(failure.reason)
            return "failed"
        if failure.kind in ("away", "full"):
            self._trouble = failure.reason
            self._metrics.store_reachable(False)
            delivery.later(_AWAY_S if failure.kind == "away" else _FULL_S)
            self._await_store()
            return "later"
        delivery.later(self._serving.lease_s if failure.kind == "later" else _WAIT_S)
        return "later"

    def _await_store(self) -> None:
        """Take no message while the store does not answer: each would only be put off."""
        while not self._stop.is_set():
            error = self._store_error()
            if error is None:
                self._metrics.store_reachable(True)
                return
            self._trouble = error
            self._stop.wait(_AWAY_S)

    def _store_error(self) -> str | None:
        try:
            self._store.exists(_PROBE)
        except StoreError as error:
            return str(error)
        return None

    def _tell_state(self) -> None:
        state = self._broker.state
        status = state.status
        if state != self._told:
            told = self._log.info if state == LinkState("connected") else self._log.warning
            told("broker connection", status=status, **({"reason": state.error} if state.error else {}))
            self._told = state
        self._metrics.broker_state(connected=status in ("connected", "blocked"), blocked=status == "blocked")
        self._metrics.store_bytes(getattr(self._store, "bytes_in", 0), getattr(self._store, "bytes_out", 0))
