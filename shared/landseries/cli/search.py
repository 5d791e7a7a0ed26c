"""`landseries search`: the searches of a run alone, and what they found as a calendar, before anything big is moved."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape

from landseries.cli.console import ConfigPath, Workdir, err, out, say
from landseries.cli.local import unit_name, warn_of_missing_years
from landseries.errors import LandseriesError

if TYPE_CHECKING:
    from landseries.calendar.reading import GranuleYear
    from landseries.plan import RunPlan

#: Columns of the tables where there is no terminal: no reason is folded.
_PLAIN_WIDTH: Final = 160


def search(
    config: ConfigPath,
    workdir: Workdir = Path("work"),
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1, help="Worker processes; results do not depend on their number", show_default="one per core"
        ),
    ] = None,
    tile: Annotated[str | None, typer.Option(help="Show the calendar of this tile alone", show_default="all")] = None,
) -> None:
    """Choose the acquisitions and show them as a calendar, with the bytes that a run will fetch; a run reuses it all.

    Per acquisition: the mean cloud and no-data share over the tiles, by how many tiles it is taken, and why not by the
    others. Only metadata and scene classifications are read. Settings may be changed and tried again under one name.
    """
    from landseries.calendar.page import write_calendar
    from landseries.calendar.reading import check_tile, read_calendar
    from landseries.display import ProgressDisplay
    from landseries.embedded import EmbeddedRun
    from landseries.plan import make_plan
    from landseries.planning import describe_source, settle_numerics

    loaded, source = describe_source(config, reads_here=True)
    warn_of_missing_years(loaded, source)
    plan = make_plan(loaded, source, settle_numerics(loaded))
    only = None if tile is None else check_tile(plan, tile)
    display = ProgressDisplay(out)
    embedded = EmbeddedRun(workdir, plan, jobs=jobs or os.cpu_count() or 1, watcher=display, stages=("search",))
    try:
        with display.showing():
            outcome = embedded.run()
    except KeyboardInterrupt:
        err.print("interrupted; start the same command again to go on from here")
        raise typer.Exit(130) from None
    for letter in outcome.dead_letters:
        err.print(f"[bold red]stalled[/] {unit_name(letter.message)}: {escape(letter.reason)}", highlight=False)
    calendar = read_calendar(embedded.store, plan)
    _show(plan, calendar, only)
    page = write_calendar(plan, calendar, workdir / plan.run_id)
    say(f"calendar: {page.resolve()}")
    if not outcome.complete:
        raise LandseriesError("not every search is done; mend the causes above and start the same command again")


def _show(plan: RunPlan, calendar: list[GranuleYear], tile: str | None) -> None:
    from landseries.calendar.tables import calendar_table, totals_table
    from landseries.settings.sources import is_local

    console = out if out.is_terminal else Console(width=_PLAIN_WIDTH, emoji=False)
    for found in calendar:
        if tile is not None and tile not in found.tiles:
            continue
        if found.refused:
            say(f"{found.granule} {found.year}: {found.refused}")
        else:
            console.print(calendar_table(found if tile is None else found.of_tile(tile)))
    console.print(totals_table(calendar, is_local(plan.config.source)))
