"""A year of a granule as inline SVG: cloud share and verdicts by date; colours come from the page's style sheet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from html import escape
from typing import Final

from landseries.calendar.reading import KINDS, GranuleYear, Look
from landseries.calendar.tables import why_not

_WIDTH: Final = 1_000
_LEFT: Final = 76
_RIGHT: Final = 12
_CLOUD_TOP: Final = 10
_CLOUD_HEIGHT: Final = 60
_TILES_TOP: Final = 88
_TILES_HEIGHT: Final = 46
_ROW: Final = 11
_MARK: Final = 4.4
#: With more tiles than this the bars alone tell what becomes of them.
ROWS_MAX: Final = 32


def year_chart(found: GranuleYear) -> str:
    """Dots for the mean cloud share of each acquisition, bars for what becomes of it over the tiles, a row per tile.

    The rows are left out where there are more than `ROWS_MAX` tiles.
    """
    rows = sorted(found.tiles) if 1 < len(found.tiles) <= ROWS_MAX else []
    rows_top = _TILES_TOP + _TILES_HEIGHT + (10 if rows else 0)
    bottom = rows_top + len(rows) * _ROW
    parts = [*_frame(found, bottom)]
    for look in _shown(found):
        x = _x(found, look.sensed.date())
        parts.append(f"<g><title>{escape(_tooltip(look, len(found.tiles)))}</title>")
        parts += _dot(look, x)
        parts += _bar(look, x, len(found.tiles))
        parts += [
            _rectangle(look.verdicts[tile].kind, x, rows_top + place * _ROW, _ROW - 2)
            for place, tile in enumerate(rows)
            if tile in look.verdicts
        ]
        parts.append("</g>")
    parts += [_label(tile.partition("-")[2] or tile, rows_top + place * _ROW + 8) for place, tile in enumerate(rows)]
    height = bottom + 20
    text = escape(f"Acquisitions of {found.granule} in {found.year}: cloud share and what is taken, by date")
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" role="img" '
        f'aria-label="{text}">{"".join(parts)}</svg>'
    )


def key() -> str:
    """What the colours mean."""
    return "".join(f'<span class="k-{kind}">{escape(words)}</span>' for kind, words in KINDS.items())


def _shown(found: GranuleYear) -> list[Look]:
    """All but the duplicates of what was looked at on the same day, which would hide it."""
    used = {look.sensed.date() for look in found.looks if not look.kinds["unusable"]}
    return [look for look in found.looks if not look.kinds["unusable"] or look.sensed.date() not in used]


def _frame(found: GranuleYear, bottom: int) -> Iterator[str]:
    """Axes: months across, cloud share and share of the tiles upwards."""
    for month, x in _months(found):
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_CLOUD_TOP}" y2="{bottom}"/>'
        yield f'<text class="tick" x="{x + 4:.1f}" y="{bottom + 14}">{month}</text>'
    for share, label in ((0.0, "0 %"), (1.0, "cloud 100 %")):
        y = _CLOUD_TOP + (1 - share) * _CLOUD_HEIGHT
        yield f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield _label(label, y + 3)
    y = _TILES_TOP + _TILES_HEIGHT
    yield f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>'
    yield _label("all tiles", _TILES_TOP + 8)


def _label(text: str, y: float) -> str:
    return f'<text class="tick" x="{_LEFT - 8}" y="{y:.1f}" text-anchor="end">{escape(text)}</text>'


def _months(found: GranuleYear) -> Iterator[tuple[str, float]]:
    day = found.period.start
    while day <= found.period.end:
        if day.day == 1 or day == found.period.start:
            yield f"{day:%b}", _x(found, day)
        day += timedelta(days=1)


def _x(found: GranuleYear, day: date) -> float:
    length = (found.period.end - found.period.start).days + 1
    share = ((day - found.period.start).days + 0.5) / length
    return _LEFT + min(max(share, 0.0), 1.0) * (_WIDTH - _LEFT - _RIGHT)


def _dot(look: Look, x: float) -> Sequence[str]:
    if look.cloud_percent is None:
        return ()
    y = _CLOUD_TOP + (1 - look.cloud_percent / 100) * _CLOUD_HEIGHT
    kind = "taken" if look.kinds["taken"] else "none"
    return (f'<circle class="look k-{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3.4"/>',)


def _bar(look: Look, x: float, tiles: int) -> Iterator[str]:
    """Shares of the tiles by kind of verdict, those that take it lowest."""
    y = float(_TILES_TOP + _TILES_HEIGHT)
    for kind in (*KINDS, *(kind for kind in look.kinds if kind not in KINDS)):
        if look.kinds[kind]:
            height = look.kinds[kind] / tiles * _TILES_HEIGHT
            y -= height
            yield _rectangle(kind, x, y, height)


def _rectangle(kind: str, x: float, y: float, height: float) -> str:
    name = kind if kind in KINDS else "other"
    return f'<rect class="k-{name}" x="{x - _MARK / 2:.1f}" y="{y:.1f}" width="{_MARK}" height="{height:.1f}"/>'


def _tooltip(look: Look, tiles: int) -> str:
    lines = [f"{look.sensed:%Y-%m-%d} {look.label}", f"taken by {look.kinds['taken']} of {tiles}"]
    if look.cloud_percent is not None:
        lines.append(f"cloud {look.cloud_percent:.0f} %")
    if look.kinds["taken"] < len(look.verdicts):
        lines.append(why_not(look))
    return "; ".join(lines)
