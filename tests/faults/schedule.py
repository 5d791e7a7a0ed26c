"""What goes wrong when: faults drawn from a seed and spread over the progress of a run.

A fault has its turn when the run has come so far, or when nothing has moved for a while: so the faults neither wait
for a run that they themselves hold up, nor miss one that is fast.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["kill", "broker", "store", "duplicates", "reorder", "cut"]

#: Share of the run's work after which nothing more begins to go wrong: something must be left for what is broken then.
_LAST: Final = 0.85
#: Messages that are duplicated, or taken and put back in another order, in one go.
BATCH: Final = 10
_PATIENCE_S: Final = (3.0, 10.0)


@dataclass(frozen=True)
class Amount:
    """How much goes wrong.

    Attributes:
        kills: workers killed.
        broker_restarts, store_stops: times that a server goes away.
        store_stop_s: how long the store stays away.
        duplicates: messages published once more, and messages taken from queues and put back in another order.
        cuts: times that connections are cut.
    """

    kills: int = 50
    broker_restarts: int = 3
    store_stops: int = 3
    store_stop_s: float = 30.0
    duplicates: int = 100
    cuts: int = 20


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        at: share of the run's work (0 to 1) that is done when it happens.
        patience_s: seconds without another fault after which it happens anyway.
        kind: what it is.
        hard: of a server: killed instead of stopped.
        down_s: of a server: how long it stays away.
        count: of messages: how many.
    """

    at: float
    patience_s: float
    kind: Kind
    hard: bool = False
    down_s: float = 0.0
    count: int = 0


def draw(seed: int, amount: Amount) -> list[Fault]:
    """The faults of one run, in the order in which they happen; the same for the same seed."""
    rng = random.Random(f"faults {seed}")
    batches = -(-amount.duplicates // BATCH)
    found = [_fault(rng, at, "kill") for at in _spread(rng, amount.kills)]
    found += [
        _fault(rng, at, "broker", hard=number % 2 == 0, down_s=rng.uniform(0.2, 4.0))
        for number, at in enumerate(_spread(rng, amount.broker_restarts))
    ]
    found += [
        _fault(rng, at, "store", hard=number % 2 == 0, down_s=amount.store_stop_s)
        for number, at in enumerate(_spread(rng, amount.store_stops))
    ]
    for kind in ("duplicates", "reorder"):
        found += [
            _fault(rng, at, kind, count=min(BATCH, amount.duplicates - number * BATCH))
            for number, at in enumerate(_spread(rng, batches))
        ]
    found += [_fault(rng, at, "cut") for at in _spread(rng, amount.cuts)]
    return sorted(found, key=lambda fault: fault.at)


def _spread(rng: random.Random, count: int) -> Iterator[float]:
    """Moments, one in each of as many equal parts of the run."""
    return ((number + rng.random()) / count * _LAST for number in range(count))


def _fault(rng: random.Random, at: float, kind: Kind, hard: bool = False, down_s: float = 0.0, count: int = 0) -> Fault:
    return Fault(at, rng.uniform(*_PATIENCE_S), kind, hard, down_s, count)
