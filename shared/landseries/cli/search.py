"""`landseries search`: the searches of a run alone, and what they found as a calendar, before anything big is moved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

from landseries.cli.console import ConfigPath, Jobs, Workdir, out, say
from landseries.cli.local import planned, watched
from landseries.errors import LandseriesError

if TYPE_CHECKING:
    from landseries.calendar.reading import GranuleYear
    from landseries.plan import RunPlan

#: Columns of the tables where there is no terminal: no reason is folded.
_PLAIN_WIDTH: Final = 160


def search(
    config: ConfigPath,
    workdir: Workdir = Path("work"),
    jobs: Jobs = None,
    tile: Annotated[str | None, typer.Option(help="Show the calendar of this tile alone", show_default="all")] = None,
) -> None:
    """Choose the acquisitions and show them as a calendar, with the bytes that a run will fetch; a run reuses it all.

    Per acquisition: the mean cloud and no-data share over the tiles, by how many tiles it is taken, and why not by the
    others. Only metadata and scene classifications are read. Settings may be changed and tried again under one name.
    """
    from landseries.calendar.page import write_calendar
    from landseries.calendar.reading import check_tile, read_calendar

    plan = planned(config)
    only = None if tile is None else check_tile(plan, tile)
    store, outcome = watched(workdir, plan, jobs, stages=("search",))
    calendar = read_calendar(store, plan)
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
