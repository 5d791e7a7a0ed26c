"""Settings of the fetcher: which acquisitions are chosen, and how they are masked."""

from __future__ import annotations

from landseries.settings.base import Settings, ours, paper


class SearchSettings(Settings):
    """Which acquisitions of a year are used, decided per processing tile."""

    per_year: int = paper(20, "Acquisitions a year at most, spread evenly over the period", ge=1, le=365)
    max_cloud_percent: float = ours(
        80.0, "Leave out an acquisition with more masked pixels over the tile than this", ge=0, le=100
    )
    max_nodata_percent: float = ours(
        40.0, "Leave out an acquisition with more no-data over the tile (a partial orbit) than this", ge=0, le=100
    )


class ReferenceSettings(Settings):
    """How the existing map is put onto the processing grid: by nearest neighbour, which needs no setting."""


class FetchSettings(Settings):
    """How reflectance is read and clouds are masked."""

    masked_scene_classes: tuple[int, ...] = ours(
        (0, 1, 3, 8, 9, 10), "Values of the scene classification (SCL) that are no clear view"
    )
    cloud_buffer_m: float = ours(60.0, "Grow masked shadows and clouds by this distance (metres)", ge=0, le=2000)


class FetcherSettings(Settings):
    """Search, the reference map, and fetching."""

    search: SearchSettings = SearchSettings()
    reference: ReferenceSettings = ReferenceSettings()
    fetch: FetchSettings = FetchSettings()
