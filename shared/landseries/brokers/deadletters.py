"""The messages that services put aside: what they are and why, and what a person does with them.

Looking takes them from the queue and puts them back, so two people who look at once each see a part.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final, Literal, Self

import pika
from pika import exceptions

from landseries.brokers.connection import explain_channel, explain_connection, parameters
from landseries.brokers.envelope import clean, headers_of, to_message, to_properties
from landseries.brokers.names import WORK_EXCHANGE, dead_queue
from landseries.connections import BrokerConnection
from landseries.errors import BrokerError, BrokerUnavailable
from landseries.messages import BadMessage, Message, decode
from landseries.pipeline import SERVICES

#: Dead letters that are listed at most, per service, where the caller names no other number.
LISTED: Final = 1000
#: How long it is waited for that a queue shows what was put back, in seconds; another may have taken it meanwhile.
_PUT_BACK_S: Final = 3.0


@dataclass(frozen=True)
class DeadLetter:
    """A message that was put aside.

    Attributes:
        service: which put it aside.
        message: the message; its body is cut where `original_bytes` is set.
        run_id: its run; None where it cannot be read.
        unit: name of its unit, such as `index 32N-c0273-r2016 2018`; None where it cannot be read.
        reason: why it was put aside.
        when: UTC; None where nothing tells.
        attempts: how often it was tried.
        original_bytes: length of a body that was too large to be kept.
    """

    service: str
    message: Message
    run_id: str | None
    unit: str | None
    reason: str
    when: datetime | None
    attempts: int
    original_bytes: int | None


@dataclass(frozen=True)
class Selection:
    """Which dead letters are meant: all that agree with every field that is given."""

    services: Collection[str] = SERVICES
    run_id: str | None = None
    message_ids: Collection[str] | None = None

    def takes(self, letter: DeadLetter) -> bool:
        """Whether a dead letter is meant."""
        of_run = self.run_id is None or letter.run_id == self.run_id
        return of_run and (self.message_ids is None or letter.message.message_id in self.message_ids)


@dataclass(frozen=True)
class Outcome:
    """What became of one dead letter; `detail` says why it was kept."""

    letter: DeadLetter
    done: Literal["redriven", "dropped", "kept"]
    detail: str = ""


class DeadLetters:
    """The dead letters at one broker; a context manager, for the time of one command.

    Every method raises BrokerError where a queue is missing or the user may not read it (the operator may), and
    BrokerUnavailable where the connection breaks; what was not done yet is then still there.
    """

    def __init__(self, connection: BrokerConnection) -> None:
        self._where = connection
        self._connection: Any = None

    def __enter__(self) -> Self:
        try:
            self._connection = pika.BlockingConnection(parameters(self._where, "landseries dead letters"))
        except (exceptions.AMQPError, OSError) as error:
            raise explain_connection(error, self._where) from None
        return self

    def __exit__(self, *_unused: object) -> None:
        if self._connection.is_open:
            self._connection.close()

    def counts(self, services: Collection[str] = SERVICES) -> dict[str, int]:
        """Number of dead letters by service."""
        found = {}
        for service in services:
            with _Walk(self._connection, self._where, service) as walk:
                found[service] = walk.count
        return found

    def find(self, selection: Selection | None = None, limit: int = LISTED) -> list[DeadLetter]:
        """Dead letters in the order of their queues; of each service's the first `limit` are looked at."""
        selection = selection or Selection()
        return [letter for letter, _keep in self._selected(selection, limit)]

    def redrive(self, selection: Selection) -> list[Outcome]:
        """Send messages to their stage again, as a first attempt; those that no service could read are kept."""
        return self._each(selection, self._redrive)

    def drop(self, selection: Selection) -> list[Outcome]:
        """Remove dead letters for good."""
        return self._each(selection, lambda letter, _walk: Outcome(letter, "dropped"))

    def _each(self, selection: Selection, act: Callable[[DeadLetter, _Walk], Outcome]) -> list[Outcome]:
        outcomes = []
        for letter, walk in self._selected(selection, None):
            outcome = act(letter, walk)
            if outcome.done != "kept":
                walk.remove()
            outcomes.append(outcome)
        return outcomes

    def _selected(self, selection: Selection, limit: int | None) -> Iterator[tuple[DeadLetter, _Walk]]:
        for service in selection.services:
            with _Walk(self._connection, self._where, service) as walk:
                for letter in walk.letters(limit):
                    if selection.takes(letter):
                        yield letter, walk

    def _redrive(self, letter: DeadLetter, walk: _Walk) -> Outcome:
        if letter.original_bytes is not None:
            return Outcome(letter, "kept", f"its body of {letter.original_bytes} bytes was cut: only `drop` is left")
        try:
            decode(letter.message)
        except BadMessage as error:
            return Outcome(letter, "kept", f"it would be put aside again: {error}")
        walk.publish(letter.message.model_copy(update={"attempt": 1}))
        return Outcome(letter, "redriven")


