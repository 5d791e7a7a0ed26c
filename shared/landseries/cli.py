"""The command line: `landseries init | check | run | status | simulate | worker`."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from landseries import __version__
from landseries.errors import ConfigError, LandseriesError

if TYPE_CHECKING:
    from landseries.config import LoadedConfig
    from landseries.plan import SourceDescription

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Consistent annual land-cover maps from Sentinel-2 time series and an existing map.\n\n"
    "Start with [bold]landseries init run.yaml[/], then [bold]check[/] it, then [bold]run[/] it.",
)
_out = Console()
_err = Console(stderr=True)

ConfigPath = Annotated[Path, typer.Argument(help="The run's configuration (YAML)", show_default=False)]
Workdir = Annotated[
    Path,
    typer.Option(help="Folder for artifacts, unfinished files and results; it can hold many runs, which share work"),
]


def main() -> None:
    """Run the command line; errors that people can mend are printed without a traceback, with exit status 2."""
    try:
        app()
    except LandseriesError as error:
        _err.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(2)


def _version(show: bool) -> None:
    if show:
        _out.print(__version__)
        raise typer.Exit


@app.callback()
def _options(version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False) -> None:
    pass


@app.command()
def init(
    config: Annotated[Path, typer.Argument(help="File to write")] = Path("run.yaml"),
    force: Annotated[bool, typer.Option(help="Replace an existing file")] = False,
) -> None:
    """Write a commented configuration with every setting, its default, and where the default comes from."""
    from landseries.template import config_template

    if config.exists() and not force:
        raise ConfigError(f"{config}: is there already; choose another name, or --force to replace it")
    config.write_text(config_template(), encoding="utf-8")
    advice = f"{config}: edit area, source and reference, then `landseries check {config}`"
    _out.print(advice, highlight=False, soft_wrap=True)


@app.command()
def check(config: ConfigPath, workdir: Workdir = Path("work")) -> None:
    """Validate a configuration, touch its sources, and say per stage what would be done, before anything is spent."""
    from landseries.forecast import forecast
    from landseries.plan import make_plan
    from landseries.planning import describe_source, settle_numerics
    from landseries.stores.local import LocalStore

    loaded, source = describe_source(config)
    _warn_of_missing_years(loaded, source)
    plan = make_plan(loaded, source, settle_numerics(loaded))
    pixels = sum(tile.width * tile.height for tile in plan.tile.values())
    _out.print(
        f"{plan.run_id}: {len(plan.tile)} tiles ({pixels / 1e6:.2f} million pixels) in "
        f"{', '.join(plan.extent.tiles_of)}; {len(source.features)} features; acquisitions in the source: "
        + ", ".join(f"{year}: {count}" for year, count in sorted(source.acquisitions.items())),
        highlight=False,
        soft_wrap=True,
    )
    with tempfile.TemporaryDirectory() as scratch:
        store = LocalStore(workdir / "store" if (workdir / "store").is_dir() else Path(scratch) / "empty")
        stages = forecast(store, plan, Path(scratch))
    table = Table(box=None)
    for heading in ("stage", "(new)", "(done)"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    for stage, found in stages.items():
        unknown = stage == "fetch" and stages["search"].new > 0
        table.add_row(stage, "after search" if unknown else str(found.new), str(found.done))
    _out.print(table)


@app.command()
def run(
    config: ConfigPath,
    workdir: Workdir = Path("work"),
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Worker processes [default: one per core]; results do not depend on it")
    ] = None,
) -> None:
    """Do a whole run on this machine. Interrupted and started again, it goes on; nothing is done twice."""
    from landseries.collect import collect
    from landseries.display import ProgressDisplay
    from landseries.embedded import EmbeddedRun
    from landseries.headline import headline
    from landseries.plan import make_plan
    from landseries.planning import describe_source, settle_numerics

    loaded, source = describe_source(config)
    _warn_of_missing_years(loaded, source)
    plan = make_plan(loaded, source, settle_numerics(loaded))
    display = ProgressDisplay(_out)
    embedded = EmbeddedRun(workdir, plan, jobs=jobs or os.cpu_count() or 1, watcher=display)
    try:
        with display.showing():
            outcome = embedded.run()
    except KeyboardInterrupt:
        _err.print("interrupted; start the same command again to go on from here")
        raise typer.Exit(130) from None
    for letter in outcome.dead_letters:
        _err.print(f"[bold red]stalled[/] {_unit_name(letter.message)}: {escape(letter.reason)}", highlight=False)
    if not outcome.complete:
        raise LandseriesError("the run is not complete; mend the causes above and start the same command again")
    results = workdir / plan.run_id
    collect(embedded.store, plan, results)
    table, line = headline(results)
    _out.print(table)
    _out.print(line, highlight=False, soft_wrap=True)
    _out.print(f"report: {(results / 'report.html').resolve()}", highlight=False, soft_wrap=True)
    if outcome.dead_letters:
        raise LandseriesError("some units stalled (above); start the same command again to retry them")


@app.command()
def status(
    name: Annotated[str | None, typer.Argument(help="The run's name; all runs where left out")] = None,
    workdir: Workdir = Path("work"),
) -> None:
    """Show how far the runs of a work folder are, and what was refused and why."""
    from landseries.plan import list_runs, read_plan
    from landseries.status import status_table
    from landseries.stores.local import LocalStore

    if not (workdir / "store").is_dir():
        raise ConfigError(f"{workdir}: holds no runs; give the folder of `landseries run` with --workdir")
    store = LocalStore(workdir / "store")
    names = [name] if name is not None else list_runs(store)
    for run_id in names:
        plan = read_plan(store, run_id)
        if plan is None:
            raise ConfigError(f"{workdir}: has no run {run_id!r}; it has {', '.join(list_runs(store)) or 'none'}")
        table, refused = status_table(store, plan)
        _out.print(table)
        for line in refused:
            _out.print(line, highlight=False, markup=False, soft_wrap=True)


@app.command()
def simulate(
    folder: Annotated[Path, typer.Argument(help="Folder to write the archive to", show_default=False)],
    more_years: Annotated[list[int] | None, typer.Argument(hidden=True)] = None,
    seed: Annotated[int, typer.Option(min=0, help="Everything follows from it")] = 1,
    size: Annotated[int, typer.Option(min=256, help="Side of the scene in pixels of 10 m; a multiple of 256")] = 512,
    years: Annotated[
        list[int] | None, typer.Option(help="Years, for example --years 2018 2019 2020", show_default="2018 2019 2020")
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes", show_default="one per core")] = None,
) -> None:
    """Write an artificial Sentinel-2 archive with known truth: SAFE products, a CLC raster, truth maps, changes."""
    from landseries.display import counting
    from landseries.simulation import simulate as write_archive

    if more_years and not years:
        raise ConfigError(f"{more_years}: one folder is written at a time; give years with --years 2018 2019 2020")
    # The command line's parser takes one value per option: further years arrive as arguments.
    wanted = sorted({*(years or (2018, 2019, 2020)), *(more_years or ())})
    with counting(_out, "products") as progress:
        write_archive(
            folder, seed=seed, size_px=size, years=wanted, jobs=jobs or os.cpu_count() or 1, progress=progress
        )
    _out.print(f"simulated archive: {folder.resolve()}", highlight=False, soft_wrap=True)


@app.command()
def worker(
    services: Annotated[list[str], typer.Argument(help="Services whose units to do", show_default=False)],
    workdir: Workdir = Path("work"),
) -> None:
    """Do units of work: messages come as JSON lines on standard input, answers go to standard output.

    This is how [bold]landseries run[/] drives its worker processes over a work folder.
    """
    from landseries.child import serve
    from landseries.pipeline import SERVICES

    unknown = [name for name in services if name not in SERVICES]
    if unknown:
        raise ConfigError(f"there is no service {', '.join(unknown)}; services are {', '.join(SERVICES)}")
    serve(services, workdir)


def _warn_of_missing_years(loaded: LoadedConfig, source: SourceDescription) -> None:
    from landseries.planning import missing_years

    for year in missing_years(loaded, source):
        text = f"the source has no product of {year}: that year will be refused, the others go on"
        _err.print(f"[bold yellow]warning:[/] {text}", soft_wrap=True)


def _unit_name(message: object) -> str:
    from landseries.messages import BadMessage, Message, decode

    assert isinstance(message, Message)
    try:
        return decode(message)[1].name
    except BadMessage:
        return json.dumps(message.type)
