"""The process of the bridge: one thread takes messages, one looks after the jobs, the caller's hears signals."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Gauge

from landseries.brokers.rabbitmq import RabbitBroker
from landseries.connections import broker_connection, store_connection
from landseries.errors import ConfigError, LandseriesError
from landseries.health import HealthServer
from landseries.leases import LeaseHeld, Leases
from landseries.logs import configure, logger
from landseries.metrics import WorkerMetrics
from landseries.serving import ServiceLoop, Serving
from landseries.stores import open_store
from landseries.stores.base import Store
from landseries_bridge.dispatch import Dispatcher, Stopped
from landseries_bridge.intake import Intake, Looker
from landseries_bridge.records import Records
from landseries_bridge.scheduler import Scheduler
from landseries_bridge.script import check_scripts
from landseries_bridge.settling import Settling
from landseries_bridge.site import Site, load_site
from landseries_bridge.slurm import SlurmScheduler

#: A look at the jobs that takes longer is taken for one that hangs; staging of a large job takes its time.
_LONGEST_LOOK_S: Final = 6 * 3600.0


class BridgeFailed(LandseriesError):
    """A mistake of ours: the process should be started again."""


def serve(site: Path, *, grace_s: float, lease_s: float, health: str | None, log_json: bool | None) -> None:
    """Run the bridge until SIGTERM or SIGINT.

    Args:
        site: the profile.
        grace_s: how long the message in hand may take after the signal.
        lease_s: see `landseries.leases`.
        health: HOST:PORT for probes and metrics; None for none.
        log_json: form of the logs; None: text on a terminal.

    Raises:
        ConfigError: the profile or the environment is wrong, or there is no batch system here.
        BrokerError: the broker refuses this user.
        BridgeFailed: the bridge broke down.
    """
    profile = load_site(site)
    try:
        check_scripts(profile)
    except ConfigError as error:
        raise ConfigError(f"{site}: {error}") from None
    configure(log_json, service="bridge")
    try:
        profile.spool.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{site}: spool: {profile.spool} cannot be made: {error.strerror}") from None
    scheduler = SlurmScheduler()
    scheduler.check()
    broker_at, store_at = broker_connection(), store_connection()
    owner = f"bridge@{socket.gethostname()}:{os.getpid()}"
    with tempfile.TemporaryDirectory(prefix="landseries-bridge-") as temporary, RabbitBroker(broker_at) as broker:
        scratch = Path(temporary)
        store = open_store(store_at, scratch / "fetched")
        serving = Serving(profile.services, scratch, 1, owner, grace_s=grace_s, lease_s=lease_s)
        metrics = WorkerMetrics(",".join(profile.services))
        loop = ServiceLoop(store, broker, serving, metrics, partial(Intake, site=profile.name))
        jobs = Jobs(store, broker, profile, scheduler, Leases(store, owner, lease_s=lease_s), scratch)
        jobs.count_in(metrics.registry)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: loop.stop())
        server = (
            HealthServer(
                health, lambda: loop.unwell() or jobs.unwell(), lambda: loop.unready() or jobs.trouble, metrics.registry
            )
            if health
            else None
        )
        if server is not None:
            server.start()
        logger(__name__).info("serving", site=profile.name, services=list(profile.services), owner=owner)
        jobs.start()
        ending = loop.run()
        jobs.stop(grace_s)
        logger(__name__).info("ended", ending=ending)
        if server is not None:
            server.stop()
    if loop.refusal is not None:
        raise loop.refusal
    if ending == "broken":
        raise BridgeFailed("the bridge broke down; its log says why")


class Jobs(threading.Thread):
    """Looks after a site's jobs while it holds the site's lease; several bridges of a site take turns.

    Attributes:
        trouble: what is wrong at the moment, for people; None where nothing is.
    """

    def __init__(
        self, store: Store, broker: RabbitBroker, site: Site, scheduler: Scheduler, leases: Leases, scratch: Path
    ) -> None:
        super().__init__(name="jobs", daemon=True)
        self._store = store
        self._broker = broker
        self._site = site
        self._scheduler = scheduler
        self._leases = leases
        self._scratch = scratch
        self._stop_asked = threading.Event()
        self._moved = time.monotonic()
        self._log = logger(__name__)
        self._records = Records(store, site.name)
        self.trouble: str | None = None

    def count_in(self, registry: CollectorRegistry) -> None:
        """Show how many units and jobs there are among a process's metrics."""
        units = Gauge("landseries_bridge_units", "Units that were taken and are not answered", registry=registry)
        units.set_function(lambda: len(self._records.units))
        jobs = Gauge("landseries_bridge_jobs", "Jobs that have not been settled", ("partition",), registry=registry)
        for name in self._site.partitions:
            jobs.labels(name).set_function(partial(self._jobs_of, name))

    def run(self) -> None:
        while not self._stop_asked.is_set():
            try:
                with self._leases.holding(f"leases/bridge-{self._site.name}.json", lambda: None) as ours:
                    self._log.info("looking after the jobs", site=self._site.name)
                    dispatcher = self._dispatcher(ours)
                    while ours() and not self._stop_asked.is_set():
                        self._look(dispatcher)
                        self._stop_asked.wait(self._site.poll_s)
            except LeaseHeld as held:
                self._log.info("another bridge looks after the jobs", reason=str(held))
            except LandseriesError as error:
                self._tell(str(error))
            except Exception as error:
                self._log.exception("looking after the jobs failed")
                self.trouble = f"{type(error).__name__}: {error}"
            self._moved = time.monotonic()
            self._stop_asked.wait(self._site.poll_s)

    def stop(self, grace_s: float) -> None:
        """Leave off at the next safe point; what is unfinished, the next bridge goes on with."""
        self._stop_asked.set()
        self._leases.stopping.set()
        self.join(grace_s)
        self._leases.give_back_all()

    def unwell(self) -> str | None:
        """Why the process should be restarted; None while it lives."""
        silent = time.monotonic() - self._moved
        return f"the jobs have not been looked at for {silent:.0f} s" if silent > _LONGEST_LOOK_S else None

    def _dispatcher(self, ours: Callable[[], bool]) -> Dispatcher:
        """One that begins with what is in the store now, since another bridge may have changed it, and leaves off where
        the lease is lost: that bridge is at work again."""
        self._records = records = Records(self._store, self._site.name)
        settling = Settling(self._store, self._broker, records, partial(Looker, self._store, self._scratch))

        def stopping() -> bool:
            return self._stop_asked.is_set() or not ours()

        return Dispatcher(self._store, self._site, records, settling, self._scheduler, stopping)

    def _jobs_of(self, partition: str) -> int:
        return sum(job.partition == partition for job in list(self._records.jobs.values()))

    def _look(self, dispatcher: Dispatcher) -> None:
        try:
            dispatcher.look()
            self.trouble = dispatcher.trouble
        except Stopped:
            return
        except (LandseriesError, OSError) as error:
            self._tell(str(error))
        self._moved = time.monotonic()

    def _tell(self, trouble: str) -> None:
        if trouble != self.trouble:
            self._log.warning("the jobs wait", reason=trouble)
        self.trouble = trouble
