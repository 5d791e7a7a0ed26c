"""The acquisition calendar as lines on a console."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from rich.markup import escape
from rich.table import Table

from landseries.calendar.reading import KINDS, GranuleYear, Look
from landseries.display import byte_text


def calendar_table(found: GranuleYear) -> Table:
    """A line per acquisition of a granule and a year: by how many tiles it is taken, and why not by the others."""
    tiles = f"{len(found.tiles)} tiles" if len(found.tiles) != 1 else f"tile {found.tiles[0]}"
    title = f"{found.granule} {found.year}, {tiles}"
    table = Table(box=None, title=title, title_justify="left", title_style="bold", pad_edge=False)
    for heading, width in (("date", 10), ("acquisition", 14), ("cloud", 5), ("no data", 7), ("taken", 5)):
        table.add_column(heading, justify="left" if width >= 10 else "right", min_width=width, no_wrap=True)
    table.add_column("why not", overflow="fold")
    for look in found.looks:
        taken = look.kinds["taken"]
        table.add_row(
            f"{look.sensed:%Y-%m-%d}",
            escape(look.label),
            _percent(look.cloud_percent),
            _percent(look.nodata_percent),
            _of(taken, len(found.tiles)),
            "" if taken == len(look.verdicts) else escape(why_not(look)),
            style="" if taken else "dim",
        )
    return table


def totals_table(calendar: Sequence[GranuleYear], is_local: bool) -> Table:
    """A line per year: acquisitions and those taken, the longest gap, and what the fetch moves.

    Args:
        calendar: what was found.
        is_local: whether the source's files are read where they lie.
    """
    table = Table(box=None, pad_edge=False)
    for heading in ("year", "acquisitions", "taken", "longest gap", "of the worst tile", "to fetch"):
        table.add_column(heading, justify="left" if heading == "year" else "right", overflow="fold")
    for year in totals_of(calendar):
        table.add_row(
            str(year.year),
            str(year.acquisitions),
            str(year.taken),
            f"{year.median_gap_days:.0f} days" if year.gaps else "",
            f"{year.gaps[-1][0]:.0f} days, {year.gaps[-1][1]}" if year.gaps else "",
            fetch_text(year.fetch_bytes, is_local),
        )
    return table


@dataclass(frozen=True)
class YearTotals:
    """A year over all granules; `gaps` are the longest gap of each tile in days, ascending, with the tile."""

    year: int
    acquisitions: int
    taken: int
    gaps: list[tuple[float, str]]
    fetch_bytes: int

    @property
    def median_gap_days(self) -> float:
        """The longest gap of the median tile; there must be one."""
        return median(gap for gap, _ in self.gaps)


def totals_of(calendar: Sequence[GranuleYear]) -> list[YearTotals]:
    """The totals of each year, in order."""
    totals = []
    for year in sorted({found.year for found in calendar}):
        of_year = [found for found in calendar if found.year == year]
        totals.append(
            YearTotals(
                year,
                sum(found.acquisitions for found in of_year),
                sum(found.taken for found in of_year),
                sorted((days, tile) for found in of_year for tile, days in found.longest_gap_days.items()),
                sum(found.fetch_bytes for found in of_year),
            )
        )
    return totals


def fetch_text(size_bytes: int, is_local: bool) -> str:
    """What a fetch moves, as people say it."""
    return "nothing: local" if is_local else f"about {byte_text(size_bytes)}"


def why_not(look: Look) -> str:
    """Why the tiles that do not take an acquisition do not: the one reason, or how many tiles have which.

    Why it was refused after the search is said in any case.
    """
    reasons = {verdict.reason for verdict in look.verdicts.values() if verdict.kind != "taken"}
    if len(reasons) == 1:
        return reasons.pop()
    kinds = [kind for kind in look.kinds if kind != "taken"]
    kinds.sort(key=lambda kind: (-look.kinds[kind], kind))
    counts = ", ".join(f"{KINDS.get(kind, kind)} ({look.kinds[kind]})" for kind in kinds)
    refused = sorted({verdict.reason for verdict in look.verdicts.values() if verdict.kind == "refused"})
    return "; ".join([counts, *refused])


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} %"


def _of(taken: int, tiles: int) -> str:
    if tiles == 1:
        return "yes" if taken else "no"
    return f"{taken}/{tiles}"
