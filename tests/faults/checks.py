"""Whether a run came out as if nothing had happened."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeVar

from landseries.brokers.deadletters import DeadLetters
from landseries.brokers.depths import queue_depths
from landseries.connections import BrokerConnection
from landseries.stores.base import Store
from tests.faults.reference import RUN, Answers

_Key = TypeVar("_Key")

#: Longer than any worker of this test waits between two renewals of a lease.
_LEASE_BEAT_S: Final = 4.0
_NAMED: Final = 5


def differences(found: Answers, wanted: Answers) -> Iterator[str]:
    """What differs from the undisturbed run; nothing where every artifact has its bytes and every unit its answer."""
    yield from _compared("artifact", found.artifacts, wanted.artifacts)
    names = ({unit.name: answer for unit, answer in side.units.items()} for side in (found, wanted))
    yield from _compared("unit", *names)


def left_at_the_broker(broker: BrokerConnection) -> Iterator[str]:
    """Messages that wait, or were put aside, once no worker is there any more."""
    depths = queue_depths(broker)
    waiting = {service: count for service, count in depths.waiting.items() if count}
    if waiting:
        yield f"messages are left in work queues: {waiting}"
    if depths.delayed:
        yield f"{depths.delayed} messages are left in retry queues"
    if any(depths.dead.values()):
        with DeadLetters(broker) as dead:
            for letter in dead.find():
                yield f"dead letter of the {letter.service}: {letter.unit or letter.message.type}: {letter.reason}"


def leases_kept(store: Store) -> Iterator[str]:
    """Leases that someone goes on renewing although the run is over.

    A lease that a killed worker held when its unit was just done stays as it is: it runs out by itself.
    """
    before = _leases(store)
    time.sleep(_LEASE_BEAT_S)
    for key, content in _leases(store).items():
        if json.loads(content)["owner"] is not None and before.get(key) != content:
            yield f"{key} is being renewed by {json.loads(content)['owner']}"


def repaired(store: Store) -> Iterator[str]:
    """Artifacts that were found damaged; none may be, whoever was killed while it wrote."""
    for item in store.list(f"runs/{RUN}/repairs/"):
        yield f"{item.key}: {(store.get(item.key) or b'').decode()}"


def _leases(store: Store) -> dict[str, bytes]:
    return {item.key: store.get(item.key) or b"{}" for item in store.list(f"runs/{RUN}/leases/")}


def _compared(what: str, found: Mapping[_Key, Any], wanted: Mapping[_Key, Any]) -> Iterator[str]:
    other = [key for key in wanted if key in found and found[key] != wanted[key]]
    for text, keys in (
        ("is missing", [key for key in wanted if key not in found]),
        ("should not be there", [key for key in found if key not in wanted]),
        ("is another", other),
    ):
        for key in keys[:_NAMED]:
            yield f"{what} {key} {text}"
        if len(keys) > _NAMED:
            yield f"... and {len(keys) - _NAMED} more: {what} {text}"
    for key in other[:_NAMED]:
        yield f"{what} {key}: {found[key]} instead of {wanted[key]}"
