"""One connection on a thread of its own: kept alive while others work, and made again by itself."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import pika
from pika.adapters.select_connection import IOLoop

from landseries.brokers.connection import delays_s, explain_connection, parameters
from landseries.connections import BrokerConnection
from landseries.errors import BrokerError, BrokerUnavailable


@dataclass(frozen=True)
class LinkState:
    """How a connection is.

    Attributes:
        status: `blocked` while the broker takes nothing because its memory or disk is short.
        error: why it is not connected, or what last went wrong; None where nothing did.
    """

    status: Literal["connected", "blocked", "reconnecting", "closed"]
    error: str | None = None


class Part(Protocol):
    """What lives on a connection. Both methods are called on the connection's thread."""

    def connected(self, connection: Any) -> None:
        """A connection is open: make channels on it."""

    def lost(self, error: BaseException) -> None:
        """The connection is gone, with everything that was on it."""


class Link:
    """A connection to one of some brokers that is made again, forever, when it breaks.

    Everything of pika is touched on the connection's thread alone; `call` brings work there.
    """

    def __init__(self, connection: BrokerConnection, name: str) -> None:
        self._connection = connection
        self._parameters = parameters(connection, name)
        self._parts: list[Part] = []
        self._changed = threading.Condition()
        self._state = LinkState("reconnecting")
        self._loop: IOLoop | None = None
        self._pika: Any = None
        self._opened_once = False
        self._fatal: BrokerError | None = None
        self._failed: BaseException | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="landseries-broker", daemon=True)

    def add(self, part: Part) -> None:
        """Let something live on the connection; before `open`."""
        self._parts.append(part)

    @property
    def state(self) -> LinkState:
        """How the connection is at this moment."""
        return self._state

    def open(self, patience_s: float) -> None:
        """Connect for the first time.

        Raises:
            BrokerUnavailable: no broker answered in time.
            BrokerError: it answered and refuses: credentials, virtual host, TLS.
        """
        self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._opened_once or self._fatal is not None, patience_s)
            if self._opened_once:
                return
            error = self._fatal or BrokerUnavailable(
                self._state.error
                or f"{self._connection.url}{self._connection.unset}: no AMQP broker answered within {patience_s:g} s"
            )
        self.close()
        raise error

    def call(self, function: Callable[[], None]) -> bool:
        """Run something on the connection's thread, soon; false where there is no connection."""
        with self._changed:
            if self._loop is None or self._pika is None:
                return False
            self._loop.add_callback_threadsafe(function)
            return True

    def later(self, delay_s: float, function: Callable[[], None]) -> None:
        """Run something on the connection's thread after a while, as long as the connection lives; from there only."""
        if self._loop is not None:
            self._loop.call_later(delay_s, function)

    def drop(self) -> None:
        """Break the connection on purpose; it comes back by itself. On the connection's thread only."""
        if self._pika is not None and self._pika.is_open:
            self._pika.close(320, "made anew")

    def trouble(self, error: str | None) -> None:
        """Let the state tell what a part of the connection suffers from; None when that is over."""
        with self._changed:
            self._state = LinkState(self._state.status, error)

    def close(self) -> None:
        """End the connection and its thread; what was not acknowledged goes back to its queue."""
        self._closing.set()
        with self._changed:
            if self._loop is not None:
                self._loop.add_callback_threadsafe(self._end)
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(10)
        self._set(LinkState("closed", self._state.error))

    def _run(self) -> None:
        delays, turn = delays_s(), 0
        while not self._closing.is_set():
            opened = self._live(self._parameters[turn % len(self._parameters)])
            turn += 1
            if self._fatal is not None:
                return
            delays = delays_s() if opened else delays
            self._closing.wait(next(delays))

    def _live(self, where: pika.ConnectionParameters) -> bool:
        """One connection from its first byte to its last; whether it was ever open."""
        loop = IOLoop()
        self._failed = None
        opened, broken = threading.Event(), False

        def up(connection: Any) -> None:
            opened.set()
            self._up(connection)

        connection = pika.SelectConnection(where, up, self._failed_to_open, self._closed, loop)
        with self._changed:
            self._loop = loop
        try:
            if not self._closing.is_set():
                loop.start()
        except Exception as error:
            # Whatever a hostile message makes pika raise: give up the connection, not the thread.
            self._failed, broken = error, True
        with self._changed:
            self._loop = self._pika = None
        failed = self._failed or ConnectionError("the connection was given up")
        for part in self._parts:
            part.lost(failed)
        self._note(failed, opened.is_set())
        loop.close()
        del connection
        if broken:
            gc.collect()  # pika did not close its socket; the broker shall see at once that nobody listens
        return opened.is_set()

    def _up(self, connection: Any) -> None:
        connection.add_on_connection_blocked_callback(self._blocked)
        connection.add_on_connection_unblocked_callback(self._unblocked)
        with self._changed:
            self._pika = connection
        for part in self._parts:
            part.connected(connection)
        with self._changed:
            self._opened_once = True
            self._state = LinkState("connected")
            self._changed.notify_all()

    def _failed_to_open(self, _connection: Any, error: BaseException) -> None:
        self._stop(error)

    def _closed(self, _connection: Any, error: BaseException) -> None:
        self._stop(error)

    def _stop(self, error: BaseException) -> None:
        self._failed = error
        if self._loop is not None:
            self._loop.stop()

    def _end(self) -> None:
        if self._pika is not None and self._pika.is_open:
            self._pika.close()
        elif self._loop is not None and (self._pika is None or self._pika.is_closed):
            self._loop.stop()

    def _note(self, error: BaseException, opened: bool) -> None:
        explained = explain_connection(error, self._connection)
        with self._changed:
            if not self._opened_once and not opened and not isinstance(explained, BrokerUnavailable):
                self._fatal = explained
            if self._state.status != "closed":
                self._state = LinkState("reconnecting", str(explained))
            self._changed.notify_all()

    def _blocked(self, _connection: Any, frame: Any) -> None:
        reason = frame.method.reason
        reason = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else reason
        self._set(LinkState("blocked", f"{self._connection.url}: the broker takes no messages: {reason}"))

    def _unblocked(self, _connection: Any, _frame: Any) -> None:
        self._set(LinkState("connected"))

    def _set(self, state: LinkState) -> None:
        with self._changed:
            self._state = state
            self._changed.notify_all()
