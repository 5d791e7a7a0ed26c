"""Taking messages from work queues, never more than one at a time.

While a delivery is out, nothing else is fetched, even if its channel is gone (a broker closes it when an answer takes
too long, and delivers the message again): the copy shall go to another worker, not wait behind the unit that is still
being computed here. So a new channel is opened only when the delivery was settled.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, Literal

from pika import exceptions

from landseries.brokers.connection import delays_s, explain_channel
from landseries.brokers.link import Link
from landseries.brokers.names import work_queue
from landseries.connections import BrokerConnection
from landseries.errors import BrokerError, BrokerUnavailable
from landseries.pipeline import SERVICES

#: How long each of several queues is listened to at first, and at most, before the next one has its turn; in seconds.
_FIRST_TURN_S: Final = 0.05
_LONGEST_TURN_S: Final = 1.0

Answer = Literal["ack", "requeue"]


@dataclass(frozen=True, eq=False)
class Held:
    """A message of which the broker awaits what became of it."""

    service: str
    generation: int
    tag: int
    routing_key: str
    properties: Any
    body: bytes


class Consumer:
    """The channel on which messages come. Methods with an underscore run on the connection's thread, but `_take`.

    Attributes:
        stopped: set once no further message is taken.
    """

    def __init__(self, link: Link, connection: BrokerConnection) -> None:
        self._link = link
        self._where = connection
        self._changed = threading.Condition()
        # Shared between threads, under the condition:
        self._wanted: str | None = None
        self._slot: Held | None = None
        self._out: Held | None = None
        self.stopped = threading.Event()
        self._generation = 0
        self._refusals: dict[str, BrokerError] = {}
        # Of the connection's thread alone:
        self._connection: Any = None
        self._channel: Any = None
        self._consuming: str | None = None
        self._tag: str | None = None
        self._under_way = False
        self._known: set[str] = set()
        self._delays = delays_s()
        link.add(self)

    def take(self, services: Iterable[str], timeout_s: float) -> Held | None:
        """The next message for one of some services, later stages first; None where none came in time.

        Raises:
            BrokerError: a queue is missing, or this user may not read it.
        """
        asked = set(services)
        turns = [service for service in reversed(SERVICES) if service in asked]
        if not turns:
            raise BrokerError(f"there is no service among {sorted(asked)}: known are {', '.join(SERVICES)}")
        deadline, turn_s = monotonic() + timeout_s, timeout_s if len(turns) == 1 else _FIRST_TURN_S
        while True:
            for service in turns:
                left_s = max(0.0, deadline - monotonic())
                held = self._take(service, asked, min(turn_s, left_s))
                if held is not None or self.stopped.is_set():
                    return held
                if monotonic() >= deadline:
                    return None
            turn_s = min(_LONGEST_TURN_S, 2 * turn_s)

    def settle(self, held: Held, answer: Answer) -> None:
        """Tell the broker what became of a message; nothing happens where it was told, or the channel is gone."""
        with self._changed:
            if self._out is not held:
                return
            self._out = None
        self._link.call(lambda: self._finish(held, answer))

    def is_lost(self, held: Held) -> bool:
        """Whether the broker does not wait for this answer any more, and gives the message to another worker."""
        return held.generation != self._generation

    def stop(self) -> None:
        """Take nothing more; a message that nobody has seen yet goes back. The one in work stays in work."""
        with self._changed:
            self._wanted = None
            self.stopped.set()
            self._changed.notify_all()
        self._link.call(self._sync)

    def connected(self, connection: Any) -> None:
        """See `Part.connected`."""
        self._connection = connection
        self._sync()

    def lost(self, error: BaseException) -> None:
        """See `Part.lost`."""
        self._connection = None
        self._forget()

    def _take(self, service: str, asked: set[str], wait_s: float) -> Held | None:
        with self._changed:
            if not self.stopped.is_set() and self._out is None and self._wanted != service:
                self._wanted = service
                self._link.call(self._sync)
            self._changed.wait_for(lambda: self._is_news(service), wait_s)
            if service in self._refusals:
                self._wanted = None
                raise self._refusals.pop(service)
            if self._out is not None or self._slot is None or self.stopped.is_set():
                return None
            held, self._slot = self._slot, None
            self._out = held
        if held.service in asked:
            return held
        self.settle(held, "requeue")
        return None

    def _is_news(self, service: str) -> bool:
        return self.stopped.is_set() or service in self._refusals or (self._slot is not None and self._out is None)

    def _sync(self) -> None:
        """One step from what is to what is wanted; each step's answer calls for the next."""
        if self._connection is None or not self._connection.is_open or self._under_way:
            return
        with self._changed:
            wanted, holds = self._wanted, self._slot is not None or self._out is not None
            unseen = self._slot if self.stopped.is_set() else None
        if self._channel is None:
            if wanted is not None and not holds:
                self._under_way = True
                self._connection.channel(on_open_callback=self._opened)
        elif self._consuming is not None and self._consuming != wanted:
            self._under_way = True
            self._channel.basic_cancel(self._tag, callback=self._cancelled)
        elif self._consuming is None and unseen is not None:
            self._channel.basic_nack(unseen.tag, requeue=True)
            self._empty_slot()
        elif self._consuming is None and wanted is not None and not holds:
            # A consumer that was cancelled does not count towards the next one's prefetch: hence `not holds`.
            self._under_way, self._consuming = True, wanted
            self._tag = self._channel.basic_consume(work_queue(wanted), self._delivered, callback=self._consumes)

    def _opened(self, channel: Any) -> None:
        self._channel = channel
        channel.add_on_close_callback(self._closed)
        channel.add_on_cancel_callback(self._cancelled_by_broker)
        channel.basic_qos(prefetch_count=1, callback=self._stepped)

    def _stepped(self, _frame: Any) -> None:
        self._under_way = False
        self._sync()

    def _consumes(self, frame: Any) -> None:
        if self._consuming is not None and self._consuming not in self._known:
            self._known.add(self._consuming)
        self._delays = delays_s()
        self._link.trouble(None)
        self._stepped(frame)

    def _cancelled(self, frame: Any) -> None:
        self._consuming = None
        self._stepped(frame)

    def _cancelled_by_broker(self, _frame: Any) -> None:
        # The queue is gone, or an answer took too long (RabbitMQ 4.3): what was held here is no longer ours.
        if self._channel is not None and self._channel.is_open:
            self._channel.close()

    def _delivered(self, _channel: Any, method: Any, properties: Any, body: bytes) -> None:
        with self._changed:
            self._slot = Held(
                service=self._consuming or "",
                generation=self._generation,
                tag=method.delivery_tag,
                routing_key=method.routing_key if isinstance(method.routing_key, str) else "",
                properties=properties,
                body=body,
            )
            self._changed.notify_all()

    def _finish(self, held: Held, answer: Answer) -> None:
        if held.generation == self._generation and self._channel is not None and self._channel.is_open:
            if answer == "ack":
                self._channel.basic_ack(held.tag)
            else:
                self._channel.basic_nack(held.tag, requeue=True)
        self._sync()

    def _closed(self, channel: Any, error: BaseException) -> None:
        if channel is not self._channel:
            return
        service = self._consuming
        self._forget()
        if self._connection is None or not self._connection.is_open:
            return
        if service is not None and isinstance(error, exceptions.ChannelClosedByBroker):
            self._explain(service, explain_channel(error, self._where, f"consuming from {work_queue(service)}"))
        self._link.later(next(self._delays), self._sync)

    def _explain(self, service: str, error: BrokerError) -> None:
        """A refusal at the first try is the caller's to mend; later ones are waited out, and the state tells them."""
        if isinstance(error, BrokerUnavailable) or service in self._known:
            self._link.trouble(str(error))
            return
        with self._changed:
            self._refusals[service] = error
            self._changed.notify_all()

    def _forget(self) -> None:
        self._channel = self._consuming = self._tag = None
        self._under_way = False
        with self._changed:
            self._generation += 1
            self._slot = None

    def _empty_slot(self) -> None:
        with self._changed:
            self._slot = None
