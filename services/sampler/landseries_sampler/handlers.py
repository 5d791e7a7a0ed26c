"""The sampler's two stages: from artifacts to artifacts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from landseries.artifacts.documents import read_json, write_json
from landseries.artifacts.rasters import read_raster
from landseries.artifacts.series import reading_series
from landseries.artifacts.tables import write_table
from landseries.errors import Refused
from landseries.grid import Part, area_mask, block_parts
from landseries.models import MULTI_YEAR_EQUAL, POOLED_MODELS, POOLED_NETWORK, SINGLE_YEAR
from landseries.pipeline import SERIES
from landseries.priority import pixel_priority
from landseries.service import Context, Input
from landseries.settings.sampler import DatasetSettings, SampleSettings
from landseries_sampler.candidates import (
    AGREEING_FILE,
    check_axes,
    own_file,
    read_series,
    series_column,
    write_candidates,
)
from landseries_sampler.models import (
    Lines,
    every_year,
    one_year_each,
    table_of,
    why_untrainable,
)
from landseries_sampler.region import Region
from landseries_sampler.strata import (
    AGREEING_STREAM,
    SAMPLED_PARTS,
    Drawn,
    agreeing_stratum,
    draw,
    own_stratum,
    own_stream,
)

#: Value of pixels outside the area where parts are expected.
_OUTSIDE = 0
_PIXELS_FILE = "pixels.json"


def sample(context: Context) -> None:
    """Draw a tile's candidates: `candidates.parquet` (agreeing), `own_<year>.parquet`, `pixels.json`.

    A year whose pseudo-labels were refused gives no candidates; the agreeing stratum then asks for agreement of the
    years that the tile has, of which there must be two where the run has so many.
    """
    settings = context.settings(SampleSettings)
    tile, seed = context.tile, context.seed
    parts = block_parts(tile, context.blocks.size_px, context.blocks.shares, seed)
    # A pixel outside the area may lie in another zone's tile as well, and there in a prediction block.
    parts[~area_mask(tile, context.area)] = _OUTSIDE
    own = {
        int(item.unit["year"]): _read_stratum(context, item, settings.min_probability)
        for item in context.inputs("pseudolabel")
        if item.done
    }
    agreed = agreeing_stratum(list(own.values()))
    if len(own) < min(2, len(context.years)):
        agreed[:] = 0
    most = settings.candidates_per_class
    _write_strata(
        context,
        draw(agreed, parts, pixel_priority(tile, seed, AGREEING_STREAM), most),
        {year: draw(found, parts, pixel_priority(tile, seed, own_stream(year)), most) for year, found in own.items()},
    )
    counted = {part.name.lower(): int(np.count_nonzero(parts == int(part))) for part in Part}
    write_json(context.output(_PIXELS_FILE), counted)


def dataset(context: Context) -> None:
    """Merge the tiles' candidates: `<model>.parquet` for every model that can be trained, and `summary.json`.

    Raises:
        Refused: no model has samples of two classes to train on, and of one to validate with.
    """
    settings = context.settings(DatasetSettings)
    totals = {Part.TRAINING: settings.training_samples, Part.VALIDATION: settings.validation_samples}
    region = Region(context, totals)
    models: dict[str, Any] = {}
    left_out: dict[str, dict[str, str]] = {}
    for model in context.models:
        lines, left_out[model] = _lines_of(model, region, context.years)
        if lines:
            write_table(context.output(f"{model}.parquet"), table_of(lines))
            models[model] = _counts(context, lines)
            context.log(f"{model}: {sum(len(one.chosen) for one in lines)} annual series")
    if not models:
        reasons = sorted({reason for of_model in left_out.values() for reason in of_model.values()})
        raise Refused("no network can be trained: " + "; ".join(reasons))
    summary = {
        "requested_pixels": {_name(part): total for part, total in totals.items()},
        "pixels": _sum_pixels(context),
        "crs": region.crs,
        "candidates": {
            stratum: {_name(part): _named(context, counts) for part, counts in found.items()}
            for stratum, found in region.available.items()
        },
        "models": models,
        "left_out": left_out,
    }
    write_json(context.output("summary.json"), summary)


def _read_stratum(context: Context, item: Input, min_probability: float) -> npt.NDArray[np.uint8]:
    with context.local(item, "labels.tif") as path:
        labels, probabilities = read_raster(path, context.tile)
    return own_stratum(labels, probabilities, min_probability)


def _write_strata(context: Context, agreeing: Drawn, own: Mapping[int, Drawn]) -> None:
    """Read each year's series once, and write every stratum."""
    agreeing_series: dict[str, npt.NDArray[np.int16]] = {}
    days: Sequence[int] | None = None
    for item in context.inputs("index"):
        year = int(item.unit["year"])
        if year not in own:
            continue
        with context.local(item, SERIES) as path, reading_series(path) as reader:
            check_axes(reader, item.unit.name, context.features, days)
            days = reader.days
            agreeing_series[series_column(year)], series = read_series(reader, [agreeing, own[year]])
        write_candidates(context.output(own_file(year)), context.tile, own[year], {"series": series})
    write_candidates(context.output(AGREEING_FILE), context.tile, agreeing, agreeing_series)


def _lines_of(model: str, region: Region, years: Sequence[int]) -> tuple[list[Lines], dict[str, str]]:
    """A model's lines, and for each of its networks that cannot be trained the reason."""
    if model == SINGLE_YEAR:
        lines = [one for year in region.years for one in every_year(region.own(year))]
    elif model == MULTI_YEAR_EQUAL:
        lines = one_year_each(region.agreeing)
    else:
        lines = every_year(region.agreeing)
    if model in POOLED_MODELS:
        reason = why_untrainable(lines)
        return (lines, {}) if reason is None else ([], {POOLED_NETWORK: reason})
    reasons = {one.year: why_untrainable([one]) for one in lines}
    left_out = {str(year): reasons.get(year, "no tile has a pixel to sample") for year in years}
    kept = [one for one in lines if reasons[one.year] is None]
    return kept, {year: reason for year, reason in left_out.items() if reason is not None}


def _counts(context: Context, lines: Sequence[Lines]) -> dict[str, dict[str, dict[str, int]]]:
    """Annual series of a model by split, year and class name."""
    return {
        _name(part): {str(one.year): _named(context, one.class_counts(part)) for one in lines} for part in SAMPLED_PARTS
    }


def _named(context: Context, counts: Mapping[int, int]) -> dict[str, int]:
    return {context.legend.name_of(class_id): count for class_id, count in counts.items()}


def _name(part: Part) -> str:
    return part.name.lower()


def _sum_pixels(context: Context) -> dict[str, int]:
    """Pixels of the area in training, validation and prediction blocks."""
    total = {_name(part): 0 for part in Part}
    for item in context.inputs("sample"):
        if item.done:
            with context.local(item, _PIXELS_FILE) as path:
                for name, count in read_json(path).items():
                    total[name] += count
    return total
