"""Commands of one machine: `landseries init | check | run | simulate`."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from landseries.cli.console import ConfigPath, Jobs, Workdir, err, out, warn
from landseries.errors import ConfigError, LandseriesError
from landseries.pipeline import STAGES

if TYPE_CHECKING:
    from landseries.config import LoadedConfig
    from landseries.embedded import Outcome
    from landseries.plan import RunPlan, SourceDescription
    from landseries.stores.local import LocalStore


def init(
    config: Annotated[Path, typer.Argument(help="File to write")] = Path("run.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file")] = False,
) -> None:
    """Write a commented configuration with every setting, its default, and where the default comes from."""
    from landseries.template import config_template

    if config.exists() and not force:
        raise ConfigError(f"{config}: is there already; choose another name, or --force to replace it")
    config.write_text(config_template(), encoding="utf-8")
    advice = f"{config}: edit area, source and reference, then `landseries check {config}`"
    out.print(advice, highlight=False, soft_wrap=True)


def check(config: ConfigPath, workdir: Workdir = Path("work")) -> None:
    """Validate a configuration, touch its sources, and say per stage what would be done, before anything is spent."""
    from landseries.forecast import forecast
    from landseries.plan import make_plan
    from landseries.planning import describe_source, settle_numerics
    from landseries.stores.local import LocalStore

    loaded, source = describe_source(config)
    warn_of_missing_years(loaded, source)
    warn_of_missing_keys(loaded)
    plan = make_plan(loaded, source, settle_numerics(loaded))
    pixels = sum(tile.width * tile.height for tile in plan.tile.values())
    out.print(
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
    out.print(table)


def run(
    config: ConfigPath,
    workdir: Workdir = Path("work"),
    jobs: Jobs = None,
) -> None:
    """Do a whole run on this machine. Interrupted and started again, it goes on; nothing is done twice."""
    from landseries.calendar.page import write_calendar
    from landseries.calendar.reading import read_calendar
    from landseries.collect import collect
    from landseries.headline import headline
    from landseries.planning import check_numerics

    plan = planned(config)
    check_numerics(plan.numerics)
    store, outcome = watched(workdir, plan, jobs)
    if not outcome.complete:
        raise LandseriesError("the run is not complete; mend the causes above and start the same command again")
    results = workdir / plan.run_id
    collect(store, plan, results)
    write_calendar(plan, read_calendar(store, plan), results)
    table, line = headline(results)
    out.print(table)
    out.print(line, highlight=False, soft_wrap=True)
    out.print(f"report: {(results / 'report.html').resolve()}", highlight=False, soft_wrap=True)
    if outcome.dead_letters:
        raise LandseriesError("some units stalled (above); start the same command again to retry them")


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
    with counting(out, "products") as progress:
        write_archive(
            folder, seed=seed, size_px=size, years=wanted, jobs=jobs or os.cpu_count() or 1, progress=progress
        )
    out.print(f"simulated archive: {folder.resolve()}", highlight=False, soft_wrap=True)


def warn_of_missing_years(loaded: LoadedConfig, source: SourceDescription) -> None:
    """Print a warning for each year of the run of which the source has nothing."""
    from landseries.planning import missing_years

    for year in missing_years(loaded, source):
        text = f"the source has no product of {year}: that year will be refused, the others go on"
        warn(text)


def warn_of_missing_keys(loaded: LoadedConfig) -> None:
    """Print a warning where the keys of the source are not known here: who reads its pixels needs them."""
    from landseries.planning import missing_keys

    keys = missing_keys(loaded.run.source)
    if keys is not None:
        warn(f"{keys}; `landseries run` and every worker of the fetcher need them")


def planned(config: Path) -> RunPlan:
    """The plan of a configuration whose source is read by this machine, with warnings of what it lacks."""
    from landseries.plan import make_plan
    from landseries.planning import describe_source, settle_numerics

    loaded, source = describe_source(config, reads_here=True)
    warn_of_missing_years(loaded, source)
    return make_plan(loaded, source, settle_numerics(loaded))


def watched(
    workdir: Path, plan: RunPlan, jobs: int | None, stages: Collection[str] = tuple(STAGES)
) -> tuple[LocalStore, Outcome]:
    """Do stages of a run, all by default, while a person watches; what stalled is printed.

    Raises:
        Exit: the person interrupted it.
    """
    from landseries.display import ProgressDisplay
    from landseries.embedded import EmbeddedRun

    display = ProgressDisplay(out)
    embedded = EmbeddedRun(workdir, plan, jobs=jobs or os.cpu_count() or 1, watcher=display, stages=stages)
    try:
        with display.showing():
            outcome = embedded.run()
    except KeyboardInterrupt:
        err.print("interrupted; start the same command again to go on from here")
        raise typer.Exit(130) from None
    for letter in outcome.dead_letters:
        err.print(f"[bold red]stalled[/] {_unit_name(letter.message)}: {escape(letter.reason)}", highlight=False)
    return embedded.store, outcome


def _unit_name(message: object) -> str:
    from landseries.messages import BadMessage, Message, decode

    assert isinstance(message, Message)
    try:
        return decode(message)[1].name
    except BadMessage:
        return json.dumps(message.type)
