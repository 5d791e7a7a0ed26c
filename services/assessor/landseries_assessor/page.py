"""The page: one self-contained HTML file that opens without a network, from the findings of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from rasterio.crs import CRS

from landseries.legend import Legend
from landseries.palette import palette
from landseries.plan import RunPlan
from landseries_assessor import layout, views, views_acquisitions, views_harmony, views_run
from landseries_assessor.layers import VIEWS_RAMP, Pictures
from landseries_assessor.notices import attributions
from landseries_assessor.paper import CITATION
from landseries_assessor.styles import CONFIDENCE_RAMP, hexadecimal
from landseries_assessor.views_acquisitions import YearCounts

_SQUARE_METRES_PER_HA: Final = 10_000
_DASH: Final = "–"

Tree = Mapping[str, Any]


@dataclass(frozen=True)
class Findings:
    """All that a report shows.

    Attributes:
        assessment: as in `assessment.json`.
        counts: the whole area's counts.
        pictures: the layers of the viewer; None where no map was made.
        dataset, trained: what sampler and trainer say, as far as they were done.
        acquisitions: by year, what became of the acquisitions that the searches found.
        harmony: what the fetcher found of each granule's acquisitions, as far as that was done.
        refused: why chosen acquisitions could not be fetched, by acquisition.
        summary: timings and refused units, see `landseries.summary`.
        software: versions of landseries that worked on the run.
        version: version of landseries that renders.
    """

    assessment: Tree
    counts: Tree
    pictures: Pictures | None
    dataset: Tree | None
    trained: Mapping[str, Tree]
    acquisitions: dict[int, YearCounts]
    harmony: Sequence[Tree]
    refused: Mapping[str, str]
    summary: Tree
    software: tuple[str, ...]
    version: str


def render(plan: RunPlan, findings: Findings) -> str:
    """The page as HTML."""
    legend, assessment = plan.legend, findings.assessment
    area_ha = _pixel_area_ha(plan)
    loader = PackageLoader("landseries_assessor", "page")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(figure=_figure, percent=_percent, number=_number, signed=_signed, seconds=_seconds)
    environment.globals["dash"] = _DASH

    def source(name: str) -> Markup:
        # The page's own style sheet and script, which ship with this package.
        return Markup(loader.get_source(environment, name)[0])

    template = environment.get_template("report.html.j2")
    return template.render(
        styles=[Markup(palette()), source("style.css"), source("tables.css")],
        scripts=[source("viewer.js"), source("page.js")] if findings.pictures else [source("page.js")],
        run=_run_facts(plan, findings.counts["pixels"], area_ha),
        models=assessment["models"],
        has_truth=assessment["accuracy"] is not None,
        cards=views.headline(assessment),
        verdict=views.verdict(assessment),
        pictures=findings.pictures,
        viewer=_viewer_json(findings.pictures, legend, plan) if findings.pictures else None,
        legend=_legend(legend),
        change_legend=_change_legend(len(plan.config.years)),
        change_bars=views.change_bars(assessment["whole_area"]),
        consistency=[
            (scope, hint, views.consistency(figures["agreement"], legend))
            for scope, hint, figures in (
                ("Prediction blocks", "no training sample came from these", assessment),
                ("Whole area", "blocks with training samples included", assessment["whole_area"]),
            )
        ],
        citation=CITATION,
        accuracy=views.accuracy_table(assessment, legend),
        change=views.change_table(assessment),
        transitions=views.transitions(findings.counts, legend, area_ha),
        areas=views.areas(assessment, legend, area_ha),
        unit="ha" if area_ha else "pixels",
        reliable=views_run.reliable_rows(assessment, legend),
        reliable_total=assessment["whole_area"]["reliable_samples"],
        samples=views_run.sample_table(findings.dataset, legend),
        training=views_run.training(findings.trained),
        acquisitions=views_acquisitions.acquisitions(findings.acquisitions),
        harmony=views_harmony.harmonisation(findings.harmony, plan.config.years, findings.refused),
        year_colours=views_harmony.year_colours(plan.config.years),
        left_out=views_run.left_out(findings.dataset, findings.trained),
        refused=views_run.refused(findings.summary["refused"]),
        timings=views_run.timings(findings.summary),
        peak_rss_mib=findings.summary["peak_rss_mib"],
        provenance=views_run.provenance(plan, findings.software, findings.version),
        attributions=attributions(plan.config.years, legend),
    )


def _run_facts(plan: RunPlan, pixels: int, area_ha: float | None) -> dict[str, Any]:
    years = plan.config.years
    pixels = pixels or sum(tile.width * tile.height for tile in plan.tile.values())
    return {
        "name": plan.run_id,
        "years": years,
        "span": f"{years[0]}{_DASH}{years[-1]}" if len(years) > 1 else str(years[0]),
        "tiles": len(plan.tile),
        "granules": sorted(plan.extent.tiles_of),
        "pixels": pixels,
        "square_km": None if area_ha is None else pixels * area_ha / 100,
        "reference_year": plan.config.reference.year,
        "training_year": plan.config.forest_year,
        "legend_title": plan.legend.title,
    }


def _pixel_area_ha(plan: RunPlan) -> float | None:
    """Area of a pixel; None where the grid is in degrees."""
    tile = next(iter(plan.tile.values()))
    if not CRS.from_user_input(tile.crs).is_projected:
        return None
    return tile.pixel_width * tile.pixel_height / _SQUARE_METRES_PER_HA


def _viewer_json(pictures: Pictures, legend: Legend, plan: RunPlan) -> Markup:
    """What the viewer's script reads; `<` is escaped so that no text can end the script element."""
    grid = pictures.grid
    content = {
        "width": grid.width,
        "height": grid.height,
        "metres_per_pixel": grid.pixel_width if CRS.from_user_input(grid.crs).is_projected else None,
        "years": [str(year) for year in plan.config.years],
        "layers": [layer.as_json() for layer in pictures.layers],
        "classes": _legend(legend),
        "changes": _change_legend(len(plan.config.years)),
        "ramps": {
            "confidence": {"stops": [hexadecimal(rgb) for _, rgb in CONFIDENCE_RAMP], "ends": ["20 %", "100 %"]},
            "clear_views": {"stops": [hexadecimal(rgb) for _, rgb in VIEWS_RAMP], "ends": ["0 clear views", "20"]},
        },
    }
    return Markup(json.dumps(content, separators=(",", ":")).replace("<", "\\u003c"))


def _legend(legend: Legend) -> list[dict[str, str]]:
    return [{"name": entry.name, "colour": entry.colour} for entry in legend.classes]


def _change_legend(years: int) -> list[dict[str, str]]:
    return [
        {"name": layout.changes_name(number), "colour": hexadecimal(layout.changes_colour(number))}
        for number in range(years)
    ]


def _figure(value: float | None, digits: int = 2) -> str:
    return _DASH if value is None else f"{value:.{digits}f}"


def _percent(value: float | None, digits: int = 1) -> str:
    return _DASH if value is None else f"{100 * value:.{digits}f} %"


def _signed(value: float, digits: int = 2) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def _number(value: float | None) -> str:
    """A count or an area: thousands apart, decimals only where they matter."""
    if value is None:
        return _DASH
    digits = 0 if value >= 100 or isinstance(value, int) else (1 if value >= 10 else 2)
    return f"{value:,.{digits}f}".replace(",", "\u202f")


def _seconds(value: float) -> str:
    """A duration as a person says it."""
    if value < 1:
        return f"{value:.2f} s"
    if value < 90:
        return f"{value:.0f} s"
    minutes, seconds = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s"
