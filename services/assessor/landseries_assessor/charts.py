"""Small charts as inline SVG; colours come from the page's style sheet, so that they follow light and dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

_WIDTH, _HEIGHT = 250, 130
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 8, 8, 20


def dumbbell(values: Mapping[str, float | None], width: int = 150) -> Markup:
    """Figures between 0 and 1 of several models on one line, a dot each, with a bar between the outermost.

    Args:
        values: model -> figure; those that are not defined are left out.
        width: width in pixels.
    """
    height, middle, edge = 18, 9, 6

    def place(value: float) -> float:
        return edge + value * (width - 2 * edge)

    known = {model: value for model, value in values.items() if value is not None}
    text = ", ".join(f"{model} {value:.2f}" for model, value in known.items()) or "not defined"
    parts = [f'<line class="axis" x1="{edge}" x2="{width - edge}" y1="{middle}" y2="{middle}"/>']
    if known:
        low, high = place(min(known.values())), place(max(known.values()))
        parts.append(f'<line class="span" x1="{low:.1f}" x2="{high:.1f}" y1="{middle}" y2="{middle}"/>')
    # The first model is drawn last, on top.
    for model, value in reversed(list(known.items())):
        parts.append(f'<circle class="dot m-{escape(model)}" cx="{place(value):.1f}" cy="{middle}" r="4.5"/>')
    return _svg(width, height, text, parts, "dumbbell")


def training_curve(curve: Mapping[str, Any], title: str) -> Markup:
    """Training and validation loss per epoch, with the epoch whose weights were kept."""
    epochs: Sequence[Mapping[str, float]] = curve["epochs"]
    lines = {
        "training": [epoch["loss"] for epoch in epochs],
        "validation": [epoch["validation_loss"] for epoch in epochs],
    }
    highest = max((value for line in lines.values() for value in line), default=1.0) or 1.0
    ticks = _ticks(highest)
    top = max(highest, ticks[-1])
    parts = []
    for tick in ticks:
        y = _y(tick / top)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 5}" y="{y + 3:.1f}" text-anchor="end">{tick:g}</text>')
    best = curve.get("best_epoch")
    if best is not None:
        x = _x(best, len(epochs))
        parts.append(f'<line class="best" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>')
        anchor, place = ("end", x - 4) if best > len(epochs) / 2 else ("start", x + 4)
        kept = f"kept: epoch {best + 1}"
        parts.append(f'<text class="tick" x="{place:.1f}" y="{_TOP + 9}" text-anchor="{anchor}">{kept}</text>')
    for name, line in lines.items():
        points = " ".join(f"{_x(place, len(epochs)):.1f},{_y(value / top):.1f}" for place, value in enumerate(line))
        parts.append(f'<polyline class="line {name}" points="{points}"/>')
    parts.append(f'<text class="tick" x="{_LEFT}" y="{_HEIGHT - 5}">epoch 1</text>')
    parts.append(f'<text class="tick" x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 5}" text-anchor="end">{len(epochs)}</text>')
    return _svg(_WIDTH, _HEIGHT, f"Training and validation loss of {title}", parts, "curve")


def sparkline(series: Mapping[str, Sequence[float | None]], width: int = 120, height: int = 30) -> Markup:
    """A quantity over the years, a line per model on one scale that begins at nought."""
    known = [value for line in series.values() for value in line if value is not None]
    highest = max(known, default=0) or 1
    parts = [f'<line class="grid" x1="4" x2="{width - 4}" y1="{height - 3}" y2="{height - 3}"/>']
    for model, line in reversed(list(series.items())):
        points = [
            (4 + place * (width - 8) / max(len(line) - 1, 1), height - 4 - value / highest * (height - 8))
            for place, value in enumerate(line)
            if value is not None
        ]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline class="line m-{escape(model)}" points="{joined}"/>')
        parts += [f'<circle class="dot m-{escape(model)}" cx="{x:.1f}" cy="{y:.1f}" r="2.2"/>' for x, y in points]
    return _svg(width, height, "area over the years", parts, "spark")


def scatter(
    points: Sequence[tuple[float, float, int]], colours: Mapping[int, str], limit_m: float, title: str
) -> Markup:
    """Shifts as dots on a map of displacements, north up, with a circle at the largest that is used as it is.

    Args:
        points: (north, east, year); metres.
        colours: year -> colour in CSS.
        limit_m: radius of the circle in metres.
        title: what is shown, for those who do not see it.
    """
    size, edge = 230, 26
    reach = max([limit_m, *(max(abs(north), abs(east)) for north, east, _ in points)]) * 1.1 or 1.0
    ticks = [step for step in _ticks(reach) if 0 < step <= reach]

    def place(metres: float) -> float:
        return edge + (metres + reach) / (2 * reach) * (size - 2 * edge)

    low, high, middle = place(-reach), place(reach), place(0.0)
    parts = [
        f'<line class="grid" x1="{low:.1f}" x2="{high:.1f}" y1="{middle:.1f}" y2="{middle:.1f}"/>',
        f'<line class="grid" x1="{middle:.1f}" x2="{middle:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>',
        f'<circle class="limit" cx="{middle:.1f}" cy="{middle:.1f}" r="{place(limit_m) - middle:.1f}"/>',
    ]
    for tick in ticks:
        x = place(tick)
        parts.append(f'<text class="tick" x="{x:.1f}" y="{middle + 12:.1f}" text-anchor="middle">{tick:g} m</text>')
    parts.append(f'<text class="tick" x="{middle:.1f}" y="12" text-anchor="middle">north</text>')
    parts.append(f'<text class="tick" x="{size - 2}" y="{middle - 5:.1f}" text-anchor="end">east</text>')
    for north, east, year in points:
        cx, cy, colour = place(east), place(-north), escape(colours[year])
        parts.append(f'<circle class="dot" style="--c:{colour}" cx="{cx:.1f}" cy="{cy:.1f}" r="4"/>')
    return _svg(size, size, f"Shifts of {len(points)} acquisitions of {title}", parts, "scatter")


def _svg(width: int, height: int, text: str, parts: Sequence[str], kind: str) -> Markup:
    # Every part is made here from numbers, or escaped above.
    content = "".join(parts)
    return Markup(
        f'<svg class="chart {kind}" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{escape(text)}"><title>{escape(text)}</title>{content}</svg>'
    )


def _x(place: int, count: int) -> float:
    return _LEFT + place * (_WIDTH - _LEFT - _RIGHT) / max(count - 1, 1)


def _y(share: float) -> float:
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def _ticks(highest: float) -> list[float]:
    """Three or four round values from nought to about the highest."""
    step = next((s for s in (0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0) if highest / s <= 4), highest / 3)
    return [round(step * place, 6) for place in range(int(highest / step) + 1)]
