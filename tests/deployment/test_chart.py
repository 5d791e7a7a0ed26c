"""The Helm chart: what it renders, for which clusters that is well-formed, and what it refuses."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
import yaml
from support.chart import CHART, EXTERNAL, INSIDE, Manifest, helm, need_tool, one, pod_templates, refusal, rendered

from landseries.brokers.names import service_user, users, work_queue
from landseries.metrics import WorkerMetrics
from landseries.pipeline import SERVICES

_GOLDEN: Final = Path(__file__).with_name("golden")
#: Set it to write the expected manifests anew; look at the difference before committing it.
_UPDATE: Final = "UPDATE_GOLDEN"
_KEDA: Final[Manifest] = {"keda": {"enabled": True}}
_GPU: Final[Manifest] = {
    "services": {
        "mapper": {
            "gpus": 1,
            "runtimeClassName": "nvidia",
            "nodeSelector": {"accelerator": "a100"},
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
        }
    }
}
_EVERYTHING: Final[Manifest] = {
    **_KEDA,
    "archive": {"existingClaim": "products"},
    "serviceMonitor": {"enabled": True},
    "dashboard": {"enabled": True},
    "alerts": {"enabled": True},
}
#: Kinds that a cluster does not have by itself.
_ADDED: Final = {"ScaledObject", "ScaledJob", "TriggerAuthentication", "ServiceMonitor", "PrometheusRule"}


def _with(*values: Manifest) -> Manifest:
    """Values over one another, as Helm lays them."""
    merged: Manifest = {}
    for item in values:
        for key, value in item.items():
            both = isinstance(value, dict) and isinstance(merged.get(key), dict)
            merged[key] = _with(merged[key], value) if both else copy.deepcopy(value)
    return merged


CASES: Final[dict[str, Manifest]] = {
    "external": EXTERNAL,
    "external, all": _with(EXTERNAL, _EVERYTHING, _GPU),
    "inside": INSIDE,
    "inside, all": _with(INSIDE, _EVERYTHING, _GPU),
    "names that YAML could take for something else": _with(
        EXTERNAL,
        _EVERYTHING,
        {
            "broker": {"existingSecret": "123", "adminSecret": "404", "caSecret": "0123"},
            "store": {"existingSecret": "true", "caSecret": "null"},
            "archive": {"existingClaim": "17"},
            "keda": {"namespace": "12"},
            "defaults": {"runtimeClassName": "on", "priorityClassName": "3"},
        },
    ),
    "podman": _with(INSIDE, {"podman": {"enabled": True}, "archive": {"existingClaim": "products"}}),
}


@pytest.mark.parametrize("values", CASES.values(), ids=CASES)
def test_helm_finds_nothing_to_complain_of(values: Manifest) -> None:
    done = helm("lint", "--strict", CHART, values=values)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("version", ["1.27.0", "1.36.0"])
@pytest.mark.parametrize("values", CASES.values(), ids=CASES)
def test_manifests_fit_the_schemas_of_further_clusters(values: Manifest, version: str) -> None:
    manifests = rendered(values, version)
    checked = [manifest for manifest in manifests if manifest["kind"] not in _ADDED]
    for manifest in checked:
        kubernetes_validate.validate(manifest, version.removesuffix(".0"), strict=True)
    assert len(checked) > len(SERVICES)


@pytest.mark.parametrize(
    ("name", "values", "kind", "manifest"),
    [
        ("fetcher", _with(EXTERNAL, {"archive": {"existingClaim": "products"}}), "Deployment", "ls-landseries-fetcher"),
        ("mapper-gpu-job", _with(EXTERNAL, _KEDA, _GPU), "ScaledJob", "ls-landseries-mapper"),
        ("indexer-scaled", _with(EXTERNAL, _KEDA), "ScaledObject", "ls-landseries-indexer"),
        ("topology-external", EXTERNAL, "Job", "ls-landseries-topology"),
        ("servers-external", EXTERNAL, "NetworkPolicy", "ls-landseries-servers"),
        ("minio-inside", INSIDE, "StatefulSet", "ls-landseries-minio"),
    ],
)
def test_a_manifest_is_as_expected(name: str, values: Manifest, kind: str, manifest: str) -> None:
    found = one(rendered(values), kind, manifest)
    path = _GOLDEN / f"{name}.yaml"
    if os.environ.get(_UPDATE):
        path.write_text(yaml.safe_dump(found, sort_keys=True))
    assert found == yaml.safe_load(path.read_text())


@pytest.mark.parametrize("values", CASES.values(), ids=CASES)
def test_every_pod_keeps_to_the_restricted_level(values: Manifest) -> None:
    pods = pod_templates(rendered(values))
    assert len(pods) >= len(SERVICES)
    for name, pod in pods.items():
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name


def test_a_worker_has_its_own_password_and_no_other() -> None:
    pods = pod_templates(rendered(CASES["external, all"]))
    for service in SERVICES:
        kind = "ScaledJob" if service in ("trainer", "mapper") else "Deployment"
        spec = pods[f"{kind} ls-landseries-{service}"]["spec"]
        volumes = {volume["name"]: volume.get("secret") for volume in spec["volumes"]}
        assert volumes["broker"]["secretName"] == "passwords"
        assert volumes["broker"]["items"] == [{"key": service_user(service), "path": service_user(service)}]
        assert [name for name, secret in volumes.items() if secret] == ["broker", "store"]
        variables = {variable["name"]: variable.get("value") for variable in spec["containers"][0]["env"]}
        assert variables["LANDSERIES_BROKER_PASSWORD_FILE"] == f"/secrets/broker/{service_user(service)}"
        assert {"name": "LANDSERIES_BROKER_USER", "value": service_user(service)} in spec["containers"][0]["env"]
        assert all("MANAGEMENT" not in variable["name"] for variable in spec["containers"][0]["env"])


def test_the_users_of_a_broker_inside_are_those_of_the_topology() -> None:
    secret = one(rendered(INSIDE), "Secret", "ls-landseries-broker")
    assert sorted(secret["data"]) == sorted(users())
    assert len(set(secret["data"].values())) == len(users())


def test_podman_is_given_what_it_understands() -> None:
    manifests = rendered(CASES["podman"])
    assert {"StatefulSet", "Job"}.isdisjoint(manifest["kind"] for manifest in manifests)
    pods = pod_templates(manifests)
    assert {"Pod ls-landseries-rabbitmq", "Pod ls-landseries-minio", "Pod ls-landseries-topology"} <= pods.keys()
    folders = []
    for name, pod in pods.items():
        spec = pod["spec"]
        assert "initContainers" not in spec, name
        for volume in spec["volumes"]:
            [kind] = volume.keys() - {"name"}
            assert kind in ("secret", "emptyDir", "persistentVolumeClaim"), f"{name} has a volume of kind {kind}"
            assert kind != "secret" or volume["secret"]["optional"] is False, name
            assert kind != "secret" or all(item["key"] == item["path"] for item in volume["secret"].get("items", []))
            folders += [volume["name"]] if kind == "emptyDir" else []
        for container in spec["containers"]:
            assert {"ports", "startupProbe", "readinessProbe"}.isdisjoint(container), "podman publishes ports by itself"
            assert "exec" in container.get("livenessProbe", {"exec": {}}), f"{name}: no image has podman's other means"
            assert all("valueFrom" not in variable for variable in container.get("env", [])), name
    assert len(set(folders)) == len(folders), "pods that share a name of an emptyDir share the folder"


def test_one_user_for_all_has_one_password() -> None:
    values = _with(EXTERNAL, _KEDA)
    values["broker"]["user"] = "everyone"
    manifests = rendered(values)
    text = yaml.safe_dump_all(manifests)
    assert f"key: {service_user('fetcher')}" not in text
    assert "--passwords" not in text
    broker = [
        volume["secret"]["items"]
        for pod in pod_templates(manifests).values()
        for volume in pod["spec"]["volumes"]
        if volume["name"] == "broker"
    ]
    assert broker.count([{"key": "password", "path": "password"}]) == len(broker) > len(SERVICES)
    keda = one(manifests, "TriggerAuthentication", "ls-landseries-broker")["spec"]["secretTargetRef"]
    assert keda[1] == {"parameter": "password", "name": "passwords", "key": "password"}


def test_keda_looks_at_the_queues_of_the_topology() -> None:
    scaled = [item for item in rendered(CASES["external, all"]) if item["kind"] in ("ScaledObject", "ScaledJob")]
    assert sorted(item["spec"]["triggers"][0]["metadata"]["queueName"] for item in scaled) == sorted(
        map(work_queue, SERVICES)
    )
    assert {item["spec"]["triggers"][0]["metadata"]["protocol"] for item in scaled} == {"http"}
    assert {item["kind"]: item for item in scaled}.keys() == {"ScaledObject", "ScaledJob"}
    assert all("replicas" not in item["spec"] for item in rendered(_with(EXTERNAL, _KEDA)) if _is_worker(item))


def test_workers_that_are_not_ready_keep_no_node_from_being_drained() -> None:
    budgets = [item["spec"] for item in rendered(EXTERNAL) if item["kind"] == "PodDisruptionBudget"]
    assert len(budgets) == len(SERVICES)
    assert {budget["unhealthyPodEvictionPolicy"] for budget in budgets} == {"AlwaysAllow"}


def test_only_fetcher_and_operator_reach_outside() -> None:
    policies = [item["spec"] for item in rendered(EXTERNAL) if item["kind"] == "NetworkPolicy"]
    assert {"podSelector", "policyTypes"} == policies[0].keys(), "everything is denied first"
    [outside] = [policy for policy in policies if any(_ports(rule) == {443, 80} for rule in policy.get("egress", []))]
    [chosen] = outside["podSelector"]["matchExpressions"]
    assert chosen["values"] == ["fetcher", "operator"]
    others = {
        port
        for policy in policies
        if policy is not outside
        for rule in policy.get("egress", [])
        for port in _ports(rule)
    }
    assert others == {53, 5671, 15671, 443}, "the broker, its management, and the store"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"brocker": {}}, "brocker"),
        ({"services": {"mapper": {"repicas": 2}}}, "repicas"),
        ({"services": {"mopper": {}}}, "mopper"),
        ({"services": {"trainer": {"workload": "cron"}}}, "workload"),
        ({"minio": {"enabled": "yes"}}, "minio/enabled"),
        ({"services": None}, "'services'"),
        ({"defaults": {"resources": None}}, "'resources'"),
        ({"defaults": {"resources": {"limits": {"memry": "1Gi"}}}}, "memry"),
        ({"operator": {"resources": {"requests": {"memory": "lots"}}}}, "operator/resources/requests/memory"),
        ({"services": {"mapper": {"scratchSize": "10Go"}}}, "mapper/scratchSize"),
        ({"podSecurityContext": {"runAsUser": 0}}, "podSecurityContext/runAsUser"),
        ({"podSecurityContext": {"runAsNonRoot": False}}, "podSecurityContext/runAsNonRoot"),
        ({"podSecurityContext": {"privileged": True}}, "privileged"),
        ({"networkPolicy": {"outside": [{"port": 99999999}]}}, "networkPolicy/outside/0/port"),
        ({"image": {"registry": "https://registry.example/landseries"}}, "image/registry"),
        ({"image": {"registry": None}}, "'registry'"),
        ({"networkPolicy": {"broker": [{"foo": "bar"}]}}, "foo"),
        ({"networkPolicy": {"store": [{}]}}, "networkPolicy/store/0"),
        ({"networkPolicy": {"store": [{"ipBlock": {"cidr": "10.2.0.0"}}]}}, "ipBlock/cidr"),
        ({"minio": {"volumeSize": "0"}}, "minio/volumeSize"),
        ({"keda": {"pollingIntervalS": None}}, "'pollingIntervalS'"),
        ({"keda": {"namespace": ""}}, "keda/namespace"),
        ({"keda": {"cooldownS": 3601}}, "keda/cooldownS"),
        ({"rabbitmq": {"resources": None}}, "'resources'"),
        ({"defaults": {"gpuResource": "memory"}}, "defaults/gpuResource"),
        ({"podSecurityContext": {"seccompProfile": {"type": "Unconfined"}}}, "seccompProfile/type"),
    ],
)
def test_what_the_chart_does_not_know_is_refused(values: Manifest, said: str) -> None:
    assert said in refusal(_with(EXTERNAL, values))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (_with(EXTERNAL, {"podman": {"enabled": True}}, _KEDA), "podman.enabled: set keda.enabled to false"),
        (
            _with(EXTERNAL, {"services": {"indexer": {"minReplicas": 11}}}),
            "services.indexer: minReplicas (11) must be at most maxReplicas (10)",
        ),
        (_with(EXTERNAL, {"archive": {"mountPath": "/tmp"}}), "archive.mountPath: /tmp is a folder of"),
        (
            _with(EXTERNAL, {"archive": {"mountPath": "/data/../secrets/x/"}}),
            "/data/../secrets/x/ is a folder",
        ),
        (
            _with(INSIDE, {"broker": {"url": "amqp://one.example"}}),
            "broker.url: leave it empty, or set rabbitmq.enabled",
        ),
        (_with(INSIDE, {"broker": {"user": "everyone"}}), "broker.user: leave it empty"),
        (_with(INSIDE, {"store": {"existingSecret": "keys"}}), "store.existingSecret: leave it empty, or set minio."),
        (_with(INSIDE, {"store": {"pathStyle": False}}), "store.pathStyle: leave it true"),
        (_with(EXTERNAL, {"broker": {"url": "amqp://user:word@host"}}), "broker.url: write amqp(s)://HOST[:PORT]"),
        (_with(EXTERNAL, {"broker": {"url": "amqp://one, http://two"}}), "broker.url: write amqp(s)://HOST[:PORT]"),
        (_with(EXTERNAL, {"store": {"url": "https://s3.example/bucket"}}), "store.url: write http(s)://HOST[:PORT]"),
        (_with(EXTERNAL, {"keda": {"managementUrl": "rabbit:15672"}}), "keda.managementUrl: write http(s)://HOST"),
        (
            _with(EXTERNAL, {"networkPolicy": {"outside": [{"port": 443, "endPort": 80}]}}),
            "networkPolicy.outside: endPort (80) needs a port",
        ),
        (_with(EXTERNAL, {"broker": {"url": "amqp://one:abc"}}), "broker.url: write amqp(s)://HOST[:PORT]"),
        (_with(EXTERNAL, {"broker": {"url": "amqp://one:5672,amqp://two:70000"}}), "broker.url: write amqp(s)://"),
        (_with(EXTERNAL, {"broker": {"managementUrl": "http://one:0"}}), "broker.managementUrl: write http(s)://HOST"),
        (_with(EXTERNAL, {"store": {"url": "http://s3:65536"}}), "store.url: write http(s)://HOST[:PORT]"),
    ],
)
def test_what_contradicts_itself_is_refused_with_a_remedy(values: Manifest, said: str) -> None:
    refused = refusal(values)
    assert said in refused
    assert "word" not in refused.replace("password", "")


@pytest.mark.parametrize("url", ["amqp://one:65535", "amqps://[2001:db8::1]:5671, amqp://two.example/"])
def test_urls_with_ports_and_addresses_are_taken(url: str) -> None:
    assert rendered(_with(EXTERNAL, {"broker": {"url": url, "managementUrl": "https://one.example/rabbit"}}))


def test_without_ports_outside_nobody_reaches_outside() -> None:
    policy = one(
        rendered(_with(EXTERNAL, {"networkPolicy": {"outside": []}})), "NetworkPolicy", "ls-landseries-outside"
    )
    assert policy["spec"]["policyTypes"] == ["Egress"]
    assert policy["spec"]["egress"] == []


@pytest.mark.parametrize("service", SERVICES)
def test_any_service_may_be_left_out(service: str) -> None:
    manifests = rendered(_with(CASES["external, all"], {"services": {service: None}}))
    assert not [item for item in manifests if item["metadata"]["name"] == f"ls-landseries-{service}"]
    assert one(manifests, "Deployment", "ls-landseries-operator")


def test_the_cluster_may_choose_the_user() -> None:
    manifests = rendered(_with(CASES["external, all"], {"podSecurityContext": {"runAsUser": None}}))
    for name, pod in pod_templates(manifests).items():
        assert "runAsUser" not in pod["spec"]["securityContext"], name
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True, name


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (("broker", "url"), "broker.url: write amqp"),
        (("broker", "managementUrl"), "broker.managementUrl: the topology is made through it"),
        (("broker", "existingSecret"), "broker.existingSecret: name the secret"),
        (("broker", "adminSecret"), "broker.adminSecret: name the secret"),
        (("store", "url"), "store.url: write http"),
        (("store", "existingSecret"), "store.existingSecret: name the secret"),
    ],
)
def test_what_is_missing_is_told(missing: tuple[str, str], said: str) -> None:
    values = _with(EXTERNAL)
    del values[missing[0]][missing[1]]
    assert said in refusal(values)


def test_the_dashboard_asks_for_metrics_that_workers_have() -> None:
    board = json.loads((CHART / "files" / "dashboard.json").read_text())
    asked = {
        name
        for panel in board["panels"]
        for target in panel["targets"]
        for name in re.findall(r"landseries_[a-z_]+", target["expr"])
    }
    known = {
        f"{metric.name}{ending}"
        for metric in WorkerMetrics(",".join(SERVICES)).registry.collect()
        for ending in ("", "_total", "_bucket", "_info")
    }
    assert asked <= known
    assert len(asked) > 5


def test_metrics_of_a_broker_inside_are_scraped_as_the_alerts_need_them() -> None:
    manifests = rendered(CASES["inside, all"])
    [scrape] = one(manifests, "ServiceMonitor", "ls-landseries-rabbitmq")["spec"]["endpoints"]
    assert scrape["path"] == "/metrics/detailed"
    assert scrape["params"] == {"family": ["queue_coarse_metrics", "queue_consumer_count"]}
    named = one(manifests, "Service", "ls-landseries-rabbitmq")["spec"]["ports"]
    assert {"name": "metrics", "port": 15692} in named
    policy = one(manifests, "NetworkPolicy", "ls-landseries-rabbitmq")["spec"]["ingress"]
    assert {"from": [{"namespaceSelector": {}}], "ports": [{"port": "metrics", "protocol": "TCP"}]} in policy
    assert "ls-landseries-rabbitmq" not in {item["metadata"]["name"] for item in rendered(CASES["external, all"])}


def test_versions_go_together() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = (CHART.parents[1] / "shared" / "pyproject.toml").read_text()
    assert f'version = "{chart["appVersion"]}"' in project


def test_the_readme_tells_of_all_values(tmp_path: Path) -> None:
    shutil.copytree(CHART, tmp_path / "landseries")
    done = subprocess.run([need_tool("helm-docs"), "-c", tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "landseries" / "README.md").read_text() == (CHART / "README.md").read_text(), "`make chart-docs`"


def _is_worker(manifest: Manifest) -> bool:
    return (
        manifest["kind"] == "Deployment" and manifest["metadata"]["labels"]["app.kubernetes.io/component"] in SERVICES
    )


def _ports(rule: dict[str, Any]) -> set[int]:
    return {int(port["port"]) for port in rule.get("ports", [])}
