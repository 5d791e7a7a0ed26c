"""The acquisition calendar as a page: one HTML file that opens without a network, in the report's colours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from landseries.calendar.charts import key, year_chart
from landseries.calendar.reading import GranuleYear, Look
from landseries.calendar.tables import fetch_text, totals_of, why_not
from landseries.display import byte_text
from landseries.palette import palette
from landseries.plan import RunPlan
from landseries.settings.sources import is_local


def write_calendar(plan: RunPlan, calendar: Sequence[GranuleYear], folder: Path) -> Path:
    """Write the page into a folder of results; returns its path."""
    path = folder / "calendar.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(plan, calendar), encoding="utf-8")
    return path


def render(plan: RunPlan, calendar: Sequence[GranuleYear]) -> str:
    """The page.

    Args:
        plan: the run.
        calendar: what its searches answered.
    """
    name, settings = escape(plan.run_id), plan.config.fetcher.search
    reads_in_place = is_local(plan.config.source)
    style = files("landseries.calendar").joinpath("calendar.css").read_text(encoding="utf-8")
    facts = (
        f"{len(plan.tile)} tiles in {', '.join(plan.extent.tiles_of)}; at most {settings.per_year} acquisitions a year "
        "and tile"
    )
    if plan.config.source.kind != "cube":  # of a cube every acquisition with a clear view counts
        shares = f"{settings.max_cloud_percent:g} % cloud and {settings.max_nodata_percent:g} % no-data"
        facts += f", each with at most {shares}"
    years = sorted({found.year for found in calendar})
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{name} · acquisitions</title><style>{palette()}{style}</style></head><body>",
            f'<header><p class="eyebrow">landseries · acquisitions</p><h1>{name}</h1>',
            f'<p class="facts">{escape(facts)}</p></header><main>',
            _totals(calendar, reads_in_place),
            *(_year(year, [found for found in calendar if found.year == year]) for year in years),
            "</main><footer>What the fetch moves is estimated from the lengths of the files and the blocks that the "
            "tiles touch; what is in the cache already is not fetched again. The longest gap is the longest time "
            "without an acquisition that shows at least half of a tile clearly.</footer></body></html>",
        ]
    )


def _totals(calendar: Sequence[GranuleYear], reads_in_place: bool) -> str:
    rows = [
        (
            str(year.year),
            str(year.acquisitions),
            str(year.taken),
            f"{year.median_gap_days:.0f} days" if year.gaps else "–",
            f"{year.gaps[-1][0]:.0f} days" if year.gaps else "–",
            fetch_text(year.fetch_bytes, reads_in_place),
        )
        for year in totals_of(calendar)
    ]
    headings = ("year", "acquisitions", "taken", "longest gap (median tile)", "longest gap (worst tile)", "to fetch")
    return f'<div class="scroll">{_table(headings, ((row, "") for row in rows))}</div>'


def _year(year: int, found: Sequence[GranuleYear]) -> str:
    panels = "".join(_refused(one) if one.refused else _panel(one) for one in found)
    return f'<section><h2>{year}</h2><p class="key">{key()}</p>{panels}</section>'


def _refused(found: GranuleYear) -> str:
    return f'<div class="panel refused"><h3>{escape(found.granule)}</h3>{escape(found.refused)}</div>'


def _panel(found: GranuleYear) -> str:
    headings = ("date", "acquisition", "cloud", "no data", "taken", "to fetch", "why not")
    rows = ((_row(look, len(found.tiles)), "" if look.kinds["taken"] else "left") for look in found.looks)
    return (
        f'<div class="panel"><h3>{escape(found.granule)}: {found.taken} of {found.acquisitions} acquisitions taken by '
        f"some of {len(found.tiles)} tiles</h3>{year_chart(found)}<details><summary>All acquisitions</summary>"
        f"{_table(headings, rows)}</details></div>"
    )


def _row(look: Look, tiles: int) -> tuple[str, ...]:
    shares = (look.cloud_percent, look.nodata_percent)
    return (
        f"{look.sensed:%Y-%m-%d}",
        look.label,
        *("" if share is None else f"{share:.0f} %" for share in shares),
        f"{look.kinds['taken']}/{tiles}",
        byte_text(look.fetch_bytes) if look.fetch_bytes else "",
        "" if look.kinds["taken"] == len(look.verdicts) else why_not(look),
    )


def _table(headings: Sequence[str], rows: Iterable[tuple[Sequence[str], str]]) -> str:
    numbers = {"acquisitions", "taken", "cloud", "no data", "to fetch"}
    classes = ['class="num"' if name in numbers or name.startswith("longest") else "" for name in headings]
    head = "".join(f"<th {kind}>{escape(name)}</th>" for name, kind in zip(headings, classes, strict=True))
    body = "".join(
        f'<tr class="{style}">'
        + "".join(f"<td {kind}>{escape(cell)}</td>" for cell, kind in zip(cells, classes, strict=True))
        + "</tr>"
        for cells, style in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