class _Walk:
    """Once through the dead letters of a service; those that were not removed go back at the end."""

    def __init__(self, connection: Any, where: BrokerConnection, service: str) -> None:
        if service not in SERVICES:
            raise BrokerError(f"there is no service {service!r}: known are {', '.join(SERVICES)}")
        self._connection, self._where, self._service = connection, where, service
        self._channel: Any = None
        self._tag = 0
        self._kept = 0
        self.count = 0

    def __enter__(self) -> Self:
        try:
            self._channel = self._connection.channel()
            self._channel.confirm_delivery()
            self.count = self._depth()
        except (exceptions.AMQPError, OSError) as error:
            raise self._explain(error) from None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, exceptions.AMQPError | OSError):
            raise self._explain(error) from None
        try:
            if self._channel.is_open:
                self._put_back()
                self._channel.close()
        except (exceptions.AMQPError, OSError) as late:
            raise self._explain(late) from None

    def letters(self, limit: int | None) -> Iterator[DeadLetter]:
        """Those that were there at the start; what comes in meanwhile is for the next time."""
        for _ in range(self.count if limit is None else min(limit, self.count)):
            method, properties, body = self._channel.basic_get(dead_queue(self._service))
            if method is None:
                return
            self._tag = method.delivery_tag
            self._kept += 1
            yield _letter(self._service, properties, body)

    def remove(self) -> None:
        """Remove the dead letter that was given last."""
        self._channel.basic_ack(self._tag)
        self._kept -= 1

    def publish(self, message: Message) -> None:
        """Send a message to its stage; returns when the broker has it."""
        try:
            self._channel.basic_publish(
                WORK_EXCHANGE, message.stage, message.body, to_properties(message), mandatory=True
            )
        except exceptions.UnroutableError:
            raise BrokerError(
                f"no queue takes messages of {message.stage}: `landseries topology apply` makes it"
            ) from None
        except exceptions.NackError:
            raise BrokerUnavailable(
                f"the broker did not take a message of {message.stage}: its queue is full"
            ) from None

    def _put_back(self) -> None:
        """Put back all that was not removed, and wait until the queue shows it, for whoever looks next."""
        if not self._kept:
            return
        self._channel.basic_nack(0, multiple=True, requeue=True)
        deadline = monotonic() + _PUT_BACK_S
        while self._depth() < self._kept and monotonic() < deadline:
            self._connection.sleep(0.02)

    def _depth(self) -> int:
        found: int = self._channel.queue_declare(dead_queue(self._service), passive=True).method.message_count
        return found

    def _explain(self, error: BaseException) -> BrokerError:
        if isinstance(error, exceptions.ChannelClosedByBroker):
            return explain_channel(error, self._where, f"reading {dead_queue(self._service)}")
        return explain_connection(error, self._where)


def _letter(service: str, properties: Any, body: bytes) -> DeadLetter:
    message, headers = to_message(properties, body), headers_of(properties)
    size = headers.get("original_bytes")
    run_id = unit = None
    try:
        run_id, decoded = decode(message)
        unit = decoded.name
    except BadMessage:
        pass  # that may be why it is here; the reason says so
    death = _death(headers)
    reason = headers.get("reason")
    if not isinstance(reason, str):
        reason = _reason_of_the_broker(death)
    return DeadLetter(
        service=service,
        message=message,
        run_id=run_id,
        unit=unit,
        reason=clean(reason),
        when=_when(headers, death),
        attempts=message.attempt,
        original_bytes=size if isinstance(size, int) else None,
    )


def _death(headers: Any) -> dict[str, Any]:
    """What the broker noted when it put a message aside by itself."""
    deaths = headers.get("x-death")
    first = deaths[0] if isinstance(deaths, list) and deaths else None
    return first if isinstance(first, dict) else {}


def _reason_of_the_broker(death: dict[str, Any]) -> str:
    if death.get("reason") == "delivery_limit":
        return "delivered again and again without an answer: it ends the workers that take it (the delivery limit)"
    return f"put aside by the broker: {death.get('reason', 'no reason given')}"


def _when(headers: Any, death: dict[str, Any]) -> datetime | None:
    dead_ms, noted = headers.get("dead_ms"), death.get("time")
    if isinstance(dead_ms, int) and 0 < dead_ms < 2**42:
        return datetime.fromtimestamp(dead_ms / 1000, UTC)
    return noted if isinstance(noted, datetime) else None
