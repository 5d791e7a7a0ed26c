"""Sources of imagery, behind one protocol: SAFE products wherever they lie, and a data cube."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from landseries.settings.catalogues import CatalogueSource
from landseries.settings.hubs import DhusSource
from landseries.settings.sources import CubeSource, Source
from landseries_fetcher.sources.base import ImagerySource


def open_source(source: Source, resolve: Callable[[Path], Path]) -> ImagerySource:
    """The source that a configuration names.

    Args:
        source: the settings of the source.
        resolve: makes a path of the configuration absolute.

    Raises:
        SourceError: it is not there, or cannot be read.
        ConfigError: its settings do not fit what is there.
    """
    if isinstance(source, CubeSource):
        from landseries_fetcher.sources.cube import Cube

        return Cube(source, resolve)
    if isinstance(source, DhusSource):
        from landseries_fetcher.sources.dhus import Dhus

        return Dhus(source, resolve)
    if isinstance(source, CatalogueSource):
        from landseries_fetcher.sources.stac import Stac

        return Stac(source, resolve)
    if isinstance(source.path, Path):
        from landseries_fetcher.sources.safe import SafeFolder

        return SafeFolder(resolve(source.path))
    from landseries_fetcher.sources.safe_bucket import SafeBucket

    return SafeBucket(source, resolve)
