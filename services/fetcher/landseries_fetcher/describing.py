"""What a source holds, found out before a run is planned: this touches the source and the existing map."""

from __future__ import annotations

from landseries.config import LoadedConfig
from landseries.grid import Raster, tiles_of_area, tiles_of_raster
from landseries.plan import SourceDescription
from landseries_fetcher import existing_map
from landseries_fetcher.reaching import refusal
from landseries_fetcher.remote.reader import RemoteForbidden
from landseries_fetcher.sources import open_source
from landseries_fetcher.sources.base import ImagerySource


def describe(loaded: LoadedConfig) -> SourceDescription:
    """Touch the source and the existing map.

    Returns:
        What planning needs to know; the acquisitions are those of the granules that the area needs, by year.

    Raises:
        SourceError: the source or the map is not there, cannot be read, or does not overlap the area.
        ConfigError: the area lies outside the source, a setting or the legend does not fit what is there, or the source
            refuses this user.
    """
    try:
        return _described(loaded)
    except RemoteForbidden as error:
        raise refusal(error, loaded.run.source) from error


def _described(loaded: LoadedConfig) -> SourceDescription:
    source = open_source(loaded.run.source, loaded.resolve)
    periods = [loaded.run.period(year) for year in loaded.run.years]
    found = source.granules_over(loaded.area, periods)
    granules, bounds = _extent(loaded, source, found)
    existing_map.check_map(loaded, bounds)
    raster = source.raster
    return SourceDescription(
        granules=found,
        features=source.features,
        raster=None if raster is None else {name: getattr(raster, name) for name in Raster.__dataclass_fields__},
        acquisitions={year: source.count(granules, loaded.run.period(year)) for year in loaded.run.years},
    )


def _extent(
    loaded: LoadedConfig, source: ImagerySource, found: tuple[str, ...]
) -> tuple[list[str], tuple[float, float, float, float]]:
    """The granules that the area needs, and its bounds in degrees."""
    size_px = loaded.run.grid.tile_size_px
    if source.raster is not None:
        tiles_of_raster(source.raster, found[0], size_px, loaded.area)
        area = source.raster.footprint() if loaded.area is None else loaded.area
        return list(found), area.bounds
    assert loaded.area is not None, "the configuration requires an area where the source has no grid of its own"
    tiles = tiles_of_area(loaded.area, size_px, found)
    return sorted({tile.granule for tile in tiles}), loaded.area.bounds
