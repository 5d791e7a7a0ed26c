"""Commands over the broker, as far as they go without one."""

import json
from pathlib import Path

import pytest
from unit.shared.cli.conftest import Call

from landseries.pipeline import SERVICES


def test_definitions_are_json_for_the_version_that_reads_them(call: Call) -> None:
    told = call("topology", "definitions", "--vhost", "maps")
    assert told.status == 0
    found = json.loads(told.out)
    queues = {queue["name"]: queue for queue in found["queues"]}
    assert {f"landseries.{service}" for service in SERVICES} <= set(queues)
    assert {queue["vhost"] for queue in queues.values()} == {"maps"}
    assert {json.dumps(queue["arguments"]) for queue in queues.values()} == {'{"x-queue-type": "quorum"}'}
    old = json.loads(call("topology", "definitions", "--version", "3.10").out)
    assert "consumer-timeout" in json.dumps(found["policies"])
    assert "consumer-timeout" not in json.dumps(old["policies"])


def test_definitions_hold_hashes_and_no_passwords(call: Call, tmp_path: Path) -> None:
    for user in (*SERVICES, "operator"):
        (tmp_path / f"landseries-{user}").write_text("hush-4711\n")
    told = call("topology", "definitions", "--passwords", tmp_path)
    assert told.status == 0, told.err
    assert "password_hash" in told.out
    assert "hush" not in told.out


@pytest.mark.parametrize("version", ["newest", "3.x", ""])
def test_a_wrong_version_is_told(call: Call, version: str) -> None:
    told = call("topology", "definitions", "--version", version)
    assert told.status == 2
    assert "--version" in told.err
    assert "Traceback" not in told.err


@pytest.mark.parametrize("command", ["redrive", "drop"])
@pytest.mark.parametrize("arguments", [[], ["abc", "--all"], ["--service", "indexer"], ["--run", "demo"]])
def test_which_dead_letters_must_be_said(call: Call, command: str, arguments: list[str]) -> None:
    told = call("dead", command, *arguments)
    assert told.status == 2
    assert "say which: message ids, or --all" in told.err


@pytest.mark.parametrize(
    "command",
    [
        ["dead", "list"],
        ["dead", "show", "x"],
        ["dead", "redrive", "--all"],
        ["topology", "show"],
        ["topology", "apply"],
    ],
)
def test_a_broker_that_is_away_is_one_line(call: Call, monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    monkeypatch.setenv("LANDSERIES_BROKER_URL", "amqp://127.0.0.1:1")
    monkeypatch.setenv("LANDSERIES_BROKER_MANAGEMENT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("LANDSERIES_BROKER_PASSWORD", "hush-4711")
    told = call(*command)
    assert told.status == 2
    assert told.err.startswith("error: ")
    assert "127.0.0.1:1" in told.err
    assert "hush" not in told.err
    assert len(told.err.strip().splitlines()) == 1
