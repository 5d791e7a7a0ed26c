"""RabbitMQ and MinIO in containers of our images, for workers in containers beside them."""

from __future__ import annotations

from contextlib import closing
from typing import Final

from pydantic import SecretStr

from landseries.brokers.management import Management
from landseries.connections import BrokerConnection, StoreConnection
from landseries.errors import BrokerError

from .containers import Container, Yard
from .delivery import environment, wait_for

_SECRET: Final = SecretStr("only-for-this-test")


def start_servers(place: Yard) -> tuple[BrokerConnection, StoreConnection, dict[str, str]]:
    """RabbitMQ and MinIO from our images; how this process reaches them, and the variables for containers."""
    _, broker = start_broker(place)
    keys = {"MINIO_ROOT_USER": "landseries", "MINIO_ROOT_PASSWORD": _SECRET.get_secret_value()}
    minio = place.start("minio", name="minio", env=keys, writable="/data", ports=[9000])
    store = StoreConnection(
        url=f"http://127.0.0.1:{minio.port(9000)}", access_key=SecretStr("landseries"), secret_key=_SECRET
    )
    inside = environment(
        broker.model_copy(update={"url": "amqp://rabbitmq:5672", "management_url": "http://rabbitmq:15672"}),
        store.model_copy(update={"url": "http://minio:9000"}),
    )
    return broker, store, {name: value for name, value in inside.items() if name.startswith("LANDSERIES_")}


def start_broker(place: Yard) -> tuple[Container, BrokerConnection]:
    """RabbitMQ from our image, and how this process reaches it as its administrator; its metrics are at port 15692."""
    password = {"RABBITMQ_PASSWORD": _SECRET.get_secret_value()}
    ports = [5672, 15672, 15692]
    rabbit = place.start("rabbitmq", name="rabbitmq", env=password, writable="/var/lib/rabbitmq", ports=ports)
    broker = BrokerConnection(
        url=f"amqp://127.0.0.1:{rabbit.port(5672)}",
        user="landseries-admin",
        password=_SECRET,
        management_url=f"http://127.0.0.1:{rabbit.port(15672)}",
    )
    wait_for("RabbitMQ", lambda: _answers(broker), 120, rabbit.logs)
    return rabbit, broker


def _answers(broker: BrokerConnection) -> bool:
    try:
        with closing(Management(broker)) as management:
            return bool(management.version())
    except BrokerError:
        return False
