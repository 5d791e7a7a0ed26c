"""Metrics of a worker, as Prometheus scrapes them.

The names of stages and outcomes come from fixed sets, whatever a message says, so that the number of time series is
bounded. Every series of the worker's own stages exists from the start: a rate over it begins at zero.
"""

from __future__ import annotations

import time
from typing import Final, Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector

from landseries import __version__
from landseries.failures import CAUSES, Cause
from landseries.memory import memory_limit_bytes, peak_rss_mib
from landseries.pipeline import STAGES, stages_of

#: How a unit ended for this worker: the three answers; found already answered (skipped) or answered by a known
#: artifact (reused); a damaged input must be written again first (repaired); to be tried again (failed) or dead; given
#: to others (handed_back), to a batch system (queued) or put off (later).
Outcome = Literal[
    "done", "empty", "refused", "reused", "repaired", "failed", "skipped", "dead", "handed_back", "queued", "later"
]
OUTCOMES: Final[tuple[str, ...]] = get_args(Outcome)
#: What moves a run forward.
_PROGRESS: Final = frozenset(("done", "empty", "refused", "reused"))
_UNKNOWN: Final = "unknown"

_UNIT_SECONDS: Final = (0.1, 0.3, 1, 3, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 28800)
_WAIT_SECONDS: Final = (0.01, 0.1, 1, 10, 60, 300, 1800, 3600, 21600, 86400, 604800)


class WorkerMetrics:
    """The metrics of one worker process; every method may be called from any thread.

    Attributes:
        registry: what `landseries.health.HealthServer` shows under /metrics.
    """

    def __init__(self, service: str) -> None:
        """Metrics of a worker of a service; several services are separated by commas."""
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._units = Counter(
            "landseries_units", "Units that ended, by outcome", ("stage", "outcome"), registry=registry
        )
        self._seconds = Histogram(
            *("landseries_unit_seconds", "Seconds from receiving a unit to its end", ("stage",)),
            buckets=_UNIT_SECONDS,
            registry=registry,
        )
        self._waited = Histogram(
            *("landseries_queue_wait_seconds", "Seconds between publishing and delivery", ("stage",)),
            buckets=_WAIT_SECONDS,
            registry=registry,
        )
        self._in_flight = Gauge("landseries_units_in_flight", "Units being done now", registry=registry)
        self._started = Gauge(
            *("landseries_unit_started_timestamp_seconds", "Unix time at which the unit in hand began, 0 without one"),
            ("stage",),
            registry=registry,
        )
        self._not_done = Counter(
            *("landseries_units_not_done", "Units that ended without an answer, by cause", ("stage", "cause")),
            registry=registry,
        )
        self._bytes = Counter(
            *("landseries_store_bytes", "Bytes into and out of the store", ("direction",)), registry=registry
        )
        self._connected = Gauge("landseries_broker_connected", "1 while the broker is connected", registry=registry)
        self._blocked = Gauge("landseries_broker_blocked", "1 while the broker accepts no messages", registry=registry)
        self._store = Gauge("landseries_store_reachable", "0 while the store does not answer", registry=registry)
        self._store.set(1)
        self._progress = Gauge(
            *("landseries_last_progress_timestamp_seconds", "Unix time of the last answered unit, or of the start"),
            registry=registry,
        )
        self._progress.set(time.time())
        Gauge(
            "landseries_peak_rss_bytes", "Highest resident set size of the process so far", registry=registry
        ).set_function(lambda: peak_rss_mib() * 2**20)
        Gauge("landseries_memory_limit_bytes", "What the container may use, 0 without a limit", registry=registry).set(
            memory_limit_bytes()
        )
        Info("landseries_build", "What runs here", registry=registry).info({"version": __version__, "service": service})
        self._moved = {"in": 0, "out": 0}
        self._begin_at_zero(service)

    def unit_started(self, stage: str, waited_s: float | None) -> None:
        """A unit was received, `waited_s` seconds after it had been published (None: unknown)."""
        self._in_flight.inc()
        self._started.labels(_known(stage)).set(time.time())
        if waited_s is not None:
            self._waited.labels(_known(stage)).observe(max(0.0, waited_s))

    def unit_ended(self, stage: str, outcome: Outcome, seconds: float) -> None:
        """A unit that was started has ended, after `seconds` seconds in this worker's hands."""
        self._in_flight.dec()
        self._started.labels(_known(stage)).set(0)
        self._units.labels(_known(stage), outcome if outcome in OUTCOMES else _UNKNOWN).inc()
        if outcome in _PROGRESS:
            self._seconds.labels(_known(stage)).observe(seconds)
            self._progress.set(time.time())

    def not_done(self, stage: str, cause: Cause) -> None:
        """A unit ends without an answer, because of `cause`; `unit_ended` counts what becomes of it."""
        self._not_done.labels(_known(stage), cause if cause in CAUSES else _UNKNOWN).inc()

    def store_reachable(self, reachable: bool) -> None:
        """Whether the store answered when it was last asked."""
        self._store.set(reachable)

    def store_bytes(self, bytes_in: int, bytes_out: int) -> None:
        """The store's own counters: bytes that went into it (put) and came out (get, local) since the start."""
        for direction, total in (("in", bytes_in), ("out", bytes_out)):
            grown = total - self._moved[direction]
            if grown > 0:
                self._bytes.labels(direction).inc(grown)
                self._moved[direction] = total

    def broker_state(self, *, connected: bool, blocked: bool) -> None:
        """How the connection to the broker is now."""
        self._connected.set(connected)
        self._blocked.set(blocked)

    def _begin_at_zero(self, service: str) -> None:
        stages = [stage for name in service.split(",") for stage in stages_of(name.strip())]
        for stage in stages:
            self._seconds.labels(stage)
            self._waited.labels(stage)
            self._started.labels(stage).set(0)
            for cause in CAUSES:
                self._not_done.labels(stage, cause)
            for outcome in OUTCOMES:
                self._units.labels(stage, outcome)
        for direction in self._moved:
            self._bytes.labels(direction)


def _known(stage: str) -> str:
    return stage if stage in STAGES else _UNKNOWN
