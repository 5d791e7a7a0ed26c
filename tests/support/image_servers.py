"""RabbitMQ and MinIO from our images, and how test processes and other containers reach them."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import Final

from pydantic import SecretStr

from landseries.brokers.management import Management
from landseries.brokers.topology import apply
from landseries.connections import BrokerConnection, StoreConnection
from landseries.errors import BrokerError
from landseries.stores.minio import MinioStore

from .containers import Yard
from .delivery import environment, wait_for

_START_S: Final = 120


@dataclass(frozen=True)
class ImageServers:
    """The servers, with the topology and the bucket.

    Attributes:
        broker, store: how this process reaches them.
        variables: how a container in the same yard does, as its environment.
    """

    broker: BrokerConnection
    store: StoreConnection
    variables: dict[str, str]


def start_servers(place: Yard) -> ImageServers:
    """Start both, each as a user of no name with a root that cannot be written."""
    secret = SecretStr("only-for-this-test")
    password = {"RABBITMQ_PASSWORD": secret.get_secret_value()}
    keys = {"MINIO_ROOT_USER": "landseries", "MINIO_ROOT_PASSWORD": secret.get_secret_value()}
    rabbit = place.start("rabbitmq", name="rabbitmq", env=password, writable="/var/lib/rabbitmq", ports=[5672, 15672])
    minio = place.start("minio", name="minio", env=keys, writable="/data", ports=[9000])
    broker = BrokerConnection(
        url=f"amqp://127.0.0.1:{rabbit.port(5672)}",
        user="landseries-admin",
        password=secret,
        management_url=f"http://127.0.0.1:{rabbit.port(15672)}",
    )
    url = f"http://127.0.0.1:{minio.port(9000)}"
    store = StoreConnection(url=url, access_key=SecretStr("landseries"), secret_key=secret)
    wait_for("RabbitMQ", lambda: _answers(broker), _START_S, rabbit.logs)
    apply(broker)
    MinioStore(store).create_bucket()
    inside = environment(
        broker.model_copy(update={"url": "amqp://rabbitmq:5672", "management_url": "http://rabbitmq:15672"}),
        store.model_copy(update={"url": "http://minio:9000"}),
    )
    return ImageServers(
        broker, store, {name: value for name, value in inside.items() if name.startswith("LANDSERIES_")}
    )


def _answers(broker: BrokerConnection) -> bool:
    try:
        with closing(Management(broker)) as management:
            return bool(management.version())
    except BrokerError:
        return False
