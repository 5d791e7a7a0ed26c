"""One distributed run and everything under it that can break: broker, store, connections, workers."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from landseries.brokers.depths import queue_depths
from landseries.brokers.topology import apply
from landseries.connections import BrokerConnection, StoreConnection
from landseries.errors import LandseriesError, StoreUnavailable
from landseries.local.processes import ServerError
from landseries.local.servers import MinioServer, RabbitServer
from landseries.pipeline import STAGES, Unit
from landseries.stores.minio import MinioStore
from tests.faults.chaos import Chaos
from tests.faults.reference import RUN, Answers
from tests.faults.schedule import Fault
from tests.faults.workers import Workers
from tests.support.proxy import Proxy

#: So that what a queue did shows soon.
_STATISTICS: Final = {"collect_statistics_interval": "1000"}
#: Shorter than the store stays away: some units wait it out, others are put off.
_STORE_PATIENCE_S: Final = 12.0
_SUBMIT_S: Final = 120
#: Share of cuts after which the network stays silent for a while, and how long: up to more than a heartbeat.
_FREEZE: Final = 0.25
_FROZEN_S: Final = (1.0, 15.0)


class World:
    """Servers, proxies, workers, and one run that was submitted.

    Attributes:
        broker_restarts, store_stops, cuts, redeliveries: how often it happened.
    """

    def __init__(self, folder: Path, reference: Answers, rng: random.Random, copies: int) -> None:
        """Start nothing yet.

        Args:
            folder: for everything that is written.
            reference: what the run should answer.
            rng: what decides.
            copies: workers of each service.
        """
        self._folder = folder
        self._reference = reference
        self._rng = rng
        self._copies = copies
        self._exit = ExitStack()
        self._outages: list[threading.Thread] = []
        self._failures: list[str] = []
        self._diary = threading.Lock()
        self._turns = {"broker": threading.Lock(), "store": threading.Lock()}
        self._answered: set[Unit] = set()
        self._redelivered = (0, 0)
        self.broker_restarts = self.store_stops = self.cuts = self.connections_cut = 0

    def __enter__(self) -> Self:
        try:
            self._rabbit = self._exit.enter_context(RabbitServer(self._folder / "rabbitmq", config=_STATISTICS))
            self._minio = self._exit.enter_context(MinioServer(self._folder / "minio"))
            self._broker_proxy = self._exit.enter_context(Proxy(self._rabbit.port))
            self._store_proxy = self._exit.enter_context(Proxy(self._minio.port))
            self.store = MinioStore(self._minio.connection("faults", patience_s=0), self._folder / "read")
            self.store.create_bucket()
            apply(self.broker)
            self.workers = Workers(self._folder, self._environment(), self._copies)
            self._exit.callback(self.workers.stop)
        except BaseException:
            self._exit.close()
            raise
        self.chaos = Chaos(self.broker, RUN, sorted(self._reference.units), self._rng)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._exit.close()

    @property
    def broker(self) -> BrokerConnection:
        """The broker as its administrator, not through the proxy."""
        return self._rabbit.connection()

    @property
    def redeliveries(self) -> int:
        """Messages that the broker delivered again, as far as its statistics told before it was restarted."""
        return sum(self._redelivered)

    def submit(self, config: Path) -> None:
        """Submit the run, as a person does.

        Raises:
            RuntimeError: it was not accepted; with what was said.
        """
        command = [sys.executable, "-m", "landseries", "submit", str(config)]
        environment = {**os.environ, **self._environment()}
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_SUBMIT_S, check=False)
        if ended.returncode != 0:
            raise RuntimeError(f"submit failed:\n{ended.stdout}\n{ended.stderr}")

    def happen(self, fault: Fault) -> None:
        """Let a fault happen; servers go away and come back while the caller goes on.

        Raises:
            RuntimeError: a server did not come back.
        """
        if self._failures:
            raise RuntimeError("; ".join(self._failures))
        if fault.kind == "kill":
            self._note(f"killed {self.workers.kill_one(self._rng)}")
        elif fault.kind == "duplicates":
            self.chaos.duplicate(fault.count)
            self._note(f"published {fault.count} messages again")
        elif fault.kind == "reorder":
            self.chaos.reorder(fault.count)
            self._note(f"{self.chaos.reordered} messages in another order so far")
        elif fault.kind == "cut":
            self._cut()
        else:
            outage = threading.Thread(target=self._outage, args=(fault,), name=fault.kind, daemon=True)
            outage.start()
            self._outages.append(outage)

    def settle(self) -> None:
        """Wait until every server that went away is back.

        Raises:
            RuntimeError: one did not come back.
        """
        for outage in self._outages:
            outage.join()
        if self._failures:
            raise RuntimeError("; ".join(self._failures))

    def progress(self) -> float:
        """Share of the run's work that is answered; the last one known while the store is away."""
        self._note_redeliveries()
        with suppress(StoreUnavailable):
            self._answered = set(self._list_answered())
        return self._reference.weight(self._answered)

    def missing(self) -> list[Unit]:
        """Units that the reference answered and this run has not."""
        return sorted(self._reference.units.keys() - self._answered)

    def answered(self) -> bool:
        """Whether every unit had its marker when progress was last looked at."""
        return self._answered >= self._reference.units.keys()

    def idle(self) -> bool:
        """Whether nothing waits at the broker and no worker has anything in hand."""
        try:
            depths = queue_depths(self.broker)
        except LandseriesError:
            return False
        return not any(depths.waiting.values()) and not depths.delayed and not self.workers.busy()

    def dead_letters(self) -> int:
        """Messages that were put aside; 0 while the broker does not say."""
        try:
            return sum(queue_depths(self.broker).dead.values())
        except LandseriesError:
            return 0

    def depths(self) -> str:
        """What waits at the broker and what was put aside, for people."""
        try:
            return str(queue_depths(self.broker))
        except LandseriesError as error:
            return f"unknown: {error}"

    def _list_answered(self) -> list[Unit]:
        found = []
        prefix = f"runs/{RUN}/markers/"
        for item in self.store.list(prefix):
            stage, *key = item.key.removeprefix(prefix).removesuffix(".json").split("/")
            found.append(Unit(stage, tuple(key) if STAGES[stage].unit else ()))
        return found

    def _cut(self) -> None:
        name = self._rng.choice(("broker", "store"))
        proxy = self._broker_proxy if name == "broker" else self._store_proxy
        cut = proxy.cut()
        self.cuts += 1
        self.connections_cut += cut
        self._note(f"cut {cut} connections to the {name}")
        if self._rng.random() < _FREEZE:
            silent_s = self._rng.uniform(*_FROZEN_S)
            proxy.pause(silent_s)  # the new ones wait
            self._note(f"the network to the {name} is silent for {silent_s:.0f} s")

    def _note(self, text: str) -> None:
        """Write down what happened and when, for whoever looks at a run that failed."""
        done = self._reference.weight(self._answered)
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        with self._diary, (self._folder / "faults.log").open("a") as file:
            file.write(f"{now} {done:.0%} {text}\n")

    def _outage(self, fault: Fault) -> None:
        server = self._rabbit if fault.kind == "broker" else self._minio
        with self._turns[fault.kind]:  # two outages of one server follow each other
            try:
                if fault.hard:
                    server.kill()
                else:
                    server.stop()
                self._note(f"the {fault.kind} was {'killed' if fault.hard else 'stopped'}")
                time.sleep(fault.down_s)
                server.start()
                self._note(f"the {fault.kind} is back")
            except ServerError as error:
                self._failures.append(str(error))
                return
            if fault.kind == "broker":
                self.broker_restarts += 1
            else:
                self.store_stops += 1

    def _note_redeliveries(self) -> None:
        before, now = self._redelivered
        try:
            queues: list[dict[str, Any]] = self._rabbit.manage("GET", "/api/queues")
        except ServerError:
            return
        seen = sum(queue.get("message_stats", {}).get("redeliver", 0) for queue in queues)
        self._redelivered = (before, seen) if seen >= now else (before + now, seen)

    def _environment(self) -> dict[str, str]:
        """Where the workers find broker and store: behind the proxies."""
        broker, store = self.broker, self._minio.connection("faults")
        assert store.access_key is not None
        assert store.secret_key is not None
        return {
            **_variables(broker, "url", f"amqp://localhost:{self._broker_proxy.port}"),
            "LANDSERIES_BROKER_VHOST": broker.vhost,
            "LANDSERIES_BROKER_USER": broker.user,
            "LANDSERIES_BROKER_PASSWORD": broker.password.get_secret_value(),
            "LANDSERIES_BROKER_HEARTBEAT_S": "10",
            **_variables(store, "url", f"http://localhost:{self._store_proxy.port}"),
            "LANDSERIES_STORE_BUCKET": store.bucket,
            "LANDSERIES_STORE_ACCESS_KEY": store.access_key.get_secret_value(),
            "LANDSERIES_STORE_SECRET_KEY": store.secret_key.get_secret_value(),
            "LANDSERIES_STORE_PATIENCE_S": str(_STORE_PATIENCE_S),
        }


def _variables(connection: BrokerConnection | StoreConnection, field: str, value: str) -> dict[str, str]:
    return {f"{connection.model_config['env_prefix']}{field}".upper(): value}
