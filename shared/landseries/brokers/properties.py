"""Properties that pika can always read: headers that it cannot decode are left out and do not end the connection.

AMQP allows headers that pika raises on (a float that is no number, a date after the year 9999, a thousand tables in
each other). One such message would break the connection of each worker that takes it until the broker gives it up.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from pika import spec

_ONE_MORE_WORD: Final = 1


class TolerantProperties(spec.BasicProperties):  # type: ignore[misc]
    """Properties whose headers are None where they cannot be read, and all None where nothing can."""

    def decode(self, encoded: bytes, offset: int = 0) -> Any:
        """Read what can be read; never raises."""
        try:
            return super().decode(encoded, offset)
        except Exception:  # pika lets struct, date, number and recursion errors through
            self.__init__()  # type: ignore[misc]
        try:
            return super().decode(_without_headers(encoded[offset:]))
        except Exception:  # as above
            self.__init__()  # type: ignore[misc]
            return self


def install() -> None:
    """Let pika use these properties for whatever it receives in this process."""
    spec.props[spec.BasicProperties.INDEX] = TolerantProperties


def _without_headers(encoded: bytes) -> bytes:
    """The same properties without their header table, which its length lets one skip unread."""
    (flags,) = struct.unpack_from(">H", encoded)
    properties = spec.BasicProperties
    if flags & _ONE_MORE_WORD or not flags & properties.FLAG_HEADERS:
        raise ValueError("no header table to leave out")
    start = 2
    for flag in (properties.FLAG_CONTENT_TYPE, properties.FLAG_CONTENT_ENCODING):
        if flags & flag:
            start += 1 + encoded[start]
    (length,) = struct.unpack_from(">I", encoded, start)
    return struct.pack(">H", flags & ~properties.FLAG_HEADERS) + encoded[2:start] + encoded[start + 4 + length :]
