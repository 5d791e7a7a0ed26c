"""The sampler's four stages: from artifacts to artifacts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from landseries.artifacts.documents import write_json
from landseries.artifacts.series import reading_series
from landseries.artifacts.tables import write_table
from landseries.errors import Refused
from landseries.grid import Part
from landseries.models import MULTI_YEAR_EQUAL, POOLED_MODELS, POOLED_NETWORK, SINGLE_YEAR
from landseries.pipeline import SERIES
from landseries.service import Context, Input
from landseries.settings.sampler import DatasetSettings
from landseries_sampler.candidates import check_axes, file_of, read_series, series_column, write_candidates
from landseries_sampler.drawing import draw_strata, labelled_years, parts_of_area
from landseries_sampler.models import (
    Lines,
    every_year,
    one_year_each,
    table_of,
    why_untrainable,
)
from landseries_sampler.parallel import in_parallel
from landseries_sampler.region import Region
from landseries_sampler.strata import AGREEING, SAMPLED_PARTS, Drawn
from landseries_sampler.tallies import (
    QUOTAS_FILE,
    STRATA_FILE,
    RegionQuotas,
    TileTally,
    histograms_of,
    name_of,
    read_quotas,
    read_tally,
    share_out,
)

_DRAWN_FILE: Final = "drawn.json"


def strata(context: Context) -> None:
    """Count a tile's candidates: `strata.json`, by stratum, part and class, with histograms of their priorities."""
    years = labelled_years(context)
    parts = parts_of_area(context)
    drawn = draw_strata(context, parts, [AGREEING, *map(str, years)])
    tally = TileTally(
        crs=context.tile.crs,
        years=tuple(years),
        pixels={name_of(part): int(np.count_nonzero(parts == int(part))) for part in Part},
        histograms={
            group: found for name, pixels in drawn.items() for group, found in histograms_of(name, pixels).items()
        },
    )
    tally.write(context.output(STRATA_FILE))


def quotas(context: Context) -> None:
    """Settle what the region takes of every stratum, part and class, and up to which priority: `quotas.json`.

    Raises:
        Refused: no tile has a pixel to sample.
    """

    def read(item: Input) -> TileTally:
        with context.local(item, STRATA_FILE) as path:
            return read_tally(path)

    tiles = [item for item in context.inputs("strata") if item.done]
    found = share_out(in_parallel(read, tiles), _totals(context))
    if not found.groups:
        raise Refused(
            "no network can be trained: no tile has a pixel to sample; look at the pseudo-labels, or enlarge the area "
            "or blocks.training"
        )
    found.write(context.output(QUOTAS_FILE))


def sample(context: Context) -> None:
    """Draw a tile's pixels of the region's sample, and some more: one file per stratum that gives some, `drawn.json`.

    Drawn are the candidates whose priorities lie up to the region's last bin. The tile's own tally tells beforehand
    from which strata there are any, and nothing is opened for the others.
    """
    taken = _read_quotas(context)
    with context.local(context.input("strata"), STRATA_FILE) as path:
        wanted = taken.strata_within(read_tally(path))
    candidates = draw_strata(context, parts_of_area(context), wanted) if wanted else {}
    drawn = {name: pixels.up_to(taken.last_bins(name)) for name, pixels in candidates.items()}
    _write_strata(context, drawn)
    write_json(context.output(_DRAWN_FILE), {name: len(pixels) for name, pixels in drawn.items()})


def dataset(context: Context) -> None:
    """Merge the tiles' candidates: `<model>.parquet` for every model that can be trained, and `summary.json`.

    Raises:
        Refused: no model has samples of two classes to train on, and of one to validate with.
    """
    taken = _read_quotas(context)
    region = Region(context, taken)
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
        "requested_pixels": {name_of(part): total for part, total in _totals(context).items()},
        "pixels": dict(taken.pixels),
        "crs": list(taken.crs),
        "candidates": {
            stratum: {name_of(part): _named(context, counts) for part, counts in found.items()}
            for stratum, found in region.available.items()
        },
        "models": models,
        "left_out": left_out,
    }
    write_json(context.output("summary.json"), summary)


def _totals(context: Context) -> dict[Part, int]:
    """Pixels wanted of each part, of every stratum."""
    settings = context.settings(DatasetSettings)
    return {Part.TRAINING: settings.training_samples, Part.VALIDATION: settings.validation_samples}


def _read_quotas(context: Context) -> RegionQuotas:
    with context.local(context.input("quotas"), QUOTAS_FILE) as path:
        return read_quotas(path)


def _write_strata(context: Context, drawn: Mapping[str, Drawn]) -> None:
    """Read the series of each year that a stratum needs once, and write every stratum."""
    series: dict[str, dict[str, npt.NDArray[np.int16]]] = {name: {} for name in drawn}
    days: Sequence[int] | None = None
    labelled = labelled_years(context)
    for item in context.inputs("index"):
        year = int(item.unit["year"])
        needing = [name for name in drawn if name in (AGREEING, str(year))]
        if year not in labelled or not needing:
            continue
        with context.local(item, SERIES) as path, reading_series(path) as reader:
            check_axes(reader, item.unit.name, context.features, days)
            days = reader.days
            for name, values in zip(needing, read_series(reader, [drawn[name] for name in needing]), strict=True):
                series[name][series_column(name, year)] = values
    for name, pixels in drawn.items():
        write_candidates(context.output(file_of(name)), context.tile, pixels, series[name])


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
        name_of(part): {str(one.year): _named(context, one.class_counts(part)) for one in lines}
        for part in SAMPLED_PARTS
    }


def _named(context: Context, counts: Mapping[int, int]) -> dict[str, int]:
    return {context.legend.name_of(class_id): count for class_id, count in counts.items()}
