"""The doctor: whether broker and store do what landseries relies on, tried rather than assumed, and what to change."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal

from landseries.brokers.depths import queue_depths
from landseries.brokers.management import Management
from landseries.brokers.names import is_long, service_user
from landseries.brokers.rights import permissions, topic_permissions
from landseries.brokers.topology import LONG_ACK_TIMEOUT_MS, compare
from landseries.connections import BrokerConnection, StoreConnection, broker_connection, store_connection
from landseries.errors import LandseriesError, StoreError
from landseries.pipeline import SERVICES
from landseries.stores import open_store
from landseries.stores.base import Store

Level = Literal["good", "warning", "bad"]

_RACERS: Final = 8
_CLOCK_TOLERANCE_S: Final = 60.0
_ACK_TIMEOUT_BY_POLICY_SINCE: Final = (3, 12)
#: Where the doctor writes; removed again.
_FOLDER: Final = "scratch/doctor"
#: A person waits for the answer.
_PATIENCE_S: Final = 5.0
_UNFIT: Final = "use a store with strong consistency: MinIO, AWS S3, Ceph, or a folder that all workers see"


@dataclass(frozen=True)
class Finding:
    """One thing that was tried: how it is, what was seen, and what to change where it is not good."""

    level: Level
    what: str
    remedy: str = ""


def examine() -> list[Finding]:
    """Try everything; a part that cannot be tried is a finding too."""
    return [*_examined("store", _store_findings), *_examined("broker", _broker_findings)]


def _examined(name: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except LandseriesError as error:
        yield Finding("bad", f"{name}: {error}")


def _store_findings() -> Iterator[Finding]:
    given = store_connection()
    connection = given.model_copy(update={"patience_s": min(given.patience_s, _PATIENCE_S)})
    with TemporaryDirectory() as scratch:
        store = open_store(connection, Path(scratch))
        yield from examine_store(store, _named(connection))


def _named(connection: StoreConnection) -> str:
    return connection.url if connection.folder else f"{connection.url} bucket {connection.bucket}"


def examine_store(store: Store, name: str) -> Iterator[Finding]:
    """Try what landseries asks of a store: reading what was written, listing, conditional writes, and its clock.

    Raises:
        StoreError: it does not answer, or refuses.
    """
    key = f"{_FOLDER}/{secrets.token_hex(8)}"
    try:
        yield from _tried(store, name, key)
    except StoreError:
        list(_clean(store, f"{key}/"))  # what was found says why, whether or not this goes
        raise
    yield from _clean(store, f"{key}/")


def _tried(store: Store, name: str, key: str) -> Iterator[Finding]:
    content = secrets.token_bytes(1 << 16)
    started = time.monotonic()
    store.put(f"{key}/object", content)
    whole = store.get(f"{key}/object") == content
    milliseconds = 1000 * (time.monotonic() - started)
    yield (
        Finding("good", f"store: {name} gives back what was put ({milliseconds:.0f} ms for both)")
        if whole
        else Finding("bad", f"store: {name} does not give back what was put", _UNFIT)
    )
    listed = [item for item in store.list(f"{key}/") if item.key == f"{key}/object"]
    yield (
        Finding("good", "store: lists what was put")
        if listed
        else Finding("bad", "store: does not list what was put at once", _UNFIT)
    )
    yield from _clock(listed[0].modified if listed else None)
    yield from _races(store, key)


def _clean(store: Store, prefix: str) -> Iterator[Finding]:
    """Remove what was written: `submit`, repairs and `gc` need the right to delete as well."""
    try:
        for item in list(store.list(prefix)):
            store.delete(item.key)
    except StoreError as error:
        yield Finding(
            "bad", f"store: what was written cannot be removed: {error}", "give these keys the right to delete"
        )
    else:
        yield Finding("good", "store: removes what was put")


def _clock(written: datetime | None) -> Iterator[Finding]:
    if written is None:
        return
    apart_s = abs((datetime.now(UTC) - written).total_seconds())
    what = f"clock: this machine's and the store's are {apart_s:.0f} s apart"
    remedy = "set both by NTP: signatures of requests and the grace period of `landseries gc` rely on it"
    yield _judged(apart_s <= _CLOCK_TOLERANCE_S, what, remedy)


def _races(store: Store, key: str) -> Iterator[Finding]:
    """Conditional writes must have exactly one winner; some S3 servers let all win."""
    remedy = (
        "use a store that honours If-None-Match and If-Match on PUT (MinIO since 2024-05, AWS S3, Ceph since 19): "
        "without it two workers could train one model at once"
    )
    winners = _race(lambda i: store.put_if(f"{key}/new", b"new %d" % i, None) is not None)
    yield _judged(winners == 1, f"store: {winners} of {_RACERS} racing writers created a new object", remedy)
    known = store.get_tagged(f"{key}/new")
    if known is not None:
        winners = _race(lambda i: store.put_if(f"{key}/new", b"next %d" % i, known.tag) is not None)
        yield _judged(winners == 1, f"store: {winners} of {_RACERS} racing writers replaced it by its tag", remedy)


def _race(attempt: Callable[[int], bool]) -> int:
    start = threading.Barrier(_RACERS)

    def run(number: int) -> bool:
        start.wait()
        return attempt(number)

    with ThreadPoolExecutor(_RACERS) as racers:
        return sum(racers.map(run, range(_RACERS)))


def _broker_findings() -> Iterator[Finding]:
    connection = broker_connection()
    depths = queue_depths(connection)
    dead = sum(depths.dead.values())
    yield Finding("good", f"broker: {connection.url} has every queue; user {connection.user!r} may look at them")
    if dead:
        yield Finding("warning", f"broker: {dead} messages were put aside", "`landseries dead list` says why")
    if connection.management_url is None:
        yield Finding(
            "warning",
            "broker: policies, users and the ack timeout were not looked at",
            "set LANDSERIES_BROKER_MANAGEMENT_URL, and LANDSERIES_BROKER_USER to one with the tag `administrator`",
        )
        return
    with closing(Management(connection)) as management:
        yield from _managed(connection, management)


def _managed(connection: BrokerConnection, management: Management) -> Iterator[Finding]:
    version = management.version()
    yield Finding("good", f"broker: RabbitMQ {'.'.join(map(str, version))}")
    changes = compare(connection, management)
    yield _judged(
        not changes,
        "broker: exchanges, queues, bindings and policies are as they must be"
        if not changes
        else "broker: differs from what landseries needs: " + "; ".join(map(str, changes[:5])),
        "run `landseries topology apply`",
    )
    yield from _users(connection, management)
    yield _ack_timeout(version)


def _users(connection: BrokerConnection, management: Management) -> Iterator[Finding]:
    """Whether each service has a user of its own, and this user the rights that it needs and no others."""
    missing, wrong = [], []
    for service in SERVICES:
        user = service_user(service)
        rights = management.get("permissions", connection.vhost, user)
        if rights is None:
            missing.append(service)
            continue
        topics = {item["exchange"]: item for item in management.listing("topic-permissions", connection.vhost, user)}
        expected = topic_permissions(user)
        if not _agree(permissions(user), rights) or any(
            exchange not in topics or not _agree(patterns, topics[exchange]) for exchange, patterns in expected.items()
        ):
            wrong.append(user)
    remedy = "`landseries topology apply --passwords FOLDER` gives each service a user with the least rights"
    if wrong:
        yield Finding("bad", f"broker: the rights of {', '.join(wrong)} are not those that their work needs", remedy)
    if missing:
        yield Finding("warning", f"broker: no user of its own for {', '.join(missing)}", remedy)
    if not missing and not wrong:
        yield Finding("good", "broker: every service has a user of its own with the rights that it needs")


def _agree(wanted: Mapping[str, str], found: Mapping[str, Any]) -> bool:
    return all(found.get(name) == pattern for name, pattern in wanted.items())


def _ack_timeout(version: tuple[int, ...]) -> Finding:
    long = ", ".join(service for service in SERVICES if is_long(service))
    if version >= _ACK_TIMEOUT_BY_POLICY_SINCE:
        return Finding("good", f"ack timeout: set by policy for {long}")
    return Finding(
        "warning",
        f"ack timeout: this broker knows no policy for it; units of {long} that take longer (30 minutes by default) "
        "are delivered a second time, and the second copy waits for the first",
        f"put `consumer_timeout = {LONG_ACK_TIMEOUT_MS}` into its rabbitmq.conf, or use RabbitMQ 3.12 or newer",
    )


def _judged(good: bool, what: str, remedy: str = "") -> Finding:
    return Finding("good", what) if good else Finding("bad", what, remedy)
