"""Settings of the assessor: what is counted, and what the report shows."""

from __future__ import annotations

from landseries.settings.base import Settings, ours


class CompareSettings(Settings):
    """Counts of one tile."""


class MosaicSettings(Settings):
    """Maps of a granule as Cloud Optimized GeoTIFFs."""

    overviews: bool = ours(True, "Write overviews into the maps")


class ReportSettings(Settings):
    """The report."""

    image_px: int = ours(900, "Longer side of the report's images in pixels at most", ge=100, le=4000)


class AssessorSettings(Settings):
    """Comparison, mosaics and the report."""

    compare: CompareSettings = CompareSettings()
    mosaic: MosaicSettings = MosaicSettings()
    report: ReportSettings = ReportSettings()
