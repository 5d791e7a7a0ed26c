"""The topology as data: every stage reaches its service, nobody may do more than its work."""

import json
import re
from pathlib import Path

import pytest

from landseries.brokers.names import (
    BRIDGE,
    BRIDGED,
    OPERATOR,
    RETRY_DELAYS_S,
    nearest_delay,
    retry_exchange,
    service_user,
    users,
    work_queue,
)
from landseries.brokers.rights import (
    password_hash,
    permissions,
    read_passwords,
    same_password,
    topic_permissions,
)
from landseries.brokers.topology import definitions
from landseries.errors import ConfigError
from landseries.pipeline import SERVICES, STAGES, stages_of


def test_every_stage_has_one_queue_and_it_is_its_services() -> None:
    bindings = [item for item in definitions()["bindings"] if item["source"] == "landseries"]
    assert {item["routing_key"]: item["destination"] for item in bindings} == {
        stage: work_queue(row.service) for stage, row in STAGES.items()
    }
    assert len(bindings) == len(STAGES)


def test_queues_have_no_argument_but_their_type() -> None:
    assert {json.dumps(queue["arguments"]) for queue in definitions()["queues"]} == {'{"x-queue-type": "quorum"}'}


def test_every_policy_is_for_one_queue() -> None:
    for version in ((3, 10, 8), (3, 12), (4, 0)):
        found = definitions(version=version)
        for policy in found["policies"]:
            matched = [queue["name"] for queue in found["queues"] if re.search(policy["pattern"], queue["name"])]
            assert matched == [policy["name"]]


@pytest.mark.parametrize(("version", "timeout", "dead"), [((3, 10, 8), 0, 0), ((3, 12, 1), 1, 0), ((4, 1), 1, 1)])
def test_policies_hold_only_what_the_version_knows(version: tuple[int, ...], timeout: bool, dead: bool) -> None:
    policies = {policy["name"]: policy["definition"] for policy in definitions(version=version)["policies"]}
    assert ("consumer-timeout" in policies["landseries.trainer"]) == timeout
    assert "consumer-timeout" not in policies["landseries.indexer"]
    assert ("landseries.dead.trainer" in policies) == dead
    assert policies["landseries.trainer"]["delivery-limit"] == 20
    assert policies["landseries.retry.30s"]["message-ttl"] == 30_000


def test_users_are_in_the_definitions_only_with_their_passwords() -> None:
    assert definitions()["users"] == []
    found = definitions({"landseries-indexer": "secret"}, vhost="maps")
    assert [user["name"] for user in found["users"]] == ["landseries-indexer"]
    assert "secret" not in json.dumps(found)
    assert {item["vhost"] for kind in ("queues", "permissions", "topic_permissions") for item in found[kind]} == {
        "maps"
    }
    with pytest.raises(ConfigError, match="landseries-baker"):
        definitions({"landseries-baker": "secret"})


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_reads_its_own_queue_and_writes_what_its_work_needs(service: str) -> None:
    rights = permissions(service_user(service))
    queues = [queue["name"] for queue in definitions()["queues"]]
    assert [name for name in queues if re.search(rights["read"], name)] == [work_queue(service)]
    assert not any(re.search(rights["configure"], name) for name in queues)
    assert not re.search(rights["write"], "amq.topic")
    assert not re.search(rights["write"], "")
    topics = topic_permissions(service_user(service))
    after = {row.name for row in STAGES.values() if any(STAGES[need.stage].service == service for need in row.needs)}
    allowed = {stage for stage in STAGES if re.search(topics["landseries"]["write"], stage)}
    assert after <= allowed
    assert allowed != set(STAGES)
    for delay_s in RETRY_DELAYS_S:
        returning = {stage for stage in STAGES if re.search(topics[retry_exchange(delay_s)]["write"], stage)}
        assert returning == set(stages_of(service))


def test_the_operator_sends_everything_and_reads_only_the_dead() -> None:
    rights = permissions(OPERATOR)
    readable = [queue["name"] for queue in definitions()["queues"] if re.search(rights["read"], queue["name"])]
    assert readable == [f"landseries.dead.{service}" for service in SERVICES]
    assert all(re.search(topic_permissions(OPERATOR)["landseries"]["write"], stage) for stage in STAGES)


def test_the_bridge_reads_the_queues_of_services_that_can_go_to_a_batch_system() -> None:
    rights = permissions(BRIDGE)
    queues = [queue["name"] for queue in definitions()["queues"]]
    assert [name for name in queues if re.search(rights["read"], name)] == [work_queue(name) for name in BRIDGED]
    topics = topic_permissions(BRIDGE)
    for service in BRIDGED:
        own = topic_permissions(service_user(service))
        for exchange, patterns in own.items():
            mine = {stage for stage in STAGES if re.search(patterns["write"], stage)}
            assert mine <= {stage for stage in STAGES if re.search(topics[exchange]["write"], stage)}


def test_passwords_come_from_files_before_the_environment(tmp_path: Path) -> None:
    (tmp_path / "landseries-indexer").write_text("from the file\n")
    environment = {
        "LANDSERIES_BROKER_PASSWORD_INDEXER": "from the environment",
        "LANDSERIES_BROKER_PASSWORD_OPERATOR": "operator's",
    }
    assert read_passwords(tmp_path, environment) == {
        "landseries-indexer": "from the file",
        "landseries-operator": "operator's",
    }
    assert read_passwords(None, {}) == {}
    (tmp_path / "landseries-mapper").write_text(" \n")
    with pytest.raises(ConfigError, match="landseries-mapper"):
        read_passwords(tmp_path, {})


@pytest.mark.parametrize("folder", ["nowhere", "."])
def test_a_folder_without_any_of_the_passwords_is_refused(tmp_path: Path, folder: str) -> None:
    (tmp_path / "indexer").write_text("a file that is not named like a user")
    with pytest.raises(ConfigError, match=r"holds no file for any of .*landseries-indexer"):
        read_passwords(tmp_path / folder, {"LANDSERIES_BROKER_PASSWORD_INDEXER": "from the environment"})


def test_a_password_is_recognised_without_being_kept() -> None:
    known = {"password_hash": password_hash("right"), "hashing_algorithm": "rabbit_password_hashing_sha256"}
    assert same_password("right", known)
    assert not same_password("wrong", known)
    assert not same_password("right", known | {"hashing_algorithm": "rabbit_password_hashing_sha512"})
    assert not same_password("right", {"password_hash": "no base64!"})
    # The worked example of RabbitMQ's documentation: "test12" with the salt 908DC60A.
    assert password_hash("test12", bytes.fromhex("908DC60A")) == "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"


@pytest.mark.parametrize(("wished", "taken"), [(0, 1), (2, 1), (4, 5), (60, 30), (100, 120), (86_400, 600)])
def test_the_nearest_delay_is_taken(wished: float, taken: int) -> None:
    assert nearest_delay(wished) == taken


def test_every_user_has_one_password_variable() -> None:
    environment = {f"LANDSERIES_BROKER_PASSWORD_{name.split('-')[1].upper()}": "x" for name in users()}
    assert set(read_passwords(None, environment)) == set(users())
