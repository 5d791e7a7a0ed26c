"""Publishing with confirms: a message counts as sent when the broker has said that it has it for good."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from landseries.brokers.connection import explain_channel
from landseries.brokers.link import Link
from landseries.connections import BrokerConnection
from landseries.errors import BrokerError, BrokerUnavailable

#: Messages on their way at once: enough to hide the broker's disk, few enough to send again.
_WINDOW: Final = 256


@dataclass(frozen=True)
class Outgoing:
    """One message, ready to go."""

    exchange: str
    routing_key: str
    body: bytes
    properties: Any


@dataclass
class _Batch:
    """Messages whose confirms are awaited together."""

    messages: Sequence[Outgoing]
    waiting: set[int] = field(default_factory=set)
    returned: set[tuple[str, str]] = field(default_factory=set)
    error: BrokerError | None = None
    settled: threading.Event = field(default_factory=threading.Event)

    def end(self, error: BrokerError | None) -> None:
        self.error = self.error or error
        self.settled.set()


class Publisher:
    """The channel on which everything is published."""

    def __init__(self, link: Link, connection: BrokerConnection, patience_s: float) -> None:
        self._link = link
        self._connection = connection
        self._patience_s = patience_s
        self._one_at_a_time = threading.Lock()
        self._channel: Any = None
        self._ready = threading.Event()
        self._next_tag = 1
        self._batch: _Batch | None = None
        link.add(self)

    def send(self, messages: Iterable[Outgoing]) -> None:
        """Publish messages; returns when every one is confirmed.

        Raises:
            BrokerUnavailable: some may not have arrived.
            BrokerError: no queue takes one of them, or this user may not send it.
        """
        with self._one_at_a_time:
            for window in _windows(messages):
                self._send(window)

    def connected(self, connection: Any) -> None:
        """See `Part.connected`."""
        connection.channel(on_open_callback=self._opened)

    def lost(self, error: BaseException) -> None:
        """See `Part.lost`."""
        self._closed(None, error)

    def _send(self, window: Sequence[Outgoing]) -> None:
        if not self._ready.wait(self._patience_s):
            raise BrokerUnavailable(self._link.state.error or f"{self._connection.url}: no connection")
        batch = _Batch(window)
        if not self._link.call(lambda: self._start(batch)):
            raise BrokerUnavailable(self._link.state.error or f"{self._connection.url}: no connection")
        if not batch.settled.wait(self._patience_s):
            self._link.call(lambda: self._forget(batch))
            state = self._link.state
            reason = state.error or f"no confirmation within {self._patience_s:g} s"
            raise BrokerUnavailable(f"{self._connection.url}: the broker did not take messages: {reason}")
        if batch.error is not None:
            raise batch.error

    def _start(self, batch: _Batch) -> None:
        if self._channel is None or not self._channel.is_open:
            batch.end(BrokerUnavailable(f"{self._connection.url}: the connection broke"))
            return
        self._batch = batch
        for message in batch.messages:
            batch.waiting.add(self._next_tag)
            self._next_tag += 1
            self._channel.basic_publish(
                message.exchange, message.routing_key, message.body, message.properties, mandatory=True
            )

    def _forget(self, batch: _Batch) -> None:
        if self._batch is batch:
            self._batch = None

    def _opened(self, channel: Any) -> None:
        channel.add_on_close_callback(self._closed)
        channel.add_on_return_callback(self._returned)
        channel.confirm_delivery(self._confirmed, callback=lambda _frame: self._ready.set())
        self._channel, self._next_tag = channel, 1

    def _closed(self, channel: Any, error: BaseException) -> None:
        if channel is not None and channel is not self._channel:
            return
        self._ready.clear()
        self._channel = None
        if self._batch is not None:
            self._batch.end(explain_channel(error, self._connection, _doing(self._batch)))
            self._batch = None
        if channel is not None and channel.connection.is_open:
            channel.connection.channel(on_open_callback=self._opened)

    def _returned(self, _channel: Any, method: Any, _properties: Any, _body: bytes) -> None:
        # A return comes before its confirm and does not say for which message; all with this key share its fate.
        if self._batch is not None:
            self._batch.returned.add((method.exchange, method.routing_key))

    def _confirmed(self, frame: Any) -> None:
        method, batch = frame.method, self._batch
        if batch is None:
            return
        tag = method.delivery_tag
        done = {known for known in batch.waiting if known <= tag} if method.multiple else {tag} & batch.waiting
        batch.waiting -= done
        if done and method.NAME == "Basic.Nack":
            batch.error = BrokerUnavailable(f"{_doing(batch)}: the broker did not take it: its queue is full or away")
        if not batch.waiting:
            self._batch = None
            batch.end(self._unroutable(batch))

    def _unroutable(self, batch: _Batch) -> BrokerError | None:
        if not batch.returned:
            return None
        missing = ", ".join(f"{exchange} with key {key!r}" for exchange, key in sorted(batch.returned))
        return BrokerError(
            f"no queue takes what is sent to {missing} in virtual host {self._connection.vhost!r}: "
            "`landseries topology apply` makes queues and bindings"
        )


def _windows(messages: Iterable[Outgoing]) -> Iterator[list[Outgoing]]:
    remaining = iter(messages)
    while window := list(islice(remaining, _WINDOW)):
        yield window


def _doing(batch: _Batch) -> str:
    routes = {(message.exchange, message.routing_key): None for message in batch.messages}
    return "publishing to " + ", ".join(f"{exchange} with key {key!r}" for exchange, key in list(routes)[:3])
