"""Keeps broker, store and workers of a local set-up running: the process behind `landseries up`.

What dies is started again, after a delay that grows while it keeps dying. All of it dies with the supervisor.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from landseries.brokers.topology import apply
from landseries.errors import LandseriesError
from landseries.local.places import BUCKET, Places, WorkerPlace
from landseries.local.processes import Process
from landseries.local.servers import MinioServer, RabbitServer, Server
from landseries.stores.minio import MinioStore

_POLL_S: Final = 0.5
_PATIENCE_S: Final = 5.0
_LONGEST_DELAY_S: Final = 60.0
#: Who ran for so long has recovered: the next death is the first again.
_STEADY_S: Final = 60.0
#: A little longer than a worker lets its unit go on.
_WORKER_GRACE_S: Final = 40.0


@dataclass
class Backoff:
    """When something that died may be started again.

    Attributes:
        deaths: in a row, each soon after its start.
        started: when it was started last, on the monotonic clock.
        due: when it may be started.
    """

    deaths: int = 0
    started: float = 0.0
    due: float = 0.0

    def died(self, now: float) -> float:
        """Note a death; the delay in seconds until the next start."""
        self.deaths = 1 if now - self.started >= _STEADY_S else self.deaths + 1
        delay_s = min(2.0 ** (self.deaths - 1), _LONGEST_DELAY_S)
        self.due = now + delay_s
        return delay_s


@dataclass
class _Kept:
    place: WorkerPlace
    environment: dict[str, str]
    process: Process | None = None
    backoff: Backoff = field(default_factory=Backoff)

    def look(self, now: float) -> None:
        if self.process is not None and not self.process.running:
            status, process, self.process = self.process.returncode, self.process, None
            process.kill()  # whatever it started
            delay_s = self.backoff.died(now)
            _say(f"{self.place.name} ended (status {status}); starting it again in {delay_s:.0f} s")
        if self.process is None and now >= self.backoff.due:
            self._start(now)

    def _start(self, now: float) -> None:
        shutil.rmtree(self.place.scratch, ignore_errors=True)  # what a killed worker left is of no use
        command = [sys.executable, "-m", "landseries", "worker", self.place.service, "--log-json"]
        command += ["--scratch", str(self.place.scratch), "--health", f"127.0.0.1:{self.place.health_port}"]
        self.process = Process(command, self.environment, self.place.log)
        self.backoff.started = now


class Supervisor:
    """Broker, store and workers in one folder.

    Args:
        places: the folder.
        services: whose workers to run.
        per_service: workers of each service.
    """

    def __init__(self, places: Places, services: Sequence[str], per_service: int) -> None:
        self._places = places
        self._per_service = per_service
        self._rabbit: RabbitServer = places.rabbit()
        self._minio: MinioServer = places.minio()
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("LANDSERIES_")}
        self._workers = [
            _Kept(place, inherited | places.worker_environment(place.service))
            for place in places.workers(services, per_service)
        ]
        self._end = threading.Event()

    def end(self) -> None:
        """Have `run` stop everything and return; may be called by a signal handler."""
        self._end.set()

    def run(self) -> None:
        """Start everything, keep it running until `end` is called, then stop it.

        Raises:
            LandseriesError: the servers do not start.
        """
        try:
            self._start_servers()
            self._places.write_env_file()
            now = time.monotonic()
            for kept in self._workers:
                kept.look(now)
            self._places.tell(per_service=self._per_service)
            backoff = {server.name: Backoff(started=now) for server in (self._rabbit, self._minio)}
            while not self._end.wait(_POLL_S):
                for server in (self._rabbit, self._minio):
                    self._look_after(server, backoff[server.name])
                for kept in self._workers:
                    kept.look(time.monotonic())
        finally:
            self._stop()

    def _start_servers(self) -> None:
        _say("starting RabbitMQ and MinIO")
        self._rabbit.start(wait=False)
        self._minio.start()
        self._rabbit.wait_ready()
        changes = apply(self._rabbit.connection(), passwords=self._places.passwords())
        MinioStore(self._minio.connection(BUCKET)).create_bucket()
        _say(f"topology: {len(changes)} changes; bucket {BUCKET}")

    def _look_after(self, server: Server, backoff: Backoff) -> None:
        if server.running or time.monotonic() < backoff.due:
            return
        delay_s = backoff.died(time.monotonic())
        _say(f"{server.name} ended; starting it again (see {server.log})")
        backoff.started = time.monotonic()
        try:
            server.start()
        except LandseriesError as error:
            _say(f"{error}\nnext try in {delay_s:.0f} s")

    def _stop(self) -> None:
        _say("stopping")
        running = [kept.process for kept in self._workers if kept.process is not None]
        for process in running:
            process.terminate()
        for process in running:
            process.stop(_WORKER_GRACE_S)
        for server in (self._rabbit, self._minio):
            if server.process is not None:
                server.stop()
        _say("stopped")


def _say(text: str) -> None:
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}", flush=True)


def main(folder: str, per_service: str, *services: str) -> int:
    """Run a supervisor until SIGTERM."""
    places = Places(Path(folder))
    try:
        with places.held(_PATIENCE_S):
            supervisor = Supervisor(places, services, int(per_service))
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: supervisor.end())
            supervisor.run()
            # The end of the process lets go of the folder: who waits for that finds nothing running.
            os._exit(0)
    except LandseriesError as error:
        _say(str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
