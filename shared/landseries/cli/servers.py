"""Commands that start and end a broker, a store and workers on this machine: `landseries up | down`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from landseries.cli.console import say
from landseries.errors import ConfigError

Folder = Annotated[Path, typer.Option(help="Folder of their data, logs and secrets")]


def up(
    folder: Folder = Path("up"),
    workers_per_service: Annotated[int, typer.Option(min=1, help="Worker processes of each service")] = 1,
    without: Annotated[
        list[str] | None, typer.Option(help="Service that gets none, as a bridge takes its messages; may be repeated")
    ] = None,
) -> None:
    """Start RabbitMQ, MinIO and workers in the background, to try distributed runs on this machine.

    They are ordinary processes: `rabbitmq-server` and `minio` must be installed (`make up` sees to it). `source up/env`
    then tells the other commands where they are.
    """
    from landseries.local.up import up as start
    from landseries.pipeline import SERVICES

    unknown = sorted(set(without or ()) - set(SERVICES))
    if unknown:
        raise ConfigError(f"--without {', '.join(unknown)}: services are {', '.join(SERVICES)}")
    start(folder, workers_per_service, _say_lines, [name for name in SERVICES if name not in (without or ())])


def down(
    folder: Folder = Path("up"),
    purge: Annotated[bool, typer.Option("--purge", help="Also remove all data, of runs too")] = False,
) -> None:
    """End what `landseries up` started; units in work are finished or handed back, and data stay."""
    from landseries.local.up import down as end

    end(folder, purge=purge, say=_say_lines)


def _say_lines(text: str) -> None:
    for line in text.splitlines():
        say(line)
