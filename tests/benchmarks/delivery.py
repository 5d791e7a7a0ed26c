"""What delivery costs: `python -m tests.benchmarks.delivery overhead | memory | poison | long | walltime`.

Starts a RabbitMQ and a MinIO of its own. Every figure is a ratio of things measured in turn within the same run.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from landseries.brokers.rabbitmq import RabbitBroker
from landseries.brokers.topology import apply
from landseries.connections import BrokerConnection, StoreConnection
from landseries.local.servers import MinioServer, RabbitServer
from landseries.messages import encode
from landseries.openrun import OpenRun
from landseries.pipeline import SERVICES, Unit
from landseries.plan import freeze_plan
from landseries.stores.minio import MinioStore
from tests.support.bare_loop import BareLoop
from tests.support.delivery import queues_of, ready_messages, steps_done, wait_for, workers
from tests.support.memory import grow
from tests.support.overhead import Overhead, Phase
from tests.support.poison import draw
from tests.support.poisoning import expose
from tests.support.small_run import configuration, run_distributed, run_embedded, simulate_archive, write_config
from tests.support.toy_services import make_plan, seed

#: So that the broker looks for late acknowledgements each second instead of each minute.
TICK_EACH_SECOND: Final = "[{rabbit, [{channel_tick_interval, 1000}]}].\n"
PSEUDOLABELER: Final = "pseudolabeler"


def main() -> None:
    """Measure one thing and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    overhead = commands.add_parser("overhead", help="trivial units against a bare loop")
    overhead.add_argument("--units", type=int, default=5000, help="of both stages together")
    overhead.add_argument("--block", type=int, default=500, help="units between two blocks of the bare loop")
    poison = commands.add_parser("poison", help="messages that nobody can read, with real work in between")
    poison.add_argument("--messages", type=int, default=10_000)
    poison.add_argument("--blocks", type=int, default=40, help="of 25 real units; every other one is mixed with poison")
    memory = commands.add_parser("memory", help="a worker's memory after many units, beside that after few")
    memory.add_argument("--few", type=int, default=100)
    memory.add_argument("--many", type=int, default=10_000)
    long = commands.add_parser("long", help="a unit longer than the broker waits for an acknowledgement")
    long.add_argument("--ack-timeout-s", type=int, default=60)
    long.add_argument("--unit-s", type=int, default=150)
    walltime = commands.add_parser("walltime", help="a real run behind a broker beside the same run embedded")
    walltime.add_argument("--rounds", type=int, default=3)
    walltime.add_argument("--jobs", type=int, default=2, help="of the embedded run, and workers per service")
    given = parser.parse_args()
    measure: dict[str, Callable[[argparse.Namespace], None]] = {
        "overhead": measure_overhead,
        "poison": measure_poison,
        "memory": measure_memory,
        "long": measure_long,
        "walltime": measure_walltime,
    }
    measure[given.command](given)


