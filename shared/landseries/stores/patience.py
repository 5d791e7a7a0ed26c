"""Trying again: how long a call goes on while the store is away, and how it spaces its tries."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from landseries.errors import StoreUnavailable

_T = TypeVar("_T")
_LOG: Final = logging.getLogger(__name__)
#: Not the shared generator: a handler that seeded it must find it as it was, and forked workers must not pause alike.
_JITTER: Final = random.SystemRandom()

#: The first pause at most, in seconds; it doubles up to the longest.
_FIRST_S: Final = 0.1
_LONGEST_S: Final = 5.0


@dataclass(frozen=True)
class Patience:
    """Tries again while a call raises `StoreUnavailable`, until the time is over.

    The pauses grow exponentially, and each is drawn between half and all of its length, so that workers which lost the
    store together do not come back together. The time counts from the first failure: a transfer that took an hour
    until its connection broke deserves another try as well.
    """

    seconds: float
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def call(self, action: Callable[[], _T]) -> _T:
        """The action's result.

        Raises:
            StoreUnavailable: the action still raised it when the time was over; the text says how long it was tried.
        """
        pause_s = _FIRST_S
        failed_at: float | None = None
        tries = 0
        while True:
            tries += 1
            try:
                return action()
            except StoreUnavailable as error:
                now = self.clock()
                if failed_at is None:
                    failed_at = now
                    _LOG.warning("%s; it is tried again for %.0f s", error, self.seconds)
                left_s = failed_at + self.seconds - now
                if left_s <= 0:
                    raise StoreUnavailable(f"{error} ({tries} tries in {now - failed_at:.0f} s)") from error
            self.sleep(min(left_s, pause_s * _JITTER.uniform(0.5, 1)))
            pause_s = min(2 * pause_s, _LONGEST_S)
