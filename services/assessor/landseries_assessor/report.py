"""The report stage: figures, tables, styles, the STAC collection, virtual rasters, and the page that people look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from landseries import __version__
from landseries.artifacts.documents import read_json, write_json
from landseries.calendar.reading import GranuleYear, granule_year, refused_fetches
from landseries.pipeline import HARMONY
from landseries.service import Context
from landseries.settings.assessor import ReportSettings
from landseries.summary import summarise
from landseries_assessor import layout
from landseries_assessor.assessment import assess
from landseries_assessor.catalog import catalogue
from landseries_assessor.compare import COUNTS_FILE
from landseries_assessor.counting import PREDICTION_BLOCKS, WHOLE_AREA, TileMaps, count_tile, merge_counts
from landseries_assessor.layers import draw_pictures
from landseries_assessor.mosaic import NO_VALUE
from landseries_assessor.page import Findings, render
from landseries_assessor.results import LAYERS, ResultFile, Results
from landseries_assessor.styles import confidence_style, paletted
from landseries_assessor.tables import tables
from landseries_assessor.views_acquisitions import count_acquisitions
from landseries_assessor.vrt import Categories, by_projection, virtual_raster


def report(context: Context) -> None:
    """Write everything of the result folder but the maps; whatever is refused or absent is left out and named."""
    results = Results(context)
    counts = _sum_counts(context)
    assessment = assess(counts, context.legend.names, context.models)
    write_json(context.output(layout.ASSESSMENT), assessment)
    for name, content in tables(assessment, counts).items():
        context.output(f"{layout.TABLES}/{name}").write_bytes(content)
    _write_styles(context)
    periods = {year: context.period(year) for year in context.years}
    for name, document in catalogue(results, context.legend, periods, context.plan.run_id).items():
        write_json(context.output(f"{layout.STAC}/{name}"), document)
    _write_virtual_rasters(context, results)
    context.log("drawing the pictures")
    pictures = draw_pictures(context, results, context.settings(ReportSettings).image_px)
    markers = list(context.run_markers())
    refused = refused_fetches(markers)
    findings = Findings(
        assessment=assessment,
        counts=counts["scopes"][WHOLE_AREA],
        pictures=pictures,
        dataset=_summary(context, "dataset"),
        trained=_trained(context),
        acquisitions=count_acquisitions(_searches(context, refused)),
        harmony=_harmony(context),
        refused={name: reason for found in refused.values() for name, reason in found.items()},
        summary=summarise(markers),
        software=tuple(sorted({marker.software for _, marker in markers if marker.software})),
        version=__version__,
    )
    context.output(layout.REPORT).write_text(render(context.plan, findings), encoding="utf-8")


def _sum_counts(context: Context) -> dict[str, Any]:
    """The sum of all tiles' counts, read one after the other."""
    nowhere = np.zeros((0, 0), dtype=bool)
    total = count_tile(
        TileMaps({}, context.reference_year),
        {PREDICTION_BLOCKS: nowhere, WHOLE_AREA: nowhere},
        context.legend.ids,
        context.years,
    )
    for item in context.inputs("compare"):
        if item.done:
            with context.local(item, COUNTS_FILE) as path:
                total = merge_counts(total, read_json(path))
    return total


def _summary(context: Context, stage: str) -> dict[str, Any] | None:
    for item in context.inputs(stage):
        if item.done:
            with context.local(item, "summary.json") as path:
                found: dict[str, Any] = read_json(path)
            return found
    return None


def _trained(context: Context) -> dict[str, dict[str, Any]]:
    """What the trainer says of each model."""
    found = {}
    for item in context.inputs("train"):
        if item.done:
            with context.local(item, "summary.json") as path:
                found[item.unit["model"]] = read_json(path)
    return found


def _searches(context: Context, refused: Mapping[tuple[str, int], Mapping[str, str]]) -> Iterator[GranuleYear]:
    """What each search answered, and why some of what it chose was refused since."""
    for item in context.inputs("search"):
        granule, year = item.unit["granule"], int(item.unit["year"])
        if not item.done:
            yield GranuleYear(granule, year, context.period(year), (), refused=item.marker.reason)
            continue
        with context.local(item, "search.json") as path:
            yield granule_year(granule, year, context.plan, read_json(path), refused.get((granule, year), {}))


def _harmony(context: Context) -> list[dict[str, Any]]:
    """What the fetcher found of the acquisitions of each granule."""
    found = []
    for item in context.inputs("harmony"):
        if item.done:
            with context.local(item, HARMONY) as path:
                found.append(read_json(path))
    return found


def _class_categories(context: Context) -> Categories:
    return {entry.id: (entry.name, entry.rgb) for entry in context.legend.classes}


def _change_categories(context: Context) -> Categories:
    numbers = range(len(context.years))
    return {number: (layout.changes_name(number), layout.changes_colour(number)) for number in numbers}


def _write_styles(context: Context) -> None:
    styles = {
        "classes": paletted(_class_categories(context)),
        "changes": paletted(_change_categories(context)),
        "confidence": confidence_style(),
    }
    for name, content in styles.items():
        context.output(f"{layout.STYLES}/{name}.qml").write_bytes(content)


def _write_virtual_rasters(context: Context, results: Results) -> None:
    """One virtual raster per model, year and layer over all granules; several where they lie in several zones."""
    bands = {"class": ("class",), "confidence": ("confidence in 1/200",), "clear_views": ("clear views",)}
    for model in results.models:
        for year in results.years:
            for layer in LAYERS:
                _write_virtual_raster(
                    context,
                    results,
                    f"maps/{model}/{year}/{layer}",
                    results.maps(model, year, layer),
                    bands.get(layer, context.legend.names),
                    {"class": 0, "clear_views": None}.get(layer, NO_VALUE),
                    _class_categories(context) if layer == "class" else None,
                )
        numbers = results.changes(model)
        name, changes = f"maps/{model}/changes", ("number of changes",)
        _write_virtual_raster(context, results, name, numbers, changes, NO_VALUE, _change_categories(context))
    for year in results.years:
        colours = ("red", "green", "blue")
        _write_virtual_raster(context, results, f"composites/{year}/composite", results.composites(year), colours, 0)


def _write_virtual_raster(
    context: Context,
    results: Results,
    stem: str,
    files: list[ResultFile],
    bands: tuple[str, ...],
    nodata: int | None,
    categories: Categories | None = None,
) -> None:
    if not files:
        return
    grids = {file.name: results.granules[file.granule] for file in files}
    for ending, group in by_projection(grids).items():
        name = f"{stem}{ending}.vrt"
        path: Path = context.output(name)
        path.write_bytes(virtual_raster(name, group, bands, nodata, categories))