def measure_overhead(given: argparse.Namespace) -> None:
    """Rates of both, their ratio, requests per unit, and whether ten times the units take ten times as long."""
    with servers() as (broker, store, folder), BareLoop(broker, store) as bare:
        bare.run(200)
        found = []
        for units in (given.units // 10, given.units):
            overhead = Overhead(broker, store, folder / "scratch", tiles=units // 2)
            phases = overhead.measure(bare, block=given.block, bare_rounds=max(50, given.block // 2))
            print(f"{units} units")
            print_phases(phases)
            found.append(phases)
        few, many = (sum(phase.units * phase.bare_rounds_per_unit for phase in phases) for phases in found)
        print(f"{given.units} units take {many / few:.2f} times as long as {given.units // 10} (in bare rounds)")


def measure_poison(given: argparse.Namespace) -> None:
    """What became of the messages, and the time of a real unit with poison between and without."""
    messages = draw(given.messages)
    with servers() as (broker, store, folder), workers(folder / "workers", broker, store) as started:
        found = expose(started, broker, store, messages, blocks=given.blocks)
    for reason, count in found.reasons.most_common(12):
        print(f"  {count:6d} {reason} ...")
    print(f"{found.reasons.total()} of {given.messages} put aside with a reason: {'' not in found.reasons}")
    print(f"one worker process throughout: {found.alive}; all real units answered: {found.answered}")
    print(
        f"a real unit: {found.alone_s * 1000:.0f} ms alone, {found.between_s * 1000:.0f} ms with poison between, "
        f"{found.between_s / found.alone_s - 1:+.1%}"
    )


def measure_memory(given: argparse.Namespace) -> None:
    """Resident memory of one worker process."""
    with servers() as (broker, store, folder), workers(folder / "workers", broker, store) as started:
        found = grow(started, broker, store, [given.few, given.many])
    few, many = found
    print(f"after {given.few} units {few:.1f} MiB, after {given.many} {many:.1f} MiB, {many / few - 1:+.1%}")


def measure_long(given: argparse.Namespace) -> None:
    """How often each step of a long unit was done by two workers, and how often its message was taken back."""
    forest = Unit("forest", ("all",))
    timeout = {"consumer_timeout": str(given.ack_timeout_s * 1000)}
    with servers(timeout, TICK_EACH_SECOND) as (broker, store_at, folder):
        store, plan = MinioStore(store_at), make_plan(tiles=2)
        freeze_plan(store, plan)
        run = OpenRun(store, plan)
        seed(store, run, [unit for stage in ("reliable", "index") for unit in run.pipeline.units(stage)])
        journal = folder / "journal"
        with RabbitBroker(broker) as publisher, workers(folder / "workers", broker, store_at) as started:
            publisher.publish([encode(plan.run_id, forest)])
            for _ in range(2):
                started.toy(
                    PSEUDOLABELER, "--journal", journal, "--steps", given.unit_s, "--step-s", 1, "--lease-s", 15
                )
            labels = list(run.pipeline.units("pseudolabel"))
            wait_for("all is answered", lambda: all(map(run.markers.answered, labels)), 10.0 * given.unit_s)
            queues = queues_of([PSEUDOLABELER])
            wait_for("no message is left", lambda: not any(ready_messages(broker, queues).values()), 1200.0)
            held, counts = started.log().count("is at work on it"), steps_done(journal, forest.name)
    print(f"{given.unit_s} steps of a second, acknowledgement awaited for {given.ack_timeout_s} s:")
    print(
        f"{counts.total()} steps done, each once: {set(counts.values()) == {1}}; {held} copies waited; no message left"
    )


def measure_walltime(given: argparse.Namespace) -> None:
    """Medians of interleaved runs; workers are up before they are needed, as many per service as the other has jobs."""
    with servers() as (broker, first, folder):
        archive = simulate_archive(folder / "archive")
        embedded, distributed = [], []
        for number in range(given.rounds):
            config = write_config(folder, configuration(archive, f"round-{number}"))
            embedded.append(run_embedded(config, folder / f"work-{number}", given.jobs))
            store = first.model_copy(update={"bucket": f"round-{number}"})
            MinioStore(store).create_bucket()
            with workers(folder / f"workers-{number}", broker, store) as started:
                for service in SERVICES * given.jobs:
                    started.real(service, "--log-json")
                    wait_for("it serves", lambda: started.log().count('"serving"') == len(started.processes))
                distributed.append(run_distributed(config, f"round-{number}", broker, store, started))
                for process in started.processes:
                    started.end(process)
            print(f"round {number}: embedded {embedded[-1]:.1f} s, distributed {distributed[-1]:.1f} s", flush=True)
    one, other = statistics.median(embedded), statistics.median(distributed)
    print(f"medians: embedded {one:.1f} s, distributed {other:.1f} s, ratio {other / one:.2f}")


def print_phases(phases: Sequence[Phase]) -> None:
    """A line per stage, one for both, and the requests per unit."""
    for phase in phases:
        print(
            f"  {phase.stage:12} {phase.units:6d} units {phase.rate:7.1f}/s, "
            f"bare {phase.bare_rate:7.1f}/s, ratio {phase.ratio:.2f}"
        )
        calls = {f"{method} {what}": round(count / phase.units, 3) for (method, what), count in phase.asked.items()}
        print("   ", ", ".join(f"{name} {count:g}" for name, count in sorted(calls.items())))
    seconds, rounds = (
        sum(sum(p.seconds) for p in phases),
        sum(phase.units * phase.bare_rounds_per_unit for phase in phases),
    )
    units = sum(phase.units for phase in phases)
    print(f"  both         {units:6d} units {units / seconds:7.1f}/s, ratio {units / rounds:.2f}")


@contextmanager
def servers(
    config: dict[str, str] | None = None, advanced: str = ""
) -> Iterator[tuple[BrokerConnection, StoreConnection, Path]]:
    """A broker with the topology, a store with a bucket, and a folder."""
    with tempfile.TemporaryDirectory(prefix="landseries-bench-") as temporary:
        folder = Path(temporary)
        with (
            RabbitServer(folder / "rabbit", config=config, advanced=advanced) as rabbit,
            MinioServer(folder / "minio") as minio,
        ):
            broker, store = rabbit.connection(), minio.connection()
            apply(broker)
            MinioStore(store).create_bucket()
            yield broker, store, folder


if __name__ == "__main__":
    main()
