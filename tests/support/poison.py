"""Messages that no worker can do anything with: drawn by hypothesis from all the ways in which one can be wrong.

Each is built around a message that would be good, `GOOD` of the run `demo`, and is wrong in at least one way that makes
it unreadable or names what does not exist; its headers may be hostile besides.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import pika
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from landseries.brokers.connection import parameters
from landseries.brokers.names import WORK_EXCHANGE
from landseries.connections import BrokerConnection
from landseries.messages import LARGEST_BODY_BYTES

STAGE: Final = "pseudolabel"
#: The services that `KEYS` lead to.
SERVICE: Final = "pseudolabeler"
KEYS: Final = ("pseudolabel", "forest")
GOOD: Final[dict[str, Any]] = {"schema_version": 1, "run_id": "demo", "tile": "t00000", "year": "2018"}
_GOOD_BODY: Final = json.dumps(GOOD).encode()
_TYPE: Final = f"{STAGE}.v1"
_MOST_BYTES: Final = 300_000


@dataclass(frozen=True)
class Poison:
    """A message as it is published.

    Attributes:
        table: a header table in wire format, instead of `headers`.
    """

    why: str
    body: bytes
    kind: str | None = _TYPE
    key: str = STAGE
    headers: dict[str, Any] = field(default_factory=dict)
    table: bytes | None = None
    message_id: str | None = None


def _bodies() -> st.SearchStrategy[tuple[str, bytes]]:
    json_values = _json_values()
    hostile = st.sampled_from(
        ["../../plans/demo", "..", "/etc/passwd", "a\x00b", "t00000/../t00001", "DEMO", "", "*", "#"]
    )
    wrong = (
        hostile | st.text(max_size=30).filter(lambda text: text not in GOOD.values()) | json_values.filter(_is_wrong)
    )
    fields = st.sampled_from(sorted(GOOD))
    return st.one_of(
        st.tuples(st.just("no JSON"), st.binary(max_size=300)),
        st.tuples(st.just("other JSON"), json_values.map(lambda value: json.dumps(value).encode())),
        st.tuples(st.just("truncated"), st.integers(0, len(_GOOD_BODY) - 1).map(lambda end: _GOOD_BODY[:end])),
        st.tuples(
            st.just("oversized"),
            st.integers(LARGEST_BODY_BYTES + 1, _MOST_BYTES).map(lambda size: _GOOD_BODY.ljust(size)),
        ),
        st.tuples(
            st.just("wrong field"),
            st.tuples(fields, wrong).map(lambda pair: json.dumps({**GOOD, pair[0]: pair[1]}).encode()),
        ),
        st.tuples(
            st.just("missing field"),
            st.sampled_from(["run_id", "tile", "year"]).map(
                lambda name: json.dumps({key: value for key, value in GOOD.items() if key != name}).encode()
            ),
        ),
        st.tuples(
            st.just("unknown field"),
            st.text(min_size=1, max_size=20)
            .filter(lambda name: name not in GOOD)
            .map(lambda name: json.dumps({**GOOD, name: 1}).encode()),
        ),
        st.tuples(
            st.just("wrong version"),
            st.integers().filter(lambda n: n != 1).map(lambda n: json.dumps({**GOOD, "schema_version": n}).encode()),
        ),
        st.tuples(
            st.just("unknown run"),
            st.from_regex(r"[a-z0-9][a-z0-9-]{0,59}", fullmatch=True)
            .filter(lambda name: name != "demo")
            .map(lambda name: json.dumps({**GOOD, "run_id": name}).encode()),
        ),
        st.tuples(
            st.just("unknown tile"),
            st.from_regex(r"[A-Za-su-z][A-Za-z0-9._-]{0,119}", fullmatch=True).map(
                lambda name: json.dumps({**GOOD, "tile": name}).encode()
            ),
        ),
        st.tuples(
            st.just("deep"),
            st.integers(100, 2000).flatmap(lambda n: st.sampled_from([b"[" * n, b'{"run_id":' * (n // 8)])),
        ),
        st.tuples(
            st.just("other encoding"),
            st.sampled_from(["utf-16", "utf-32"]).map(lambda name: json.dumps(GOOD).encode(name)),
        ),
    )


def _json_values() -> st.SearchStrategy[Any]:
    return st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
        max_leaves=12,
    )


def _is_wrong(value: Any) -> bool:
    return value not in GOOD.values() and value is not True


def _headers() -> st.SearchStrategy[dict[str, Any]]:
    plain = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=40) | st.binary(max_size=40)
    nested = st.recursive(
        plain,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
        max_leaves=20,
    )
    ours = st.sampled_from(
        ["attempt", "traceparent", "published_ms", "reason", "dead_ms", "x-death", "x-delivery-count"]
    )
    return st.dictionaries(ours | st.text(min_size=1, max_size=20), nested, max_size=5)


def _tables() -> st.SearchStrategy[bytes]:
    """Header tables in wire format on which a client may stumble: tables in tables, a date after 9999.

    A float that is no number does not come so far: the broker itself closes the connection of who sends it.
    """
    deep = st.sampled_from([50, 300, 1200, 3000]).map(_nested_tables)
    far = st.just(b"\x01aT" + (2**62).to_bytes(8, "big"))
    return deep | far


def _nested_tables(depth: int) -> bytes:
    table = b""
    for _ in range(depth):
        table = b"\x01aF" + len(table).to_bytes(4, "big") + table
    return table


def poisons() -> st.SearchStrategy[Poison]:
    """One poisonous message."""
    ids = st.none() | st.text(max_size=60).filter(lambda text: len(text.encode("utf-8", "replace")) <= 255)
    types = st.none() | st.text(max_size=60).filter(lambda text: text not in (_TYPE, "forest.v1"))
    versions = st.integers(2, 99).map(lambda n: f"{STAGE}.v{n}")
    common = {"headers": _headers(), "message_id": ids, "key": st.sampled_from(KEYS)}
    unreadable = _bodies().flatmap(
        lambda found: st.builds(Poison, why=st.just(found[0]), body=st.just(found[1]), **common)
    )
    mistyped = st.builds(
        Poison, why=st.just("type"), body=st.just(_GOOD_BODY), kind=_encodable(types | versions), **common
    )
    misrouted = st.builds(
        Poison,
        why=st.just("routing"),
        body=st.just(json.dumps({"schema_version": 1, "run_id": "demo", "tile": "t00000"}).encode()),
        kind=st.sampled_from(["sample.v1", "reference.v1", "cluster.v1"]),
        **common,
    )
    raw = st.builds(Poison, why=st.just("header table"), body=st.binary(max_size=50), table=_tables())
    return st.one_of(unreadable, unreadable, mistyped, misrouted, raw)


def _encodable(texts: st.SearchStrategy[str | None]) -> st.SearchStrategy[str | None]:
    return texts.filter(lambda text: text is None or len(text.encode("utf-8", "replace")) <= 255)


def draw(number: int) -> list[Poison]:
    """That many messages, the same each time."""
    found: list[Poison] = []

    @settings(
        max_examples=number,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(poisons())
    def take(poison: Poison) -> None:
        found.append(poison)

    while len(found) < number:
        take()
    return found[:number]


class _RawHeaders(pika.BasicProperties):  # type: ignore[misc]
    """Properties with a header table in wire format."""

    def __init__(self, table: bytes) -> None:
        super().__init__(type=_TYPE, message_id="raw", delivery_mode=2)
        self._table = table

    def encode(self) -> list[bytes]:
        flags = self.FLAG_HEADERS | self.FLAG_DELIVERY_MODE | self.FLAG_MESSAGE_ID | self.FLAG_TYPE
        texts = [bytes([len(text)]) + text for text in (self.message_id.encode(), self.type.encode())]
        return [flags.to_bytes(2, "big"), len(self._table).to_bytes(4, "big") + self._table, b"\x02", *texts]


def publish(broker: BrokerConnection, messages: Iterable[Poison]) -> None:
    """Publish messages past landseries, each confirmed."""
    with pika.BlockingConnection(parameters(broker, "poison")) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for poison in messages:
            properties: Any = _RawHeaders(poison.table) if poison.table is not None else None
            if properties is None:
                properties = pika.BasicProperties(
                    type=poison.kind, message_id=poison.message_id, headers=poison.headers, delivery_mode=2
                )
            channel.basic_publish(WORK_EXCHANGE, poison.key, poison.body, properties, mandatory=True)
