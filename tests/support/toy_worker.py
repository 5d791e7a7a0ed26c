"""A worker process whose units are trivial, or long: `python -m support.toy_worker SERVICE ... --journal FILE`.

Broker and store are those of the environment, as for `landseries worker`. A unit of a stage that is `long` takes
`--steps` steps of `--step-s` seconds, and goes on from its checkpoint. Every handler notes in the journal what it did
(unit, step, process), so that a test can count what was computed, and by whom, however the processes ended.
"""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import time
from pathlib import Path

from landseries.brokers.rabbitmq import RabbitBroker
from landseries.connections import broker_connection, store_connection
from landseries.logs import configure
from landseries.metrics import WorkerMetrics
from landseries.pipeline import STAGES
from landseries.service import Context
from landseries.serving import ServiceLoop, Serving
from landseries.stores import open_store
from landseries.worker import Worker

from .toy_services import toy_services, trivial


class Stepper:
    """A handler whose long units count to a number, slowly, and remember how far they came."""

    def __init__(self, journal: Path, steps: int, step_s: float) -> None:
        self._journal = journal
        self._steps = steps
        self._step_s = step_s

    def __call__(self, context: Context) -> None:
        if not STAGES[context.unit.stage].long:
            self._note(context, "whole")
            trivial(context)
            return
        reached = context.checkpoints / "reached"
        start = int(reached.read_text()) if reached.exists() else 0
        self._note(context, f"from:{start}")
        context.checkpoints.mkdir(parents=True, exist_ok=True)
        for step in range(start, self._steps):
            time.sleep(self._step_s)
            self._note(context, f"step:{step}")
            written = reached.with_suffix(".partial")
            written.write_text(str(step + 1))
            written.replace(reached)
        trivial(context)

    def _note(self, context: Context, what: str) -> None:
        with self._journal.open("a", encoding="utf-8") as journal:
            journal.write(f"{context.unit.name}\t{what}\t{os.getpid()}\n")


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("services", nargs="+")
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--step-s", type=float, default=0.0)
    parser.add_argument("--lease-s", type=float, default=60.0)
    parser.add_argument("--grace-s", type=float, default=25.0)
    given = parser.parse_args()
    configure(True, service=",".join(given.services))
    services = toy_services(Stepper(given.journal, given.steps, given.step_s))
    with tempfile.TemporaryDirectory(prefix="landseries-toy-") as scratch:
        serving = Serving(
            services=tuple(given.services),
            scratch=Path(scratch),
            threads=1,
            owner=f"toy:{os.getpid()}",
            grace_s=given.grace_s,
            lease_s=given.lease_s,
        )
        with RabbitBroker(broker_connection()) as broker:
            loop = ServiceLoop(
                open_store(store_connection(), Path(scratch) / "fetched"),
                broker,
                serving,
                WorkerMetrics(",".join(given.services)),
                worker=lambda *arguments, **options: Worker(*arguments, services=services, **options),
            )
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: loop.stop())
            if loop.run() == "handed back":
                os._exit(0)


if __name__ == "__main__":
    main()
