"""What landseries asks of a broker: durable queues per service, confirmed publishing, explicit acknowledgement."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from landseries.messages import Message


class Delivery(Protocol):
    """One message in the hands of one worker, until it says what became of it."""

    message: Message

    def ack(self) -> None:
        """The work is done and what became due is published: forget the message."""

    def retry(self, reason: str) -> None:
        """Try again later, with growing delay."""

    def dead(self, reason: str) -> None:
        """No number of tries will help: put it aside with the reason."""


class Broker(Protocol):
    """Carries messages to the services of their stages, each at least once."""

    def publish(self, messages: Iterable[Message]) -> None:
        """Send messages; returns when the broker has them for good."""

    def receive(self, services: Iterable[str], timeout_s: float) -> Delivery | None:
        """The next message for one of some services; None when none came in time."""
