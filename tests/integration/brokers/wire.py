"""What these tests do past landseries: publish anything, look into a queue."""

from __future__ import annotations

import struct
from typing import Any

import pika
from pika import spec

from landseries.brokers.connection import parameters
from landseries.connections import BrokerConnection


class RawHeaders(spec.BasicProperties):  # type: ignore[misc]
    """Properties with a header table made by hand, a type and an id."""

    def __init__(self, table: bytes, kind: str = "index.v1", message_id: str = "by hand") -> None:
        super().__init__()
        self._table = table
        self._texts = [kind, message_id]

    def encode(self) -> list[bytes]:
        flags = self.FLAG_HEADERS | self.FLAG_DELIVERY_MODE | self.FLAG_MESSAGE_ID | self.FLAG_TYPE
        kind, message_id = (bytes([len(text)]) + text.encode() for text in self._texts)
        table = struct.pack(">I", len(self._table)) + self._table
        return [struct.pack(">H", flags), table, b"\x02", message_id, kind]


def nested_tables(depth: int) -> bytes:
    """A header table in a table in a table ..."""
    table = b""
    for _ in range(depth):
        table = b"\x01aF" + struct.pack(">I", len(table)) + table
    return table


#: A date long after the year 9999.
FAR_DATE = b"\x01aT" + struct.pack(">Q", 2**62)


def publish_raw(place: BrokerConnection, key: str, body: bytes, properties: Any, exchange: str = "landseries") -> None:
    """Publish with a confirm."""
    with pika.BlockingConnection(parameters(place, "test")) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish(exchange, key, body, properties, mandatory=True)


def raw_letters(place: BrokerConnection, queue: str) -> list[tuple[Any, bytes]]:
    """Take all messages of a queue."""
    found = []
    with pika.BlockingConnection(parameters(place, "test")) as connection:
        channel = connection.channel()
        while True:
            method, properties, body = channel.basic_get(queue, auto_ack=True)
            if method is None:
                return found
            found.append((properties, body))
