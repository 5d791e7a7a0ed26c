"""What a source holds, found out before a run is planned: this touches the source and the existing map."""

from __future__ import annotations

from landseries.config import LoadedConfig
from landseries.errors import ConfigError
from landseries.grid import Raster, tiles_of_area, tiles_of_raster
from landseries.plan import SourceDescription
from landseries.settings.sources import CubeSource
from landseries_fetcher import existing_map
from landseries_fetcher.sources import open_source
from landseries_fetcher.sources.base import ImagerySource


def describe(loaded: LoadedConfig) -> SourceDescription:
    """Touch the source and the existing map.

    Returns:
        What planning needs to know; the acquisitions are those of the granules that the area needs, by year.

    Raises:
        SourceError: the source or the map is not there, cannot be read, or does not overlap the area.
        ConfigError: the area lies outside the source, or a setting or the legend does not fit what is there.
    """
    source = open_source(loaded.run.source, loaded.resolve)
    granules, bounds = _extent(loaded, source)
    _check_map(loaded, bounds)
    raster = source.raster
    return SourceDescription(
        granules=source.granules,
        features=source.features,
        raster=None if raster is None else {name: getattr(raster, name) for name in Raster.__dataclass_fields__},
        acquisitions={year: source.count(granules, loaded.run.period(year)) for year in loaded.run.years},
    )


def _extent(loaded: LoadedConfig, source: ImagerySource) -> tuple[list[str], tuple[float, float, float, float]]:
    """The granules that the area needs, and its bounds in degrees."""
    size_px = loaded.run.grid.tile_size_px
    if source.raster is not None:
        tiles_of_raster(source.raster, source.granules[0], size_px, loaded.area)
        area = source.raster.footprint() if loaded.area is None else loaded.area
        return list(source.granules), area.bounds
    assert loaded.area is not None, "the configuration requires an area where the source has no grid of its own"
    tiles = tiles_of_area(loaded.area, size_px, source.granules)
    return sorted({tile.granule for tile in tiles}), loaded.area.bounds


def _check_map(loaded: LoadedConfig, bounds: tuple[float, float, float, float]) -> None:
    settings = loaded.run.reference
    if settings.path is not None:
        where, codes = "reference.path", existing_map.check(loaded.resolve(settings.path), bounds)
    else:
        assert settings.variable is not None
        assert isinstance(loaded.run.source, CubeSource)
        from landseries_fetcher.sources.cube import Cube

        where, codes = "reference.variable", Cube(loaded.run.source, loaded.resolve).all_codes(settings.variable)
    if not loaded.legend.classify(codes).any():
        raise ConfigError(
            f"{where}: the map has no pixel of any class of the legend {loaded.legend.title!r} over the area; "
            "check reference.legend, whose `coding: corine` reads CORINE codes, `coding: direct` any others"
        )
