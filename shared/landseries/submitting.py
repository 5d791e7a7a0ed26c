"""Submitting a run: its plan frozen in the store, its first messages confirmed by the broker."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from landseries.brokers.base import Broker
from landseries.errors import BrokerUnavailable
from landseries.gates import uncancel
from landseries.messages import Message
from landseries.plan import RunPlan, freeze_plan
from landseries.stores.base import Store
from landseries.sweeping import due_messages

_TRIES: Final = 5
_PAUSE_S: Final = 2.0
_BATCH: Final = 500

Progress = Callable[[int, int], None]


def submit(store: Store, broker: Broker, plan: RunPlan, progress: Progress = lambda done, total: None) -> int:
    """Start a run, or take it up again; safe to repeat. Returns the number of messages published.

    Raises:
        RunConflict: the store has another run of this name.
        BrokerUnavailable: the broker went away; submit again.
    """
    freeze_plan(store, plan)
    uncancel(store, plan.run_id)
    return publish_all(broker, due_messages(store, plan), progress)


def publish_all(
    broker: Broker, messages: Sequence[Message], progress: Progress = lambda done, total: None, tries: int = _TRIES
) -> int:
    """Publish messages in batches, again where the connection broke; returns their number.

    Raises:
        BrokerUnavailable: the last try failed.
        BrokerError: no queue takes a message, or this user may not send it.
    """
    for start in range(0, len(messages), _BATCH):
        batch = messages[start : start + _BATCH]
        for attempt in range(1, tries + 1):
            try:
                broker.publish(batch)
                break
            except BrokerUnavailable:
                if attempt == tries:
                    raise
                time.sleep(_PAUSE_S * attempt)
        progress(start + len(batch), len(messages))
    return len(messages)
