"""What landseries asks of a broker: durable queues per service, confirmed publishing, explicit acknowledgement."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from landseries.messages import Message


class Delivery(Protocol):
    """One message in the hands of one worker, until it says what became of it.

    Where the connection on which the message came is gone, every method does nothing: the broker delivers the message
    again, and a unit that was done is found done.

    Attributes:
        message: the message; its envelope is as hostile as its body until `landseries.messages.decode` has checked it.
        waited_s: seconds between publishing and this delivery; None where the message does not say.
    """

    message: Message
    waited_s: float | None

    @property
    def is_lost(self) -> bool:
        """Whether the broker awaits no answer any more, and delivers the message again."""

    def ack(self) -> None:
        """The work is done and what became due is published: forget the message."""

    def retry(self, reason: str) -> None:
        """The unit failed: try again, with a delay that grows with the attempts; after the last one it is dead."""

    def later(self, delay_s: float) -> None:
        """Not now, through no fault of the unit: deliver again after about so long, as the same attempt."""

    def hand_back(self) -> None:
        """Someone else may have it at once: this worker stops."""

    def dead(self, reason: str) -> None:
        """No number of tries will help: put it aside with the reason."""


class Broker(Protocol):
    """Carries messages to the services of their stages, each at least once."""

    def publish(self, messages: Iterable[Message]) -> None:
        """Send messages; returns when the broker has them for good.

        Raises:
            BrokerUnavailable: some may not have arrived; send all of them again.
            BrokerError: no queue takes a message, or this user may not send it.
        """

    def receive(self, services: Iterable[str], timeout_s: float) -> Delivery | None:
        """The next message for one of some services; None when none came in time."""
