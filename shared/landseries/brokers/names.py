"""What everything at the broker is called: exchanges, queues and users, derived from the pipeline's table."""

from __future__ import annotations

from typing import Final

from landseries.pipeline import SERVICES, STAGES, stages_of

#: Topic exchange of all work; the routing key is the stage's name.
WORK_EXCHANGE: Final = "landseries"
#: Direct exchange of the dead letters; the routing key is the service's name.
DEAD_EXCHANGE: Final = "landseries.dead"
#: Delays before the second, third ... attempt of a message, in seconds; after the last one it is dead.
RETRY_DELAYS_S: Final[tuple[int, ...]] = (1, 5, 30, 120, 600)
#: Deliveries of one message without an answer before the broker puts it aside: for crash loops only.
DELIVERY_LIMIT: Final = 20
#: The user that submits, sweeps and looks after dead letters.
OPERATOR: Final = "landseries-operator"
#: The user that hands units of several services to a batch system.
BRIDGE: Final = "landseries-bridge"
#: Services whose units need nothing from outside the store, so that a compute node without a network can do them.
BRIDGED: Final[tuple[str, ...]] = ("indexer", "clusterer", "pseudolabeler", "sampler", "trainer", "mapper")


def work_queue(service: str) -> str:
    """The queue that a service's workers share."""
    return f"landseries.{service}"


def retry_exchange(delay_s: int) -> str:
    """The exchange, and the queue behind it, in which a message waits so many seconds."""
    return f"landseries.retry.{delay_s}s"


def dead_queue(service: str) -> str:
    """The queue of the messages that a service put aside."""
    return f"landseries.dead.{service}"


def service_user(service: str) -> str:
    """The user that a service's workers log in as."""
    return f"landseries-{service}"


def nearest_delay(delay_s: float) -> int:
    """The delay that exists at the broker and is nearest to a wished one, in seconds."""
    return min(RETRY_DELAYS_S, key=lambda known: abs(known - delay_s))


def stages_after(service: str) -> tuple[str, ...]:
    """Stages whose messages a service's workers publish.

    Those that can become due when one of its units is answered, and those that its units read from: what is found
    damaged is written again.
    """
    own = stages_of(service)
    read = {need.stage for stage in own for need in STAGES[stage].needs}
    return tuple(row.name for row in STAGES.values() if row.name in read or any(n.stage in own for n in row.needs))


def is_long(service: str) -> bool:
    """Whether a unit of a service may take longer than a broker waits for an acknowledgement by default."""
    return any(STAGES[stage].long for stage in stages_of(service))


def services_of(user: str) -> tuple[str, ...]:
    """The services whose queues a user reads."""
    return {OPERATOR: (), BRIDGE: BRIDGED}.get(user, tuple(name for name in SERVICES if service_user(name) == user))


def users() -> tuple[str, ...]:
    """Every user that the topology knows."""
    return (*map(service_user, SERVICES), BRIDGE, OPERATOR)
