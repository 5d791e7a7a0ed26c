"""The image of RabbitMQ, from which the chart's own broker is: it tells the metrics that the alerts ask for."""

from __future__ import annotations

import re
from typing import Final
from urllib.request import urlopen

import pytest
from support.chart import CHART, Manifest, one, rendered
from support.containers import need_images, yard
from support.delivery import wait_for
from support.servers_of_images import start_broker

from landseries.brokers.names import work_queue
from landseries.brokers.topology import apply
from landseries.pipeline import SERVICES

pytestmark = [pytest.mark.deployment, pytest.mark.xdist_group("images"), pytest.mark.timeout(300)]

_SCRAPED: Final[Manifest] = {
    "rabbitmq": {"enabled": True},
    "minio": {"enabled": True},
    "serviceMonitor": {"enabled": True},
}


def test_it_tells_the_metrics_of_every_queue_that_alerts_ask_for() -> None:
    need_images(["rabbitmq"])
    asked = set(re.findall(r"rabbitmq_[a-z_]+", (CHART / "files" / "alerts.yaml").read_text())) - {
        "rabbitmq_prometheus"
    }
    assert len(asked) >= 3
    [scrape] = one(rendered(_SCRAPED), "ServiceMonitor", "ls-landseries-rabbitmq")["spec"]["endpoints"]
    families = "&".join(f"family={family}" for family in scrape["params"]["family"])
    with yard() as place:
        rabbit, broker = start_broker(place)
        apply(broker)
        url = f"http://127.0.0.1:{rabbit.port(15692)}{scrape['path']}?{families}"
        # Queues tell of themselves every few seconds.
        wait_for("metrics", lambda: all(_queues(url, metric) >= set(map(work_queue, SERVICES)) for metric in asked), 60)


def _queues(url: str, metric: str) -> set[str]:
    """Queues of which a page of metrics tells this one."""
    with urlopen(url, timeout=30) as answer:
        told = answer.read().decode()
    return set(re.findall(rf'^{metric}{{.*queue="([^"]+)".*}} [0-9]', told, re.MULTILINE))
