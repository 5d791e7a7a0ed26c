"""A broker inside one process: what the embedded run uses. What it holds dies with it; markers bring it back."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from landseries.messages import Message
from landseries.pipeline import STAGES

#: Delays before the second, third ... try of a message, in seconds; after the last one it is dead.
RETRY_DELAYS_S: Final[tuple[float, ...]] = (0.5, 2.0, 8.0)


@dataclass(frozen=True)
class DeadLetter:
    """A message that was put aside, and why."""

    message: Message
    reason: str


class InProcessBroker:
    """Queues in memory, safe for threads.

    Messages are handed out by the position of their stage in the table, later stages first, so that a unit's results
    are used up soon after they were made; within a stage in the order in which they came.
    """

    def __init__(self) -> None:
        self._ready: dict[str, deque[Message]] = {stage: deque() for stage in STAGES}
        self._waiting: list[tuple[float, Message]] = []
        self._known: set[str] = set()
        self._unacked = 0
        self._changed = threading.Condition()
        self.dead_letters: list[DeadLetter] = []

    def publish(self, messages: Iterable[Message]) -> None:
        """See `Broker.publish`. A message that is already queued or in work is not queued twice."""
        with self._changed:
            for message in messages:
                if message.message_id not in self._known:
                    self._known.add(message.message_id)
                    self._ready[message.stage].append(message)
            self._changed.notify_all()

    def receive(self, services: Iterable[str], timeout_s: float) -> InProcessDelivery | None:
        """See `Broker.receive`."""
        wanted = set(services)
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                message = self._next(wanted)
                if message is not None:
                    self._unacked += 1
                    return InProcessDelivery(message, self)
                left = deadline - time.monotonic()
                if left <= 0 or self._is_idle():
                    return None
                self._changed.wait(min(left, 0.1 if self._waiting else left))

    def idle(self) -> bool:
        """Whether no message is queued, delayed or in work."""
        with self._changed:
            return self._is_idle()

    def only_one(self) -> bool:
        """Whether one message is in work and none is queued."""
        with self._changed:
            return self._unacked == 1 and not any(self._ready.values())

    def put_back(self, message: Message, delay_s: float) -> None:
        """What a delivery reports back that was not worked on."""
        with self._changed:
            self._unacked -= 1
            self._waiting.append((time.monotonic() + delay_s, message))
            self._changed.notify_all()

    def settle(self, message: Message, retry_reason: str | None, dead_reason: str | None) -> None:
        """What a delivery reports back."""
        with self._changed:
            self._unacked -= 1
            if retry_reason is not None and message.attempt <= len(RETRY_DELAYS_S):
                due = time.monotonic() + RETRY_DELAYS_S[message.attempt - 1]
                self._waiting.append((due, message.model_copy(update={"attempt": message.attempt + 1})))
            else:
                self._known.discard(message.message_id)
                reason = dead_reason or retry_reason
                if reason is not None:
                    self.dead_letters.append(DeadLetter(message, reason))
            self._changed.notify_all()

    def _next(self, services: set[str]) -> Message | None:
        now = time.monotonic()
        for entry in [entry for entry in self._waiting if entry[0] <= now]:
            self._waiting.remove(entry)
            self._ready[entry[1].stage].append(entry[1])
        for stage in reversed(STAGES):
            if STAGES[stage].service in services and self._ready[stage]:
                return self._ready[stage].popleft()
        return None

    def _is_idle(self) -> bool:
        return not self._unacked and not self._waiting and not any(self._ready.values())


@dataclass
class InProcessDelivery:
    """See `Delivery`."""

    message: Message
    _broker: InProcessBroker = field(repr=False)
    waited_s: float | None = None
    is_lost: bool = False

    def ack(self) -> None:
        """See `Delivery.ack`."""
        self._broker.settle(self.message, None, None)

    def retry(self, reason: str) -> None:
        """See `Delivery.retry`."""
        self._broker.settle(self.message, reason, None)

    def later(self, delay_s: float) -> None:
        """See `Delivery.later`."""
        self._broker.put_back(self.message, delay_s)

    def hand_back(self) -> None:
        """See `Delivery.hand_back`."""
        self._broker.put_back(self.message, 0.0)

    def dead(self, reason: str) -> None:
        """See `Delivery.dead`."""
        self._broker.settle(self.message, None, reason)
