"""The command line: one module per group of commands; the heavy imports wait until a command runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated

import typer
from rich.markup import escape

from landseries import __version__
from landseries.cli import batch, broker, local, operate, plan, search, serve, servers
from landseries.cli.console import err, out
from landseries.errors import LandseriesError

_HERE = "On this machine"
_WORKERS = "On many workers"
_LOOK = "Runs"
_BATCH = "On a batch system"

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Consistent annual land-cover maps from Sentinel-2 time series and an existing map.\n\n"
    "Start with [bold]landseries init run.yaml[/], then [bold]check[/] it, then [bold]run[/] it here, or "
    "[bold]submit[/] it to workers behind a broker.",
)
_COMMANDS: dict[str, tuple[Callable[..., None], ...]] = {
    _HERE: (local.init, local.check, search.search, plan.plan, local.run, local.simulate),
    _LOOK: (operate.status, operate.collect, operate.gc),
    _WORKERS: (operate.submit, serve.worker, operate.cancel, operate.sweep, operate.doctor, servers.up, servers.down),
    _BATCH: (batch.bridge, batch.offline),
}
for panel, commands in _COMMANDS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)
app.command(hidden=True)(serve.child)
app.add_typer(broker.topology, name="topology", rich_help_panel=_WORKERS)
app.add_typer(broker.dead, name="dead", rich_help_panel=_WORKERS)


def main() -> None:
    """Run the command line; errors that people can mend are printed without a traceback, with exit status 2."""
    try:
        app()
    except LandseriesError as error:
        err.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(2)


def _version(show: bool) -> None:
    if show:
        out.print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit")
    ] = False,
) -> None:
    pass
