"""The least that any worker behind RabbitMQ and MinIO must do, without landseries: what its overhead is measured by.

A round: consume one message, write two small objects (one on the condition that it does not exist), list a group of at
most a hundred objects, publish one message with a confirm, acknowledge. The same clients, broker and store are used.
"""

from __future__ import annotations

import io
import time
from types import TracebackType
from typing import Final, Self

import pika

from landseries.brokers.connection import parameters
from landseries.connections import BrokerConnection, StoreConnection
from landseries.stores.s3_clients import S3Clients

QUEUE: Final = "bare"
_GROUP: Final = 100
_BODY: Final = b'{"schema_version":1,"run_id":"demo","tile":"t00000","year":"2018"}'
#: About the size of a marker.
_CONTENT: Final = b"x" * 400


class BareLoop:
    """Rounds on a queue of its own that always holds one message; a context manager."""

    def __init__(self, broker: BrokerConnection, store: StoreConnection) -> None:
        self._broker = broker
        self._bucket = store.bucket
        self._clients = S3Clients(store)
        self._rounds = 0

    def __enter__(self) -> Self:
        self._connection = pika.BlockingConnection(parameters(self._broker, "bare loop"))
        self._channel = self._connection.channel()
        self._channel.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        self._channel.basic_qos(prefetch_count=1)
        self._channel.confirm_delivery()
        self._publish()
        self._messages = self._channel.consume(QUEUE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.close()

    def run(self, rounds: int) -> float:
        """Do some rounds; the seconds they took."""
        started = time.perf_counter()
        for _ in range(rounds):
            self._round()
        return time.perf_counter() - started

    def _round(self) -> None:
        method, _, _ = next(self._messages)
        group = f"bare/{self._rounds // _GROUP:06d}/"
        key = f"{group}{self._rounds:08d}.json"
        self._clients.minio.put_object(self._bucket, f"bare-artifacts/{key}", io.BytesIO(_CONTENT), len(_CONTENT))
        self._clients.boto.put_object(Bucket=self._bucket, Key=key, Body=_CONTENT, IfNoneMatch="*")
        found = sum(1 for _ in self._clients.minio.list_objects(self._bucket, prefix=group, recursive=True))
        assert found == self._rounds % _GROUP + 1
        self._rounds += 1
        self._publish()
        self._channel.basic_ack(method.delivery_tag)

    def _publish(self) -> None:
        persistent = pika.BasicProperties(delivery_mode=2)
        self._channel.basic_publish("", QUEUE, _BODY, persistent, mandatory=True)
