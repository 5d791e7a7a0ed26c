"""From a tile's pseudo-labels to the candidates of its strata; both stages that look at them draw alike."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from landseries.artifacts.rasters import read_raster
from landseries.grid import area_mask, block_parts
from landseries.priority import pixel_priority
from landseries.service import Context, Input
from landseries.settings.sampler import SampleSettings
from landseries_sampler.strata import AGREEING, Drawn, agreeing_stratum, draw, own_stratum, stream_of

#: Value of pixels outside the area where parts are expected.
_OUTSIDE = 0


def labelled_years(context: Context) -> list[int]:
    """Years that the tile has pseudo-labels of."""
    return [int(item.unit["year"]) for item in context.inputs("pseudolabel") if item.done]


def parts_of_area(context: Context) -> npt.NDArray[np.uint8]:
    """(rows, columns) of `landseries.grid.Part`; 0 outside the area."""
    parts = block_parts(context.tile, context.blocks.size_px, context.blocks.shares, context.seed)
    # A pixel outside the area may lie in another zone's tile as well, and there in a prediction block.
    parts[~area_mask(context.tile, context.area)] = _OUTSIDE
    return parts


def draw_strata(context: Context, parts: npt.NDArray[np.uint8], wanted: Collection[str]) -> dict[str, Drawn]:
    """Draw the candidates of a tile's strata; only the labels that these need are read.

    A year whose pseudo-labels were refused gives no candidates; the agreeing stratum then asks for agreement of the
    years that the tile has, of which there must be two where the run has so many.

    Args:
        context: of a unit with a tile whose row needs its pseudo-labels of every year.
        parts: what `parts_of_area` gave.
        wanted: names of the strata to draw from.
    """
    settings = context.settings(SampleSettings)
    labelled = [item for item in context.inputs("pseudolabel") if item.done]
    read = [item for item in labelled if AGREEING in wanted or item.unit["year"] in wanted]
    own = {item.unit["year"]: _read_stratum(context, item, settings.min_probability) for item in read}
    strata = {year: found for year, found in own.items() if year in wanted}
    if AGREEING in wanted:
        strata[AGREEING] = agreeing_stratum(list(own.values()))
        if len(labelled) < min(2, len(context.years)):
            strata[AGREEING][:] = 0
    return {
        name: draw(
            stratum,
            parts,
            pixel_priority(context.tile, context.seed, stream_of(name)),
            settings.candidates_per_class,
        )
        for name, stratum in strata.items()
    }


def _read_stratum(context: Context, item: Input, min_probability: float) -> npt.NDArray[np.uint8]:
    with context.local(item, "labels.tif") as path:
        labels, probabilities = read_raster(path, context.tile)
    return own_stratum(labels, probabilities, min_probability)
