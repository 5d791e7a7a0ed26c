"""Settings of the mapper."""

from __future__ import annotations

from landseries.settings.base import Settings, ours


class MapSettings(Settings):
    """Where a map has no class."""

    min_clear_views: int = ours(3, "A pixel-year with fewer clear views is no-data in the map", ge=1)


class MapperSettings(Settings):
    """Mapping."""

    map: MapSettings = MapSettings()
