"""RabbitMQ as the broker of a distributed run.

The connection lives on a thread of its own, which keeps the heartbeat and comes back by itself; the caller works for
as long as it likes on another. Nothing is declared here: queues that are missing are named, and `landseries topology
apply` makes them.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Self

from pika import exceptions

from landseries.brokers.consumer import Consumer, Held
from landseries.brokers.envelope import dead_letter, to_message, to_properties, waited_s
from landseries.brokers.link import Link, LinkState
from landseries.brokers.names import (
    DEAD_EXCHANGE,
    RETRY_DELAYS_S,
    WORK_EXCHANGE,
    nearest_delay,
    retry_exchange,
)
from landseries.brokers.publisher import Outgoing, Publisher
from landseries.connections import BrokerConnection
from landseries.errors import BrokerError, BrokerUnavailable
from landseries.messages import Message
from landseries.pipeline import stages_of

#: How long publishing waits for a connection and for the broker's confirmation, in seconds.
PATIENCE_S: Final = 30.0
_PATIENCE_AT_FIRST_S: Final = 15.0
#: Between two tries to put a message elsewhere that the broker does not take at the moment.
_PAUSE_S: Final = 1.0


class RabbitBroker:
    """See `Broker`. Safe for threads; deliveries belong to whoever received them.

    Args:
        connection: where the broker is, and who logs in.
        name: of the connection, as the broker's management shows it; by default host and process.
        patience_s: how long `publish` waits for a connection and for confirmation.
    """

    def __init__(self, connection: BrokerConnection, name: str | None = None, patience_s: float = PATIENCE_S) -> None:
        self._link = Link(connection, name or f"landseries {connection.user} {socket.gethostname()} {os.getpid()}")
        self._publisher = Publisher(self._link, connection, patience_s)
        self._consumer = Consumer(self._link, connection)
        self._opened = False

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_unused: object) -> None:
        self.close()

    @property
    def state(self) -> LinkState:
        """How the connection is, and what is wrong with it: what a readiness probe asks."""
        return self._link.state

    def open(self, patience_s: float = _PATIENCE_AT_FIRST_S) -> None:
        """Connect; the first call of `publish` or `receive` does so as well.

        Raises:
            BrokerUnavailable: no broker answered in time.
            BrokerError: it refuses credentials, virtual host or TLS; the text names what to change.
        """
        if not self._opened:
            self._opened = True
            self._link.open(patience_s)

    def close(self) -> None:
        """End the connection; a message in work goes back to its queue."""
        if self._opened:
            self._link.close()

    def stop_consuming(self) -> None:
        """Take no more messages; `receive` gives None from now on. The message in work can still be answered."""
        self._consumer.stop()

    def publish(self, messages: Iterable[Message]) -> None:
        """See `Broker.publish`."""
        self.open()
        self._publisher.send(_outgoing(WORK_EXCHANGE, message.stage, message) for message in messages)

    def put_aside(self, message: Message, service: str, reason: str) -> None:
        """Send a message to a service's dead letters, with the reason; returns when the broker has it for good.

        Raises:
            BrokerUnavailable: it may not have arrived; send it again.
            BrokerError: no queue takes it, or this user may not send it.
        """
        self.open()
        self._publisher.send([_dead_letter(message, service, reason)])

    def receive(self, services: Iterable[str], timeout_s: float) -> RabbitDelivery | None:
        """See `Broker.receive`. While a delivery is not settled, there is no other.

        Raises:
            BrokerError: a queue is missing, or this user may not read it (at the first try; later it is waited for).
        """
        self.open()
        held = self._consumer.take(services, timeout_s)
        if held is None:
            return None
        message = to_message(held.properties, held.body)
        return RabbitDelivery(message, waited_s(held.properties), held, self._consumer, self._publisher)


@dataclass
class RabbitDelivery:
    """See `Delivery`."""

    message: Message
    waited_s: float | None
    _held: Held = field(repr=False)
    _consumer: Consumer = field(repr=False)
    _publisher: Publisher = field(repr=False)

    @property
    def is_lost(self) -> bool:
        """See `Delivery.is_lost`."""
        return self._consumer.is_lost(self._held)

    def ack(self) -> None:
        """See `Delivery.ack`."""
        self._consumer.settle(self._held, "ack")

    def retry(self, reason: str) -> None:
        """See `Delivery.retry`."""
        if self.message.attempt > len(RETRY_DELAYS_S):
            self.dead(reason)
            return
        delay_s = RETRY_DELAYS_S[self.message.attempt - 1]
        self._again(delay_s, self.message.model_copy(update={"attempt": self.message.attempt + 1}))

    def later(self, delay_s: float) -> None:
        """See `Delivery.later`. The broker knows a few delays; the nearest one is taken."""
        self._again(nearest_delay(delay_s), self.message)

    def hand_back(self) -> None:
        """See `Delivery.hand_back`."""
        self._consumer.settle(self._held, "requeue")

    def dead(self, reason: str) -> None:
        """See `Delivery.dead`."""
        self._move(_dead_letter(self.message, self._held.service, reason))

    def _again(self, delay_s: int, message: Message) -> None:
        # The key that it came with brings it back; one that went round the exchange would be lost on its return.
        key = next((key for key in (self._held.routing_key, message.stage) if key in stages_of(self._held.service)), "")
        if key:
            self._move(_outgoing(retry_exchange(delay_s), key, message))
        else:
            self.dead(f"it came to {self._held.service} with the key {self._held.routing_key!r}, by which none returns")

    def _move(self, outgoing: Outgoing) -> None:
        """Publish first, forget then: in between there are two copies, never none.

        While the broker takes nothing (its memory or disk is short) the message is kept: handed back, it would come
        again at once, and each time count towards the delivery limit.
        """
        while not self.is_lost:
            try:
                self._publisher.send([outgoing])
                break
            except BrokerUnavailable:
                if self._consumer.stopped.wait(_PAUSE_S):
                    self.hand_back()
                    return
            except BrokerError:
                self.hand_back()
                raise
        self._consumer.settle(self._held, "ack")


def _dead_letter(message: Message, service: str, reason: str) -> Outgoing:
    body, properties = dead_letter(message, reason)
    return Outgoing(DEAD_EXCHANGE, service, body, properties)


def _outgoing(exchange: str, key: str, message: Message) -> Outgoing:
    properties = to_properties(message)
    try:
        properties.encode()
        key.encode()
    except (exceptions.AMQPError, UnicodeError, ValueError, TypeError) as error:
        raise BrokerError(
            f"message of type {message.type[:80]!r} cannot be put into an AMQP envelope: {error}"
        ) from None
    return Outgoing(exchange, key, message.body, properties)
