"""How many messages lie in each queue, as any user that may look at a queue can ask."""

from __future__ import annotations

from dataclasses import dataclass

import pika
from pika import exceptions

from landseries.brokers.connection import explain_channel, explain_connection, parameters
from landseries.brokers.names import RETRY_DELAYS_S, dead_queue, retry_exchange, work_queue
from landseries.connections import BrokerConnection
from landseries.pipeline import SERVICES


@dataclass(frozen=True)
class Depths:
    """Messages by service: ready for work, and put aside; and in all that wait for another try."""

    waiting: dict[str, int]
    dead: dict[str, int]
    delayed: int


def queue_depths(connection: BrokerConnection) -> Depths:
    """Ask the broker how many messages each queue holds; those in work are not among them.

    Raises:
        BrokerError: it refuses, or a queue is missing.
        BrokerUnavailable: it does not answer.
    """
    try:
        with pika.BlockingConnection(parameters(connection, "landseries status")) as opened:
            channel = opened.channel()

            def count(queue: str) -> int:
                found: int = channel.queue_declare(queue, passive=True).method.message_count
                return found

            return Depths(
                waiting={service: count(work_queue(service)) for service in SERVICES},
                dead={service: count(dead_queue(service)) for service in SERVICES},
                delayed=sum(count(retry_exchange(delay_s)) for delay_s in RETRY_DELAYS_S),
            )
    except exceptions.ChannelClosedByBroker as error:
        raise explain_channel(error, connection, "asking for the depth of the queues") from None
    except (exceptions.AMQPError, OSError) as error:
        raise explain_connection(error, connection) from None
