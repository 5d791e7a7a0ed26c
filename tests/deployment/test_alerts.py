"""The alert rules: what the chart renders, that every metric exists, and that each alert fires only when it should."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from prometheus_client import generate_latest
from support.chart import CHART, EXTERNAL, need, one, rendered

from landseries.local.programs import find_promtool
from landseries.metrics import WorkerMetrics
from landseries.pipeline import SERVICES

_RULES: Final = CHART / "files" / "alerts.yaml"
_OPERATIONS: Final = CHART.parents[1] / "docs" / "operations.md"
_HOUR: Final = 60
#: How a service's instance is called in these tests.
_AT: Final = 'namespace="ls", job="w", instance="a"'

_READY: Final = 'rabbitmq_detailed_queue_messages_ready{{queue="landseries.{}"}}'
_CONSUMERS: Final = 'rabbitmq_detailed_queue_consumers{queue="landseries.indexer"}'
_MESSAGES: Final = 'rabbitmq_detailed_queue_messages{queue="landseries.retry.600s"}'
_NOT_DONE: Final = f'landseries_units_not_done_total{{{{{_AT}, stage="index", cause="{{}}"}}}}'
_ANSWERED: Final = f'landseries_units_total{{{_AT}, stage="index", outcome="done"}}'
_STARTED: Final = f'landseries_unit_started_timestamp_seconds{{{{{_AT}, stage="{{}}"}}}}'
_BUCKET: Final = f'landseries_unit_seconds_bucket{{{{{_AT}, stage="map", le="{{}}"}}}}'
_BUILD: Final = f'landseries_build_info{{{_AT}, service="indexer"}}'
_RSS: Final = f"landseries_peak_rss_bytes{{{_AT}}}"
_LIMIT: Final = f"landseries_memory_limit_bytes{{{_AT}}}"
_BEGAN: Final = f"process_start_time_seconds{{{_AT}}}"
#: Hundred units of up to a minute before the time that is looked at.
_HISTORY: Final = {_BUCKET.format(60): "0+10x10 100x5000", _BUCKET.format("+Inf"): "0+10x10 100x5000"}

#: Alert, series by minutes, the minute looked at, and whether it fires then.
_CASES: Final[list[tuple[str, dict[str, str], int, bool]]] = [
    ("NoWorker", {_READY.format("indexer"): "3x99", _CONSUMERS: "0x99"}, 11, True),
    ("NoWorker", {_READY.format("indexer"): "3x99", _CONSUMERS: "0x99"}, 9, False),
    ("NoWorker", {_READY.format("indexer"): "3x99", _CONSUMERS: "1x99"}, 11, False),
    ("NoWorker", {_READY.format("indexer"): "0x99", _CONSUMERS: "0x99"}, 11, False),
    ("NoWorker", {_READY.format("dead.indexer"): "3x99"}, 11, False),
    ("DeadLetters", {_READY.format("dead.indexer"): "0 1x9"}, 3, True),
    ("DeadLetters", {_READY.format("dead.indexer"): "0x9"}, 3, False),
    ("DeadLetters", {_READY.format("indexer"): "5x9"}, 3, False),
    ("UnitRunsLong", {**_HISTORY, _STARTED.format("map"): "0x30 1860x99"}, 31 + 33, True),
    ("UnitRunsLong", {**_HISTORY, _STARTED.format("map"): "0x30 1860x99"}, 31 + 29, False),
    ("UnitRunsLong", {**_HISTORY, _STARTED.format("map"): "0x99"}, 90, False),
    ("UnitRunsLong", {_STARTED.format("train"): "60x999"}, 11 * _HOUR, False),
    ("UnitRunsLong", {_STARTED.format("train"): "60x999"}, 12 * _HOUR + 3, True),
    ("UnitsFail", {_NOT_DONE.format("unit"): "0 1 2 3 4x60"}, 10, True),
    ("UnitsFail", {_NOT_DONE.format("unit"): "0 1x60"}, 10, False),
    ("UnitsFail", {_NOT_DONE.format("unit"): "0 1 2 3 4x60"}, 60, False),
    ("UnitsFail", {_NOT_DONE.format("lease"): "0+1x60"}, 10, False),
    ("BrokerAway", {f"landseries_broker_connected{{{_AT}}}": "1 0x20"}, 7, True),
    ("BrokerAway", {f"landseries_broker_blocked{{{_AT}}}": "0 1x20"}, 7, True),
    ("BrokerAway", {f"landseries_broker_connected{{{_AT}}}": "1 0x3 1x20"}, 7, False),
    ("StoreAway", {f"landseries_store_reachable{{{_AT}}}": "1 0x20"}, 4, True),
    ("StoreAway", {f"landseries_store_reachable{{{_AT}}}": "1 0 1x20"}, 4, False),
    ("StoreAway", {_NOT_DONE.format("store"): "0+1x20"}, 9, True),
    ("WrongWorkers", {_NOT_DONE.format("version"): "0 1x20"}, 5, True),
    ("WrongWorkers", {_NOT_DONE.format("machine"): "0 1x20"}, 5, True),
    ("WrongWorkers", {_NOT_DONE.format("profile"): "0 1x20"}, 5, False),
    ("WrongWorkers", {_NOT_DONE.format("version"): "0 1x20"}, 19, False),
    ("Memory", {_RSS: "950x9", _LIMIT: "1000x9"}, 3, True),
    ("Memory", {_RSS: "850x9", _LIMIT: "1000x9"}, 3, False),
    ("Memory", {_RSS: "950x9", _LIMIT: "0x9"}, 3, False),
    ("WorkersRestart", {_BEGAN: "1 2 3 4x20", _BUILD: "1x20"}, 10, True),
    ("WorkersRestart", {_BEGAN: "1 2x20", _BUILD: "1x20"}, 10, False),
    ("WorkersRestart", {_BEGAN: "1 2 3 4x20"}, 10, False),
    ("NoProgress", {_MESSAGES: "1x99", _ANSWERED: "7x99"}, 80, True),
    ("NoProgress", {_MESSAGES: "1x99", _ANSWERED: "0+1x99"}, 80, False),
    ("NoProgress", {_MESSAGES: "0x99", _ANSWERED: "7x99"}, 80, False),
    ("NoProgress", {_MESSAGES: "1x99", _ANSWERED: "7x99", _STARTED.format("train"): "60x99"}, 80, False),
]


def _promtool(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [need(find_promtool), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def _alerts() -> dict[str, dict[str, Any]]:
    [group] = yaml.safe_load(_RULES.read_text())["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


def test_promtool_finds_nothing_to_complain_of() -> None:
    done = _promtool("check", "rules", "--lint-fatal", _RULES)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"SUCCESS: {len(_alerts())} rules found" in done.stdout


def test_every_alert_is_seen_firing_and_not() -> None:
    for name in _alerts():
        assert {fires for alert, _, _, fires in _CASES if f"Landseries{alert}" == name} == {True, False}, name


@pytest.mark.parametrize(("alert", "series", "minute", "fires"), _CASES)
def test_an_alert_fires_when_it_should(
    alert: str, series: dict[str, str], minute: int, fires: bool, tmp_path: Path
) -> None:
    # An alert that must fire is asked for as a series, so that its labels need not be told.
    query = f'count(ALERTS{{alertname="Landseries{alert}", alertstate="firing"}})'
    case = {
        "rule_files": [str(_RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": [
                    {
                        "expr": query,
                        "eval_time": f"{minute}m",
                        "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
                    }
                ],
            }
        ],
    }
    path = tmp_path / "case.yaml"
    path.write_text(yaml.safe_dump(case))
    done = _promtool("test", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_metric_of_ours_is_there() -> None:
    shown = generate_latest(WorkerMetrics(",".join(SERVICES)).registry).decode()
    for name, rule in _alerts().items():
        used = re.findall(r"(?:landseries|process)_[a-z_]+", rule["expr"])
        missing = [metric for metric in used if not re.search(rf"^{metric}[ {{]", shown, re.MULTILINE)]
        assert not missing, f"{name}: {missing}"


def test_every_alert_is_explained() -> None:
    text = _OPERATIONS.read_text()
    for name in _alerts():
        assert re.search(rf"^### {name}$", text, re.MULTILINE), name


def test_the_chart_renders_the_rules_as_they_are() -> None:
    values = {**EXTERNAL, "alerts": {"enabled": True, "labels": {"release": "monitoring"}}}
    rule = one(rendered(values), "PrometheusRule", "ls-landseries")
    assert rule["spec"] == yaml.safe_load(_RULES.read_text())
    assert rule["metadata"]["labels"]["release"] == "monitoring"


def test_no_rules_without_being_asked_for() -> None:
    assert not [manifest for manifest in rendered(EXTERNAL) if manifest["kind"] == "PrometheusRule"]
