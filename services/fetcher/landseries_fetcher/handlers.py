"""The stages of the fetcher: search, reference, harmony, fetch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from landseries.artifacts.documents import canonical_json, read_json, write_json
from landseries.artifacts.rasters import write_cog
from landseries.bands import NODATA
from landseries.config import Period
from landseries.errors import ConfigError, Refused, SourceError
from landseries.grid import area_mask
from landseries.service import Context
from landseries.settings.fetcher import FetchSettings, SearchSettings
from landseries_fetcher import existing_map, harmonising
from landseries_fetcher.reaching import reaching
from landseries_fetcher.searching import decide, gap_days, look, summary
from landseries_fetcher.sources import open_source
from landseries_fetcher.sources.base import Acquisition, ImagerySource, LeftProduct, UnreadableProduct


@reaching
def search(context: Context) -> None:
    """Choose the acquisitions of a granule and a year, per tile.

    Writes `chosen.json`, `search.json` with a verdict on every product, each tile's longest gap and each acquisition's
    bytes to fetch, and for each chosen acquisition one document with its products and the tiles that chose it.

    Raises:
        Refused: the source has no usable product of this granule and year.
    """
    source = _source(context)
    granule, period = context.unit["granule"], context.period(context.year)
    masking, settings = context.masking, context.settings(SearchSettings)
    assert isinstance(masking, FetchSettings)
    tiles = {tile: area_mask(tile, context.area) for tile in context.tiles_of(granule)}
    looked = look(source, granule, period, tiles, masking, context.threads)
    for product in looked.catalogue.left:
        context.log(f"left out {product.product}: {product.reason}")
    if not looked.catalogue.acquisitions:
        raise Refused(_nothing(source, granule, period, looked.catalogue.left))
    chosen: dict[str, list[str]] = {}
    verdicts: dict[str, list[dict[str, Any]]] = {}
    for tile in tiles:
        chosen[tile.id], verdicts[tile.id] = decide(looked, tile, period, settings, source.is_selected_by_share)
    write_json(context.output("chosen.json"), chosen)
    fetch_bytes: dict[str, int] = {}
    for acquisition in looked.catalogue.acquisitions:
        takers = [tile for tile in tiles if acquisition.id in chosen[tile.id]]
        if takers:
            places = {tile.id: tile.geometry() for tile in takers}
            document = {**acquisition.as_json(), "tiles": places, "source": source.identity()}
            write_json(context.output(f"{acquisition.id}.json"), document)
            fetch_bytes[acquisition.id] = source.bytes_to_fetch(acquisition, takers, masking)
    answer = {
        "granule": granule,
        "year": context.year,
        **summary(looked, list(tiles), verdicts),
        "longest_gap_days": {tile.id: gap_days(looked, tile, period, chosen[tile.id]) for tile in tiles},
        "fetch_bytes": fetch_bytes,
    }
    write_json(context.output("search.json"), answer)


@reaching
def search_outside(context: Context) -> Mapping[str, str]:
    """Checksums of all products of the granule and the year, used or not, and what else decides how they are read."""
    source = _source(context)
    found = source.checksums(context.unit["granule"], context.period(context.year))
    return {**found, **source.identity()}


def reference(context: Context) -> None:
    """Put the existing map onto a tile's grid, in legend classes; 0 outside the area.

    Raises:
        Refused: the map cannot be read, or holds codes that the legend does not know.
    """
    tile, outside = context.tile, context.outside
    try:
        codes = existing_map.read_codes(outside, tile, context.log)
        codes[~area_mask(tile, context.area)] = existing_map.OUTSIDE
        classes = context.legend.classify(codes)
    except (ConfigError, SourceError) as error:
        raise Refused(str(error)) from error
    colours = {entry.id: entry.rgb for entry in context.legend.classes}
    write_cog(context.output("classes.tif"), classes[np.newaxis], tile, names=["class"], nodata=0, colours=colours)


def reference_outside(context: Context) -> Mapping[str, str]:
    """Digests of the files that hold the existing map."""
    try:
        return existing_map.checksums(context.outside)
    except (ConfigError, SourceError) as error:
        raise Refused(str(error)) from error


@reaching
def harmony(context: Context) -> None:
    """Compare a granule's acquisitions of all years; see `landseries_fetcher.harmonising.harmonise`."""
    harmonising.harmonise(context, _source(context))


@reaching
def harmony_outside(context: Context) -> Mapping[str, str]:
    """Checksums of all products that tiles chose."""
    return harmonising.outside(context, _source(context))


@reaching
def fetch(context: Context) -> None:
    """Read an acquisition for the tiles that chose it: `<tile>.tif` with the features and, last, the clear mask.

    Raises:
        Refused: a product cannot be read, or the harmony stage found that it must not be used.
    """
    decision = harmonising.decision_for(context)
    if not decision.use:
        raise Refused(decision.reason)
    source, masking = _source(context), context.settings(FetchSettings)
    acquisition, document = _document(context)
    tiles = [context.tiles[name] for name in document["tiles"]]
    common = {
        "ACQUISITION": acquisition.id,
        "ACQUIRED": acquisition.sensed.isoformat(),
        "PLATFORM": acquisition.platform,
        "RELATIVE_ORBIT": "" if acquisition.relative_orbit is None else str(acquisition.relative_orbit),
        "SCALE": "0.0001",
        "SHIFT_CORRECTED": canonical_json(decision.as_json()["shift"]).decode(),
    }
    try:
        for tile, image in source.images(acquisition, tiles, masking, context.threads, decision.shift):
            write_cog(
                context.output(f"{tile.id}.tif"),
                np.concatenate([image.features, image.clear[np.newaxis].astype(np.int16)]),
                tile,
                names=[*context.features, "clear"],
                nodata=NODATA,
                tags={**common, **image.tags},
                level=1,
            )
    except UnreadableProduct as error:
        raise Refused(str(error)) from error


@reaching
def fetch_outside(context: Context) -> Mapping[str, str]:
    """Checksums of the acquisition's products as they are now."""
    acquisition, _ = _document(context)
    source = _source(context)
    found = source.checksums_of(acquisition)
    return {**found, **source.identity()}


def _source(context: Context) -> ImagerySource:
    outside = context.outside
    try:
        return open_source(outside.source, outside.resolve)
    except SourceError as error:
        raise Refused(str(error)) from error


def _document(context: Context) -> tuple[Acquisition, Mapping[str, Any]]:
    name = context.unit["acquisition"]
    with context.local(context.input("search"), f"{name}.json") as path:
        document = read_json(path)
    return Acquisition.from_json(name, document), document


def _nothing(source: ImagerySource, granule: str, period: Period, left: Sequence[LeftProduct]) -> str:
    text = f"no product of granule {granule} between {period.start} and {period.end} in {source.place}"
    if not left:
        return f"{text}: add products of that year, or leave the year out of `years`"
    reasons = "; ".join(f"{product.product}: {product.reason}" for product in left[:3])
    return f"{text} can be used: {reasons}" + (f"; and {len(left) - 3} more" if len(left) > 3 else "")
