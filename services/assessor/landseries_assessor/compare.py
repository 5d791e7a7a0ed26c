"""The compare stage: counts of one tile, on its prediction blocks and on all of it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.errors import RasterioIOError

from landseries.artifacts.documents import write_json
from landseries.errors import ArtifactError, Refused
from landseries.grid import Part, area_mask, block_parts
from landseries.legend import NO_CLASS
from landseries.service import Context, Input
from landseries_assessor.counting import PREDICTION_BLOCKS, WHOLE_AREA, TileMaps, count_tile
from landseries_assessor.truth import digests, read_truth

COUNTS_FILE = "counts.json"

ClassArray = npt.NDArray[np.uint8]


def compare(context: Context) -> None:
    """Count a tile: writes `counts.json`, whose form `landseries_assessor.counting.count_tile` describes.

    Raises:
        Refused: no model has a map of any year here, or the truth cannot be used.
    """
    maps = _read_maps(context)
    if not any(maps.values()):
        raise Refused("no model has mapped any year of this tile")
    area = area_mask(context.tile, context.area)
    blocks = context.blocks
    parts = block_parts(context.tile, blocks.size_px, blocks.shares, context.seed)
    tile = TileMaps(
        maps=maps,
        truth=_truth(context),
        reference=_read_reference(context),
        reference_year=context.reference_year,
        verdicts=_read_verdicts(context),
    )
    scopes = {PREDICTION_BLOCKS: area & (parts == Part.PREDICTION), WHOLE_AREA: area}
    write_json(context.output(COUNTS_FILE), count_tile(tile, scopes, context.legend.ids, context.years))


def truth_digests(context: Context) -> Mapping[str, str]:
    """Checksums of the truth that a tile uses, by year."""
    return digests(_truth(context))


def _truth(context: Context) -> dict[int, ClassArray]:
    years = [*context.years, context.reference_year]
    return read_truth(context.outside.truth_path, years, context.tile, context.legend.ids)


def _read_maps(context: Context) -> dict[str, dict[int, ClassArray]]:
    """Model -> year -> classes; a year in which no pixel has a class counts as not mapped."""
    maps: dict[str, dict[int, ClassArray]] = {}
    for item in context.inputs("map"):
        if not item.done:
            continue
        found = maps.setdefault(item.unit["model"], {})
        for year in context.years:
            if f"{year}.tif" in item.marker.outputs:
                classes = _read_band(context, item, f"{year}.tif", 1)
                if np.any(classes != NO_CLASS):
                    found[year] = classes
    return maps


def _read_reference(context: Context) -> ClassArray | None:
    item = context.input("reference")
    return _read_band(context, item, "classes.tif", 1) if item.done else None


def _read_verdicts(context: Context) -> npt.NDArray[np.uint8] | None:
    item = context.input("reliable")
    return _read_band(context, item, "verdicts.tif", 2) if item.done else None


def _read_band(context: Context, item: Input, output: str, band: int) -> npt.NDArray[np.uint8]:
    """One band of a tile's artifact; the others are left unread."""
    with context.local(item, output) as path:
        try:
            with rasterio.open(path) as source:
                values: npt.NDArray[np.uint8] = source.read(band)
        except (RasterioIOError, IndexError) as error:
            raise ArtifactError(f"{item.unit.name}: {output}: band {band} cannot be read: {error}") from error
    if values.shape != context.tile.shape:
        raise ArtifactError(f"{item.unit.name}: {output} has {values.shape} pixels, the tile {context.tile.shape}")
    return values
