"""What must exist at the broker, as data; what differs from it; and the one command that makes it so.

Only `topology apply` declares anything: services find their queues or say that they are missing. A queue has no
argument but its type, and every limit is a policy, so that a limit can be changed without making a queue anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from landseries.brokers.differences import Change, differences
from landseries.brokers.management import Management
from landseries.brokers.names import (
    DEAD_EXCHANGE,
    DELIVERY_LIMIT,
    RETRY_DELAYS_S,
    WORK_EXCHANGE,
    dead_queue,
    is_long,
    retry_exchange,
    work_queue,
)
from landseries.brokers.rights import definitions_of_users
from landseries.connections import BrokerConnection
from landseries.errors import BrokerError
from landseries.pipeline import SERVICES, stages_of

#: How long a long unit may stay unacknowledged, in milliseconds: seven days.
LONG_ACK_TIMEOUT_MS: Final = 7 * 24 * 3600 * 1000
#: The version that definitions are written for where no broker was asked.
NEWEST: Final = (4, 0)
_ACK_TIMEOUT_BY_POLICY_SINCE: Final = (3, 12)
_DEFAULT_DELIVERY_LIMIT_SINCE: Final = (4, 0)


def definitions(
    passwords: Mapping[str, str] | None = None, *, vhost: str = "/", version: tuple[int, ...] = NEWEST
) -> dict[str, Any]:
    """The topology in RabbitMQ's definitions format, which `rabbitmqctl import_definitions` reads.

    Args:
        passwords: by user (see `landseries.brokers.rights.read_passwords`); users without one are left out.
        vhost: the virtual host.
        version: of the broker; older ones do not know every policy.

    Raises:
        ConfigError: a password is for no user of the topology.
    """
    queues = [*map(work_queue, SERVICES), *map(retry_exchange, RETRY_DELAYS_S), *map(dead_queue, SERVICES)]
    exchanges = {WORK_EXCHANGE: "topic", DEAD_EXCHANGE: "direct"}
    exchanges |= {retry_exchange(delay_s): "topic" for delay_s in RETRY_DELAYS_S}
    return {
        "exchanges": [
            {"vhost": vhost, "name": name, "type": kind, "durable": True, "auto_delete": False, "internal": False}
            | {"arguments": {}}
            for name, kind in exchanges.items()
        ],
        "queues": [
            {"vhost": vhost, "name": name, "durable": True, "auto_delete": False}
            | {"arguments": {"x-queue-type": "quorum"}}
            for name in queues
        ],
        "bindings": [
            {"vhost": vhost, "source": source, "destination": queue, "destination_type": "queue"}
            | {"routing_key": key, "arguments": {}}
            for source, queue, key in _bindings()
        ],
        "policies": [
            {"vhost": vhost, "name": name, "pattern": f"^{name.replace('.', '[.]')}$", "apply-to": "queues"}
            | {"priority": 10, "definition": definition}
            for name, definition in _policies(version).items()
        ],
        **definitions_of_users(passwords or {}, vhost),
    }


def compare(
    connection: BrokerConnection, management: Management | None = None, passwords: Mapping[str, str] | None = None
) -> list[Change]:
    """What differs at the broker from what must be there; empty where nothing does.

    Args:
        connection: of a user who may see the virtual host's policies.
        management: the management API, where it is at hand already.
        passwords: by user; users are looked at only where there are some, and it takes an administrator.

    Raises:
        BrokerError: the management API refuses, or is not there.
    """
    management = management or Management(connection)
    wanted = definitions(passwords, vhost=connection.vhost, version=management.version())
    return list(differences(management, wanted, passwords or {}))


def apply(
    connection: BrokerConnection, management: Management | None = None, passwords: Mapping[str, str] | None = None
) -> list[Change]:
    """Make the broker as it must be, and say what was changed; done twice, the second time changes nothing.

    Args:
        connection: of a user with the tag `policymaker`, `administrator` where passwords are given, who may configure
            what begins with `landseries` in the virtual host.
        management: the management API, where it is at hand already.
        passwords: by user; users are made only where there are some.

    Raises:
        BrokerError: a queue or exchange exists as something else (nothing was changed then), or the management API
            refuses.
    """
    management = management or Management(connection)
    changes = compare(connection, management, passwords)
    conflicts = [f"{change.kind} {change.name}: {change.detail}" for change in changes if change.action == "conflict"]
    if conflicts:
        raise BrokerError("\n".join(conflicts))
    for change in changes:
        change.make(management)
    return changes


def _bindings() -> Iterator[tuple[str, str, str]]:
    for service in SERVICES:
        for stage in stages_of(service):
            yield WORK_EXCHANGE, work_queue(service), stage
        yield DEAD_EXCHANGE, dead_queue(service), service
    for delay_s in RETRY_DELAYS_S:
        yield retry_exchange(delay_s), retry_exchange(delay_s), "#"


def _policies(version: tuple[int, ...]) -> dict[str, dict[str, Any]]:
    """Definitions of the policies, by the one queue that each is for."""
    # At least once: without it the broker drops what it puts aside when the target is away for a moment.
    safely = {"dead-letter-strategy": "at-least-once", "overflow": "reject-publish"}
    policies: dict[str, dict[str, Any]] = {}
    for service in SERVICES:
        aside = {"dead-letter-exchange": DEAD_EXCHANGE, "dead-letter-routing-key": service}
        policies[work_queue(service)] = {"delivery-limit": DELIVERY_LIMIT, **aside, **safely}
        if is_long(service) and version >= _ACK_TIMEOUT_BY_POLICY_SINCE:
            policies[work_queue(service)]["consumer-timeout"] = LONG_ACK_TIMEOUT_MS
        if version >= _DEFAULT_DELIVERY_LIMIT_SINCE:
            # Looking at dead letters counts as delivering them; the default limit would drop them one day.
            policies[dead_queue(service)] = {"delivery-limit": -1}
    for delay_s in RETRY_DELAYS_S:
        policies[retry_exchange(delay_s)] = {
            "message-ttl": delay_s * 1000,
            "dead-letter-exchange": WORK_EXCHANGE,
            **safely,
        }
    return policies
