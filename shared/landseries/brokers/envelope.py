"""Messages to AMQP properties and back. What comes back is hostile: every field is taken only where it is harmless."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, Final, TypeGuard

import pika

from landseries.messages import LARGEST_BODY_BYTES, Message, new_trace

#: Most attempts that a header can claim; more is taken for none.
_MOST_ATTEMPTS: Final = 100
_LONGEST_REASON: Final = 2000
_TRACEPARENT: Final = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_PERSISTENT: Final = 2


def now_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


def to_properties(message: Message, extra: Mapping[str, Any] | None = None) -> pika.BasicProperties:
    """The properties under which a message is published now."""
    now = now_ms()
    headers = {"traceparent": message.traceparent, "attempt": message.attempt, "published_ms": now, **(extra or {})}
    return pika.BasicProperties(
        type=message.type,
        message_id=message.message_id,
        content_type="application/json",
        delivery_mode=_PERSISTENT,
        timestamp=now // 1000,
        headers=headers,
    )


def to_message(properties: Any, body: bytes) -> Message:
    """A message from what came; fields that are missing or of a wrong type are empty, so that `decode` refuses them."""
    headers = headers_of(properties)
    attempt, trace = headers.get("attempt"), headers.get("traceparent")
    traced = isinstance(trace, str) and _TRACEPARENT.fullmatch(trace)
    return Message(
        type=_text(properties.type),
        message_id=_text(properties.message_id),
        traceparent=str(trace) if traced else new_trace(),
        body=bytes(body),
        attempt=int(attempt) if _is_int(attempt) and 1 <= attempt <= _MOST_ATTEMPTS else 1,
    )


def waited_s(properties: Any) -> float | None:
    """Seconds since a message was published; None where it does not say, or not credibly."""
    published = headers_of(properties).get("published_ms")
    if not _is_int(published) or published <= 0:
        return None
    waited = (now_ms() - published) / 1000
    return max(0.0, waited) if waited < 10 * 365 * 86400 else None


def headers_of(properties: Any) -> Mapping[str, Any]:
    """The headers; empty where there are none."""
    return properties.headers if isinstance(properties.headers, dict) else {}


def dead_letter(message: Message, reason: str) -> tuple[bytes, pika.BasicProperties]:
    """Body and properties of a message that is put aside; of a body that is too large only the beginning."""
    extra: dict[str, Any] = {"reason": clean(reason), "dead_ms": now_ms()}
    if len(message.body) > LARGEST_BODY_BYTES:
        extra["original_bytes"] = len(message.body)
    return message.body[:LARGEST_BODY_BYTES], to_properties(message, extra)


def clean(reason: str) -> str:
    """A reason as it may go into a header and onto a terminal: no control characters, at most 2000 characters."""
    return _CONTROL.sub(" ", reason).strip()[:_LONGEST_REASON]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _is_int(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
