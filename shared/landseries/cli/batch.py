"""Commands for batch systems: `landseries bridge` outside of them, `landseries offline` inside their jobs."""

from __future__ import annotations

import os
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from landseries.cli.console import Health, LogJson, say
from landseries.errors import ConfigError

#: Entry points of programs that are distributions of their own and no services.
_PROGRAMS: Final = "landseries.programs"


def bridge(
    site: Annotated[Path, typer.Option(help="Profile of the batch system (YAML)", show_default=False)],
    grace_s: Annotated[float, typer.Option(min=0, help="Seconds that the message in hand may take after SIGTERM")] = 25,
    lease_s: Annotated[
        float, typer.Option(min=1, help="A bridge silent for so long is gone; the same for all of a site")
    ] = 60.0,
    health: Health = None,
    log_json: LogJson = None,
) -> None:
    """Have the jobs of a batch system do the units of some services, until told to stop (SIGTERM).

    Takes their messages from the broker, lays out what a job needs in a folder that the compute nodes see, submits it,
    and brings back what it wrote. Broker and store are those that LANDSERIES_BROKER_... and LANDSERIES_STORE_... name.
    Ended at any point and started again, it goes on.
    """
    _program("bridge")(site, grace_s=grace_s, lease_s=lease_s, health=health, log_json=log_json)


def offline(
    folder: Annotated[Path, typer.Argument(help="Folder with store/ and scratch/", show_default=False)],
    units: Annotated[Path, typer.Option(help="File that names the units", show_default=False)],
    processes: Annotated[int, typer.Option(min=1, help="Worker processes; several GPUs are dealt out to them")] = 1,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of all processes together", show_default="cores")
    ] = None,
) -> None:
    """Do the units of a job's folder, without broker and network; `landseries bridge` writes such folders.

    Exit status: 0 all units were answered, 1 some were not (started again, it goes on with those), 2 the folder cannot
    be used.
    """
    from landseries.offline import read_units, work

    report = work(
        folder.resolve(),
        read_units(units),
        processes=processes,
        threads=threads or len(os.sched_getaffinity(0)),
        say=say,
    )
    for name, reason in report.failures.items():
        say(f"not done: {name}: {reason}")
    say(f"{report.answered} units answered, {len(report.failures)} not")
    if report.failures:
        raise typer.Exit(1)


def _program(name: str) -> Any:
    found = {entry.name: entry for entry in entry_points(group=_PROGRAMS)}
    if name not in found:
        raise ConfigError(f"`landseries {name}` is not installed here: pip install landseries-{name}")
    return found[name].load()
