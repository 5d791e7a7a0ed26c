"""An administrator of the broker who gets in the way: messages are published twice, and change their places."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Any, Final

import pika
from pika import exceptions

from landseries.brokers.connection import parameters
from landseries.brokers.envelope import to_properties
from landseries.brokers.names import WORK_EXCHANGE, work_queue
from landseries.connections import BrokerConnection
from landseries.messages import encode
from landseries.pipeline import SERVICES, Unit

_AGAIN_S: Final = 1.0
_HOLD_S: Final = 2.0
_PATIENCE_S: Final = 120.0


class Chaos:
    """Messages out of order and more often than they should be."""

    def __init__(self, broker: BrokerConnection, run_id: str, units: Sequence[Unit], rng: random.Random) -> None:
        """Make it.

        Args:
            broker: as its administrator, not through a proxy.
            run_id, units: of what messages are published: units that are answered, at work, due, or far from due.
            rng: what decides.
        """
        self._broker = broker
        self._run_id = run_id
        self._units = units
        self._rng = rng
        self.duplicates = 0
        self.reordered = 0

    def duplicate(self, count: int) -> None:
        """Publish so many messages once more, in random order; tries again while the broker is away.

        Raises:
            exceptions.AMQPError, OSError: it stayed away.
        """
        messages = [encode(self._run_id, unit) for unit in self._rng.sample(self._units, count)]
        deadline = time.monotonic() + _PATIENCE_S
        while messages:
            try:
                with self._channel() as channel:
                    while messages:
                        message = messages[-1]
                        channel.basic_publish(WORK_EXCHANGE, message.stage, message.body, to_properties(message), True)
                        messages.pop()
                        self.duplicates += 1
            except (exceptions.AMQPError, OSError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(_AGAIN_S)

    def reorder(self, count: int) -> None:
        """Take up to so many waiting messages, hold them, and put them back in another order.

        Where the broker goes away meanwhile they are back by themselves, perhaps twice.
        """
        try:
            with self._channel() as channel:
                held: list[tuple[Any, Any, bytes]] = []
                for service in self._rng.sample(SERVICES, len(SERVICES)):
                    while len(held) < count:
                        method, properties, body = channel.basic_get(work_queue(service))
                        if method is None:
                            break
                        held.append((method, properties, body))
                channel.connection.sleep(self._rng.uniform(0, _HOLD_S) if held else 0)
                self._rng.shuffle(held)
                for method, properties, body in held:
                    channel.basic_publish(WORK_EXCHANGE, method.routing_key, body, properties, True)
                    channel.basic_ack(method.delivery_tag)
                    self.reordered += 1
        except (exceptions.AMQPError, OSError):
            return

    def _channel(self) -> _Channel:
        return _Channel(self._broker)


class _Channel:
    """A channel with confirms on a connection of its own."""

    def __init__(self, broker: BrokerConnection) -> None:
        self._broker = broker

    def __enter__(self) -> Any:
        self._connection = pika.BlockingConnection(parameters(self._broker, "chaos"))
        channel = self._connection.channel()
        channel.confirm_delivery()
        return channel

    def __exit__(self, *_unused: object) -> None:
        if self._connection.is_open:
            self._connection.close()
