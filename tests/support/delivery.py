"""Worker processes of a test's own, and what a test asks the broker: how many messages lie in which queue."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pika

from landseries.brokers.connection import parameters
from landseries.brokers.names import RETRY_DELAYS_S, dead_queue, retry_exchange, work_queue
from landseries.connections import BrokerConnection, StoreConnection

TESTS: Final = Path(__file__).resolve().parents[1]
_POLL_S: Final = 0.05


def environment(broker: BrokerConnection, store: StoreConnection) -> dict[str, str]:
    """This process's environment with a broker and a store as the command line reads them."""
    assert store.access_key is not None
    assert store.secret_key is not None
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH")))),
        "COLUMNS": "200",
        "LANDSERIES_BROKER_URL": broker.url,
        "LANDSERIES_BROKER_VHOST": broker.vhost,
        "LANDSERIES_BROKER_USER": broker.user,
        "LANDSERIES_BROKER_PASSWORD": broker.password.get_secret_value(),
        "LANDSERIES_BROKER_MANAGEMENT_URL": broker.management_url or "",
        "LANDSERIES_STORE_URL": store.url,
        "LANDSERIES_STORE_BUCKET": store.bucket,
        "LANDSERIES_STORE_ACCESS_KEY": store.access_key.get_secret_value(),
        "LANDSERIES_STORE_SECRET_KEY": store.secret_key.get_secret_value(),
    }


class Workers:
    """Processes started one by one; whatever still runs at the end of the context is killed."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self.folder = folder
        # What a killed worker leaves goes with the folder.
        self.variables = {**variables, "TMPDIR": str(folder)}
        self.processes: list[subprocess.Popen[bytes]] = []

    def toy(self, *arguments: object) -> subprocess.Popen[bytes]:
        """Start a toy worker (see `toy_worker`)."""
        return self._start("support.toy_worker", *arguments)

    def real(self, *arguments: object) -> subprocess.Popen[bytes]:
        """Start `landseries worker`."""
        return self.command("worker", *arguments)

    def command(self, *arguments: object) -> subprocess.Popen[bytes]:
        """Start `landseries` with arguments."""
        return self._start("landseries", *arguments)

    def log(self) -> str:
        """What all of them said."""
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("worker-*.log")))

    def end(self, process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM) -> int:
        """Signal one, and wait until it is gone."""
        process.send_signal(number)
        return process.wait(60)

    def _start(self, module: str, *arguments: object) -> subprocess.Popen[bytes]:
        with (self.folder / f"worker-{len(self.processes):02d}.log").open("wb") as log:
            command = [sys.executable, "-m", module, *map(str, arguments)]
            process = subprocess.Popen(command, env=self.variables, stdout=log, stderr=log)
        self.processes.append(process)
        return process


@contextmanager
def workers(folder: Path, broker: BrokerConnection, store: StoreConnection) -> Iterator[Workers]:
    """Worker processes that talk to a broker and a store; none outlives the context."""
    folder.mkdir(parents=True, exist_ok=True)
    started = Workers(folder, environment(broker, store))
    try:
        yield started
    finally:
        for process in started.processes:
            process.kill()
        for process in started.processes:
            process.wait()


def ready_messages(broker: BrokerConnection, queues: Sequence[str]) -> dict[str, int]:
    """Number of messages of each queue that no consumer holds."""
    with pika.BlockingConnection(parameters(broker, "test counts")) as connection:
        channel = connection.channel()
        return {queue: channel.queue_declare(queue, passive=True).method.message_count for queue in queues}


def queues_of(services: Sequence[str]) -> list[str]:
    """The work and dead-letter queues of some services, and all retry queues."""
    waiting = [retry_exchange(delay_s) for delay_s in RETRY_DELAYS_S]
    return [*map(work_queue, services), *map(dead_queue, services), *waiting]


def wait_for(what: str, condition: Callable[[], bool], timeout_s: float = 60.0, told: Callable[[], str] = str) -> None:
    """Wait until something is so, or fail with what a worker's log or the like tells."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}\n{told()}"
        time.sleep(_POLL_S)


def journal_entries(journal: Path) -> list[tuple[str, str, int]]:
    """Unit, what was done and process, of every entry in a toy worker's journal."""
    if not journal.exists():
        return []
    lines = journal.read_text(encoding="utf-8").splitlines()
    return [(unit, what, int(pid)) for unit, what, pid in (line.split("\t") for line in lines)]


def steps_done(journal: Path, unit: str) -> Counter[str]:
    """How often each step of a long unit was done."""
    return Counter(what for name, what, _ in journal_entries(journal) if name == unit and what.startswith("step:"))
