"""Commands that do units of work: `landseries worker`, and the worker processes of `landseries run`."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from landseries.cli.console import Health, LogJson, Workdir
from landseries.errors import ConfigError, LandseriesError, StoreUnavailable

if TYPE_CHECKING:
    from landseries.connections import BrokerConnection, StoreConnection
    from landseries.serving import Ending, ServiceLoop, Serving

_PROFILE: Final = "LANDSERIES_PROFILE"
#: Set for a process that was started anew because of a message, which will come again.
_AWAITED: Final = "LANDSERIES_AWAITED"
#: How long the start waits for a store that is away before it leaves the waiting to the worker's loop.
_PATIENCE_S: Final = 2.0
Services = Annotated[
    list[str],
    typer.Argument(
        help="Services whose units to do: fetcher, indexer, clusterer, pseudolabeler, sampler, trainer, mapper or "
        "assessor; one or more",
        show_default=False,
    ),
]


def worker(
    services: Services,
    exit_when_idle: Annotated[bool, typer.Option("--exit-when-idle", help="End once the queue is empty")] = False,
    max_messages: Annotated[int | None, typer.Option(min=1, help="End after so many messages")] = None,
    scratch: Annotated[Path | None, typer.Option(help="Folder for unfinished files", show_default="temporary")] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of one unit; results do not depend on it", show_default="cores")
    ] = None,
    grace_s: Annotated[float, typer.Option(min=0, help="Seconds that a unit may go on after SIGTERM")] = 25.0,
    lease_s: Annotated[
        float, typer.Option(min=1, help="A long unit's owner silent for so long is gone; the same for all workers")
    ] = 60.0,
    health: Health = None,
    log_json: LogJson = None,
) -> None:
    """Take messages from the broker and do units of work until told to stop (SIGTERM finishes or hands back the unit).

    The broker and the store are those that LANDSERIES_BROKER_... and LANDSERIES_STORE_... name; `landseries doctor`
    checks them. Exit status: 0 ended as asked, 1 broke down, 2 refused by broker or store, or wrong configuration.
    """
    _check_services(services)
    from landseries import numerics
    from landseries.connections import broker_connection, store_connection

    broker_at, store_at = broker_connection(), store_connection()
    profile = _wanted_profile()
    if not numerics.is_applied(profile):
        _start_anew(profile)
    from landseries.logs import configure
    from landseries.service import load_service
    from landseries.serving import IDLE_ANEW_S, IDLE_S, Serving

    configure(log_json, service=",".join(services))
    for name in services:
        load_service(name)
    _check_store(store_at)
    with tempfile.TemporaryDirectory(prefix="landseries-") as temporary:
        serving = Serving(
            services=tuple(services),
            scratch=scratch or Path(temporary),
            threads=threads or len(os.sched_getaffinity(0)),
            owner=f"{'+'.join(services)}@{socket.gethostname()}:{os.getpid()}",
            exit_when_idle=exit_when_idle,
            max_messages=max_messages,
            grace_s=grace_s,
            lease_s=lease_s,
            idle_s=IDLE_ANEW_S if _AWAITED in os.environ else IDLE_S,
        )
        loop, ending = _serve(serving, broker_at, store_at, health)
        if ending == "handed back":
            os._exit(0)  # a thread is still at the unit, perhaps deep in a library
    _conclude(loop, ending)


def _serve(
    serving: Serving, broker_at: BrokerConnection, store_at: StoreConnection, health: str | None
) -> tuple[ServiceLoop, Ending]:
    """Serve until the end, with probes and signals."""
    from landseries.brokers.rabbitmq import RabbitBroker
    from landseries.health import HealthServer
    from landseries.logs import logger
    from landseries.metrics import WorkerMetrics
    from landseries.serving import ServiceLoop
    from landseries.stores import open_store

    serving.scratch.mkdir(parents=True, exist_ok=True)
    store = open_store(store_at, serving.scratch / "fetched")
    metrics = WorkerMetrics(",".join(serving.services))
    with RabbitBroker(broker_at) as broker:
        loop = ServiceLoop(store, broker, serving, metrics)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: loop.stop())
        server = HealthServer(health, loop.unwell, loop.unready, metrics.registry) if health else None
        if server is not None:
            server.start()
        logger(__name__).info("serving", threads=serving.threads, owner=serving.owner)
        ending = loop.run()
        logger(__name__).info("ended", ending=ending)
    if server is not None:
        server.stop()
    return loop, ending


def _conclude(loop: ServiceLoop, ending: Ending) -> None:
    """Start anew under the profile that a unit asked for, or tell how the worker ended."""
    if loop.profile is not None:
        os.environ[_AWAITED] = "message"
        _start_anew(loop.profile)
    if loop.refusal is not None:
        raise loop.refusal
    if ending == "broken":
        raise typer.Exit(1)


def child(services: Services, workdir: Workdir = Path("work")) -> None:
    """Messages come as JSON lines on standard input, answers go to standard output: how `landseries run` works."""
    from landseries.child import serve

    _check_services(services)
    serve(services, workdir)


def _check_services(services: list[str]) -> None:
    from landseries.pipeline import SERVICES

    unknown = [name for name in services if name not in SERVICES]
    if unknown:
        raise ConfigError(f"there is no service {', '.join(unknown)}; services are {', '.join(SERVICES)}")


def _check_store(connection: StoreConnection) -> None:
    """Say now what is wrong with keys or bucket, rather than of every message; a store that is away is waited for."""
    from landseries.stores import open_store

    with suppress(StoreUnavailable):
        store = open_store(connection.model_copy(update={"patience_s": min(connection.patience_s, _PATIENCE_S)}))
        next(iter(store.list("plans/")), None)


def _wanted_profile() -> Any:
    from landseries import numerics

    given = os.environ.get(_PROFILE)
    if given is None:
        return numerics.settle("cpu", "auto", 1)
    try:
        return numerics.NumericsProfile.model_validate(json.loads(given))
    except ValueError as error:
        raise LandseriesError(f"{_PROFILE}: is no numerics profile ({error}); leave it unset") from None


def _start_anew(profile: Any) -> None:
    """Replace this process by one under a numerics profile, which binds numeric libraries only as they load."""
    from landseries import numerics

    environment = os.environ | numerics.process_environment(profile) | {_PROFILE: profile.model_dump_json()}
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, "-m", "landseries", *sys.argv[1:]], environment)
