"""Numbers of a source's quota, and a pace that keeps to them."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from landseries.errors import ConfigError
from landseries_fetcher.remote.reader import OpenGate, Permit

#: What part of its requests a connection may send at once after a pause.
_BURST_SHARE: Final = 0.1


@dataclass(frozen=True)
class Quota:
    """What a source allows all readers together.

    Attributes:
        connections: at the same time.
        requests: in any `per_s` seconds; None where the source sets no such limit.
        per_s: the length of that window in seconds.
    """

    connections: int
    requests: int | None = None
    per_s: float = 60.0

    def __post_init__(self) -> None:
        """Refuse what nobody could keep.

        Raises:
            ConfigError: less than one connection or two requests.
        """
        if self.connections < 1 or (self.requests is not None and self.requests < 2) or self.per_s <= 0:
            raise ConfigError(
                f"a quota of {self.connections} connections and {self.requests} requests in {self.per_s} s allows "
                "nothing; give at least 1 connection and 2 requests"
            )

    @property
    def slots(self) -> int:
        """How many connections are used: all, unless there are so few requests that each could send none."""
        return self.connections if self.requests is None else min(self.connections, self.requests // 2)

    def pace(self, clock: Callable[[], float] = time.monotonic) -> Pace:
        """The pace of a connection that begins now."""
        if self.requests is None:
            return Pace(0.0, 0.0, clock)
        share = self.requests / self.slots
        burst = max(1.0, _BURST_SHARE * share)
        return Pace((share - burst) / self.per_s, burst, clock)


class Pace:
    """When one connection may send its next request (a token bucket).

    The bucket is empty at first: so a connection that changes hands does not get the burst twice, and in any window
    of the quota all its holders together send at most its share (burst + rate x window).
    """

    def __init__(self, rate_per_s: float, burst: float, clock: Callable[[], float]) -> None:
        """Make it; a burst of 0 sets no limit."""
        self._rate_per_s, self._burst, self._clock = rate_per_s, burst, clock
        self._tokens, self._at = 0.0, clock()

    def wait_s(self) -> float:
        """Seconds until the next request may be sent; 0 means now, and counts the request as sent."""
        if not self._burst:
            return 0.0
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate_per_s)
        self._at = now
        # One over all but nothing: sums of small steps do not always reach 1 exactly.
        if self._tokens >= 1.0 - 1e-9:
            self._tokens -= 1.0
            return 0.0
        return (1.0 - self._tokens) / self._rate_per_s


class LocalGate:
    """Keeps a quota within one process; see `reader.Gate`."""

    def __init__(self, quota: Quota) -> None:
        """Make it."""
        self._free: queue.SimpleQueue[Pace] = queue.SimpleQueue()
        for _ in range(quota.slots):
            self._free.put(quota.pace())

    @contextmanager
    def request(self) -> Iterator[Permit]:
        """See `Gate.request`."""
        pace = self._free.get()
        try:
            while (wait_s := pace.wait_s()) > 0:
                time.sleep(wait_s)
            yield OpenGate()
        finally:
            self._free.put(pace)
