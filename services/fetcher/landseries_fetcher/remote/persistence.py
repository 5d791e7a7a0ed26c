"""Outlasting faults: a range goes on after a broken connection where it stopped, for as long as patience lasts."""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Protocol

from landseries_fetcher.remote.reader import Gate, Permit, RemoteUnavailable

_LOG: Final = logging.getLogger(__name__)
_JITTER: Final = random.SystemRandom()
_FIRST_PAUSE_S: Final = 0.25
_LONGEST_PAUSE_S: Final = 30.0
#: A process tells people of no more than one fault in so long.
_TELL_EVERY_S: Final = 60.0
_TELLING: Final = threading.Lock()
_told_at = -math.inf


class Interrupted(Exception):
    """One attempt failed in a way that another one may not.

    Attributes:
        wait_s: what the server asked us to wait; 0 where it did not say.
    """

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class Attempt(Protocol):
    """One request for bytes from a start to a stop; pieces in order, any number of them."""

    def __call__(self, start: int, stop: int) -> Iterator[bytes]:
        """Ask once.

        Raises:
            Interrupted: the request, or its answer's body, broke off.
        """


@dataclass(frozen=True)
class Persistence:
    """How long faults are borne.

    Attributes:
        tries: attempts in a row that may bring less than `progress_bytes`.
        patience_s: seconds from the first such failure after which no further attempt begins.
        progress_bytes: an attempt that brought so many bytes was worth it: patience begins anew.
        stall_s: over how many seconds the slowest bearable rate is measured.
        slowest_bytes_per_s: a body that comes slower is broken off and asked for anew.
        wait_max_s: the longest wait that a server may ask for.
    """

    tries: int = 10
    patience_s: float = 300.0
    progress_bytes: int = 1 << 18
    stall_s: float = 30.0
    slowest_bytes_per_s: float = 1024.0
    wait_max_s: float = 300.0
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def deliver(self, attempt: Attempt, start: int, stop: int, gate: Gate, name: str) -> Iterator[tuple[int, bytes]]:
        """All bytes of a range, through as many attempts as it takes.

        Args:
            attempt: asks once; what it yields beyond `stop` is left out.
            start: first byte.
            stop: byte after the last.
            gate: asked before each attempt.
            name: the object, for messages.

        Returns:
            (offset, bytes), in order and without gaps.

        Raises:
            RemoteUnavailable: patience is over.
        """
        failures = _Failures(self, name)
        while start < stop:
            began = start
            try:
                with gate.request() as permit, closing(_closable(attempt(start, stop))) as pieces:
                    for piece in self._brisk(pieces, permit):
                        content = piece[: stop - start]
                        yield start, content
                        start += len(content)
                if start < stop:
                    raise Interrupted(f"the body ended {stop - start} bytes early")
            except Interrupted as error:
                failures.bear(error, start - began)

    def call(self, action: Callable[[], None], name: str) -> None:
        """Do something that may be interrupted, as often as patience allows.

        Raises:
            RemoteUnavailable: patience is over.
        """
        failures = _Failures(self, name)
        while True:
            try:
                return action()
            except Interrupted as error:
                failures.bear(error, 0)

    def _brisk(self, pieces: Iterator[bytes], permit: Permit) -> Iterator[bytes]:
        """The pieces, as long as they come fast enough and the connection is ours."""
        since, received = self.clock(), 0
        for piece in pieces:
            permit.check()
            yield piece
            received += len(piece)
            elapsed_s = self.clock() - since
            if elapsed_s >= self.stall_s:
                if received < self.slowest_bytes_per_s * elapsed_s:
                    raise Interrupted(f"the body came at {received / elapsed_s:.0f} bytes a second")
                since, received = self.clock(), 0


def retry_after_s(header: str | None) -> float:
    """Seconds that a `Retry-After` header asks for (RFC 9110, section 10.2.3), as a number or a date; 0 for none."""
    if not header:
        return 0.0
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())


class _Failures:
    """Counts failures in a row, and waits after each."""

    def __init__(self, persistence: Persistence, name: str) -> None:
        self._persistence = persistence
        self._name = name
        self._forget()

    def _forget(self) -> None:
        self._count, self._pause_s, self._since = 0, _FIRST_PAUSE_S, self._persistence.clock()

    def bear(self, error: Interrupted, brought_bytes: int) -> None:
        policy = self._persistence
        if self._count == 0 or brought_bytes >= policy.progress_bytes:
            self._forget()
        self._count += 1
        _LOG.info("%s: %s; attempt %d", self._name, error, self._count)
        if error.wait_s > policy.wait_max_s:
            raise RemoteUnavailable(f"{self._name}: {error}; the server asks to wait {error.wait_s:.0f} s") from error
        wait_s = max(error.wait_s, self._pause_s * _JITTER.uniform(0.5, 1))
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        if self._count >= policy.tries or policy.clock() + wait_s - self._since > policy.patience_s:
            raise RemoteUnavailable(f"{self._name}: {error} ({self._count} tries)") from error
        if self._count == 1:
            _tell("%s: %s; it is asked again, for up to %.0f s", self._name, error, policy.patience_s)
        policy.sleep(wait_s)


def _tell(text: str, *arguments: object) -> None:
    """Warn, unless something was warned of just now: many readers meet the same fault at the same time."""
    global _told_at
    with _TELLING:
        now = time.monotonic()
        is_due = now - _told_at >= _TELL_EVERY_S
        _told_at = now if is_due else _told_at
    if is_due:
        _LOG.warning(text, *arguments)


def _closable(pieces: Iterator[bytes]) -> _Closable:
    return _Closable(pieces)


class _Closable:
    """An iterator whose generator, where it is one, is closed at once: its connection must not outlive the permit."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)

    def close(self) -> None:
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()
