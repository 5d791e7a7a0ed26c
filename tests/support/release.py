"""A release of the chart in a namespace of a test's own: broker and store inside, an archive as a volume."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from landseries.brokers.management import Management
from landseries.brokers.names import work_queue
from landseries.connections import BrokerConnection, StoreConnection
from landseries.pipeline import SERVICES
from landseries.stores.minio import MinioStore

from .chart import CHART, Manifest
from .cluster import Namespace, namespace
from .containers import image_tag
from .delivery import wait_for

#: Small requests: the node is a small machine.
LITTLE: Final[Manifest] = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "3Gi"}}
_JOBS: Final = ("trainer", "mapper")


@dataclass
class Release:
    """The release `landseries`, installed or about to be."""

    place: Namespace
    values: Manifest

    def install(self) -> None:
        """Install it, and wait until workers can work."""
        self.place.helm("install", "landseries", CHART, "--wait", "--timeout", "10m", values=self.values)
        wait_for("the topology", self._has_topology, 300, self.place.events)

    def upgrade(self, *arguments: object, values: Manifest | None = None) -> None:
        """Change it to its values, or to others."""
        self.place.helm("upgrade", "landseries", CHART, *arguments, values=values or self.values)

    def operator(self, *arguments: object) -> str:
        """Run `landseries` in the operator's pod; what it prints."""
        return self.place.kubectl("exec", "deploy/landseries-operator", "--", "landseries", *arguments)

    @contextmanager
    def store(self) -> Iterator[MinioStore]:
        """The store in the cluster."""
        keys = self._secret("landseries-store")
        with self.place.forwarded("landseries-minio", 9000) as port:
            yield MinioStore(
                StoreConnection(
                    url=f"http://127.0.0.1:{port}", access_key=keys["accessKey"], secret_key=keys["secretKey"]
                )
            )

    def answered(self, run_id: str, stage: str | None = None) -> int:
        """Units of a run that have a marker: all, or those of a stage."""
        with self.store() as store:
            prefix = f"runs/{run_id}/markers/" + ("" if stage is None else f"{stage}/")
            return sum(1 for _ in store.list(prefix))

    def redelivered(self) -> int:
        """How many messages the broker has delivered more than once, so far."""
        admin = self._secret("landseries-broker-admin")
        with self.place.forwarded("landseries-rabbitmq", 15672) as port:
            connection = BrokerConnection(
                url="amqp://127.0.0.1",
                user=admin["user"].get_secret_value(),
                password=admin["password"],
                management_url=f"http://127.0.0.1:{port}",
            )
            with closing(Management(connection)) as management:
                queues = [management.get("queues", "/", work_queue(service)) for service in SERVICES]
        return sum(int(queue.get("message_stats", {}).get("redeliver", 0)) for queue in queues)

    def workers(self, service: str | None = None) -> list[Manifest]:
        """Pods of workers, of all services or of one, that have neither ended nor been told to end."""
        return [pod for pod in self.place.pods(service) if "landseries/worker" in pod["metadata"]["labels"]]

    def _has_topology(self) -> bool:
        jobs = self.place.get("jobs")
        return any(job["status"].get("succeeded") for job in jobs if "topology" in job["metadata"]["name"])

    def _secret(self, name: str) -> dict[str, SecretStr]:
        [secret] = [item for item in self.place.get("secrets") if item["metadata"]["name"] == name]
        return {key: SecretStr(base64.b64decode(value).decode()) for key, value in secret["data"].items()}


def metric(pod: Manifest, name: str) -> float:
    """The value of a metric without labels that a worker shows; 0 where it does not answer."""
    try:
        with urlopen(f"http://{pod['status']['podIP']}:8080/metrics", timeout=2) as answer:
            text = answer.read().decode()
    except (OSError, KeyError):
        return 0.0
    found = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    ]
    return found[0] if found else 0.0


@contextmanager
def release(folder: Path, archive: Path, services: Sequence[str] = SERVICES) -> Iterator[Release]:
    """A namespace with volumes for an archive and for the servers, and what to install there.

    Args:
        folder: for the volumes; the cluster's users may look into it.
        archive: a folder of this machine, which pods find under its own path.
        services: those that have workers from the start.
    """
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)
    with namespace(folder) as place:
        place.volume("archive", path=archive)
        place.volume("data-landseries-rabbitmq-0")
        place.volume("data-landseries-minio-0")
        place.claim("archive")
        yield Release(place, _values(archive, services))


def _values(archive: Path, services: Sequence[str]) -> Manifest:
    own: dict[str, Manifest] = {service: {"resources": LITTLE} for service in ("fetcher", *_JOBS)}
    for service in set(SERVICES) - set(services):
        own[service] = {**own.get(service, {}), "replicas": 0}
    return {
        "image": {"tag": image_tag()},
        "archive": {"existingClaim": "archive", "mountPath": str(archive)},
        "defaults": {"resources": LITTLE, "maxReplicas": 3, "graceS": 60, "leaseS": 20},
        "services": own,
        "operator": {"resources": LITTLE},
        "rabbitmq": {"enabled": True, "volumeSize": "1Gi", "resources": LITTLE},
        "minio": {"enabled": True, "volumeSize": "1Gi", "resources": LITTLE},
    }


def keda_in(place: Namespace) -> Manifest:
    """Values that let KEDA scale a release whose broker is inside, quickly."""
    # KEDA need not be in the cluster itself, and so may not know its names.
    [service] = [item for item in place.get("services") if item["metadata"]["name"] == "landseries-rabbitmq"]
    return {"enabled": True, "managementUrl": f"http://{service['spec']['clusterIP']}:15672"}


@contextmanager
def watching(look: Callable[[], None], every_s: float = 1.0) -> Iterator[None]:
    """Look at something again and again meanwhile; a look at an API server that is busy is left out."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(every_s):
            with suppress(AssertionError, json.JSONDecodeError):
                look()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
