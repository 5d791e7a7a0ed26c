"""Settings of the clusterer: how the reliable samples of the existing map are found."""

from __future__ import annotations

from typing import Literal

from landseries.settings.base import Settings, ours


class ClusterSettings(Settings):
    """First step: the dominant K-means cluster of each polygon part."""

    method: Literal["polygons", "cluster-then-associate"] = ours(
        "polygons", "`polygons`: K-means within each polygon part; the other: K-means over the tile"
    )
    clusters: int = ours(4, "Clusters per polygon part", ge=2, le=50)
    min_part_px: int = ours(20, "Polygon parts with fewer pixels are `uncertain`", ge=2)
    min_clear_views: int = ours(5, "A pixel with fewer clear views in the training year is not used", ge=1)


class ClassesSettings(Settings):
    """Second step: each class's distribution over all tiles."""

    max_parts_per_class: int = ours(20_000, "Polygon parts that describe a class at most", ge=10)


class ReliableSettings(Settings):
    """The verdict on every pixel of the map: reliable, uncertain or rejected."""

    keep_quantile: float = ours(0.8, "Polygon parts nearer to their class than this quantile are kept", gt=0, le=1)
    samples_per_class: int = ours(2_000, "Reliable samples per class and tile at most", ge=10)


class ClustererSettings(Settings):
    """The three stages of the search for reliable samples."""

    cluster: ClusterSettings = ClusterSettings()
    classes: ClassesSettings = ClassesSettings()
    reliable: ReliableSettings = ReliableSettings()
