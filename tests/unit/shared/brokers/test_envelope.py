"""Envelopes: what is put in comes out, and what others put in does no harm."""

import struct
from typing import Any

import pika
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landseries.brokers.envelope import clean, dead_letter, now_ms, to_message, to_properties, waited_s
from landseries.brokers.properties import TolerantProperties
from landseries.messages import BadMessage, Message, decode
from tests.unit.shared.brokers.behaviour import INDEX

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates()
anything = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)
names = st.sampled_from(["traceparent", "attempt", "published_ms", "x-death", "other"])


def _through_the_wire(properties: pika.BasicProperties) -> TolerantProperties:
    decoded = TolerantProperties()
    decoded.decode(b"".join(properties.encode()))
    return decoded


def test_a_message_survives_the_wire() -> None:
    sent = INDEX.model_copy(update={"attempt": 4})
    received = _through_the_wire(to_properties(sent))
    assert to_message(received, sent.body) == sent
    assert received.delivery_mode == 2
    assert received.content_type == "application/json"
    waited = waited_s(received)
    assert waited is not None
    assert 0 <= waited < 5


@given(kind=anything, message_id=anything, headers=st.dictionaries(names, anything) | anything, body=st.binary())
def test_any_envelope_gives_a_message_that_decode_judges(kind: Any, message_id: Any, headers: Any, body: bytes) -> None:
    properties = pika.BasicProperties(type=kind, message_id=message_id, headers=headers)
    message = to_message(properties, body)
    assert isinstance(message, Message)
    assert 1 <= message.attempt <= 100
    waited = waited_s(properties)
    assert waited is None or waited >= 0
    with pytest.raises(BadMessage):
        decode(message)
    to_properties(message).encode()


@pytest.mark.parametrize("attempt", [0, -1, 101, True, "3", 2.0, None, [1], 2**40])
def test_an_attempt_that_is_no_small_number_is_the_first(attempt: object) -> None:
    properties = pika.BasicProperties(type="index.v1", message_id="1", headers={"attempt": attempt})
    assert to_message(properties, b"").attempt == 1


@pytest.mark.parametrize("published", [None, -5, "yesterday", 1, True])
def test_a_time_that_cannot_be_is_not_told(published: object) -> None:
    assert waited_s(pika.BasicProperties(headers={"published_ms": published})) is None


def test_a_clock_ahead_of_ours_gives_no_negative_wait() -> None:
    assert waited_s(pika.BasicProperties(headers={"published_ms": now_ms() + 60_000})) == 0


@given(st.text())
def test_reasons_hold_no_control_characters(reason: str) -> None:
    kept = clean(reason)
    assert len(kept) <= 2000
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in kept)
    kept.encode()


def test_a_dead_letter_says_why_and_keeps_only_the_beginning_of_a_large_body() -> None:
    body, properties = dead_letter(INDEX.model_copy(update={"body": b"x" * 5000}), "too\nlarge")
    assert (len(body), properties.headers["original_bytes"]) == (4096, 5000)
    assert properties.headers["reason"] == "too large"
    body, properties = dead_letter(INDEX, "bad")
    assert body == INDEX.body
    assert "original_bytes" not in properties.headers


@given(st.binary())
def test_any_bytes_are_read_as_properties_without_an_error(encoded: bytes) -> None:
    TolerantProperties().decode(encoded)


@given(st.binary(max_size=60))
def test_headers_that_cannot_be_read_leave_the_rest(table: bytes) -> None:
    plain = pika.BasicProperties(content_type="application/json", type="index.v1", message_id="7")
    encoded = b"".join(plain.encode())
    (flags,) = struct.unpack(">H", encoded[:2])
    start = 2 + 1 + len("application/json")
    hostile = struct.pack(">H", flags | plain.FLAG_HEADERS) + encoded[2:start]
    # A table of one entry whose type no one knows, whatever follows.
    bad = b"\x01a\x00" + table
    hostile += struct.pack(">I", len(bad)) + bad + encoded[start:]
    read = TolerantProperties()
    read.decode(hostile)
    assert (read.type, read.message_id, read.headers) == ("index.v1", "7", None)
