"""What the network lets through in a cluster that enforces NetworkPolicies: only fetcher and operator reach outside."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pytest
from support.chart import Manifest
from support.cluster import Namespace, namespace, need_cluster
from support.containers import image
from support.delivery import wait_for
from support.release import Release, release

pytestmark = [pytest.mark.deployment, pytest.mark.xdist_group("kubernetes"), pytest.mark.timeout(1200)]

#: Ports of a server outside: one that `networkPolicy.outside` names, and one that it does not.
_NAMED: Final = 8081
_OTHER: Final = 8082
_SERVE: Final = f"python -m http.server {_OTHER} & exec python -m http.server {_NAMED}"
_CONNECT: Final = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)"


@dataclass(frozen=True)
class Pod:
    """A pod in which Python can be run."""

    place: Namespace
    name: str
    address: str

    def reaches(self, address: str, port: int) -> bool:
        """Whether a connection from here comes about within some seconds."""
        done = self.place.kubectl(
            *("exec", self.name, "--", "sh", "-c", f"python3 -c '{_CONNECT}' {address} {port} 2>&1 && echo reached"),
            check=False,
        )
        assert "reached" in done or "Error" in done, done
        return "reached" in done


@dataclass(frozen=True)
class Network:
    """A release, and a pod of somebody else."""

    release: Release
    outside: Pod

    def pod(self, component: str) -> Pod:
        """The pod of a component of the release."""
        [found] = self.release.place.pods(component)
        return Pod(self.release.place, found["metadata"]["name"], found["status"]["podIP"])


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    need_cluster()
    folder = tmp_path_factory.mktemp("network")
    (folder / "archive").mkdir()
    with namespace(folder) as elsewhere, release(folder, folder / "archive", services=["fetcher", "indexer"]) as found:
        outside = _server(elsewhere, "outside")
        _need_enforcement(elsewhere, outside)
        found.values["networkPolicy"] = {"outside": [{"port": _NAMED, "protocol": "TCP"}]}
        found.install()
        yield Network(found, outside)


@pytest.mark.parametrize("component", ["fetcher", "operator"])
def test_fetcher_and_operator_reach_the_ports_outside_that_are_named(network: Network, component: str) -> None:
    pod = network.pod(component)
    assert pod.reaches(network.outside.address, _NAMED)
    assert not pod.reaches(network.outside.address, _OTHER)


@pytest.mark.parametrize("component", ["indexer", "rabbitmq"])
def test_nothing_else_reaches_outside(network: Network, component: str) -> None:
    pod = network.pod(component)
    assert not pod.reaches(network.outside.address, _NAMED)
    assert not pod.reaches(network.outside.address, _OTHER)


@pytest.mark.parametrize("component", ["fetcher", "indexer", "operator"])
def test_workers_and_operator_reach_broker_and_store_by_their_names(network: Network, component: str) -> None:
    pod = network.pod(component)
    assert pod.reaches("landseries-rabbitmq", 5672)
    assert pod.reaches("landseries-minio", 9000)


def test_workers_do_not_reach_each_other(network: Network) -> None:
    assert not network.pod("indexer").reaches(network.pod("fetcher").address, 8080)


@pytest.mark.parametrize(("component", "port"), [("rabbitmq", 5672), ("rabbitmq", 15672), ("minio", 9000)])
def test_others_do_not_reach_the_servers(network: Network, component: str, port: int) -> None:
    assert not network.outside.reaches(network.pod(component).address, port)


def test_others_may_scrape_metrics(network: Network) -> None:
    assert network.outside.reaches(network.pod("indexer").address, 8080)


def _server(place: Namespace, name: str) -> Pod:
    """A pod of nobody's that serves both ports."""
    place.apply(_manifest(name))
    place.kubectl("wait", f"pod/{name}", "--for=condition=Ready", "--timeout=120s")
    [found] = [pod for pod in place.pods() if pod["metadata"]["name"] == name]
    pod = Pod(place, name, found["status"]["podIP"])
    wait_for("its servers", lambda: pod.reaches("127.0.0.1", _NAMED) and pod.reaches("127.0.0.1", _OTHER), 60)
    return pod


def _need_enforcement(place: Namespace, outside: Pod) -> None:
    """Skip the test where a policy that denies everything denies nothing; in CI that is a failure."""
    assert outside.reaches(outside.address, _NAMED)
    denied = _server(place, "denied")
    deny = {"podSelector": {"matchLabels": {"name": "denied"}}, "policyTypes": ["Egress"]}
    kind = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "denied"}}
    assert denied.reaches(outside.address, _NAMED)
    place.apply({**kind, "spec": deny})
    try:
        wait_for("the policy", lambda: not denied.reaches(outside.address, _NAMED), 20)
    except AssertionError:
        reason = "this cluster enforces no NetworkPolicies"
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI=true, and {reason}", pytrace=False)
        pytest.skip(reason)


def _manifest(name: str) -> Manifest:
    security = {
        "allowPrivilegeEscalation": False,
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {
        "name": "server",
        "image": image("fetcher"),
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", _SERVE],
        "securityContext": security,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"name": name}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
    }
