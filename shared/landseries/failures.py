"""What becomes of a message whose unit failed: the one place where errors are sorted."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from landseries.errors import (
    BrokerError,
    BrokerUnavailable,
    LandseriesError,
    SourceError,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from landseries.gates import NotNow, OtherProfile, RunCancelled, SourceAway, WrongMachine
from landseries.leases import LeaseHeld
from landseries.messages import BadMessage
from landseries.worker import StageVersionMismatch

#: dead: no number of tries helps; retry: the unit failed, try again, not for ever; later: not now, through no fault of
#: the unit; full, away: the store has no space, or does not answer; unsent: the broker broke off; restart: this
#: process has other numerics; drop: nobody wants it any more.
Kind = Literal["dead", "retry", "later", "full", "away", "unsent", "restart", "drop"]

#: What an operator has to look at: workers of other versions or machines, servers, the source of imagery, the message,
#: the unit itself; or nothing (another worker has it, this one starts anew, the budget pauses, the run is cancelled).
Cause = Literal[
    "version", "machine", "profile", "store", "broker", "source", "lease", "budget", "cancelled", "message", "unit"
]
CAUSES: Final[tuple[str, ...]] = get_args(Cause)

_KINDS: Final[tuple[tuple[type[LandseriesError], Kind], ...]] = (
    (BadMessage, "dead"),
    (RunCancelled, "drop"),
    (OtherProfile, "restart"),
    (NotNow, "later"),
    (LeaseHeld, "later"),
    (StoreFull, "full"),
    (StoreUnavailable, "away"),
    (BrokerUnavailable, "unsent"),
)


#: The first that fits counts.
_CAUSES: Final[tuple[tuple[type[LandseriesError], Cause], ...]] = (
    (StageVersionMismatch, "version"),
    (WrongMachine, "machine"),
    (OtherProfile, "profile"),
    (StoreError, "store"),
    (BrokerError, "broker"),
    (SourceAway, "source"),
    (SourceError, "source"),
    (LeaseHeld, "lease"),
    (NotNow, "budget"),
    (RunCancelled, "cancelled"),
    (BadMessage, "message"),
)


@dataclass(frozen=True)
class Failure:
    """What kind of failure it is, and the reason for people."""

    kind: Kind
    reason: str


def sort_failure(error: Exception) -> Failure:
    """Sort an error that a unit ended with.

    Whatever a handler or a library under it raises must not take the worker down: the unit is tried again and then put
    aside with its reason, and the rest goes on.
    """
    if isinstance(error, LandseriesError):
        return Failure(next((kind for known, kind in _KINDS if isinstance(error, known)), "retry"), str(error))
    if isinstance(error, MemoryError):
        return Failure("retry", "out of memory; use fewer --jobs or a smaller grid.tile_size_px")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Failure("full", "the disk of the scratch folder is full; free some space, and it goes on from here")
    return Failure("retry", f"{type(error).__name__}: {error} ({_innermost(error)})")


def cause_of(error: Exception) -> Cause:
    """What an error is about, for those who count them."""
    return next((cause for known, cause in _CAUSES if isinstance(error, known)), "unit")


def _innermost(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "no traceback"
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
