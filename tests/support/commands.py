"""The command line at real servers, as a person meets it: environment, exit status, and what is printed."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import shapely
import yaml
from unit.shared.test_worker import Toy

from landseries.brokers.rabbitmq import RabbitBroker
from landseries.cli import main
from landseries.connections import BROKER_PREFIX, STORE_PREFIX, BrokerConnection, StoreConnection
from landseries.metrics import WorkerMetrics
from landseries.pipeline import SERVICES
from landseries.serving import Ending, ServiceLoop, Serving
from landseries.simulation import simulate
from landseries.stores import open_store
from landseries.stores.base import Store
from landseries.worker import Worker

Done = subprocess.CompletedProcess[str]

_TIMEOUT_S: Final = 120


class Place:
    """A broker and a store, and the command line that is pointed at them.

    Attributes:
        broker, store: where they are; replace them to point the command line elsewhere.
        variables: further environment variables, which go before.
    """

    def __init__(self, broker: BrokerConnection | None, store: StoreConnection) -> None:
        self.broker = broker
        self.store = store
        self.variables: dict[str, str] = {}

    def environment(self) -> dict[str, str]:
        """The environment of a command."""
        found = {
            name: value for name, value in os.environ.items() if not name.startswith((STORE_PREFIX, BROKER_PREFIX))
        }
        found |= _variables(STORE_PREFIX, self.store)
        if self.broker is not None:
            found |= _variables(BROKER_PREFIX, self.broker)
        return found | {"COLUMNS": "400"} | self.variables

    def call(self, *arguments: object, **variables: str) -> Done:
        """Run `landseries` with arguments until it ends; `variables` hold for this call alone.

        Workers are processes of their own; the rest runs in this one, which has loaded what it needs.
        """
        command, env = [*map(str, arguments)], self.environment() | variables
        if command[0] != "worker":
            return _called_here(command, env)
        program = [sys.executable, "-m", "landseries"]
        return subprocess.run(
            [*program, *command], capture_output=True, text=True, timeout=_TIMEOUT_S, env=env, check=False
        )

    def refused(self, *arguments: object, says: str, **variables: str) -> str:
        """Run a command that must end with status 2 and one line that a person understands; the line."""
        done = self.call(*arguments, **variables)
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert done.returncode == 2, done
        assert len(errors) == 1, done.stderr
        assert says in errors[0], errors[0]
        for text in (done.stdout, done.stderr):
            assert "Traceback" not in text
            for secret in self._secrets():
                assert secret not in text
        return errors[0]

    def open_store(self) -> Store:
        """The store."""
        return open_store(self.store)

    def toy_worker(self, toy: Toy, scratch: Path, *, max_messages: int | None = None) -> Ending:
        """Serve all services with a toy's handlers until nothing is left to do."""
        assert self.broker is not None
        store = self.open_store()
        serving = Serving(SERVICES, scratch, 1, "toy", exit_when_idle=True, max_messages=max_messages, lease_s=2.0)
        with RabbitBroker(self.broker) as broker:
            make = partial(Worker, services=toy.services())
            return ServiceLoop(store, broker, serving, WorkerMetrics("all"), make).run()

    def _secrets(self) -> list[str]:
        known: list[Any] = [self.store.secret_key, self.broker.password if self.broker else None]
        return [secret.get_secret_value() for secret in known if secret is not None]


def _called_here(arguments: list[str], env: dict[str, str]) -> Done:
    out, err, status = io.StringIO(), io.StringIO(), 0
    with (
        patch.dict(os.environ, env, clear=True),
        patch.object(sys, "argv", ["landseries", *arguments]),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


def _variables(prefix: str, connection: StoreConnection | BrokerConnection) -> dict[str, str]:
    found = {}
    for name in type(connection).model_fields:
        value = getattr(connection, name)
        if value is not None:
            text = value.get_secret_value() if hasattr(value, "get_secret_value") else str(value)
            found[f"{prefix}{name.upper()}"] = text
    return found


def tiny_run(folder: Path) -> Path:
    """A simulated archive of one year with three acquisitions, and a configuration over it."""
    archive = folder / "archive"
    simulate(archive, seed=31, size_px=256, years=(2018,), acquisitions_per_year=3, jobs=2)
    whole = shapely.from_geojson((archive / "area.geojson").read_text())
    west, south, east, north = whole.bounds
    # A corner of it: few tiles of one granule.
    corner = shapely.box(
        west + 0.1 * (east - west),
        south + 0.1 * (north - south),
        west + 0.2 * (east - west),
        south + 0.2 * (north - south),
    )
    (archive / "corner.geojson").write_text(shapely.to_geojson(corner))
    config = {
        "name": "tiny",
        "area": {"geojson": str(archive / "corner.geojson")},
        "years": [2018],
        "source": {"kind": "safe", "path": str(archive / "products")},
        "reference": {"path": str(archive / "reference" / "clc2018.tif"), "year": 2018},
        "grid": {"tile_size_px": 256},
    }
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(config))
    return path
